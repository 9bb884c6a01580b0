// What is refused before memory is asked for. Used on both sides of the worker border.

/** Most pixels a picture may have: 400 MB as RGBA. The engine has the same limits. */
export const MAX_PIXELS = 100e6;
/** Longest side. */
export const MAX_SIDE = 32767;

/** Whether there are pixels, and not too many. */
export function isUsable(width: number, height: number): boolean {
  const isSide = (side: number): boolean => Number.isInteger(side) && side > 0 && side <= MAX_SIDE;
  return isSide(width) && isSide(height) && width * height <= MAX_PIXELS;
}
