/* eslint-disable @typescript-eslint/consistent-type-imports -- ambient modules cannot import relative ones */

/** Whether this is built for `tractlet/inline`, which holds what the package otherwise loads from beside it. */
declare const INLINE: boolean;

/** Whether this is built for worker.js. */
declare const WORKER: boolean;

/** Files of the package as text: of a module its gzip stream in base64, of a script its source. Empty unless `INLINE`. */
declare module '#embedded/*' {
  const text: string;
  export default text;
}

declare module '#engine' {
  const create: () => import('./wasm-modules.js').EngineModule;
  export default create;
}

declare module '#compiler' {
  const create: () => import('./wasm-modules.js').CompilerModule;
  export default create;
}
