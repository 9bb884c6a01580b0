// Views and buffers as bytes.

/** Fresh bytes with the contents of a view or buffer; also of shared memory and of Node's Buffer. */
export function copyBytes(source: ArrayBufferView | ArrayBufferLike): Uint8Array<ArrayBuffer> {
  return new Uint8Array(asBytes(source));
}

/** The bytes of a view or buffer, in place. */
export function asBytes(source: ArrayBufferView | ArrayBufferLike): Uint8Array {
  return ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : new Uint8Array(source);
}
