// This package with the engine for browsers that lack relaxed SIMD, whatever this browser has.
import * as tractlet from './tractlet.mjs';

export const name = 'tractlet-simd128';
export const { format, worker, folder, packageFile, alsoDownloaded, optional, open } = tractlet;

export async function load(base) {
  return { ...(await tractlet.load(base)), options: { wasm: { engine: `${base}engine.wasm` } } };
}
