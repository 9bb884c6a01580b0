// Stands in for wasm-bindgen's glue of the engine: same exports, same kinds of errors, a real wasm instance underneath
// (lib/wasm.mjs) for what only wasm can do, which is to trap.

import { infoOf, parse } from './format.js';

let wasm;
let lacking = 0;

export default async function init({ module_or_path: module }) {
  if (wasm) throw new Error('the glue is initialised once per copy');
  const { exports } = await WebAssembly.instantiate(module, {});
  if (![1, 3].includes(exports.kind.value)) throw new TypeError('WebAssembly.instantiate(): Import #0 "env": module is not an object');
  wasm = exports;
  return { ...exports, outOfMemory: () => lacking };
}

export const version = () => (wasm.kind.value === 3 ? '1.2.3+relaxed.usdot' : '1.2.3+simd128.pairs');

/** What a run does, by the model's `op`. */
const OPS = {
  double: ({ inputs }) => inputs[0].map((x) => 2 * x),
  sum: ({ inputs }) => [inputs.flat().reduce((a, b) => a + b, 0)],
  trap: () => wasm.trap(),
  'trap-for-memory': () => {
    lacking = 1;
    wasm.trap();
  },
  overflow: () => wasm.recurse(),
  memory: () => new Float32Array(2 ** 53 - 1),
  // The same from within wasm-bindgen's glue: its borrow never ends.
  stuck: ({ session }) => {
    session.stuck = true;
    return OPS.memory();
  },
  // Doubles, and takes as many milliseconds as the first element says.
  slow: ({ inputs }) => OPS.double({ inputs }),
  // Traps when the first element is negative.
  fragile: ({ inputs }) => (inputs[0][0] < 0 ? wasm.trap() : OPS.double({ inputs })),
  host: ({ host, inputs }) => host.runSubgraph(7, inputs.map((data) => tensor('', data)))[0].data,
  allowNaN: ({ options }) => [options.allowNaN ? 1 : 0],
  // Scores for one picture, however many there are.
  first: () => [1, 2, 3, 4],
  // Scores: the mean of each channel for the first three classes.
  means: ({ inputs: [values], dims: [[batch]], model: { classes } }) => {
    const plane = values.length / batch / 3;
    const mean = (c) => values.slice(c * plane, (c + 1) * plane).reduce((a, b) => a + b, 0) / plane;
    return Array.from({ length: batch * classes }, (_, i) => (i % classes < 3 ? mean(3 * Math.floor(i / classes) + (i % classes)) : -1));
  },
};

