// ONNX files made by hand. Runs in Node and in pages.

const text = (value) => new TextEncoder().encode(value);

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

/** A field of a protobuf message: a number, a string, or the bytes of a message; as pieces. */
function field(number, value) {
  if (typeof value === 'number') return [Uint8Array.from([...varint(8 * number), ...varint(value)])];
  const pieces = typeof value === 'string' ? [text(value)] : value;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [Uint8Array.from([...varint(8 * number + 2), ...varint(length)]), ...pieces];
}

function join(pieces) {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

const ELEMENTS = { float32: 1, float16: 10 };
const INTS = 7;

function valueInfo([name, shape, type = 'float32']) {
  const dims = shape.flatMap((size) => field(1, typeof size === 'number' ? field(1, size) : field(2, size)));
  return [...field(1, name), ...field(2, field(1, [...field(1, ELEMENTS[type]), ...field(2, dims)]))];
}

function node({ op, inputs, outputs, name = op, ints = {} }) {
  const attribute = ([key, values]) => [...field(1, key), ...values.flatMap((value) => field(8, value)), ...field(20, INTS)];
  return [
    ...inputs.flatMap((input) => field(1, input)),
    ...outputs.flatMap((output) => field(2, output)),
    ...field(3, name),
    ...field(4, op),
    ...Object.entries(ints).flatMap((entry) => field(5, attribute(entry))),
  ];
}

const initializer = ([name, dims, values]) => [
  ...dims.flatMap((size) => field(1, size)),
  ...field(2, ELEMENTS.float32),
  ...field(8, name),
  ...field(9, [new Uint8Array(Float32Array.from(values).buffer)]),
];

/**
 * A model, its weights being float32.
 *
 * @param model.nodes [{ op, inputs, outputs, ints }], the last for attributes that are lists of whole numbers
 * @param model.inputs [[name, shape, type]]: sizes or the names of symbolic ones, and an element type, by default float32
 * @param model.outputs likewise
 * @param model.constants [[name, shape, values]]
 * @param model.metadata custom entries
 */
export function onnxModel({ nodes, inputs, outputs, constants = [], producer = ['tests', '1'], opset = 17, metadata = {} }) {
  const graph = [
    ...nodes.flatMap((each) => field(1, node(each))),
    ...field(2, 'graph'),
    ...constants.flatMap((each) => field(5, initializer(each))),
    ...inputs.flatMap((each) => field(11, valueInfo(each))),
    ...outputs.flatMap((each) => field(12, valueInfo(each))),
  ];
  return join([
    ...field(1, 8),
    ...field(2, producer[0]),
    ...field(3, producer[1]),
    ...field(7, graph),
    ...field(8, [...field(1, ''), ...field(2, opset)]),
    ...Object.entries(metadata).flatMap(([key, value]) => field(14, [...field(1, key), ...field(2, value)])),
  ]);
}

/** One 3 x 3 convolution of `channels` to `channels` on a square: a single step that takes as long as one wants. */
export function convModel({ channels = 64, size = 256 } = {}) {
  const shape = [1, channels, size, size];
  const weights = Array.from({ length: channels * channels * 9 }, (_, i) => ((i * 37) % 101) / 101 - 0.5);
  return onnxModel({
    nodes: [{ op: 'Conv', inputs: ['x', 'w'], outputs: ['y'], ints: { pads: [1, 1, 1, 1] } }],
    inputs: [['x', shape]],
    outputs: [['y', shape]],
    constants: [['w', [channels, channels, 3, 3], weights]],
  });
}
