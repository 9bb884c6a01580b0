// What of the bench can be wrong without being timed: which library gets which file, how answers are compared, the figures.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { digest } from '../../benches/lib/answers.mjs';
import { compare, countRight, sameFive } from '../../benches/lib/compare.mjs';
import { mergeIndexes, readersOf } from '../../benches/lib/models.mjs';
import { nativeFigures } from '../../benches/lib/native.mjs';
import { readOptions } from '../../benches/lib/options.mjs';
import { openSlowLine } from '../../benches/lib/slow-line.mjs';
import { pairedRatio, summarise } from '../../benches/lib/statistics.mjs';
import { RELAXED_DOT_MEANINGS, RELAXED_DOT_MODULE } from '../../benches/page/relaxed-dot.js';

const fixtures = [
  { name: 'a-dyn-u8', net: 'a', format: 'dyn-u8', file: 'a-dyn-u8.onnx' },
  { name: 'a-qdq-u8s8-pc', net: 'a', format: 'qdq-u8s8-pc', file: 'a-qdq-u8s8-pc.onnx' },
  { name: 'a-fp32', net: 'a', format: 'fp32', file: 'a-fp32.onnx' },
  { name: 'a-qdq-u8u8', net: 'a', format: 'qdq-u8u8', file: 'a-qdq-u8u8.onnx' },
];
const extras = [
  { name: 'a-fp32', files: { tflite: 'a-fp32.tflite' } },
  { name: 'a-makers', net: 'a', format: 'makers', files: { onnx: 'a.onnx', tflite: 'a-makers.tflite' }, sameNumbers: false },
  { name: 'b-qdq-u8s8-pc', net: 'b', format: 'qdq-u8s8-pc', files: { onnx: 'b.onnx' }, sameNumbers: true },
];

test('the two indexes become one list by net and format', () => {
  const models = mergeIndexes(fixtures, extras);
  assert.deepEqual(models.map(({ name }) => name), ['a-fp32', 'a-qdq-u8s8-pc', 'a-makers', 'a-dyn-u8', 'a-qdq-u8u8', 'b-qdq-u8s8-pc']);
  assert.deepEqual(models.filter(({ usual }) => usual).map(({ name }) => name), ['a-fp32', 'a-makers', 'a-dyn-u8', 'b-qdq-u8s8-pc']);
  assert.deepEqual(models[0].files, { onnx: 'a-fp32.onnx', tflite: 'a-fp32.tflite' });
});

test('a library gets only models that it can read', () => {
  const peers = ['ours', 'web', 'lite'].map((name) => ({ name, format: name === 'lite' ? 'tflite' : 'onnx' }));
  const names = (model) => readersOf(model, peers).map(({ name }) => name);
  const [fp32, , makers, dynamic] = mergeIndexes(fixtures, extras);
  assert.deepEqual(names(fp32), ['ours', 'web', 'lite']);
  assert.deepEqual(names(dynamic), ['ours', 'web']);
  assert.deepEqual(names(makers), ['ours', 'lite']);
});

test('answers are the same, tied or different', () => {
  assert.deepEqual(compare([[0, 10]], [[0, 10]]), { same: 1, tied: 0, different: 0, gap: 0, agree: true });
  assert.equal(compare([[9.999, 10, 0]], [[10, 9.999, 0]]).tied, 1);
  const apart = [[[9.8, 10, 0]], [[10, 9.8, 0]]];
  assert.equal(compare(...apart).agree, false);
  assert.equal(compare(...apart, undefined, { rounding: true }).agree, true);
  assert.equal(compare([[1, 10]], [[0, 10]], undefined, { rounding: true }).agree, false);
  // Wherever a NaN is, and on whichever side, it is found.
  for (const scores of [[NaN, 10, 5], [10, NaN, 5], [10, 5, NaN]]) {
    assert.equal(compare([scores], [[10, 5, 0]], undefined, { rounding: true }).agree, false);
    assert.equal(compare([[10, 5, 0]], [scores], undefined, { rounding: true }).agree, false);
  }
});

test('unlabelled photos are neither right nor wrong', () => {
  assert.deepEqual(countRight([[0, 1], [0, 1]], [{ label: 1 }, { label: null }]), { right: 1, of: 1 });
});

test('the best five, in any order', () => {
  const a = [9, 8, 7, 6, 5, 1, 0];
  assert.equal(sameFive([a, a], [[5, 6, 7, 8, 9, 1, 0], [9, 8, 7, 6, 1, 5, 0]]), 1);
});

test('a slow line has one rate for all, and a delay', async () => {
  const body = Buffer.alloc(50_000);
  const server = createServer((request, response) => response.end(body));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const line = await openSlowLine(server.address().port, { bitsPerSecond: 4e6, roundTrip: 30 });
  try {
    const start = performance.now();
    const get = async () => (await (await fetch(`http://127.0.0.1:${line.port}/`)).arrayBuffer()).byteLength;
    assert.deepEqual(await Promise.all([get(), get()]), [body.length, body.length]);
    // Two of 100 ms each on the same line, after two round trips.
    assert.ok(performance.now() - start >= 250);
  } finally {
    await line.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test('a digest tells scores apart by a bit', () => {
  assert.equal(digest([[1, 2], [3]]), digest([[1, 2], [3]]));
  assert.notEqual(digest([[1]]), digest([[1 + 2 ** -23]]));
});

test('figures', () => {
  const { median, p95, count } = summarise(Array.from({ length: 101 }, (_, i) => i));
  assert.deepEqual([median, p95, count], [50, 95, 101]);
  // Rounds of different lengths, the second disturbed for both.
  assert.equal(pairedRatio([[1, 1, 1], [10]], [[2], [20, 20]]).ratio, 0.5);
  const native = nativeFigures({ create: 5, first: 3, times: [2, 2, 4] }, [1, 1]);
  assert.deepEqual([native.run.median, native.ratio], [2, { ratio: 0.5 }]);
  assert.equal(nativeFigures({ error: 'no' }, [1]).error, 'no');
});

test('options', () => {
  const { rounds, peers, native } = readOptions([]);
  assert.deepEqual([rounds, peers, native], [4, undefined, true]);
  assert.deepEqual(readOptions(['--peers', 'a, b,a', '--no-native']).peers, ['a', 'b']);
  assert.throws(() => readOptions(['--runs', '0']), /--runs/);
});

test('the relaxed dot product is told by three results', () => {
  assert.deepEqual([...RELAXED_DOT_MEANINGS.keys()], [129540, 65534, -508]);
  // Node 20 lacks relaxed SIMD: there only the frame can be looked at.
  assert.deepEqual([...RELAXED_DOT_MODULE.slice(0, 8)], [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  if (WebAssembly.validate(RELAXED_DOT_MODULE)) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(RELAXED_DOT_MODULE));
    assert.ok(RELAXED_DOT_MEANINGS.has(exports.r()));
  }
});
