// LiteRT.js, TensorFlow Lite for the web, on the CPU (XNNPACK): the build with relaxed SIMD, which is what browsers that
// have it get.
import { channelsLast } from '../lib/channels-last.mjs';

export const name = 'litert';
export const format = 'tflite';
/** It loads its wasm with importScripts, which module workers lack. */
export const worker = 'classic';
const PACKAGE = 'node_modules/@litertjs/core';
const BUILDS = ['litert_wasm_internal', 'litert_wasm_compat_internal'];
export const folder = '.cache/bench-peers/litert';
export const packageFile = `${PACKAGE}/package.json`;
export const alsoDownloaded = [];
export const optional = {};
/** It imports by package name and wants a folder with its wasm: made by a bundler, as in any page that uses it. */
export const bundle = {
  entry: `${PACKAGE}/dist/index.js`,
  copied: BUILDS.flatMap((build) => [`${PACKAGE}/wasm/${build}.js`, `${PACKAGE}/wasm/${build}.wasm`]),
};

/** Loads the library and one of its builds. */
export async function loadBuild(base, file, build) {
  const library = await import(`${base}index.js`);
  // Otherwise it looks for the wasm next to the worker.
  globalThis.Module = { locateFile: (path) => `${base}${path}` };
  // The very file: given a folder it would choose by itself, and here it must not take the other one unnoticed.
  await library.loadLiteRt(`${base}${file}`);
  return { library, build };
}

export const load = (base) => loadBuild(base, `${BUILDS[0]}.js`, 'relaxed-simd');
export const loadCompatible = (base) => loadBuild(base, `${BUILDS[1]}.js`, 'simd128');

const quantize = (data, { scale, zeroPoint }) => Uint8Array.from(data, (value) => Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint)));

export async function open({ library: { loadAndCompile, Tensor }, build }, bytes, { tfliteInput }) {
  const model = await loadAndCompile(bytes, { accelerator: 'wasm', cpuOptions: { numThreads: 1 } });
  return {
    /** Its layout and its element type: not part of a run. */
    makeInput(data, dims) {
      const values = channelsLast(data, dims);
      return { data: tfliteInput ? quantize(values, tfliteInput) : values, shape: [dims[0], dims[2], dims[3], dims[1]] };
    },
    /** As the others: the input is copied in, the output out. Its tensors have to be deleted by hand. */
    async run({ data, shape }) {
      const input = new Tensor(data, shape);
      const outputs = await model.run(input);
      const result = outputs[0].toTypedArray();
      input.delete();
      for (const output of outputs) output.delete();
      return result;
    },
    output: (result) => result,
    about: () => ({ build, threads: 1 }),
  };
}
