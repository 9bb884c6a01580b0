// Memory, through the public interface and with the real wasm modules: what runs and sessions take, and that they give it
// back.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { held } from './lib/held.mjs';
import { readTensor } from './lib/tensor-proto.mjs';

const RUNS = 10_000;
const SESSIONS = 200;
/** By then V8 has compiled what it will compile, which takes memory once. */
const WARM_UP = { runs: 2000, sessions: 20 };
const MB = 1e6;

const root = new URL('../../', import.meta.url);
const { InferenceSession, Tensor } = await import(new URL('dist/index.js', root).href);
const engine = await WebAssembly.compile(await readFile(new URL('dist/engine.wasm', root)));

const folder = new URL('.cache/fixtures/operators/qlinear_conv/3x3_pad1_u8s8/', root);
const model = await readFile(new URL('model.onnx', folder));
const { name, type, data, dims } = readTensor(await readFile(new URL('sample_0/input_0.pb', folder)));
const feeds = { [name]: new Tensor(type, data, dims) };

/** How much more is held after `work`, in MB. */
async function growth(work) {
  const before = await held();
  await work();
  const after = await held();
  return { own: (after.own - before.own) / MB, resident: (after.resident - before.resident) / MB };
}

const open = () => InferenceSession.create(model, { wasm: { engine } });

async function runs(session, count) {
  for (let i = 0; i < count; i++) await session.run(feeds);
}

async function sessions(count) {
  for (let i = 0; i < count; i++) {
    const session = await open();
    await session.run(feeds);
    await session.release();
  }
}

test('what is held is noticed', async () => {
  let kept;
  const { own } = await growth(async () => {
    kept = [await open(), await open()];
  });
  assert.ok(own > 2, `two sessions hold ${own} MB`);
  await Promise.all(kept.map((session) => session.release()));
});

test(`${RUNS} runs take no more memory than the first`, async (t) => {
  const session = await open();
  assert.deepEqual([session.runtime.subgraphs, session.runtime.compiler], [0, false]);
  await runs(session, WARM_UP.runs);
  const first = await session.memory();
  assert.equal(first.compiler, 0);
  const { own, resident } = await growth(() => runs(session, RUNS));
  assert.deepEqual(await session.memory(), first);
  await session.release();
  t.diagnostic(`${RUNS} runs: ${own.toFixed(2)} MB, resident ${resident.toFixed(1)} MB; engine ${(first.engine / MB).toFixed(2)} MB`);
  // Less than 100 bytes a run.
  assert.ok(own < 1, `${own} MB more`);
  assert.ok(resident < 16, `${resident} MB more are resident`);
});

test(`${SESSIONS} sessions, one after the other, leave nothing behind`, async (t) => {
  await sessions(WARM_UP.sessions);
  const { own, resident } = await growth(() => sessions(SESSIONS));
  t.diagnostic(`${SESSIONS} sessions: ${own.toFixed(2)} MB, resident ${resident.toFixed(1)} MB`);
  // Less than the memory of one.
  assert.ok(own < 1, `${own} MB more`);
  assert.ok(resident < 32, `${resident} MB more are resident`);
});

test('a classifier takes at most 2.5 times its file', async (t) => {
  const file = await readFile(new URL('models/efficientnet-lite0-int8.onnx', root));
  const session = await InferenceSession.create(file, { wasm: { engine } });
  const [input] = session.inputMetadata;
  const shape = input.shape.map((size) => (typeof size === 'number' ? size : 1));
  const zeros = new Float32Array(shape.reduce((product, size) => product * size, 1));
  await session.run({ [input.name]: new Tensor('float32', zeros, shape) });
  const memory = await session.memory();
  await session.release();
  assert.equal(memory.compiler, 0, 'the compiler is gone');
  const ratio = memory.engine / file.length;
  t.diagnostic(`${(memory.engine / MB).toFixed(2)} MB for a file of ${(file.length / MB).toFixed(2)} MB: ${ratio.toFixed(2)} times`);
  assert.ok(ratio > 1, 'the weights are somewhere');
  assert.ok(ratio <= 2.5, `${memory.engine} bytes for a file of ${file.length}`);
});
