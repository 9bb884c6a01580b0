// onnxruntime-web's smallest entry, `onnxruntime-web/wasm`: the CPU only, without WebGPU and WebNN.

export const name = 'onnxruntime-web';
export const format = 'onnx';
export const worker = 'module';
export const folder = 'node_modules/onnxruntime-web/dist';
export const packageFile = 'node_modules/onnxruntime-web/package.json';
export const alsoDownloaded = [];
export const optional = {};

export async function load(base) {
  const ort = await import(`${base}ort.wasm.bundle.min.mjs`);
  ort.env.wasm.wasmPaths = { wasm: `${base}ort-wasm-simd-threaded.wasm` };
  ort.env.wasm.numThreads = 1;
  // Its own worker would add messages to every run; the bench's worker is one already.
  ort.env.wasm.proxy = false;
  return ort;
}

export async function open({ InferenceSession, Tensor, env }, bytes, { inputName, outputName }) {
  // Otherwise as by default: all graph optimisations.
  const session = await InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  return {
    makeInput: (data, dims) => ({ [inputName]: new Tensor('float32', data, dims) }),
    run: (feeds) => session.run(feeds),
    output: (results) => results[outputName].data,
    about: () => ({ version: env.versions.web, build: 'simd128', threads: env.wasm.numThreads }),
  };
}
