// What is refused before memory is asked for. Used on both sides of the worker border.

import { describe, InferenceError } from './errors.js';

/** Most pixels a picture may have: 400 MB as RGBA. The engine has the same limits. */
export const MAX_PIXELS = 100e6;
/** Longest side. */
export const MAX_SIDE = 32767;

/**
 * Refuses pictures without pixels and those with too many.
 *
 * @throws ImageError `INVALID_IMAGE` or `IMAGE_TOO_LARGE`
 */
export function checkSize(width: number, height: number, hint = 'Wait until it has loaded.'): void {
  const actual = `${width} x ${height}`;
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)) {
    throw new InferenceError('INVALID_IMAGE', `The picture has no pixels: its size is ${actual}`, { actual, hint });
  }
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) {
    throw new InferenceError('IMAGE_TOO_LARGE', `The picture is too large: ${actual} pixels`, {
      expected: `at most ${MAX_PIXELS / 1e6} million pixels and no side over ${MAX_SIDE}`,
      actual,
      hint: 'Scale it down first.',
    });
  }
}

/** The error for pixels that are there but may not be read. */
export function unreadable(cause: unknown): InferenceError {
  return new InferenceError('IMAGE_DECODE', `The pixels of the picture cannot be read (${describe(cause)})`, {
    hint: 'Pictures of another origin need crossorigin="anonymous" and a server that sends Access-Control-Allow-Origin.',
    cause,
  });
}
