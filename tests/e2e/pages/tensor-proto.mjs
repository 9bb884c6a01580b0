// Reads the tensors of the fixtures: ONNX TensorProto files with raw data or strings. For pages and for Node.

const TYPES = {
  1: 'float32', 2: 'uint8', 3: 'int8', 4: 'uint16', 5: 'int16', 6: 'int32', 7: 'int64', 8: 'string', 9: 'bool', 10: 'float16',
  11: 'float64', 12: 'uint32', 13: 'uint64',
};
const [DIMS, DATA_TYPE, STRING_DATA, NAME, RAW_DATA] = [1, 2, 6, 8, 9];

/** { name, type, dims, data } of a TensorProto; `data` are little-endian bytes, or strings. */
export function readTensor(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the tensor file is cut off');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const text = (part) => new TextDecoder().decode(part);
  const tensor = { name: '', type: undefined, dims: [], data: new Uint8Array() };
  const strings = [];
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [key >>> 3, key & 7];
    if (wire === 0) {
      const value = varint();
      if (field === DIMS) tensor.dims.push(value);
      if (field === DATA_TYPE) tensor.type = TYPES[value];
      continue;
    }
    if (wire !== 2) throw new Error(`the tensor file has a field of wire type ${wire}`);
    const length = varint();
    const end = at + length;
    if (field === DIMS) while (at < end) tensor.dims.push(varint());
    if (field === NAME) tensor.name = text(bytes.subarray(at, end));
    if (field === STRING_DATA) strings.push(text(bytes.subarray(at, end)));
    if (field === RAW_DATA) tensor.data = bytes.slice(at, end);
    at = end;
  }
  if (!tensor.type) throw new Error('the tensor file has no known element type');
  if (tensor.type === 'string') tensor.data = strings;
  return tensor;
}

/** Array class of an element type. */
export function arrayOf(type) {
  return {
    float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
    bool: Uint8Array, float16: globalThis.Float16Array ?? Uint16Array, float64: Float64Array, uint32: Uint32Array, uint64: BigUint64Array,
  }[type];
}

/** The elements of a tensor as they are, in the array of their type. */
export function elements({ type, data }) {
  return type === 'string' ? data : new (arrayOf(type))(data.slice().buffer);
}
