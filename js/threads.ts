// An engine whose work several threads share: this one, and helpers in workers of their own, on one memory. Loaded only
// where that is possible, see whyOne in runtime.ts; imports nothing of what every page loads, which would only be cut into
// more files.

import createEngine from '#engine-threads';
import type { ThreadsEngineModule } from './wasm-modules.js';

/** A page that is this slow to start a worker is better off without. */
const PATIENCE = 5000;

/** What a helper is told; it answers `helping`. */
export interface HelpRequest {
  readonly tractlet: 'help';
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** An engine with helpers. */
export interface Crew {
  readonly engine: ThreadsEngineModule;
  readonly memory: WebAssembly.Memory;
  /** Ends the helpers. */
  readonly stop: () => void;
}

/** The files of the engine with threads, the best first. */
export function threadsFiles(relaxed: boolean): URL[] {
  const everywhere = new URL('./engine-threads.wasm', import.meta.url);
  return relaxed ? [new URL('./engine-relaxed-threads.wasm', import.meta.url), everywhere] : [everywhere];
}

/**
 * Starts an engine and its helpers.
 *
 * @param startWorker starts a worker with the package's worker.js; without, this is one, and is started again
 * @throws when the browser does not let workers share a memory
 */
export async function assemble(module: WebAssembly.Module, threads: number, startWorker?: () => Worker): Promise<Crew> {
  const engine = createEngine();
  const { memory } = await engine.init({ module_or_path: module });
  const helpers: Worker[] = [];
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    for (const helper of helpers) helper.terminate();
  };
  try {
    await Promise.all(
      Array.from({ length: threads - 1 }, async () => {
        const helper = await enlist({ tractlet: 'help', module, memory }, startWorker ? [startWorker] : THIS_WORKER);
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
  return { engine, memory, stop };
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
    const helper = start();
    try {
      await instruct(helper, request);
      return helper;
    } catch (error) {
      cause ??= error;
      helper.terminate();
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
    const settle = (): void => {
      clearTimeout(timer);
    };
    const fail = (error: Error): void => {
      settle();
      reject(error);
    };
    helper.addEventListener('message', ({ data }: MessageEvent<{ tractlet?: unknown } | undefined>) => {
      if (data?.tractlet !== 'helping') return;
      settle();
      resolve();
    });
    helper.addEventListener('error', (event) => {
      // A crash is noticed by the run that the helper takes part in, see `helperFailed`.
      event.preventDefault();
      fail(new Error(event.message || 'the script could not be loaded'));
    });
    try {
      // Worker messages are kept until the script has run.
      helper.postMessage(request);
    } catch (error) {
      fail(error as Error);
    }
  });
}
