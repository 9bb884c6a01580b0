// The "models" of the fake glue: JSON behind a magic. A plan starts with TRACTLET, a raw model with a byte of protobuf.
//
// { inputs, outputs, op, ... } where op is what a run does: see engine.js.

const PLAN = 'TRACTLET';
const RAW = '\u0008';

const encode = (magic, model) => new TextEncoder().encode(magic + JSON.stringify(model));

export const encodePlan = (model) => encode(PLAN, model);
export const encodeModel = (model) => encode(RAW, model);

/** The model in the bytes; throws an error as the wasm modules do, a plain object. */
export function parse(bytes, kind) {
  const text = new TextDecoder().decode(bytes);
  const magic = kind === 'plan' ? PLAN : RAW;
  if (!text.startsWith(magic)) {
    throw kind === 'plan'
      ? { code: 'INVALID_PLAN', message: 'The bytes are no plan', operators: [] }
      : { code: 'NOT_ONNX', message: 'The bytes are no ONNX model', hint: 'Export it again.', operators: [] };
  }
  return JSON.parse(text.slice(magic.length));
}

export function infoOf(model) {
  return {
    inputs: model.inputs,
    outputs: model.outputs,
    graphName: 'fake',
    producerName: 'tests',
    producerVersion: '1',
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    metadata: model.metadata ?? { key: 'value' },
    description: '',
  };
}
