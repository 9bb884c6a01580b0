// ONNX files small enough to write by hand: a chain of operators without weights. Runs in Node and in pages.

const text = (value) => new TextEncoder().encode(value);

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

/** A field of a protobuf message: a number, a string, or bytes of a message. */
function field(number, value) {
  if (typeof value === 'number') return [...varint(8 * number), ...varint(value)];
  const bytes = typeof value === 'string' ? text(value) : value;
  return [...varint(8 * number + 2), ...varint(bytes.length), ...bytes];
}

const ELEMENTS = { float32: 1, float16: 10 };

function valueInfo(name, type, shape) {
  const dims = shape.flatMap((size) => field(1, typeof size === 'number' ? field(1, size) : field(2, size)));
  return [...field(1, name), ...field(2, field(1, [...field(1, ELEMENTS[type]), ...field(2, dims)]))];
}

/**
 * The bytes of a model whose classes are the channels of a picture, and whose scores are their means.
 *
 * @param options.type element type of the picture and the scores
 * @param options.batch a size, or the name of a symbolic one
 * @param options.metadata custom entries
 */
export function meansModel({ type = 'float32', batch = 'batch', height = 4, width = 4, metadata = {} } = {}) {
  const nodes = [['GlobalAveragePool', 'pixels', 'pooled'], ['Flatten', 'pooled', 'scores']];
  const graph = [
    ...nodes.flatMap(([operator, from, to]) => field(1, [...field(1, from), ...field(2, to), ...field(3, to), ...field(4, operator)])),
    ...field(2, 'means'),
    ...field(11, valueInfo('pixels', type, [batch, 3, height, width])),
    ...field(12, valueInfo('scores', type, [batch, 3])),
  ];
  return Uint8Array.from([
    ...field(1, 8),
    ...field(2, 'tests'),
    ...field(7, graph),
    ...field(8, [...field(1, ''), ...field(2, 17)]),
    ...Object.entries(metadata).flatMap(([key, value]) => field(14, [...field(1, key), ...field(2, value)])),
  ]);
}

/** Pre-processing that takes levels as they are. */
export const meansInput = ({ type = 'float32', height = 4, width = 4 } = {}) => ({
  size: [height, width],
  layout: 'NCHW',
  channels: 'RGB',
  type,
  mean: [0, 0, 0],
  std: [1, 1, 1],
  crop: { mode: 'stretch' },
  resample: 'box',
});
