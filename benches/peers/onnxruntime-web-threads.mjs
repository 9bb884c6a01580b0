// onnxruntime-web with several threads. Needs a cross-origin isolated page; not among the usual ones of `npm run bench`.
import * as ort from './onnxruntime-web.mjs';

export const name = 'onnxruntime-web-threads';
export const threaded = true;
export const { format, worker, folder, packageFile, alsoDownloaded, optional, open } = ort;

export async function load(base) {
  const library = await ort.load(base);
  library.env.wasm.numThreads = Math.min(4, navigator.hardwareConcurrency);
  return library;
}
