/**
 * All of `tractlet` in one file, with the engine without relaxed SIMD and the compiler inside: for bundlers and places that
 * cannot load files from beside it.
 *
 * @module tractlet/inline
 */

export * from './index.js';
