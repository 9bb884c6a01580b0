// This package, as a page imports it: it takes the engine build that suits the browser. One thread, as the others have.

export const name = 'tractlet';
/** What it reads. */
export const format = 'onnx';
/** The kind of worker that it works in. */
export const worker = 'module';
/** What is served, and where the files lie that count as the download. */
export const folder = 'dist';
export const packageFile = 'package.json';
/** Files that a page downloads and the bench does not: the sessions below run in the bench's own worker. */
export const alsoDownloaded = ['worker.js'];
/** Files that a page needs only for some models. */
export const optional = { 'compiler.wasm': 'only for raw .onnx files, not for saved plans' };

/** Loads the library; not yet its wasm. */
export async function load(base) {
  return { library: await import(`${base}index.js`), options: {} };
}

/** A session. `options` are more of the library's own. */
export async function open({ library: { InferenceSession, Tensor }, options }, bytes, { inputName, outputName }) {
  const session = await InferenceSession.create(bytes, { worker: false, threads: 1, ...options });
  return {
    makeInput: (data, dims) => ({ [inputName]: new Tensor('float32', data, dims) }),
    /** Inputs are copied in and outputs are copied out. */
    run: (feeds) => session.run(feeds),
    output: (results) => results[outputName].data,
    about: () => session.runtime,
  };
}
