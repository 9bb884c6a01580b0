// Sessions in workers, with worker_threads in place of the browser's.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { buildPackage, copyPackage } from './lib/bundle.mjs';
import { image, imagePlan, INPUT, model, pixels, plan } from './lib/models.mjs';
import { serve } from './lib/server.mjs';
import { installWindow, workers } from './lib/window.mjs';

installWindow();
const dist = await buildPackage();
const { InferenceSession, ImageClassifier, Tensor } = await import(new URL('index.js', dist));

const floats = (...values) => new Tensor('float32', values);
const run = async (session, ...values) => [...(await session.run({ x: floats(...values) })).y.data];
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('importing starts nothing', () => {
  assert.equal(workers.length, 0);
});

test('runs in a worker where there is a window', async () => {
  const session = await InferenceSession.create(model('double'));
  assert.equal(session.runtime.worker, true);
  assert.equal(workers.length, 1);
  assert.equal(workers[0].url, new URL('worker.js', dist).href);
  assert.deepEqual(await run(session, 1, 2), [2, 4]);
  assert.equal(workers[0].terminated, false);
  await session.release();
  assert.equal(workers[0].terminated, true);
  await assert.rejects(run(session, 1), { code: 'SESSION_RELEASED' });
  const local = await InferenceSession.create(model('double'), { worker: false });
  assert.equal(local.runtime.worker, false);
  assert.equal(workers.length, 1);
});

test('addresses resolve against the page', async () => {
  const { origin } = await serve({ '/models/a.plan': Buffer.from(plan('double')) });
  document.baseURI = `${origin}/models/index.html`;
  for (const address of ['a.plan', './a.plan', '/models/a.plan']) {
    const session = await InferenceSession.create(address);
    assert.deepEqual(await run(session, 1), [2]);
    await session.release();
  }
  await assert.rejects(InferenceSession.create('b.plan'), { code: 'HTTP_ERROR', message: new RegExp(`${origin}/models/b.plan`) });
  assert.ok(workers.every(({ terminated }) => terminated), 'a failed creation leaves no worker');
});

test('contents survive the border', async () => {
  const bytes = plan('double');
  const copy = bytes.slice();
  for (const source of [bytes, bytes.buffer, new Blob([bytes]), new Response(bytes), new Blob([bytes]).stream()]) {
    const session = await InferenceSession.create(source);
    assert.deepEqual(await run(session, 1), [2]);
    await session.release();
  }
  assert.deepEqual(bytes, copy, "the caller's bytes stay");
});

test('streams are read in the page where they cannot be given away', async (t) => {
  const { structuredClone } = globalThis;
  t.mock.method(globalThis, 'structuredClone', (value, options) => {
    if (value instanceof ReadableStream) throw new DOMException('no', 'DataCloneError');
    return structuredClone(value, options);
  });
  const session = await InferenceSession.create(new Blob([plan('double')]).stream());
  assert.deepEqual(await run(session, 1), [2]);
  await session.release();
});

test('progress and errors cross the border', async () => {
  const events = [];
  const session = await InferenceSession.create(plan('double'), { onProgress: ({ status }) => events.push(status) });
  assert.deepEqual([...new Set(events)], ['initiate', 'download', 'done', 'compile', 'ready']);
  await session.release();
  await assert.rejects(InferenceSession.create(model('unknown')), (error) => {
    assert.equal(error.name, 'ModelError');
    assert.equal(error.code, 'UNSUPPORTED_OPERATOR');
    assert.equal(error.operators.length, 2);
    return true;
  });
});

test('inputs are copied, or given away', async () => {
  const session = await InferenceSession.create(plan('double'));
  const kept = floats(1, 2);
  await session.run({ x: kept });
  assert.equal(kept.data.length, 2);
  const given = floats(1, 2);
  assert.deepEqual([...(await session.run({ x: given }, { transfer: true })).y.data], [2, 4]);
  assert.equal(given.data.length, 0);
  const view = new Tensor('float32', new Float32Array([9, 1, 2, 9]).subarray(1, 3));
  assert.deepEqual([...(await session.run({ x: view }, { transfer: true })).y.data], [2, 4]);
  assert.deepEqual([...view.data], [1, 2], 'a part of a buffer is copied');
  await session.release();
});

