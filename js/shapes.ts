// Sets of input shapes: what callers leave out is worked out from what the model says.

import { InferenceError } from './errors.js';
import type { ModelInfo, ValueInfo } from './wasm-modules.js';

/** How many sets of input shapes a plan has at most; as in src/plan/mod.rs. */
const MAX_VARIANTS = 8;

export type ShapeSet = Readonly<Record<string, readonly number[]>>;

const show = (shape: readonly (number | string)[]): string => `[${shape.join(', ')}]`;

/** The inputs whose sizes the model leaves open, as text; empty when there are none. */
export function openInputs({ inputs }: ModelInfo): string {
  const open = inputs.filter(({ shape }) => shape.some((size) => typeof size === 'string'));
  return open.map(({ name, shape }) => `${name} ${show(shape)}`).join(', ');
}

/**
 * Complete sets of shapes, in the order of the model's inputs, each once. Without any: that of the model, if it fixes it.
 *
 * @throws InputError `UNKNOWN_INPUT`, `INPUT_SHAPE`, `MISSING_INPUT` or `INVALID_OPTION`
 */
export function resolveShapes(info: ModelInfo, sets: readonly ShapeSet[]): number[][][] {
  if (sets.length === 0 && openInputs(info) === '') return [info.inputs.map(({ shape }) => shape as number[])];
  const complete = sets.map((set) => resolve(info, set));
  const distinct = [...new Map(complete.map((set) => [JSON.stringify(set), set])).values()];
  if (distinct.length > MAX_VARIANTS) {
    throw new InferenceError('INVALID_OPTION', `A plan has at most ${MAX_VARIANTS} sets of input shapes, not ${distinct.length}`, {
      expected: `at most ${MAX_VARIANTS}`,
      actual: String(distinct.length),
      hint: 'Make several plans.',
    });
  }
  return distinct;
}

function resolve({ inputs }: ModelInfo, set: ShapeSet): number[][] {
  for (const name of Object.keys(set)) {
    if (inputs.some((input) => input.name === name)) continue;
    const names = inputs.map((input) => input.name).join(', ');
    throw new InferenceError('UNKNOWN_INPUT', `The model has no input called ${JSON.stringify(name)}`, {
      input: name,
      expected: names,
      actual: name,
      hint: `Its inputs are ${names}.`,
    });
  }
  const sizes = new Map<string, number>();
  for (const input of inputs) {
    const shape = set[input.name];
    if (shape) bind(input, shape, sizes);
  }
  return inputs.map((input) => set[input.name]?.slice() ?? derive(input, sizes));
}

/** Holds a shape against the declared one; remembers what its symbols stand for. */
function bind({ name, shape: declared }: ValueInfo, shape: readonly number[], sizes: Map<string, number>): void {
  const fits = shape.length === declared.length && declared.every((size, i) => {
    if (typeof size === 'number') return size === shape[i];
    // Unknown, and no symbol.
    if (size === '?') return true;
    const known = sizes.get(size) ?? shape[i] ?? 0;
    sizes.set(size, known);
    return known === shape[i];
  });
  if (fits) return;
  throw new InferenceError('INPUT_SHAPE', `The input ${JSON.stringify(name)} is ${show(declared)} and cannot be ${show(shape)}`, {
    input: name,
    expected: show(declared),
    actual: show(shape),
    hint: 'Give as many sizes as the model has; the same name stands for the same size everywhere.',
  });
}

/** A shape that follows from those of other inputs. */
function derive({ name, shape: declared }: ValueInfo, sizes: ReadonlyMap<string, number>): number[] {
  return declared.map((size) => {
    const known = typeof size === 'number' ? size : sizes.get(size);
    if (known !== undefined) return known;
    throw new InferenceError('MISSING_INPUT', `The shape of the input ${JSON.stringify(name)} is needed: it is ${show(declared)}`, {
      input: name,
      expected: show(declared),
      actual: 'nothing',
      hint: 'Give its shape as well.',
    });
  });
}
