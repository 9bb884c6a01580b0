// `tractlet/inline`: the whole package as one file, for bundlers and places that cannot load files from beside it.

export * from './index.js';
