// Errors that the runtime finds, in full: what was expected, and what to do. Loaded when there is one, see load-more.ts.

import { describe, InferenceError } from './errors.js';
import type { Labels } from './types.js';
import type { ModelInfo, ValueInfo } from './wasm-modules.js';

/** What the fields of a model card should be, as far as card.ts checks them. */
const CARD: Readonly<Record<string, string>> = {
  task: 'one of image-classification',
  sha256: '64 hexadecimal digits',
  bytes: 'a whole number',
  input: 'an object',
  output: 'an object',
  'output.activation': 'one of softmax, sigmoid, none, auto',
  'output.topK': 'a whole number above 0',
  'output.threshold': 'a number',
  'output.allow': 'a list of labels or class numbers',
  'output.deny': 'a list of labels or class numbers',
};

/** A card with a field that is missing or wrong. */
export function invalidCard(card: string, path: string, value: unknown): InferenceError {
  const actual = JSON.stringify(value) as string | undefined;
  const expected = CARD[path] ?? 'a string';
  return new InferenceError('INVALID_CARD', `The model card ${card}: ${path} ${actual === undefined ? 'is missing' : `is ${actual}`}, should be ${expected}`, {
    expected,
    actual,
    hint: 'docs/api.md, under Model cards, lists the fields.',
  });
}

/** A card that names a file by an address without a meaning. */
export function unresolvable(address: string, cause: unknown): InferenceError {
  return new InferenceError('INVALID_CARD', `The model card names ${address}, which cannot be resolved`, {
    hint: 'A card that was not loaded from an address must name its files by absolute ones.',
    cause,
  });
}

/** A hash that is none. */
export function unknownHash(integrity: string): InferenceError {
  return new InferenceError('INVALID_OPTION', `The integrity ${JSON.stringify(integrity)} is not understood`, {
    expected: 'sha256-<base64>',
    actual: integrity,
    hint: 'Write sha256-, sha384- or sha512- and the hash in base64, as in the integrity attribute of HTML.',
  });
}

/** A hash where none can be computed. */
export function insecure(): InferenceError {
  return new InferenceError('UNSUPPORTED_ENVIRONMENT', 'Integrity can only be checked in a secure context', {
    hint: 'Serve the page over https (or from localhost), or leave integrity out.',
  });
}

/** A file with another hash. */
export function otherFile(file: string, expected: string, actual: string): InferenceError {
  return new InferenceError('INTEGRITY', `${file} is not the file that was expected`, {
    expected,
    actual,
    hint: 'It was changed, or damaged on the way: download it again, or correct the hash.',
  });
}

/** Settings that do not make what the model takes. */
export function unfit(actual: string, { inputs }: ModelInfo): InferenceError {
  const [{ name, type, shape }] = inputs as [ValueInfo];
  const expected = `${type} [${shape.join(', ')}]`;
  return new InferenceError('INVALID_OPTION', `The input settings make ${actual}, the model takes ${expected}`, {
    input: name,
    expected,
    actual,
    hint: 'Correct size, layout or type.',
  });
}

/** A model that takes more than a picture, or nothing. */
export function notOneInput({ inputs }: ModelInfo): InferenceError {
  return new InferenceError('INVALID_OPTION', 'A classifier needs a model with one input', {
    input: inputs[0]?.name,
    expected: '1 input',
    actual: `${inputs.length} inputs`,
    hint: 'Use InferenceSession for other models.',
  });
}

/** A list with more or fewer labels than there are classes. */
export function otherLabels(labels: Labels, classes: number, { inputs }: ModelInfo): InferenceError {
  const { length } = labels as readonly string[];
  return new InferenceError('INVALID_OPTION', `The model has ${classes} classes and there are ${length} labels`, {
    input: inputs[0]?.name,
    expected: `${classes} labels`,
    actual: `${length} labels`,
    hint: 'The labels may be those of another model; some models put a background class first. To name a part only, use an object from index to name.',
  });
}

/** A model that does not give scores for each picture. */
export function fixedBatch(pictures: number, dims: readonly number[]): InferenceError {
  const [expected, actual] = [`[${pictures}, classes]`, `[${dims.join(', ')}]`];
  return new InferenceError('UNSUPPORTED_MODEL', `The model gives scores of shape ${actual} for ${pictures} pictures`, {
    expected,
    actual,
    hint: 'Its batch is fixed inside: classify the pictures one by one.',
  });
}

/** A module that lacks something, or wants something. */
export function otherVersion(name: string, cause: unknown): InferenceError {
  return new InferenceError('WASM_LOAD', `The ${name} does not belong to this version of the package (${describe(cause)})`, {
    hint: 'An old copy may have been cached: reload without cache, and deploy all files of the package together.',
    cause,
  });
}
