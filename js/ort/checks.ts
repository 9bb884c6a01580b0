// What the files of this folder check callers' values with.

import { InputError } from '../index.js';

/** Name of a value's class, whatever realm it is from. */
export function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** Whether it is an object and no list. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws `INVALID_OPTION` for an argument or option that is not what it should be. */
export function invalid(name: string, value: unknown, expected: string): never {
  const actual = typeof value === 'string' ? JSON.stringify(value) : typeof value === 'number' ? String(value) : tagOf(value);
  throw new InputError('INVALID_OPTION', `${name} is ${actual}, it should be ${expected}`, { expected, actual, hint: `Pass ${expected}.` });
}
