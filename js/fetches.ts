// Outputs that are written to tensors of the caller. Loaded with the first.

import { failure, type InferenceError } from './errors.js';
import type { Tensor } from './tensor.js';

/**
 * Writes results to the tensors that are there for them, which take their places among the results.
 *
 * @throws InputError `OUTPUT_TYPE`, `OUTPUT_SHAPE`, or `INPUT_VALUE` for a disposed tensor; then none is written to
 */
export function write(results: Record<string, Tensor>, targets: Readonly<Record<string, Tensor | null>>): void {
  const pairs = Object.entries(targets).flatMap(([name, to]) => {
    const from = results[name];
    if (!to || !from) return [];
    check(name, from, to);
    return [{ name, from, to }];
  });
  for (const { name, from, to } of pairs) {
    const [source, target] = [from.data, to.data];
    if (Array.isArray(target)) (source as string[]).forEach((text, i) => { target[i] = text; });
    else (target as Float32Array).set(source as Float32Array);
    results[name] = to;
  }
}

function check(name: string, from: Tensor, to: Tensor): void {
  const wrong = (code: 'OUTPUT_TYPE' | 'OUTPUT_SHAPE', expected: string, actual: string, hint: string): InferenceError =>
    failure(code, `The output ${JSON.stringify(name)} is ${expected}, the tensor that was passed for it ${actual}`, { expected, actual, hint });
  const anew = 'Pass a tensor of the type and shape of the result, or null to have one made.';
  if (to.type !== from.type) throw wrong('OUTPUT_TYPE', from.type, to.type, anew);
  const [expected, actual] = [from, to].map(({ dims }) => `[${dims.join(', ')}]`) as [string, string];
  if (actual !== expected) throw wrong('OUTPUT_SHAPE', expected, actual, anew);
  if (to.data.length !== from.data.length) {
    throw wrong('OUTPUT_SHAPE', expected, 'given away', 'Its buffer was transferred: do not pass a tensor that is an input with { transfer: true }.');
  }
}
