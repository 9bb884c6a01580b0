// Stands in for wasm-bindgen's glue of the compiler, see engine.js.

import { encodePlan, parse } from './format.js';

let wasm;

export default async function init({ module_or_path: module }) {
  const { exports } = await WebAssembly.instantiate(module, {});
  if (exports.kind.value !== 2) throw new TypeError('not the compiler');
  wasm = exports;
  // For tests: as if it had grown to the end.
  return globalThis.fakeFullMemory ? { ...wasm, memory: { buffer: { byteLength: 2 ** 32 - 65536 } } } : wasm;
}

export class CompiledModel {
  constructor(bytes, externalData, { freeDimensionOverrides }) {
    this.model = parse(bytes, 'model');
    if (this.model.op === 'compile-trap') wasm.trap();
    for (const path of this.model.external ?? []) {
      const file = externalData.find((file) => file.path === path);
      if (!file) {
        const hint = `pass the data too: { externalData: [${this.model.external.map((path) => `{ path: '${path}', data: … }`).join(', ')}] }`;
        throw { code: 'EXTERNAL_DATA_MISSING', message: `The model needs ${path}`, expected: path, hint, operators: [] };
      }
      this.model.outputs[0].name = new TextDecoder().decode(file.data);
    }
    if (this.model.op === 'unknown') {
      throw {
        code: 'UNSUPPORTED_OPERATOR',
        message: 'The model uses 2 operators that are not known',
        node: 'n1',
        opType: 'Foo',
        operators: [{ domain: '', opType: 'Foo', count: 2 }, { domain: 'x', opType: 'Bar', count: 1 }],
      };
    }
    for (const input of this.model.inputs) input.shape = input.shape.map((size) => freeDimensionOverrides?.[size] ?? size);
  }

  plan() {
    const bytes = encodePlan(this.model);
    return { size: bytes.length, read: (offset, to) => { to.set(bytes.subarray(offset, offset + to.length)); } };
  }

  specialize() {
    return this.plan();
  }

  fallbacks() {
    return this.model.op === 'host' ? [{ id: 7, nodes: [{ node: 'n0', opType: 'host', reason: 'operator' }] }] : [];
  }

  runSubgraph(id, inputs) {
    return inputs.map((input) => ({ ...input, data: new Uint8Array(Float32Array.of(id).buffer) }));
  }

  free() {
    globalThis.fakeCompilerFrees = (globalThis.fakeCompilerFrees ?? 0) + 1;
  }
}
