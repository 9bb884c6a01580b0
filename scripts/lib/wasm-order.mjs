// The order of a module's functions does not matter to browsers, but to Brotli: it describes what it has seen before in
// fewer bits the nearer that is, and most functions of generic code resemble another one. Here they are put side by side.

import { CODE, countImportedFunctions, CUSTOM, FUNCTION, IMPORT, leb128, Reader, sections, withLength } from './wasm-file.mjs';

/** How many bytes of code are compared at a time, and how many of the hashes of a function are kept. */
const WINDOW = 4;
const HASHES = 64;

/** What a module says of its functions: how many are imported; type and code of the others. */
function functionsOf(bytes) {
  let imported = 0;
  const types = [];
  const bodies = [];
  for (const { id, contents } of sections(bytes)) {
    const reader = new Reader(contents);
    if (id === IMPORT) imported = countImportedFunctions(contents);
    else if (id === FUNCTION) for (let left = reader.number(); left > 0; left--) types.push(reader.number());
    else if (id === CODE) for (let left = reader.number(); left > 0; left--) bodies.push(reader.take(reader.number()));
  }
  return { imported, functions: types.map((type, i) => ({ type, body: bodies[i] })) };
}

const FACTORS = Uint32Array.from({ length: HASHES }, (_, i) => Math.imul(2 * i + 1, 0x9e3779b1) | 1);

/**
 * The smallest value of each hash function over all windows of the code. The share of values that two functions have in
 * common is about the share of windows that they have in common (MinHash).
 */
function sketch(code) {
  const smallest = new Uint32Array(HASHES).fill(0xffffffff);
  for (let at = 0; at + WINDOW <= code.length; at++) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < WINDOW; i++) hash = Math.imul(hash ^ code[at + i], 0x01000193);
    hash ^= hash >>> 15;
    for (let i = 0; i < HASHES; i++) {
      let own = Math.imul(hash, FACTORS[i]);
      own = Math.imul(own ^ (own >>> 16), 0x85ebca6b) >>> 0;
      if (own < smallest[i]) smallest[i] = own;
    }
  }
  return smallest;
}

/**
 * An order in which each function is followed by the one most like it of those that are left, with the same type if there
 * is one. Functions that are like no other are in order of their types, the larger first.
 *
 * @param functions {{ type: number, body: Uint8Array }[]}
 * @returns their numbers
 */
export function similarityOrder(functions) {
  const sketches = functions.map(({ body }) => sketch(body));
  // For each hash and value the functions that have it.
  const sharing = new Map();
  const key = (hash, value) => hash * 2 ** 32 + value;
  sketches.forEach((values, i) => {
    values.forEach((value, hash) => {
      const list = sharing.get(key(hash, value));
      if (list) list.push(i);
      else sharing.set(key(hash, value), [i]);
    });
  });

  const placed = new Uint8Array(functions.length);
  const common = new Uint32Array(functions.length);
  const mostLike = (current) => {
    const candidates = new Set();
    sketches[current].forEach((value, hash) => {
      const list = sharing.get(key(hash, value)).filter((i) => !placed[i]);
      sharing.set(key(hash, value), list);
      for (const i of list) {
        candidates.add(i);
        common[i]++;
      }
    });
    let best;
    let most = 0;
    for (const i of candidates) {
      const likeness = common[i] + (functions[i].type === functions[current].type ? HASHES : 0);
      if (likeness > most) [best, most] = [i, likeness];
      common[i] = 0;
    }
    return best;
  };

  const rest = functions.map((_, i) => i);
  rest.sort((a, b) => functions[a].type - functions[b].type || functions[b].body.length - functions[a].body.length || a - b);
  const order = [];
  for (const first of rest) {
    for (let next = placed[first] ? undefined : first; next !== undefined; next = mostLike(next)) {
      placed[next] = 1;
      order.push(next);
    }
  }
  return order;
}

/**
 * The module with names for its functions that sort them so that similar ones are neighbours: what
 * `wasm-opt --reorder-functions-by-name` goes by. Other names are dropped.
 *
 * @param bytes {Uint8Array}
 */
export function nameBySimilarity(bytes) {
  const { imported, functions } = functionsOf(bytes);
  const names = Array.from({ length: imported }, (_, i) => `import${i}`);
  similarityOrder(functions).forEach((i, place) => {
    names[imported + i] = String(place).padStart(8, '0');
  });
  const map = names.map((name, i) => Buffer.concat([leb128(i), withLength(Buffer.from(name))]));
  const functionNames = Buffer.concat([Buffer.from([1]), withLength(Buffer.concat([leb128(names.length), ...map]))]);
  const section = Buffer.concat([Buffer.from([CUSTOM]), withLength(Buffer.concat([withLength(Buffer.from('name')), functionNames]))]);
  const isName = ({ id, contents }) => id === CUSTOM && Buffer.from(contents.subarray(0, 5)).toString('latin1') === '\x04name';
  const others = [...sections(bytes)].filter((part) => !isName(part)).map(({ whole }) => whole);
  return Buffer.concat([bytes.subarray(0, 8), ...others, section]);
}
