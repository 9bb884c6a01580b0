// Sessions that are aborted, crash, run side by side and are released, in Chromium.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { openChromium } from './lib/chromium.mjs';

const ABORTS = 1000;
const SESSIONS = 60;
const MB = 1e6;

/** Resident memory of the processes that show pages, the browser's `root` being their ancestor; Linux only. */
function residentOfRenderers(root) {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const number = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
      return [{ pid: Number(pid), parent: number('PPid'), resident: number('VmRSS') * 1024, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8') }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const isOurs = (pid) => {
    for (let at = pid; at; at = parents.get(at)) if (at === root) return true;
    return false;
  };
  const renderers = processes.filter(({ pid, command }) => command.includes('--type=renderer') && isOurs(pid));
  return renderers.reduce((sum, { resident }) => sum + resident, 0);
}

describe('the life of sessions, in Chromium', () => {
  let browser;
  let page;
  before(async () => {
    browser = await openChromium();
    page = await browser.openPage();
    await page.evaluate(async () => {
      const [{ convModel, onnxModel }, { limitMemory, trapIn }] = await Promise.all([
        import('/tests/js/lib/onnx-model.mjs'),
        import('/tests/js/lib/patch-wasm.mjs'),
      ]);
      const squeezenet = await fetchBytes('/models/squeezenet1.1-int8.onnx');
      /** Numbers for the one input that can be repeated. */
      const feedsOf = ({ inputMetadata: [{ name, shape }] }) => {
        const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 7919) % 251) / 125 - 1);
        return { [name]: new tractlet.Tensor('float32', data, shape) };
      };
      const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
      const timed = async (work) => {
        const start = performance.now();
        await work();
        return performance.now() - start;
      };
      Object.assign(globalThis, { convModel, onnxModel, limitMemory, trapIn, squeezenet, feedsOf, pause, timed });
    });
  });
  after(() => browser?.close());

  for (const worker of [true, false]) {
    test(`after ${ABORTS} aborts the next run is right and memory is unchanged, worker: ${worker}`, async (t) => {
      const { ends, same, memory, limit } = await page.evaluate(
        async ({ worker, ABORTS }) => {
          const session = await tractlet.InferenceSession.create(squeezenet, { worker });
          const feeds = feedsOf(session);
          const signal = () => new AbortController().signal;
          const outputs = async (options) => JSON.stringify(portable(await session.run(feeds, options)));
          const want = await outputs();
          const same = [(await outputs({ signal: signal() })) === want];
          let limit = await timed(() => session.run(feeds, { signal: signal() }));
          const memory = [await session.memory()];
          const ends = {};
          for (let i = 0; i < ABORTS; i++) {
            const controller = new AbortController();
            const run = session.run(feeds, { signal: controller.signal }).then(() => 'ended', (error) => error.name);
            await pause(Math.random() * limit);
            controller.abort();
            const end = await run;
            ends[end] = (ends[end] ?? 0) + 1;
            // Any moment of a run, however fast the machine is just now: about half of them end.
            limit *= end === 'ended' ? 0.95 : 1.05;
          }
          same.push((await outputs()) === want);
          memory.push(await session.memory());
          await session.release();
          return { ends, same, memory, limit };
        },
        { worker, ABORTS },
      );
      t.diagnostic(`aborted within ${limit.toFixed(1)} ms; ${JSON.stringify(ends)}`);
      assert.deepEqual(same, [true, true]);
      assert.deepEqual(memory[1], memory[0]);
      assert.ok(ends.AbortError > 0.3 * ABORTS, JSON.stringify(ends));
    });

    test(`a run of one long step stops in the middle of it, worker: ${worker}`, async (t) => {
      const { whole, stopped } = await page.evaluate(async (worker) => {
        const session = await tractlet.InferenceSession.create(convModel(), { worker });
        const feeds = feedsOf(session);
        const whole = await timed(() => session.run(feeds, { signal: new AbortController().signal }));
        const stopped = await timed(async () => {
          const controller = new AbortController();
          const run = session.run(feeds, { signal: controller.signal }).catch(() => undefined);
          await pause(20);
          controller.abort();
          await run;
          // Queued behind it: answered when it has really stopped.
          await session.memory();
        });
        await session.release();
        return { whole, stopped };
      }, worker);
      t.diagnostic(`${whole.toFixed(0)} ms for all of it, ${stopped.toFixed(0)} ms when aborted after 20`);
      assert.ok(stopped < whole / 2, `${stopped} of ${whole} ms`);
    });
  }

  test('with a signal, a run in the page leaves it its turns', async () => {
    const longest = await page.evaluate(async () => {
      const session = await tractlet.InferenceSession.create(convModel(), { worker: false });
      const feeds = feedsOf(session);
      await session.run(feeds);
      const gaps = [];
      let last = performance.now();
      let going = true;
      const frame = () => {
        gaps.push(performance.now() - last);
        last = performance.now();
        if (going) setTimeout(frame);
      };
      setTimeout(frame);
      const time = await timed(() => session.run(feeds, { signal: new AbortController().signal }));
      going = false;
      await session.release();
      // The middle: where the inputs are copied and when the machine has other work, they are longer.
      return { time, gap: gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)], count: gaps.length };
    });
    assert.ok(longest.count > 5 && longest.gap < longest.time / 4, JSON.stringify(longest));
  });

  test('two sessions run at the same time', async () => {
    const spans = await page.evaluate(async () => {
      const sessions = await Promise.all([0, 1].map(() => tractlet.InferenceSession.create(convModel())));
      const feeds = feedsOf(sessions[0]);
      await Promise.all(sessions.map((session) => session.run(feeds)));
      performance.clearMeasures();
      // Measures have the workers' own times.
      await Promise.all(sessions.map((session) => session.run(feeds, { profile: true })));
      const steps = performance.getEntriesByType('measure').filter(({ name }) => name.startsWith('tractlet: Conv'));
      await Promise.all(sessions.map((session) => session.release()));
      return steps.map(({ startTime, duration }) => [startTime, startTime + duration]);
    });
    assert.equal(spans.length, 2);
    const [[a, b], [c, d]] = spans;
    const both = Math.min(b, d) - Math.max(a, c);
    assert.ok(both > 0.25 * Math.min(b - a, d - c), `${both.toFixed(0)} ms of ${(b - a).toFixed(0)} and ${(d - c).toFixed(0)}`);
  });

  test('runs of a session keep their order', async () => {
    const order = await page.evaluate(async () => {
      const session = await tractlet.InferenceSession.create(squeezenet);
      const feeds = feedsOf(session);
      const controller = new AbortController();
      const order = [];
      const runs = Array.from({ length: 6 }, (_, i) => {
        const options = i % 2 ? { signal: controller.signal } : {};
        return session.run(feeds, options).then(() => order.push(i), () => order.push(-i));
      });
      controller.abort();
      await Promise.all(runs);
      await session.release();
      return order;
    });
    assert.deepEqual(order, [-1, -3, -5, 0, 2, 4]);
  });

  test('a trap takes its own worker only, and a session can be created again at once', async () => {
    const { crashes, sums, wasm } = await page.evaluate(async () => {
      const model = onnxModel({ nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }], inputs: [['x', [2]]], outputs: [['y', [2]]] });
      const feeds = { x: new tractlet.Tensor('float32', [1, 2]) };
      const { InferenceSession } = tractlet;
      const other = await InferenceSession.create(model);
      const engine = trapIn(await fetchBytes('/dist/engine.wasm'), 'enginesession_run');
      const broken = await InferenceSession.create(model, { wasm: { engine } });
      const calls = [broken.run(feeds), broken.run(feeds), broken.memory()];
      const crashes = await Promise.all(calls.map((call) => attempt(() => call)));
      performance.clearResourceTimings();
      const next = await InferenceSession.create(model);
      const wasm = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.wasm')).length;
      const sums = [];
      for (const session of [other, next]) sums.push(Array.from((await session.run(feeds)).y.data));
      await Promise.all([other, broken, next].map((session) => session.release()));
      return { crashes, sums, wasm };
    });
    for (const { error } of crashes) {
      assert.deepEqual([error.code, error.classes.includes('RuntimeCrashError')], ['RUNTIME_CRASH', true]);
      assert.match(error.hint, /create a new one/);
    }
    assert.deepEqual(sums, [[2, 4], [2, 4]]);
    assert.equal(wasm, 0, 'compiled modules are used again');
  });

  test('memory that runs out is told of, and the session goes on', async () => {
    const [refused, then] = await page.evaluate(async () => {
      const model = onnxModel({ nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }], inputs: [['x', ['n']]], outputs: [['y', ['n']]] });
      const engine = limitMemory(await fetchBytes('/dist/engine.wasm'), 8 * 2 ** 20);
      const session = await tractlet.InferenceSession.create(model, { wasm: { engine } });
      const run = async (length) => (await session.run({ x: new tractlet.Tensor('float32', new Float32Array(length)) })).y.size;
      const results = [await attempt(() => run(2 ** 22)), await attempt(() => run(4))];
      await session.release();
      return results;
    });
    assert.deepEqual([refused.error?.code, refused.error?.classes.includes('OutOfMemoryError')], ['OUT_OF_MEMORY', true]);
    assert.equal(then.value, 4);
  });

  test(`${SESSIONS} sessions, one after the other, give their memory back`, { skip: process.platform !== 'linux' && 'only Linux has /proc to read memory from' }, async (t) => {
    const renderers = () => residentOfRenderers(process.pid);
    const cycle = (count) =>
      page.evaluate(async (count) => {
        let bytes = 0;
        for (let i = 0; i < count; i++) {
          const session = await tractlet.InferenceSession.create(squeezenet, { worker: i % 4 !== 0 });
          await session.run(feedsOf(session));
          bytes = (await session.memory()).wasmBytes;
          await session.release();
        }
        return bytes;
      }, count);
    const client = await page.context().newCDPSession(page);
    const settle = async () => {
      for (let i = 0; i < 3; i++) {
        await client.send('HeapProfiler.collectGarbage');
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    };
    await cycle(8);
    await settle();
    const before = renderers();
    const each = await cycle(SESSIONS);
    await settle();
    const growth = (renderers() - before) / MB;
    t.diagnostic(`${(before / MB).toFixed(0)} MB before, ${growth.toFixed(1)} MB more after; one session has ${(each / MB).toFixed(1)} MB`);
    assert.ok(before > 20 * MB, `${before} bytes: the browser was found`);
    // What a few sessions take; all of them would be many times as much.
    const all = (SESSIONS * each) / MB;
    assert.ok(growth < Math.max(60, all / 5), `${growth} MB more, of ${all} MB that were in use`);
  });
});
