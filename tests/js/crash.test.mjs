// What happens when the real engine traps or runs out of memory: modules that were broken on purpose.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { onnxModel } from './lib/onnx-model.mjs';
import { limitMemory, trapIn } from './lib/patch-wasm.mjs';
import { installWindow, workers } from './lib/window.mjs';

const root = new URL('../../', import.meta.url);
installWindow();
const { InferenceSession, OutOfMemoryError, RuntimeCrashError, Tensor } = await import(new URL('dist/index.js', root).href);
const engine = new Uint8Array(await readFile(new URL('dist/engine.wasm', root)));
const lite0 = await readFile(new URL('models/efficientnet-lite0-int8.onnx', root));
/** Doubles, at any length; the memory that it takes is up to the input. */
const model = onnxModel({ nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }], inputs: [['x', ['n']]], outputs: [['y', ['n']]] });

const MB = 2 ** 20;
const floats = (length) => new Tensor('float32', new Float32Array(length).fill(1.5));
const sum = ({ y }) => y.data.reduce((a, b) => a + b, 0);

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'in the thread';

  test(`a trap takes its own session only, ${where}`, async () => {
    const other = await InferenceSession.create(model, { worker, wasm: { engine } });
    const broken = await InferenceSession.create(model, { worker, wasm: { engine: trapIn(engine, 'enginesession_run') } });
    assert.equal(broken.runtime.worker, worker);
    const line = workers.at(-1);
    const results = await Promise.allSettled([broken.run({ x: floats(2) }), broken.run({ x: floats(2) }), broken.memory()]);
    for (const { reason } of results) {
      assert.ok(reason instanceof RuntimeCrashError, String(reason));
      assert.equal(reason.code, 'RUNTIME_CRASH');
      assert.match(reason.message, /crashed \(RuntimeError: unreachable/);
      assert.match(reason.hint, /create a new one/);
    }
    if (worker) assert.equal(line.terminated, true);
    await assert.rejects(broken.run({ x: floats(2) }), { code: 'RUNTIME_CRASH' });
    assert.equal(sum(await other.run({ x: floats(2) })), 6);
    // Again, at once.
    const next = await InferenceSession.create(model, { worker, wasm: { engine } });
    assert.equal(sum(await next.run({ x: floats(2) })), 6);
    await Promise.all([broken, other, next].map((session) => session.release()));
  });

  test(`an input that there is no memory for is refused, ${where}`, async () => {
    const session = await InferenceSession.create(model, { worker, wasm: { engine: limitMemory(engine, 8 * MB) } });
    assert.equal(sum(await session.run({ x: floats(2) })), 6);
    await assert.rejects(session.run({ x: floats(4 * MB) }), (error) => {
      assert.ok(error instanceof OutOfMemoryError, `${error.stack}`);
      assert.equal(error.code, 'OUT_OF_MEMORY');
      assert.ok(error.hint);
      return true;
    });
    assert.equal(sum(await session.run({ x: floats(4) })), 12, 'the session goes on');
    await session.release();
  });

  test(`a model that there is no memory for, ${where}`, async () => {
    // Anywhere on the way: some allocations can be refused, others only stop the module, which then says so.
    const codes = new Set();
    for (const limit of [2, 3, 4, 6, 8, 10]) {
      await assert.rejects(InferenceSession.create(lite0, { worker, wasm: { engine: limitMemory(engine, limit * MB) } }), (error) => {
        assert.match(error.code, /^(OUT_OF_MEMORY|RUNTIME_CRASH)$/, error.stack);
        assert.match(error.message, /memory/);
        codes.add(error.code);
        return true;
      });
    }
    assert.ok(codes.size > 0);
    const session = await InferenceSession.create(lite0, { worker, wasm: { engine } });
    await session.release();
  });
}

after(() => workers.forEach((line) => line.terminate()));
