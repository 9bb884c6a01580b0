// Reads the fixtures' tensors, which are ONNX TensorProto files, as tensors of the package.

/** Element types by ONNX's number: name, and the array of the elements. */
const TYPES = {
  1: ['float32', Float32Array],
  2: ['uint8', Uint8Array],
  3: ['int8', Int8Array],
  4: ['uint16', Uint16Array],
  5: ['int16', Int16Array],
  6: ['int32', Int32Array],
  7: ['int64', BigInt64Array],
  8: ['string'],
  9: ['bool', Uint8Array],
  10: ['float16', Uint16Array],
  11: ['float64', Float64Array],
  12: ['uint32', Uint32Array],
  13: ['uint64', BigUint64Array],
};

const [DIMS, DATA_TYPE, STRING_DATA, NAME, RAW_DATA] = [1, 2, 6, 8, 9];

/** `{ name, type, dims, data }` of a TensorProto. */
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
  const dims = [];
  const strings = [];
  let code;
  let name = '';
  let raw = new Uint8Array();
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [key >>> 3, key & 7];
    if (wire === 0) {
      const value = varint();
      if (field === DIMS) dims.push(value);
      if (field === DATA_TYPE) code = value;
    } else {
      if (wire !== 2) throw new Error(`the tensor file has a field of wire type ${wire}`);
      const length = varint();
      const end = at + length;
      const part = bytes.subarray(at, end);
      if (field === DIMS) while (at < end) dims.push(varint());
      if (field === STRING_DATA) strings.push(text(part));
      if (field === NAME) name = text(part);
      // A copy: elements must lie at multiples of their size.
      if (field === RAW_DATA) raw = Uint8Array.from(part);
      at = end;
    }
  }
  const [type, Elements] = TYPES[code] ?? [];
  if (!type) throw new Error(`the tensor file has element type ${code}`);
  return { name, type, dims, data: Elements ? new Elements(raw.buffer) : strings };
}

/** SHA-256, as hexadecimal digits, of the bytes of a run's results, one after the other in the order of their names. */
export async function hashOutputs(results) {
  const outputs = Object.entries(results).sort(([a], [b]) => (a < b ? -1 : 1));
  const bytes = await new Blob(outputs.map(([, { data }]) => data)).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A float16's value. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** What is wrong with a result, if anything. `tolerance` as tests/fixtures/README.md has it. */
export function difference(got, want, tolerance) {
  if (got.type !== want.type || String(got.dims) !== String(want.dims)) {
    return `got ${got.type} [${got.dims}], want ${want.type} [${want.dims}]`;
  }
  const half = want.type === 'float16' && got.data instanceof Uint16Array;
  for (let i = 0; i < want.data.length; i++) {
    let [g, w] = [got.data[i], want.data[i]];
    if (want.type === 'bool') [g, w] = [Number(g), Number(w)];
    if (half) [g, w] = [fromHalf(g), fromHalf(w)];
    if (g === w || (Number.isNaN(g) && Number.isNaN(w))) continue;
    const apart = typeof w === 'string' ? Infinity : Math.abs(Number(g) - Number(w));
    const allowed = { exact: 0, quanta: tolerance.max, float: tolerance.atol + tolerance.rtol * Math.abs(Number(w)) }[tolerance.kind];
    if (!(apart <= allowed)) return `element ${i}: got ${g}, want ${w}`;
  }
  return got.data.length === want.data.length ? undefined : `${got.data.length} elements instead of ${want.data.length}`;
}
