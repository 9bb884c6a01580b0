// Model cards: checked field by field, and taken apart into what has to be loaded.

import type { InferenceError } from './errors.js';
import { canVerify } from './integrity.js';
import { explaining, problem } from './load-more.js';
import type { ClassifierSpec, Source } from './protocol.js';
import type { Labels, ModelCard } from './types.js';

type Check = (value: unknown) => boolean;

const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText: Check = (value) => typeof value === 'string' && value !== '';
const isList: Check = (value) => Array.isArray(value) && value.every((entry) => typeof entry === 'string' || Number.isSafeInteger(entry));
const oneOf = (...values: unknown[]): Check => (value) => values.includes(value);

/** Fields that must be there; what they should be is said in problems.ts. What is in `input` the engine checks, which knows best. */
const REQUIRED: Record<string, Check> = { model: isText, input: isObject };
const OPTIONAL: Record<string, Check> = {
  task: oneOf('image-classification'),
  labels: isText,
  sha256: (value) => /^[0-9a-f]{64}$/i.test(String(value)),
  bytes: Number.isSafeInteger,
  output: isObject,
  'output.activation': oneOf('softmax', 'sigmoid', 'none', 'auto'),
  'output.topK': (value) => Number.isSafeInteger(value) && (value as number) > 0,
  'output.threshold': Number.isFinite,
  'output.allow': isList,
  'output.deny': isList,
};

/** Throws when a field is missing or wrong. */
async function validate(card: unknown, what: string): Promise<void> {
  for (const [path, test] of Object.entries({ ...REQUIRED, ...OPTIONAL })) {
    let value = card;
    for (const key of path.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[key];
    if (value === undefined ? path in REQUIRED : !test(value)) throw await problem('INVALID_CARD', 'invalidCard', what, path, value);
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
  await validate(value, source.url ?? source.file);
  const card = value as ModelCard;
  const { input, output, labels, sha256 } = card;
  // Only where hashes can be computed: that a card has one must not keep it from working on plain http.
  const integrity = sha256 !== undefined && canVerify() ? integrityOf(sha256) : undefined;
  return {
    card,
    model: { ...(await beside(source, card.model)), integrity },
    spec: { input, output, labels: labels === undefined ? undefined : await beside(source, labels) },
  };
}

/** The source of a file that a card names. */
async function beside(card: Source, address: string): Promise<Source> {
  let url: string;
  try {
    url = new URL(address, card.url).href;
  } catch (cause) {
    throw await problem('INVALID_CARD', 'unresolvable', address, cause);
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
  const { notJson } = await explaining('INVALID_CARD', `${source.url ?? source.file} is not what it should be`);
  return notJson(source, kind, cause);
}
