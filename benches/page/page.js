// Leads the libraries, each in a worker of its own, through the steps of one pass. Only one of them works at a time.

import { relaxedDot } from './relaxed-dot.js';

const SETTLE_MILLISECONDS = 300;
const PATIENCE_MILLISECONDS = 300_000;

/** A worker that does one call at a time. */
class Line {
  #worker;
  #stopWaiting;
  #fail;
  ready;

  /** `type`: 'module' or 'classic'. */
  constructor(type) {
    this.#worker = new globalThis.Worker(new URL('./worker.js', import.meta.url), { type });
    this.ready = this.#answer();
    // Whoever closes it early need not wait for it.
    this.ready.catch(() => {});
  }

  #answer() {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#worker.onmessage = ({ data }) => (data.error === undefined ? resolve(data.result) : reject(new Error(data.error)));
      this.#worker.onerror = (event) => reject(new Error(event.message || 'the worker could not be started'));
      const timer = setTimeout(() => reject(new Error('no answer in five minutes')), PATIENCE_MILLISECONDS);
      this.#stopWaiting = () => clearTimeout(timer);
    }).finally(() => this.#stopWaiting());
  }

  call(method, request) {
    const answer = this.#answer();
    this.#worker.postMessage({ method, request });
    return answer;
  }

  close() {
    this.#worker.terminate();
    this.#fail(new Error('stopped'));
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MILLISECONDS));

/**
 * One pass over one model.
 *
 * @param peers in the order in which they are opened: { name, url, base, worker, model: { url, inputName, outputName, ... } }
 * @param options.onStep is told what happens; `options.signal` ends it
 * @param input what is timed; `inputs` what the answers are compared on
 * @param rounds,turn each round gives every library a turn: timed runs, { runs, milliseconds } at most; every other round
 *   goes backwards
 * @returns by name: { load, create, first, about, downloads, scores, rounds: [[milliseconds]], memory }, or { error }
 */
export async function pass({ peers, input, inputs, rounds, turn, warmUp }, { onStep, signal } = {}) {
  const results = {};
  let alive = [];
  // Where one library fails, the others go on.
  const each = async (what, order, step) => {
    for (const entry of order) {
      if (signal?.aborted) return;
      onStep?.(what, entry.name);
      try {
        await step(entry, results[entry.name]);
      } catch (error) {
        results[entry.name] = { ...results[entry.name], error: error.message };
        entry.line.close();
        alive = alive.filter((other) => other !== entry);
      }
    }
  };
  alive = peers.map((peer) => ({ ...peer, line: new Line(peer.worker) }));
  signal?.addEventListener('abort', () => alive.forEach(({ line }) => line.close()));
  await each('opening', alive, async ({ name, line, url, base, model }) => {
    await line.ready;
    results[name] = { ...(await line.call('open', { peer: url, base, model, input })), rounds: [] };
    results[name].downloads = await line.call('downloads', { base });
    // What is compiled in the background after the first run must not disturb the next library.
    await settle();
  });
  await each('comparing answers', alive, async ({ line }, result) => {
    result.scores = (await line.call('scores', { inputs })).map((scores) => Array.from(scores));
  });
  await each('warming up', alive, async ({ line }) => {
    await line.call('warmUp', warmUp);
    await settle();
  });
  for (let round = 0; round < rounds; round += 1) {
    await each(`round ${round + 1} of ${rounds}`, round % 2 ? [...alive].reverse() : alive, async ({ line }, result) => {
      result.rounds.push(await line.call('turn', turn));
    });
  }
  await each('measuring memory', alive, async ({ line }, result) => {
    result.memory = await line.call('memory');
  });
  for (const { line } of alive) line.close();
  signal?.throwIfAborted();
  return results;
}

globalThis.bench = { pass, isolated: globalThis.crossOriginIsolated, relaxedDot: relaxedDot() };
