// Small WebAssembly modules, byte by byte.

/** A string with its length in front. */
export const text = (string) => [string.length, ...Buffer.from(string)];

/** A section of a module. */
export const section = (id, bytes) => [id, bytes.length, ...bytes];

/** Items with their number in front. */
export const list = (...items) => [items.length, ...items.flat()];

/** The code of a function that returns a number. */
export const body = (value) => [4, 0, 0x41, value, 0x0b];
