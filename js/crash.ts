// What is said of instances that are lost, and of memory that ran out.

import { describe, type ErrorObject, toObject } from './errors.js';

/** Whether a wasm instance is left in a state that nothing is known about. */
export function isCrash(thrown: unknown): boolean {
  if (thrown instanceof WebAssembly.RuntimeError) return true;
  // A stack overflow inside of wasm leaves its own stack pointer where it was. Errors with a code are ours, whatever they say.
  return thrown instanceof Error && !('code' in thrown) && /call stack|recursion/i.test(thrown.message);
}

/** What helps where there is too little memory. */
const SMALLER = 'Release sessions that are not needed, or use smaller inputs or a smaller model.';

/** The error of an instance that is lost. */
export function crash(thrown: unknown, outOfMemory: boolean): ErrorObject {
  return {
    code: 'RUNTIME_CRASH',
    message: `The WebAssembly module of this session ${outOfMemory ? 'ran out of memory' : 'crashed'} (${describe(thrown)})`,
    hint: `This session is lost, others are not: create a new one. ${outOfMemory ? SMALLER : 'Please report the model that did it.'}`,
    cause: (thrown as Error).stack,
  };
}

/** An error as it is posted. */
export function explain(thrown: unknown): ErrorObject {
  const object = toObject(thrown);
  // What browsers throw for a buffer that is too large.
  if (!(thrown instanceof RangeError && /alloc|memory|invalid .*array.* length|too large/i.test(thrown.message))) return object;
  return { ...object, code: 'OUT_OF_MEMORY', hint: SMALLER };
}
