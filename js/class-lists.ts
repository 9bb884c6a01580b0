// Lists of classes, by label or index, as the indices that the engine takes. Loaded with the first.

import { failure } from './errors.js';
import type { Labels } from './types.js';

/** The indices of each label: several classes may have the same. */
const known = new WeakMap<Labels, Map<string, number[]>>();

function indicesByLabel(labels: Labels): Map<string, number[]> {
  let map = known.get(labels);
  if (!map) {
    map = new Map();
    for (const [index, label] of Object.entries(labels)) map.set(label, [...(map.get(label) ?? []), Number(index)]);
    known.set(labels, map);
  }
  return map;
}

/**
 * The indices of the classes in a list.
 *
 * @param name of the option
 * @param classes of the model, where it says how many
 * @throws InputError `INVALID_OPTION` for a label or an index that the model does not have
 */
export function toIndices(name: string, list: readonly (string | number)[], labels: Labels | undefined, classes = Infinity): number[] {
  const map = labels && indicesByLabel(labels);
  return list.flatMap((entry) => {
    const found = typeof entry === 'number' ? [entry].filter((index) => index < classes) : map?.get(entry);
    if (found && found.length > 0) return found;
    throw failure('INVALID_OPTION', `The option ${name} has ${JSON.stringify(entry)}, which is no class of the model`, {
      expected: map ? 'a label of the model' : 'a class number',
      actual: JSON.stringify(entry),
      hint: map ? hintFor(entry, map) : 'The classifier has no labels: list class numbers, or create it with labels.',
    });
  });
}

function hintFor(entry: string | number, map: Map<string, number[]>): string {
  const wanted = String(entry).toLowerCase();
  const similar = [...map.keys()].filter((label) => label.toLowerCase().includes(wanted)).slice(0, 3);
  return similar.length > 0
    ? `Did you mean ${similar.map((label) => JSON.stringify(label)).join(' or ')}? Labels are compared letter by letter.`
    : 'classifier.labels lists them; they are compared letter by letter.';
}
