// Model cards: fetched, checked field by field, and taken apart into what has to be loaded.

import { describe, InferenceError } from './errors.js';
import { load, type LoadOptions } from './loader.js';
import type { Source } from './protocol.js';
import type { Labels, ModelCard } from './types.js';

type Check = (value: unknown) => boolean;
interface Rule {
  readonly expected: string;
  readonly test: Check;
  readonly optional?: true;
}

const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const text: Rule = { expected: 'a string', test: (value) => typeof value === 'string' && value !== '' };
const oneOf = (...values: string[]): Rule => ({ expected: `one of ${values.join(', ')}`, test: (value) => values.includes(value as string) });
const classes: Rule = {
  expected: 'a list of labels or class numbers',
  test: (value) => Array.isArray(value) && value.every((entry) => typeof entry === 'string' || Number.isSafeInteger(entry)),
};
const optional = (rule: Rule): Rule => ({ ...rule, optional: true });

// What is in `input` is checked by the engine, which knows best.
const CARD: Record<string, Rule> = {
  task: optional(oneOf('image-classification')),
  model: text,
  labels: optional(text),
  sha256: optional({ expected: '64 hexadecimal digits', test: (value) => /^[0-9a-f]{64}$/i.test(String(value)) }),
  bytes: optional({ expected: 'a whole number', test: Number.isSafeInteger }),
  input: { expected: 'an object', test: isObject },
  output: optional({ expected: 'an object', test: isObject }),
  'output.activation': optional(oneOf('softmax', 'sigmoid', 'none', 'auto')),
  'output.topK': optional({ expected: 'a whole number above 0', test: (value) => Number.isSafeInteger(value) && (value as number) > 0 }),
  'output.threshold': optional({ expected: 'a number', test: Number.isFinite }),
  'output.allow': optional(classes),
  'output.deny': optional(classes),
};

/** Throws when a field is missing or wrong; says which, and what it should be. */
function validate(card: unknown, what: string): void {
  for (const [path, rule] of Object.entries(CARD)) {
    let value = card;
    for (const key of path.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[key];
    if (value === undefined ? rule.optional : rule.test(value)) continue;
    const actual = JSON.stringify(value) as string | undefined;
    throw new InferenceError('INVALID_CARD', `${what}: ${path} ${actual === undefined ? 'is missing' : `is ${actual}`}, should be ${rule.expected}`, {
      expected: rule.expected,
      actual,
      hint: 'docs/api.md, under Model cards, lists the fields.',
    });
  }
}

/**
 * Fetches and checks a card.
 *
 * @throws LoadError `INVALID_CARD`, or what the download throws
 */
export async function loadCard(source: Source, options: LoadOptions): Promise<ModelCard> {
  const what = `The model card ${source.url ?? source.file}`;
  const notCard = (cause?: unknown): InferenceError =>
    new InferenceError('INVALID_CARD', `${what} is not JSON${cause === undefined ? '' : ` (${describe(cause)})`}`, {
      hint: "To use a model without a card, pass its input settings: ImageClassifier.create(model, { input, labels }).",
      cause,
    });
  // A model given in place of a card is noticed before it is downloaded.
  const onHead = (head: Uint8Array): void => {
    if (!/^\s*\{/.test(new TextDecoder().decode(head))) throw notCard();
  };
  const bytes = await load(source, { ...options, onHead });
  let card: unknown;
  try {
    card = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw notCard(cause);
  }
  validate(card, what);
  return card as ModelCard;
}

/** The source of a file that a card names. */
export function beside(card: Source, address: string): Source {
  let url: string;
  try {
    url = new URL(address, card.url).href;
  } catch (cause) {
    throw new InferenceError('INVALID_CARD', `The model card names ${address}, which cannot be resolved`, {
      hint: 'A card that was not loaded from an address must name its files by absolute ones.',
      cause,
    });
  }
  return { file: url.split(/[?#]/)[0]?.split('/').pop() || url, url };
}

/** The names of the classes from a list, an object, or a JSON file of either. */
export async function loadLabels(labels: Labels | Source | undefined, options: LoadOptions): Promise<Labels | undefined> {
  if (!labels || !('file' in labels)) return labels;
  const fail = (cause?: unknown): InferenceError =>
    new InferenceError('INVALID_CARD', `The labels ${labels.url ?? labels.file} are not a list of names`, {
      expected: 'a JSON array of strings, or an object from index to string',
      hint: 'Write a JSON array of strings, or an object from index to string.',
      cause,
    });
  const bytes = await load(labels, options);
  let names: unknown;
  try {
    names = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw fail(cause);
  }
  if (typeof names !== 'object' || names === null || Object.values(names).some((name) => typeof name !== 'string')) throw fail();
  return names as Labels;
}

/** A hexadecimal SHA-256 in the form of an integrity attribute. */
export function integrityOf(sha256: string): string {
  return `sha256-${btoa(sha256.replace(/../g, (byte) => String.fromCharCode(Number.parseInt(byte, 16))))}`;
}
