// Says why a WebAssembly module could not be loaded. Loaded when one could not.

import { codeOf, describe, type ErrorObject, InferenceError, toObject } from './errors.js';

const HINT =
  'Serve compiler.wasm and all engine*.wasm of the package next to its JavaScript, or say where they are: ' +
  "{ wasm: { engine: url, compiler: url } }. With Vite, add optimizeDeps: { exclude: ['tractlet'] }.";

/** The error of a module that was not to be had. */
export function explain(cause: unknown, name: string, hasSimd: boolean): InferenceError {
  // Its class may be that of another bundle.
  if (codeOf(cause)) {
    const { code, message } = cause as ErrorObject;
    let { hint } = cause as ErrorObject;
    // What is wrong with the file itself is said there already.
    const own = ['HTML_RESPONSE', 'INTEGRITY', 'INVALID_OPTION', 'UNSUPPORTED_ENVIRONMENT'].includes(code);
    if (code === 'WASM_LOAD') hint ||= HINT;
    else if (!own || code === 'HTML_RESPONSE') hint = HINT;
    return new InferenceError(own ? code : 'WASM_LOAD', message, { ...toObject(cause), hint, cause });
  }
  const message = describe(cause);
  if (cause instanceof WebAssembly.CompileError && !hasSimd) {
    return new InferenceError('UNSUPPORTED_ENVIRONMENT', 'This browser has no WebAssembly SIMD', {
      hint: 'Chrome 91, Firefox 89 and Safari 16.4 are the first that have it.',
      cause,
    });
  }
  const blocked = /unsafe-eval|security|policy|csp|disallowed|blocked/i.test(message);
  return new InferenceError('WASM_LOAD', `${name} could not be ${blocked ? 'compiled' : 'loaded'} (${message})`, {
    hint: blocked ? "The Content-Security-Policy must have script-src 'wasm-unsafe-eval'." : HINT,
    cause,
  });
}

/** The error of a file that is no module. */
export function notWasm(bytes: Uint8Array, name: string): InferenceError {
  return new InferenceError('WASM_LOAD', `${name} is not a WebAssembly module`, {
    expected: '00 61 73 6d',
    actual: Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' '),
  });
}
