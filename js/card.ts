// Model cards: checked field by field, and taken apart into what has to be loaded.

import { InferenceError } from './errors.js';
import { canVerify } from './integrity.js';
import { more } from './load-more.js';
import type { ClassifierSpec, Source } from './protocol.js';
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

/** What a card says has to be loaded. */
export interface CardParts {
  readonly card: ModelCard;
  readonly model: Source;
  readonly spec: ClassifierSpec;
}

/**
 * A card from its file, checked and taken apart.
 *
 * @throws LoadError `INVALID_CARD`
 */
export async function readCard(bytes: Uint8Array, source: Source): Promise<CardParts> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw await explain(source, 'card', cause);
  }
  validate(value, `The model card ${source.url ?? source.file}`);
  const card = value as ModelCard;
  const { input, output, labels, sha256 } = card;
  // Only where hashes can be computed: that a card has one must not keep it from working on plain http.
  const integrity = sha256 !== undefined && canVerify() ? integrityOf(sha256) : undefined;
  return {
    card,
    model: { ...beside(source, card.model), integrity },
    spec: { input, output, labels: labels === undefined ? undefined : beside(source, labels) },
  };
}

/** The source of a file that a card names. */
function beside(card: Source, address: string): Source {
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

/** The names of the classes from their file. */
export async function parseLabels(bytes: Uint8Array, source: Source): Promise<Labels> {
  let names: unknown;
  try {
    names = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw await explain(source, 'labels', cause);
  }
  if (typeof names !== 'object' || names === null || Object.values(names).some((name) => typeof name !== 'string')) throw await explain(source, 'labels');
  return names as Labels;
}

/** A hexadecimal SHA-256 in the form of an integrity attribute. */
function integrityOf(sha256: string): string {
  return `sha256-${btoa(sha256.replace(/../g, (byte) => String.fromCharCode(Number.parseInt(byte, 16))))}`;
}

async function explain(source: Source, kind: 'card' | 'labels', cause?: unknown): Promise<InferenceError> {
  const { notJson } = await more('INVALID_CARD', `${source.url ?? source.file} is not what it should be`);
  return notJson(source, kind, cause);
}
