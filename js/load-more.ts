// Loads what most sessions do without (more.ts).

import { describe, type ErrorCode, InferenceError } from './errors.js';
import type * as MoreModule from './more.js';

type More = typeof MoreModule;

/** The worker's scope, once worker-more.js has run. */
export type WithMore = typeof globalThis & { tractletMore?: More };

/**
 * The functions of more.ts.
 *
 * A worker is one file for bundlers, some of which make a classic script of it that they cannot split, and others copy it as
 * it is. So it loads this as it does the wasm modules: by an address that bundlers see, with an `import()` that they
 * are told to leave alone (pkg-config/esbuild.mjs).
 *
 * @param code of the error that is to be explained
 * @param message what is said of it when there is nothing to explain it
 * @throws LoadError `NETWORK_ERROR` where worker-more.js is not to be had and there is no such error
 */
export async function more(code?: ErrorCode, message?: string): Promise<More> {
  if (!WORKER) return import('./more.js');
  const scope = globalThis as WithMore;
  const { href } = new URL('./worker-more.js', import.meta.url);
  try {
    if (!scope.tractletMore) await import(href);
    if (scope.tractletMore) return scope.tractletMore;
    throw new Error('it is another file');
  } catch (cause) {
    throw new InferenceError(code ?? 'NETWORK_ERROR', message ?? `${href} could not be loaded (${describe(cause)})`, {
      hint: `Serve worker-more.js of the package next to worker.js${message === undefined ? '' : `: ${href}, which says more of this, could not be loaded`}.`,
      cause,
    });
  }
}