test('an aborted run rejects at once and stops soon, then comes the next one', async () => {
  const session = await InferenceSession.create(plan('slow'));
  const start = performance.now();
  const controller = new AbortController();
  const first = session.run({ x: floats(60_000) }, { signal: controller.signal });
  const second = run(session, 1);
  const third = session.run({ x: floats(60_000) }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(first, { name: 'AbortError' });
  await assert.rejects(third, { name: 'AbortError' });
  assert.deepEqual(await second, [2]);
  assert.ok(performance.now() - start < 20_000, 'the worker did not compute to the end');
  const reason = new Error('mine');
  await assert.rejects(session.run({ x: floats(1) }, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  await session.release();
});

test('sessions run side by side', async () => {
  const [slow, quick] = await Promise.all([InferenceSession.create(plan('slow')), InferenceSession.create(plan('double'))]);
  const order = [];
  await Promise.all([run(slow, 400).then(() => order.push('slow')), run(quick, 1).then(() => order.push('quick'))]);
  assert.deepEqual(order, ['quick', 'slow']);
  await slow.release();
  await quick.release();
});

test('release ends what is running', async () => {
  const session = await InferenceSession.create(plan('slow'));
  const runs = [session.run({ x: floats(60_000) }), session.run({ x: floats(1) })];
  const settled = Promise.allSettled(runs);
  await pause(50);
  await session.release();
  assert.deepEqual((await settled).map(({ reason }) => reason?.code), ['SESSION_RELEASED', 'SESSION_RELEASED']);
  await workers.at(-1).exited;
});

test('a trap ends its worker and nothing else', async () => {
  const other = await InferenceSession.create(plan('fragile'));
  const session = await InferenceSession.create(plan('fragile'));
  const worker = workers.at(-1);
  const results = await Promise.allSettled([run(session, 1), run(session, -1), run(session, 1)]);
  assert.deepEqual(results.map(({ value, reason }) => value ?? reason.code), [[2], 'RUNTIME_CRASH', 'RUNTIME_CRASH']);
  assert.equal(worker.terminated, true);
  await assert.rejects(run(session, 1), { name: 'RuntimeCrashError' });
  assert.deepEqual(await run(other, 3), [6]);
  const next = await InferenceSession.create(plan('fragile'));
  assert.deepEqual(await run(next, 3), [6]);
  await Promise.all([other.release(), next.release(), session.release()]);
});

test('a worker that dies', async () => {
  const session = await InferenceSession.create(plan('slow'));
  const running = session.run({ x: floats(60_000) });
  workers.at(-1).dispatchEvent(Object.assign(new Event('error', { cancelable: true }), { message: 'out of memory' }));
  await assert.rejects(running, { code: 'RUNTIME_CRASH', message: /out of memory/ });
  assert.equal(workers.at(-1).terminated, true);
  await session.release();
});

test('modules are compiled once and handed on', async () => {
  const folder = await copyPackage(dist, 'reuse');
  const { InferenceSession } = await import(new URL('index.js', folder));
  const first = await InferenceSession.create(model('double'));
  for (const file of ['engine.wasm', 'engine-relaxed.wasm', 'compiler.wasm']) await rm(new URL(file, folder));
  const second = await InferenceSession.create(model('double'));
  assert.deepEqual(await run(second, 1), [2]);
  await Promise.all([first.release(), second.release()]);
});

test('a failed download of the wasm is tried again', async () => {
  const folder = await copyPackage(dist, 'retry');
  const { InferenceSession } = await import(new URL('index.js', folder));
  const { readFile } = await import('node:fs/promises');
  const engine = new URL('engine.wasm', folder);
  const bytes = await readFile(engine);
  await rm(engine);
  await rm(new URL('engine-relaxed.wasm', folder));
  for (const worker of [true, false]) await assert.rejects(InferenceSession.create(plan('double'), { worker }), { code: 'WASM_LOAD', hint: /engine: url/ });
  await writeFile(engine, bytes);
  // In the page first: a worker would hand it the module.
  for (const worker of [false, true]) assert.deepEqual(await run(await InferenceSession.create(plan('double'), { worker }), 1), [2]);
});

test('without a worker it runs in the page, unless a worker is demanded', async () => {
  const folder = await copyPackage(dist, 'no-worker');
  await writeFile(new URL('worker.js', folder), 'throw new Error("blocked")');
  const { InferenceSession } = await import(new URL('index.js', folder));
  const session = await InferenceSession.create(plan('double'));
  assert.equal(session.runtime.worker, false);
  assert.deepEqual(await run(session, 1), [2]);
  await assert.rejects(InferenceSession.create(plan('double'), { worker: true }), { code: 'UNSUPPORTED_ENVIRONMENT', message: /blocked/, hint: /worker: false/ });
});

test('a worker of another origin starts from a blob', async (t) => {
  // As a browser does it: only blobs may cross.
  const { Worker } = globalThis;
  const scripts = [];
  t.mock.method(URL, 'createObjectURL', (blob) => {
    scripts.push(blob);
    return 'blob:http://localhost/1';
  });
  const revoked = t.mock.method(URL, 'revokeObjectURL', () => undefined);
  const target = new URL('worker.js', dist).href;
  t.after(() => {
    globalThis.Worker = Worker;
  });
  globalThis.Worker = class extends Worker {
    constructor(url, options) {
      if (!String(url).startsWith('blob:')) throw new DOMException('Script cannot be accessed from origin', 'SecurityError');
      super(target, options);
    }
  };
  const session = await InferenceSession.create(plan('double'));
  assert.equal(session.runtime.worker, true);
  assert.equal(await scripts[0].text(), `import ${JSON.stringify(target)}`);
  assert.equal(scripts[0].type, 'text/javascript');
  // It starts its helpers from there.
  assert.equal(revoked.mock.callCount(), 0);
  assert.deepEqual(await run(session, 1), [2]);
  await session.release();
});

test('a session that nobody refers to any more ends its worker, but not a run of its own', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  /** Collects until the worker is terminated, or time is up. */
  const collected = async (worker, limit) => {
    const end = performance.now() + limit;
    while (!worker.terminated && performance.now() < end) {
      gc();
      await pause(10);
    }
    return worker.terminated;
  };
  const idle = await (async () => void (await run(await InferenceSession.create(plan('slow')), 1)))().then(() => workers.at(-1));
  assert.equal(await collected(idle, 5000), true);

  const { result, worker } = await (async () => {
    const session = await InferenceSession.create(plan('slow'));
    return { result: session.run({ x: floats(400) }), worker: workers.at(-1) };
  })();
  assert.equal(await collected(worker, 200), false);
  assert.deepEqual([...(await result).y.data], [800]);
  assert.equal(await collected(worker, 5000), true);
});

test('messages of others are let through', async () => {
  const session = await InferenceSession.create(plan('double'));
  const worker = workers.at(-1);
  for (const data of [undefined, null, 'x', { tractlet: 'result', id: 999, result: [] }]) {
    worker.dispatchEvent(Object.assign(new Event('message'), { data }));
    worker.postMessage(data);
  }
  assert.deepEqual(await run(session, 1), [2]);
  await session.release();
});

test('a classifier in a worker', async () => {
  const classifier = await ImageClassifier.create(imagePlan(), { input: INPUT, labels: ['red', 'green', 'blue', 'none'] });
  const picture = pixels([10, 200, 30]);
  const result = await classifier.classify(picture);
  assert.equal(classifier.session.runtime.worker, true);
  assert.deepEqual(result.map(({ label }) => label), ['green', 'blue', 'red', 'none']);
  assert.equal(picture.data.length, 24, "the caller's pixels stay");
  assert.equal(result[0].score, 200);
  await classifier.release();
  await assert.rejects(classifier.classify(picture), { code: 'SESSION_RELEASED' });
  assert.ok(image);
});

test('tensors of pictures share a worker, which ends when it is idle', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const before = workers.length;
  const tensors = await Promise.all([1, 2, 3].map((value) => Tensor.fromImage(pixels([value, 0, 0]), INPUT)));
  assert.deepEqual(tensors.map(({ dims, data }) => [dims, data[0]]), [1, 2, 3].map((value) => [[1, 3, 2, 2], value]));
  assert.equal(workers.length, before + 1);
  t.mock.timers.tick(9000);
  await Tensor.fromImage(pixels([4, 0, 0]), INPUT);
  t.mock.timers.tick(9000);
  assert.deepEqual([workers.length, workers[before].terminated], [before + 1, false]);
  await nextTurn();
  t.mock.timers.tick(10_000);
  assert.equal(workers[before].terminated, true);
  // One that is wanted elsewhere does not wait.
  await Tensor.fromImage(pixels([5, 0, 0]), INPUT);
  await Tensor.fromImage(pixels([5, 0, 0]), { ...INPUT, worker: false });
  assert.equal(workers.length, before + 2);
  t.mock.timers.tick(10_000);
  assert.ok(workers.every(({ terminated }) => terminated));
});

test('a worker of tensors that crashes, or does not start, makes place for another', async () => {
  const before = workers.length;
  await assert.rejects(Tensor.fromImage(pixels([99, 0, 0]), INPUT), { code: 'RUNTIME_CRASH' });
  assert.equal((await Tensor.fromImage(pixels([1, 0, 0]), INPUT)).data[0], 1);
  assert.equal(workers.length, before + 2);
  await assert.rejects(Tensor.fromImage(pixels([1, 0, 0]), { ...INPUT, sise: 3 }), { code: 'INVALID_OPTION' });
  assert.equal((await Tensor.fromImage(pixels([2, 0, 0]), INPUT)).data[0], 2);
  assert.equal(workers.length, before + 2, 'a mistake is no reason for another');
  await assert.rejects(Tensor.fromImage(pixels([1, 0, 0]), { ...INPUT, wasm: { engine: new Uint8Array(9) } }), { code: 'WASM_LOAD' });
  assert.equal((await Tensor.fromImage(pixels([3, 0, 0]), INPUT)).data[0], 3);
});
