// This package, as a page imports it.

export const name = 'tractlet';
/** What is served, and where the files lie that count as the download. */
export const folder = 'dist';
export const packageFile = 'package.json';
/** Files that a page downloads and the bench does not: the sessions below run in the bench's own worker. */
export const alsoDownloaded = ['worker.js'];
/** Files that a page needs only for some models. */
export const optional = { 'compiler.wasm': 'only for raw .onnx files, not for saved plans' };

/** Loads the library; not yet its wasm. */
export function load(base) {
  return import(`${base}index.js`);
}

export async function open({ InferenceSession, Tensor }, bytes, { inputName, outputName }) {
  const session = await InferenceSession.create(bytes, { worker: false });
  return {
    makeInput: (data, dims) => ({ [inputName]: new Tensor('float32', data, dims) }),
    /** Inputs are copied in and outputs are copied out. */
    run: (feeds) => session.run(feeds),
    output: (results) => results[outputName].data,
    about: () => session.runtime,
  };
}
