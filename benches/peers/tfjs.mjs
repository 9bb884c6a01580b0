// TensorFlow.js on its WebAssembly backend (XNNPACK, SIMD): float only, so it runs the float form of a net.
import { channelsLast } from '../lib/channels-last.mjs';

export const name = 'tfjs';
export const format = 'tfjs';
export const worker = 'module';
const PACKAGES = 'node_modules/@tensorflow';
const BACKEND = `${PACKAGES}/tfjs-backend-wasm`;
export const folder = '.cache/bench-peers/tfjs';
export const packageFile = `${BACKEND}/package.json`;
export const alsoDownloaded = [];
export const optional = {};
/** What a page with a graph model imports, made into one file by a bundler. */
export const bundle = {
  source: `
    export { env, ready, setBackend, tensor } from '@tensorflow/tfjs-core';
    export { loadGraphModel } from '@tensorflow/tfjs-converter';
    export { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
  `,
  copied: [`${BACKEND}/dist/tfjs-backend-wasm-simd.wasm`],
};

/** Loads the library and its backend, with one thread. */
export async function load(base) {
  const tf = await import(`${base}index.js`);
  tf.setWasmPaths(base);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js could not start its WebAssembly backend');
  await tf.ready();
  return tf;
}

/** The parts of a file made by benches/nets/tfjs_convert.py. */
function readArtifacts(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const { modelTopology, weightSpecs } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const start = bytes.byteOffset + 4 + length;
  return { format: 'graph-model', modelTopology, weightSpecs, weightData: bytes.buffer.slice(start, bytes.byteOffset + bytes.length) };
}

export async function open(tf, bytes) {
  const model = await tf.loadGraphModel({ load: async () => readArtifacts(bytes) });
  return {
    makeInput: (data, dims) => ({ data: channelsLast(data, dims), shape: [dims[0], dims[2], dims[3], dims[1]] }),
    /** As the others: the input is copied in, the output out. Its tensors have to be disposed of by hand. */
    async run({ data, shape }) {
      const input = tf.tensor(data, shape);
      const output = model.predict(input);
      const result = await output.data();
      input.dispose();
      output.dispose();
      return result;
    },
    output: (result) => result,
    about: () => ({ build: 'simd128', threads: 1 }),
  };
}
