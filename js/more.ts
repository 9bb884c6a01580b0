// What the runtime needs for some models and settings only: everything that is loaded by `more` in load-more.ts.

export { cacheBehind } from './cache-port.js';
export { compile, compileSession, inspect } from './compile-runtime.js';
export { hugeBuffer } from './external.js';
export { KeptPlans } from './kept-plans.js';
export { metadataLabels } from './metadata-labels.js';
