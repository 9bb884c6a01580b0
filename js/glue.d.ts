/* eslint-disable @typescript-eslint/consistent-type-imports -- ambient modules cannot import relative ones */

declare module '#engine' {
  const create: () => import('./wasm-modules.js').EngineModule;
  export default create;
}

declare module '#engine-threads' {
  const create: () => import('./wasm-modules.js').ThreadsEngineModule;
  export default create;
}

declare module '#compiler' {
  const create: () => import('./wasm-modules.js').CompilerModule;
  export default create;
}
