// Methods that are in a table of methods, so that the linker has to keep them, but that nothing ever calls.

import { CODE, countImportedFunctions, CUSTOM, IMPORT, leb128, Reader, sections, withLength } from './wasm-file.mjs';

/** No local variables, `unreachable`, `end`. */
const TRAP = withLength(Buffer.from([0, 0x00, 0x0b]));
const FUNCTION_NAMES = 1;

/** The names that a module has for its functions, by number; without hashes, of crates or, as older compilers have it, behind. */
function namesOf(contents) {
  const reader = new Reader(contents);
  const text = () => Buffer.from(reader.take(reader.number())).toString();
  const names = new Map();
  if (text() !== 'name') return names;
  while (reader.position < contents.length) {
    const kind = reader.take(1)[0];
    const end = reader.number() + reader.position;
    if (kind === FUNCTION_NAMES) {
      for (let left = reader.number(); left > 0; left--) names.set(reader.number(), text().replace(/\[[0-9a-f]{16}\]|::h[0-9a-f]{16}$/g, ''));
    }
    reader.position = end;
  }
  return names;
}

/**
 * The module with a trap in place of the functions of these names.
 *
 * @param bytes {Uint8Array} with names
 * @param patterns {RegExp[]} each has to find something: otherwise what it was for has another name now
 */
export function trapInPlaceOf(bytes, patterns) {
  const parts = [...sections(bytes)];
  const of = (wanted) => parts.filter(({ id }) => id === wanted).map(({ contents }) => contents);
  const names = new Map(of(CUSTOM).flatMap((contents) => [...namesOf(contents)]));
  const imported = of(IMPORT).reduce((sum, contents) => sum + countImportedFunctions(contents), 0);
  const found = new Set();
  const isUnused = (name = '') => {
    const pattern = patterns.find((candidate) => candidate.test(name));
    if (pattern) found.add(pattern);
    return pattern !== undefined;
  };
  const changed = parts.map(({ id, contents, whole }) => {
    if (id !== CODE) return whole;
    const reader = new Reader(contents);
    const count = reader.number();
    const bodies = Array.from({ length: count }, (_, i) => {
      const body = reader.take(reader.number());
      return isUnused(names.get(imported + i)) ? TRAP : withLength(body);
    });
    return Buffer.concat([Buffer.from([CODE]), withLength(Buffer.concat([leb128(count), ...bodies]))]);
  });
  const stale = patterns.filter((pattern) => !found.has(pattern));
  if (stale.length > 0) throw new Error(`no function is called like ${stale.join(', ')}`);
  return Buffer.concat([bytes.subarray(0, 8), ...changed]);
}
