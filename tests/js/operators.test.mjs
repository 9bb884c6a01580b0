// The built package in Node, on every case of tests/fixtures/make_operators.py: the real wasm modules, through the public
// interface, against onnxruntime.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { difference, readTensor } from './lib/tensor-proto.mjs';

const root = new URL('../../', import.meta.url);
const fixtures = new URL('.cache/fixtures/operators/', root);
const { InferenceSession, Tensor, InferenceError } = await import(new URL('dist/index.js', root).href);

const cases = JSON.parse(readFileSync(new URL('index.json', fixtures), 'utf8'));
const groups = new Map();
for (const entry of cases) groups.set(entry.group, [...(groups.get(entry.group) ?? []), entry]);

/** Compiled once for all sessions. */
const wasm = {
  engine: await WebAssembly.compile(await readFile(new URL('dist/engine.wasm', root))),
  compiler: await WebAssembly.compile(await readFile(new URL('dist/compiler.wasm', root))),
};

async function open(folder, external = []) {
  const externalData = await Promise.all(external.map(async (path) => ({ path, data: await readFile(new URL(path, folder)) })));
  return InferenceSession.create(await readFile(new URL('model.onnx', folder)), { wasm, externalData, allowNaN: true });
}

function tensors(sample, stem) {
  const list = [];
  for (let i = 0; existsSync(new URL(`${stem}_${i}.pb`, sample)); i++) list.push(readTensor(readFileSync(new URL(`${stem}_${i}.pb`, sample))));
  return list;
}

async function check({ group: name, case: which, samples, tolerance, external }) {
  const folder = new URL(`${name}/${which}/`, fixtures);
  const session = await open(folder, external);
  try {
    for (let k = 0; k < samples; k++) {
      const sample = new URL(`sample_${k}/`, folder);
      const feeds = Object.fromEntries(tensors(sample, 'input').map((t) => [t.name, new Tensor(t.type, t.data, t.dims)]));
      const results = await session.run(feeds);
      tensors(sample, 'output').forEach((want, i) => {
        const wrong = difference(results[session.outputNames[i]], want, tolerance);
        assert.equal(wrong, undefined, `${which}, sample ${k}, ${session.outputNames[i]}: ${wrong}`);
      });
    }
  } finally {
    await session.release();
  }
}

for (const [name, list] of groups) {
  if (name === 'invalid') continue;
  test(`${name}: ${list.length} cases agree with onnxruntime`, async () => {
    for (const entry of list) await check(entry).catch((error) => Promise.reject(Object.assign(error, { message: `${entry.case}: ${error.message}` })));
  });
}

test('bad models give typed errors, and other sessions go on', async () => {
  const list = groups.get('invalid');
  const entry = groups.get('qlinear_add')[0];
  const good = await open(new URL(`qlinear_add/${entry.case}/`, fixtures));
  for (const { case: which, file, expect, external } of list) {
    const folder = new URL('./', new URL(file, fixtures));
    let error;
    try {
      const session = await open(folder, external);
      const feeds = Object.fromEntries(
        session.inputMetadata.map(({ name, type, shape }) => {
          const dims = shape.map((d) => (typeof d === 'number' ? d : 1));
          const count = dims.reduce((n, d) => n * d, 1);
          return [name, new Tensor(type, type === 'string' ? Array(count).fill('') : zeros(type, count), dims)];
        }),
      );
      try {
        await session.run(feeds);
      } finally {
        await session.release();
      }
    } catch (caught) {
      error = caught;
    }
    if (error) {
      assert.ok(error instanceof InferenceError, `${which}: ${error?.stack}`);
      assert.ok(error.message && error.hint, `${which}: no message or hint in ${error.code} ${error.message}`);
    }
    // A page is recognised before the bytes reach the compiler.
    const code = error?.code === 'HTML_RESPONSE' ? 'NOT_ONNX' : (error?.code ?? 'OK');
    const allowed = expect.codes.includes(code) || (expect.codes.includes('*') && !['INTERNAL', 'RUNTIME_CRASH'].includes(code));
    assert.ok(allowed, `${which}: ${code} instead of ${expect.codes}: ${error?.message}`);
    if (expect.operators) {
      const listed = error.operators.map(({ domain, opType, count }) => ({ domain, opType, count }));
      assert.deepEqual(listed, expect.operators, which);
    }
  }
  const sample = new URL(`qlinear_add/${entry.case}/sample_0/`, fixtures);
  const feeds = Object.fromEntries(tensors(sample, 'input').map((x) => [x.name, new Tensor(x.type, x.data, x.dims)]));
  await good.run(feeds);
  await good.release();
});

function zeros(type, count) {
  const arrays = {
    float32: Float32Array, float64: Float64Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
    uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
  };
  return new arrays[type](count);
}
