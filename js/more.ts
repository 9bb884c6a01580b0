// What the runtime needs for some models only, or when something has gone wrong: everything that is loaded by load-more.ts.

export { cacheBehind } from './cache-port.js';
export { compile, compileSession, inspect } from './compile-runtime.js';
export { httpError, notJson, wrongFile } from './diagnose.js';
export { hugeBuffer, tooLarge } from './external.js';
export * as imageErrors from './image-errors.js';
export { KeptPlans } from './kept-plans.js';
export { metadataLabels } from './metadata-labels.js';
export * as problems from './problems.js';
export { explain, notWasm } from './wasm-errors.js';
