// Loads what most sessions do without (more.ts, explaining.ts).

import { describe, type ErrorCode, InferenceError } from './errors.js';
import type * as ExplainingModule from './explaining.js';
import type * as ImageErrors from './image-errors.js';
import type * as MoreModule from './more.js';
import type * as Problems from './problems.js';

type More = typeof MoreModule;
type Explaining = typeof ExplainingModule;

/** The worker's scope, with what further scripts have put there. */
export type WorkerScope = typeof globalThis & { tractletMore?: More; tractletErrors?: Explaining };

/**
 * What a further script of the worker gives.
 *
 * A worker is one file for bundlers, some of which make a classic script of it that they cannot split, and others copy it as
 * it is. So it loads others as it does the wasm modules: by an address that bundlers see, with an `import()` that they
 * are told to leave alone (pkg-config/esbuild.mjs).
 */
async function load<K extends 'tractletMore' | 'tractletErrors'>(key: K, { href }: URL, code?: ErrorCode, message?: string): Promise<NonNullable<WorkerScope[K]>> {
  const scope = globalThis as WorkerScope;
  try {
    if (!scope[key]) await import(href);
    const loaded = scope[key];
    if (loaded) return loaded;
    throw new Error('it is another file');
  } catch (cause) {
    throw new InferenceError(code ?? 'NETWORK_ERROR', message ?? `${href} could not be loaded (${describe(cause)})`, {
      hint: `${message === undefined ? '' : `${href}, which says more of this, could not be loaded. `}Serve all worker*.js of the package next to each other; their Content-Security-Policy must have script-src 'self'.`,
      cause,
    });
  }
}

/**
 * The functions of more.ts.
 *
 * @throws LoadError `NETWORK_ERROR` where worker-more.js is not to be had
 */
export function more(): Promise<More> {
  return WORKER ? load('tractletMore', new URL('./worker-more.js', import.meta.url)) : import('./more.js');
}

/**
 * The functions of explaining.ts.
 *
 * @param code of the error that is to be explained
 * @param message what is said of it when there is nothing to explain it
 * @throws that error where worker-errors.js is not to be had
 */
export function explaining(code?: ErrorCode, message?: string): Promise<Explaining> {
  return WORKER ? load('tractletErrors', new URL('./worker-errors.js', import.meta.url), code, message) : import('./explaining.js');
}

/** The error that a function of a module makes. */
function make<K extends string>(module: Record<K, unknown>, name: K, about: unknown[]): InferenceError {
  return (module[name] as (...about: unknown[]) => InferenceError)(...about);
}

/** What is said where nothing better can be loaded. */
const shortly = (name: string, [subject]: unknown[]): string => `${name}: ${String(subject)}`;

type About<F> = F extends (...about: infer A) => unknown ? A : never;

/** An error of problems.ts; the code is for when that is not to be had. */
export async function problem<K extends keyof typeof Problems>(code: ErrorCode, name: K, ...about: About<(typeof Problems)[K]>): Promise<InferenceError> {
  return make((await explaining(code, shortly(name, about))).problems, name, about);
}

/** An error of image-errors.ts, which pages have in a file of its own; the code is for when that is not to be had. */
export async function imageError<K extends keyof typeof ImageErrors>(code: ErrorCode, name: K, ...about: About<(typeof ImageErrors)[K]>): Promise<InferenceError> {
  const short = shortly(name, about);
  try {
    return make(WORKER ? (await explaining(code, short)).imageErrors : await import('./image-errors.js'), name, about);
  } catch (cause) {
    return new InferenceError(code, short, { cause });
  }
}
