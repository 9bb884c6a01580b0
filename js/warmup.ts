// Inputs for a run whose result nobody wants. Loaded with the first.

import { failure } from './errors.js';
import type { TensorObject } from './wasm-modules.js';

interface Input {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

/**
 * Zeros for each input, in the shape that is given or the one that it has.
 *
 * @throws InputError `INPUT_SHAPE` for a shape that is missing, `UNKNOWN_INPUT`; OutOfMemoryError
 */
export function zeros(inputs: readonly Input[], shapes: Readonly<Record<string, readonly number[]>>): TensorObject[] {
  for (const name of Object.keys(shapes)) {
    if (inputs.some((input) => input.name === name)) continue;
    const names = inputs.map((input) => JSON.stringify(input.name)).join(', ');
    throw failure('UNKNOWN_INPUT', `The model has no input called ${JSON.stringify(name)}`, {
      input: name,
      expected: names,
      actual: name,
      hint: `Its inputs are ${names}.`,
    });
  }
  return inputs.map(({ name, type, shape }) => {
    const dims = shapes[name] ?? shape;
    const symbol = dims.find((size) => typeof size === 'string');
    if (symbol !== undefined) {
      throw failure('INPUT_SHAPE', `The dimension ${JSON.stringify(symbol)} of the input ${JSON.stringify(name)} may have any size`, {
        input: name,
        hint: `Say which shape to prepare for: warmup({ ${JSON.stringify(name)}: [${shape.map((size) => (typeof size === 'string' ? 1 : size)).join(', ')}] }).`,
      });
    }
    // What is no size is for the engine to refuse.
    const size = Math.max(0, (dims as number[]).reduce((product, dim) => product * dim, 1) || 0);
    try {
      // `bool` is the one type whose name does not say its bits.
      const data = type === 'string' ? new Array<string>(size).fill('') : new Uint8Array((size * Number(/\d+$/.exec(type)?.[0] ?? 8)) / 8);
      return { name, type, dims: [...(dims as number[])], data };
    } catch (cause) {
      throw failure('OUT_OF_MEMORY', `There is no memory for the input ${JSON.stringify(name)} of shape [${dims.join(', ')}]`, { input: name, cause });
    }
  });
}
