// Runs that are aborted, with the real wasm modules: they stop, and leave nothing behind.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { held } from './lib/held.mjs';
import { convModel } from './lib/onnx-model.mjs';
import { installWindow } from './lib/window.mjs';

const ABORTS = 1000;
const MB = 1e6;

const root = new URL('../../', import.meta.url);
installWindow();
const { ImageClassifier, InferenceSession, Tensor } = await import(new URL('dist/index.js', root).href);
const wasm = { engine: await WebAssembly.compile(await readFile(new URL('dist/engine.wasm', root))) };
const squeezenet = await readFile(new URL('models/squeezenet1.1-int8.onnx', root));

const sessions = [];
after(() => Promise.all(sessions.map((session) => session.release())));

async function open(model, worker) {
  const session = await InferenceSession.create(model, { wasm, worker });
  sessions.push(session);
  return session;
}

/** Numbers for the one input that can be repeated. */
function feedsOf(session) {
  const [{ name, shape }] = session.inputMetadata;
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 7919) % 251) / 125 - 1);
  return { [name]: new Tensor('float32', data, shape) };
}

const bytesOf = (results) => Buffer.concat(Object.values(results).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)));

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Begins a run and aborts it after a while; what became of it. */
async function abortAfter(session, feeds, milliseconds) {
  const controller = new AbortController();
  const run = session.run(feeds, { signal: controller.signal });
  const settled = run.then(() => 'ended', (error) => error.name);
  await sleep(milliseconds);
  controller.abort();
  return settled;
}

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'in the thread';

  test(`after ${ABORTS} aborts ${where} the next run is right and no memory is gone`, { timeout: 600_000 }, async (t) => {
    const session = await open(squeezenet, worker);
    assert.equal(session.runtime.worker, worker);
    const feeds = feedsOf(session);
    const want = bytesOf(await session.run(feeds));
    const signal = () => new AbortController().signal;
    assert.deepEqual(bytesOf(await session.run(feeds, { signal: signal() })), want, 'in slices it computes the same');
    let limit = await timed(() => session.run(feeds, { signal: signal() }));
    const counts = {};
    const abort = async (count) => {
      for (let i = 0; i < count; i++) {
        const end = await abortAfter(session, feeds, Math.random() * limit);
        counts[end] = (counts[end] ?? 0) + 1;
        // Any moment of a run, however fast the machine is just now: about half of them end.
        limit *= end === 'ended' ? 0.95 : 1.05;
      }
    };
    await abort(100);
    const memory = await session.memory();
    const { own: before } = await held();
    await abort(ABORTS);
    assert.deepEqual(bytesOf(await session.run(feeds)), want);
    assert.deepEqual(await session.memory(), memory);
    const growth = ((await held()).own - before) / MB;
    t.diagnostic(`aborted within ${limit.toFixed(1)} ms; ${JSON.stringify(counts)}; ${growth.toFixed(2)} MB more`);
    assert.ok(counts.AbortError > 0.3 * ABORTS, `${JSON.stringify(counts)}`);
    assert.ok(growth < 1, `${growth} MB more`);
  });

  test(`a run of one long step stops in the middle of it, ${where}`, async (t) => {
    const session = await open(convModel(), worker);
    const feeds = feedsOf(session);
    const whole = await timed(() => session.run(feeds, { signal: new AbortController().signal }));
    const stopped = await timed(async () => {
      assert.equal(await abortAfter(session, feeds, 5), 'AbortError');
      // Queued behind it: answered when it has really stopped.
      await session.memory();
    });
    t.diagnostic(`${whole.toFixed(0)} ms for all of it, ${stopped.toFixed(0)} ms when aborted after 5`);
    assert.ok(stopped < whole / 2, `${stopped} of ${whole} ms`);
  });
}

test('a page gets its turns while a step goes on in its own thread', async () => {
  const session = await open(convModel(), false);
  let turns = 0;
  let going = true;
  const count = () => {
    turns++;
    if (going) setTimeout(count);
  };
  setTimeout(count);
  await session.run(feedsOf(session), { signal: new AbortController().signal });
  going = false;
  assert.ok(turns > 5, `${turns} turns`);
});

test('sliced runs are measured like others', async () => {
  const session = await open(squeezenet, false);
  const feeds = feedsOf(session);
  await session.run(feeds, { profile: true });
  const whole = session.profile;
  await session.run(feeds, { profile: true, signal: new AbortController().signal });
  const names = (profile) => profile.map(({ name, kernel }) => `${name} ${kernel}`);
  assert.deepEqual(names(session.profile), names(whole));
});

test('a classification that is aborted stops, in a worker', async () => {
  const classifier = await ImageClassifier.create(squeezenet, {
    wasm,
    input: { size: [227, 227], layout: 'NCHW', channels: 'RGB', mean: [124, 116, 104], std: [58, 57, 57], crop: { mode: 'stretch' }, resample: 'bilinear' },
  });
  sessions.push(classifier);
  const picture = { data: new Uint8ClampedArray(4 * 300 * 200).fill(90), width: 300, height: 200 };
  const want = await classifier.classify(picture);
  const ends = [];
  for (let i = 0; i < 50; i++) {
    const controller = new AbortController();
    const result = classifier.classify(picture, { signal: controller.signal }).then(() => 'ended', (error) => error.name);
    await sleep(Math.random() * 20);
    controller.abort();
    ends.push(await result);
  }
  assert.ok(ends.includes('AbortError'), String(ends));
  assert.deepEqual([...(await classifier.classify(picture))], [...want]);
});
