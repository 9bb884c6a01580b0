// What the runtime needs when something has gone wrong: everything that is loaded by `explaining` in load-more.ts.

export { httpError, notJson, wrongFile } from './diagnose.js';
export { tooLarge } from './external.js';
export * as imageErrors from './image-errors.js';
export * as problems from './problems.js';
export { explain, notWasm } from './wasm-errors.js';
