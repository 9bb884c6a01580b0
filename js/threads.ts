// An engine whose work several threads share: this one, and helpers in workers of their own, on one memory. Used only
// where that is possible, see whyOne in runtime.ts.

import type { EngineModule, Exports } from './wasm-modules.js';

/** A page that is this slow to start a worker is better off without. */
const PATIENCE = 5000;

/** Bytes for a helper's stack: as many as the session's own has, see scripts/build.mjs. */
const STACK = 1 << 20;

/** What a helper is told; it answers `helping`. */
export interface HelpRequest {
  readonly tractlet: 'help';
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** Helpers of an engine. */
export interface Crew {
  readonly exports: Exports;
  /** Ends the helpers. */
  readonly stop: () => void;
}

/**
 * Initialises an engine and starts its helpers.
 *
 * @param ways start a worker with the package's worker.js, the first that works; without, this is one, and is started again
 * @throws when the browser does not let workers share a memory
 */
export async function assemble(
  engine: EngineModule,
  module: WebAssembly.Module,
  threads: number,
  ways: readonly (() => Worker)[] = THIS_WORKER,
): Promise<Crew> {
  const exports = await engine.init({ module_or_path: module }).catch(() =>
    // The address space of a shared memory is reserved at once: not every phone has 4 GiB to give.
    engine.init({ module_or_path: module, memory: new WebAssembly.Memory({ initial: 64, maximum: 16384, shared: true }) }),
  );
  const helpers: Worker[] = [];
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    for (const helper of helpers) helper.terminate();
  };
  try {
    await Promise.all(
      Array.from({ length: threads - 1 }, async () => {
        const helper = await enlist({ tractlet: 'help', module, memory: exports.memory }, ways);
        helpers.push(helper);
        // Another one has failed meanwhile.
        if (stopped) helper.terminate();
      }),
    );
  } catch (error) {
    stop();
    throw error;
  }
  engine.setThreads(threads);
  return { exports, stop };
}

/** In a helper: does not come back unless it crashes. The worker is terminated when it is no longer needed. */
export async function help(engine: EngineModule, { module, memory }: HelpRequest, ready: () => void): Promise<void> {
  await engine.init({ module_or_path: module, memory, thread_stack_size: STACK });
  ready();
  try {
    engine.help();
  } catch (error) {
    // The session's worker waits for this one, and is not to wait for ever.
    engine.helperFailed();
    throw error;
  }
}

/**
 * This worker's script once more: its address is the only one that no bundler has changed. Some turn module workers into
 * classic ones, which nothing tells apart from within in all browsers.
 */
const THIS_WORKER = [() => new Worker(location.href, { type: 'module' }), () => new Worker(location.href)];

/** A helper that is at work, started in one way or another. */
async function enlist(request: HelpRequest, ways: readonly (() => Worker)[]): Promise<Worker> {
  let cause: unknown;
  for (const start of ways) {
    let helper: Worker | undefined;
    try {
      helper = start();
      await instruct(helper, request);
      return helper;
    } catch (error) {
      cause ??= error;
      helper?.terminate();
    }
  }
  throw cause;
}

/** Resolves once the helper is at work. */
function instruct(helper: Worker, request: HelpRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error('a worker has not started in time'));
    }, PATIENCE);
    helper.addEventListener('message', ({ data }: MessageEvent<{ tractlet?: unknown } | undefined>) => {
      if (data?.tractlet !== 'helping') return;
      clearTimeout(timer);
      resolve();
    });
    helper.addEventListener('error', (event) => {
      // A crash is noticed by the run that the helper takes part in, see `helperFailed`.
      event.preventDefault();
      clearTimeout(timer);
      reject(new Error(event.message || 'the script could not be loaded'));
    });
    try {
      // Messages are kept until the script has run.
      helper.postMessage(request);
    } catch (error) {
      clearTimeout(timer);
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  });
}