const tensor = (name, values) => ({
  name,
  type: 'float32',
  dims: [values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});

function busy(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

export class EngineSession {
  constructor(plan, host) {
    if (!wasm) throw new Error('not initialised');
    let bytes = plan;
    if (!(plan instanceof Uint8Array)) {
      bytes = new Uint8Array(plan.size);
      plan.read(0, bytes);
    }
    this.model = parse(bytes, 'plan');
    if (this.model.op === 'bad-plan') throw { code: 'PLAN_VERSION', message: 'The plan is of another version', operators: [] };
    this.host = host;
    this.runs = 0;
    this.steps = [];
  }

  info() {
    return infoOf(this.model);
  }

  needsHost() {
    return this.model.op === 'host';
  }

  begin(inputs, outputs, options) {
    this.begun = { work: () => this.compute(inputs, outputs, options), left: this.delay(inputs) };
  }

  advance(milliseconds) {
    if (this.freed) throw new Error('used after it was freed');
    const { begun } = this;
    busy(Math.min(milliseconds, begun.left));
    begun.left -= milliseconds;
    return begun.left <= 0;
  }

  finish() {
    const { work } = this.begun;
    this.cancel();
    return work();
  }

  cancel() {
    if (this.freed) throw new Error('used after it was freed');
    this.begun = undefined;
  }

  run(inputs, outputs, options) {
    this.begun = undefined;
    busy(this.delay(inputs));
    return this.compute(inputs, outputs, options);
  }

  /** Milliseconds that a run takes. */
  delay(inputs) {
    return this.model.op === 'slow' ? new Float32Array(inputs[0].data.slice().buffer)[0] : 0;
  }

  compute(inputs, outputs, options) {
    const { model, host } = this;
    for (const { name } of inputs) {
      if (!model.inputs.some((input) => input.name === name)) {
        throw { code: 'UNKNOWN_INPUT', message: `There is no input ${name}`, input: name, hint: `The inputs are ${model.inputs.map((input) => input.name)}.`, operators: [] };
      }
    }
    if (model.op === 'last-inputs') {
      globalThis.fakeLastInputs = inputs;
      return [];
    }
    if (model.op === 'echo') return inputs.map((input, i) => ({ ...input, name: model.outputs[i].name }));
    const values = inputs.map(({ data }) => (Array.isArray(data) ? data : [...new Float32Array(data.slice().buffer)]));
    this.runs++;
    const dims = inputs.map((input) => input.dims);
    globalThis.fakeDims?.push(dims);
    const result = OPS[model.op]({ inputs: values, dims, host, model, options, session: this });
    // One step for each run so far, so that profiles can be told apart.
    const step = (_, i) => ({ node: `n${i}`, opType: model.op, kernel: 'fake', shape: [1, 2], start: 1000 * i, microseconds: 700, macs: 3 });
    if (options.profile) this.steps = Array.from({ length: this.runs }, step);
    return (outputs ?? model.outputs.map(({ name }) => name)).map((name) => (result instanceof Uint8Array ? { ...tensor(name, []), dims: [result.length / 4], data: result } : tensor(name, result)));
  }

  describe() {
    const subgraph = this.needsHost() ? { subgraph: 7 } : {};
    const steps = [{ node: 'n0', opType: this.model.op, kernel: 'fake', shape: [1, 2], macs: 3, ...subgraph }];
    return { variants: [{ inputShapes: this.model.inputs.map(({ shape }) => shape.map((size) => (typeof size === 'number' ? size : 1))), steps, arenaBytes: 8 }], weightBytes: 4 };
  }

  subgraphs() {
    if (this.stuck) throw new Error('recursive use of an object detected');
    return this.needsHost() ? 1 : 0;
  }

  profile() {
    return this.steps;
  }

  free() {
    if (this.freed) throw new Error('freed twice');
    this.freed = true;
    globalThis.fakeGlueFrees = (globalThis.fakeGlueFrees ?? 0) + 1;
  }
}

/** NCHW; the picture's pixels are averaged into every pixel of the input. Views are kept for tests to look at. */
export function preprocess(rgba, width, height, { size, layout, channels, type = 'float32', ...rest }, view) {
  if (view) globalThis.fakeViews?.push(view);
  if (view?.region?.x < 0) throw { code: 'INVALID_OPTION', message: 'region.x is outside', hint: 'inside', operators: [] };
  if (rgba[0] === 99) wasm.trap();
  if ('sise' in rest) throw { code: 'INVALID_OPTION', message: 'image input settings: unknown field `sise`', hint: 'size is needed', operators: [] };
  if (rgba.length !== width * height * 4) throw { code: 'INVALID_IMAGE', message: 'wrong length', operators: [] };
  const means = [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = c; i < rgba.length; i += 4) sum += rgba[i];
    return sum / (width * height);
  });
  if (channels === 'BGR') means.reverse();
  const [h, w] = size;
  const values = Float32Array.from({ length: 3 * h * w }, (_, i) => means[Math.floor(i / (h * w))]);
  return { name: '', type, dims: layout === 'NCHW' ? [1, 3, h, w] : [1, h, w, 3], data: new Uint8Array(values.buffer) };
}

/** Rows of 4 classes, as all fake models have. */
export function classify({ data }, { topK, threshold, allow, deny = [] }) {
  const scores = new Float32Array(data.slice().buffer);
  return Array.from({ length: scores.length / 4 }, (_, row) =>
    Array.from(scores.subarray(4 * row, 4 * row + 4), (score, index) => ({ index, score }))
      .filter(({ index }) => (allow?.includes(index) ?? true) && !deny.includes(index))
      .sort((a, b) => b.score - a.score)
      .slice(0, topK)
      .filter(({ score }) => threshold === undefined || score >= threshold));
}

export function classifySmoothed({ data }, spec, average, keep) {
  const latest = new Float32Array(data.slice().buffer);
  if (average) latest.forEach((score, i) => (latest[i] = keep * average[i] + (1 - keep) * score));
  const [best] = classify({ data: new Uint8Array(latest.buffer) }, spec);
  return { best, average: latest };
}

// Of threads, which Node has no use for.
export const setThreads = () => undefined;
export const help = () => undefined;
export const helperFailed = () => undefined;
