// Files that are too large for a buffer, or for WebAssembly, and those that a model refers to and that are missing. Loaded
// when there is one.

import { InferenceError, toObject } from './errors.js';

const MIB = 2 ** 20;
/** Bytes of a page of WebAssembly memory, and the most pages. */
const PAGE = 65536;

/** A buffer of so many bytes, or of 4 GiB, beyond which no model goes: WebAssembly has longer ones than JavaScript. */
export function hugeBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: Math.min(Math.ceil(bytes / PAGE), PAGE) }).buffer);
}

/** What the compiler said of missing files, with the addresses where they most likely are: beside the model. */
export function withAddresses(error: unknown, model = ''): InferenceError {
  const object = toObject(error);
  const hint = object.hint?.replace(/path: '([^']*)', data: …/g, (entry, path: string) => {
    const url = URL.canParse(path, model) ? new URL(path, model).href : undefined;
    return url === undefined ? entry : `path: '${path}', data: '${url}'`;
  });
  return new InferenceError(object.code, object.message, { ...object, hint });
}

/**
 * The error of a model that does not fit into WebAssembly's memory.
 *
 * @param bytes of the model and its external data, as far as they are known
 */
export function tooLarge(bytes: number): InferenceError {
  const actual = `${Math.ceil(bytes / MIB)} MiB`;
  return new InferenceError('MODEL_TOO_LARGE', `The model is too large for WebAssembly: it has ${actual} with its external data`, {
    actual,
    hint: 'WebAssembly has 4 GiB for weights and what a run computes. Quantize to 8 bits, or use a smaller model.',
  });
}
