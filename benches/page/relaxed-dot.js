// What the relaxed 8-bit dot product (i32x4.relaxed_dot_i8x16_i7x16_add_s) is on this machine. The standard leaves open what
// it gives when its second operand needs more than seven bits; what comes out tells which instruction it has become, and
// that decides how fast an 8-bit engine with relaxed SIMD can be.

const [TIMES, BEYOND_SEVEN_BITS] = [127, 255];
const constant = (byte) => [0xfd, 0x0c, ...Array(16).fill(byte)];
/** No locals; dot product of two constants added to zero; its first lane. */
const BODY = [0, ...constant(TIMES), ...constant(BEYOND_SEVEN_BITS), ...constant(0), 0xfd, 0x93, 0x02, 0xfd, 0x1b, 0, 0x0b];

/** A module that exports the function `r`: () -> i32. */
export const RELAXED_DOT_MODULE = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 5, 1, 0x60, 0, 1, 0x7f],
  ...[3, 2, 1, 0],
  ...[7, 5, 1, 1, 'r'.charCodeAt(0), 0, 0],
  ...[10, BODY.length + 2, 1, BODY.length, ...BODY],
]);

/** What a result stands for. */
export const RELAXED_DOT_MEANINGS = new Map([
  [4 * TIMES * BEYOND_SEVEN_BITS, 'exact u8 x s8 (VNNI or alike)'],
  [2 * 32767, 'saturating pairs (no VNNI)'],
  [4 * TIMES * (BEYOND_SEVEN_BITS - 256), 'exact s8 x s8 (sdot)'],
]);

/** In words. */
export function relaxedDot() {
  if (!WebAssembly.validate(RELAXED_DOT_MODULE)) return 'not there';
  const result = new WebAssembly.Instance(new WebAssembly.Module(RELAXED_DOT_MODULE)).exports.r();
  return RELAXED_DOT_MEANINGS.get(result) ?? `unknown (${result})`;
}
