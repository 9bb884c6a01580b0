// What a worker does that helps another: it waits inside of the engine for work.

import createEngine from '#engine-threads';
import type { HelpRequest } from './threads.js';

/** As the session's own, see scripts/build.mjs. */
const STACK_BYTES = 1 << 20;

/** Does not come back unless it crashes; the worker is terminated when it is no longer needed. */
export async function help({ module, memory }: HelpRequest, ready: () => void): Promise<void> {
  const engine = createEngine();
  await engine.init({ module_or_path: module, memory, thread_stack_size: STACK_BYTES });
  ready();
  try {
    engine.help();
  } catch (error) {
    // The session's worker waits for this one, and is not to wait for ever.
    engine.helperFailed();
    throw error;
  }
}
