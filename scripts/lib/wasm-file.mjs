// The parts of a WebAssembly module that scripts here look into.

export const CUSTOM = 0;
export const IMPORT = 2;
export const FUNCTION = 3;
export const CODE = 10;

/** Reads a module's bytes, as far as its sections and functions go. */
export class Reader {
  constructor(bytes, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  /** An unsigned number in LEB128. */
  number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.take(1)[0];
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  }

  /** So many bytes. */
  take(length) {
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  limits() {
    const flags = this.take(1)[0];
    this.number();
    if (flags & 1) this.number();
  }
}

export function* sections(bytes) {
  const reader = new Reader(bytes, 8);
  while (reader.position < bytes.length) {
    const start = reader.position;
    const id = reader.take(1)[0];
    const contents = reader.take(reader.number());
    yield { id, contents, whole: bytes.subarray(start, reader.position) };
  }
}

export function countImportedFunctions(contents) {
  const reader = new Reader(contents);
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.take(reader.number());
    reader.take(reader.number());
    const kind = reader.take(1)[0];
    if (kind === 0) {
      functions++;
      reader.number();
    } else if (kind === 1) {
      reader.take(1);
      reader.limits();
    } else if (kind === 2) {
      reader.limits();
    } else if (kind === 3) {
      reader.take(2);
    } else {
      throw new Error(`an import of kind ${kind} is not known here`);
    }
  }
  return functions;
}

export function leb128(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value > 0);
  return Buffer.from(bytes);
}

export const withLength = (bytes) => Buffer.concat([leb128(bytes.length), bytes]);
