// Checks of what callers pass in.

import { describe, failure, tagOf } from './errors.js';

/** How a value is shown in a message. */
function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? tagOf(value) : describe(value);
}

/** Throws `INVALID_OPTION` for an option whose value is not what it should be. */
export function invalid(name: string, value: unknown, expected: string): never {
  throw failure('INVALID_OPTION', `The option ${name} is ${show(value)}, it should be ${expected}`, {
    expected,
    actual: show(value),
    hint: `Pass ${expected}.`,
  });
}

type Check = readonly [expected: string, test: (value: never) => boolean];

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const isFunction = (value: unknown): boolean => typeof value === 'function';
const isBoolean = (value: unknown): boolean => typeof value === 'boolean';

const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isShapes = (value: object): boolean =>
  isObject(value) && Object.values(value).every((shape) => Array.isArray(shape) && shape.every(isSize));
const LIST_OF_CLASSES = 'a list of labels or class numbers';
const isListOfClasses = (value: unknown): boolean =>
  Array.isArray(value) && value.every((entry) => typeof entry === 'string' || (Number.isSafeInteger(entry) && (entry as number) >= 0));

const CHECKS = {
  wasm: ['an object { engine, engineThreads, compiler }', isObject],
  signal: ['an AbortSignal', (value: object) => isObject(value) && 'aborted' in value],
  onProgress: ['a function', isFunction],
  externalData: [
    'a list of { path, data }',
    (value: unknown) => Array.isArray(value) && value.every((file: { path?: unknown } | null) => typeof file?.path === 'string'),
  ],
  freeDimensionOverrides: [
    'an object from dimension name to a whole number',
    (value: object) => isObject(value) && Object.values(value).every(isSize),
  ],
  shapes: ['a list of objects from input name to sizes', (value: unknown) => Array.isArray(value) && value.every(isShapes)],
  allowNaN: ['true or false', isBoolean],
  cache: [
    'true, false, or a cache with match and put',
    (value: Partial<Record<'match' | 'put', unknown>>) => isBoolean(value) || (isObject(value) && isFunction(value.match) && isFunction(value.put)),
  ],
  integrity: ['sha256-<base64>', (value: unknown) => typeof value === 'string'],
  worker: ['true or false', isBoolean],
  threads: ['a whole number above 0', (value: number) => Number.isSafeInteger(value) && value > 0],
  transfer: ['true or false', isBoolean],
  profile: ['true or false', isBoolean],
  input: ['an object', isObject],
  output: ['an object', isObject],
  labels: [
    'a list of names, an object from index to name, or the address of a JSON file of either',
    (value: unknown) => isObject(value) || Array.isArray(value) || typeof value === 'string',
  ],
  region: ['an object { x, y, width, height, unit? }', isObject],
  rotation: ['0, 90, 180 or 270', (value: unknown) => [0, 90, 180, 270].includes(value as number)],
  allow: [LIST_OF_CLASSES, isListOfClasses],
  deny: [LIST_OF_CLASSES, isListOfClasses],
  smoothing: ['a number of milliseconds, 0 or more', (value: number) => Number.isFinite(value) && value >= 0],
  topK: ['a whole number above 0', (value: number) => Number.isSafeInteger(value) && value > 0],
  threshold: ['a number', (value: number) => Number.isFinite(value)],
} satisfies Record<string, Check>;

/** Names of the options that there are checks for. */
export type OptionName = keyof typeof CHECKS;

/**
 * Checks an options object: known names only, each with a value that makes sense. `undefined` counts as left out.
 *
 * @throws InputError `INVALID_OPTION`
 */
export function checkOptions(options: object, known: readonly OptionName[]): void {
  if (!isObject(options)) invalid('object', options, 'an object');
  for (const [name, value] of Object.entries(options)) {
    const check: Check | undefined = known.includes(name as OptionName) ? CHECKS[name as OptionName] : undefined;
    if (!check) {
      throw failure('INVALID_OPTION', `There is no option ${JSON.stringify(name)} here`, {
        expected: known.join(', '),
        actual: name,
        hint: `The options are ${known.join(', ')}.`,
      });
    }
    if (value !== undefined && !check[1](value as never)) invalid(name, value, check[0]);
  }
}

/** The promise, or the reason of the signal as soon as that is aborted. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
