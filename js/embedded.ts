// What `tractlet/inline` carries along instead of loading it: the worker's script and the WebAssembly modules.

import compiler from '#embedded/compiler.wasm';
import engine from '#embedded/engine.wasm';
import worker from '#embedded/worker.js';
import type { Source, WasmName } from './protocol.js';

/** What marks a compressed module. */
const GZIP = 'application/gzip';

const modules: Partial<Record<WasmName, Blob>> = {};

/** The module, compressed: most sessions take one that is compiled already. */
export function embeddedModule(name: WasmName): Blob {
  return (modules[name] ??= new Blob([fromBase64(name === 'engine' ? engine : compiler)], { type: GZIP }));
}

/** Whether this is one of them, to be decompressed. */
export function isEmbedded(source: unknown): source is Source & { body: Blob } {
  const body = typeof source === 'object' && source && 'body' in source ? source.body : undefined;
  return body instanceof Blob && body.type === GZIP;
}

/** The worker's script, which needs no other file. */
export const embeddedWorker = worker;

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
