// Breaks wasm modules on purpose: what a defect or a lack of memory does to the real ones. Runs in Node and in pages.

const [EXPORT, MEMORY, IMPORT, CODE] = [7, 5, 2, 10];

function reader(bytes) {
  let at = 0;
  return {
    get at() {
      return at;
    },
    skip(count) {
      at += count;
    },
    /** LEB128 of up to 35 bits. */
    number() {
      for (let value = 0, scale = 1; ; scale *= 128) {
        const byte = bytes[at++];
        value += (byte & 127) * scale;
        if (byte < 128) return value;
      }
    },
    name() {
      const length = this.number();
      at += length;
      return new TextDecoder().decode(bytes.subarray(at - length, at));
    },
  };
}

function leb(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

/** [{ id, start, end }], where the contents of each section are. */
function sections(bytes) {
  const read = reader(bytes);
  const found = [];
  read.skip(8);
  while (read.at < bytes.length) {
    const id = bytes[read.at];
    read.skip(1);
    const length = read.number();
    found.push({ id, start: read.at, end: read.at + length });
    read.skip(length);
  }
  return found;
}

function importedFunctions(bytes, section) {
  if (!section) return 0;
  const read = reader(bytes);
  read.skip(section.start);
  let functions = 0;
  for (let left = read.number(); left > 0; left--) {
    read.name();
    read.name();
    const kind = bytes[read.at];
    read.skip(1);
    if (kind !== 0) throw new Error('only functions are imported by modules without threads');
    read.number();
    functions++;
  }
  return functions;
}

function exportedFunction(bytes, section, wanted) {
  const read = reader(bytes);
  read.skip(section.start);
  for (let left = read.number(); left > 0; left--) {
    const name = read.name();
    const kind = bytes[read.at];
    read.skip(1);
    const index = read.number();
    if (kind === 0 && name === wanted) return index;
  }
  throw new Error(`the module exports no function ${wanted}`);
}

/** The module with a trap in place of that exported function. */
export function trapIn(original, name) {
  const bytes = original.slice();
  const all = sections(bytes);
  const section = (id) => all.find((each) => each.id === id);
  const index = exportedFunction(bytes, section(EXPORT), name) - importedFunctions(bytes, section(IMPORT));
  const read = reader(bytes);
  read.skip(section(CODE).start);
  read.number();
  for (let i = 0; i < index; i++) read.skip(read.number());
  const size = read.number();
  // No locals, `unreachable`, any number of `nop`, `end`.
  bytes.fill(1, read.at, read.at + size);
  bytes.set([0, 0], read.at);
  bytes[read.at + size - 1] = 0x0b;
  return bytes;
}

/** The module with a memory that cannot grow beyond so many bytes. */
export function limitMemory(bytes, limit) {
  const { start, end } = sections(bytes).find(({ id }) => id === MEMORY);
  const read = reader(bytes);
  read.skip(start);
  if (read.number() !== 1 || read.number() > 1) throw new Error('one memory of its own was expected');
  const least = read.number();
  const contents = [1, 1, ...leb(least), ...leb(Math.max(least, Math.floor(limit / 65536)))];
  // The section's header is its id and one byte of length.
  return Uint8Array.from([...bytes.subarray(0, start - 2), MEMORY, contents.length, ...contents, ...bytes.subarray(end)]);
}
