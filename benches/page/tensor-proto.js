// Reads the float32 tensors of the fixtures, which are ONNX TensorProto files.

const [DIMS, DATA_TYPE, RAW_DATA] = [1, 2, 9];
const FLOAT = 1;

/** { dims, data } of a float32 TensorProto with raw data. */
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
  const dims = [];
  let type;
  let data;
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [key >>> 3, key & 7];
    if (wire === 0) {
      const value = varint();
      if (field === DIMS) dims.push(value);
      if (field === DATA_TYPE) type = value;
    } else if (wire === 2) {
      const length = varint();
      const end = at + length;
      if (field === DIMS) while (at < end) dims.push(varint());
      // A copy: float32 must lie at a multiple of four.
      if (field === RAW_DATA) data = new Float32Array(bytes.slice(at, end).buffer);
      at = end;
    } else {
      throw new Error(`the tensor file has a field of wire type ${wire}`);
    }
  }
  if (type !== FLOAT || data?.length !== dims.reduce((product, size) => product * size, 1)) {
    throw new Error('the tensor file holds no float32 tensor in raw form');
  }
  return { dims, data };
}
