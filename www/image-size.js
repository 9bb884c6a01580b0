// @ts-check
// The size of a picture, read from its first bytes. A file of a few kilobytes can unpack to gigabytes of pixels, which
// would take the whole tab down; so the page asks before it lets anything decode.

/**
 * @typedef {{ width: number, height: number }} Size
 */

const HEAD = 4096;
const SEGMENT = 12;

/**
 * @param {Blob} blob
 * @returns {Promise<Size | undefined>} undefined when the format is not known or the header is damaged
 */
export async function readImageSize(blob) {
  const head = await view(blob, 0, HEAD);
  if (head.byteLength < 30) return undefined;
  if (text(head, 1, 3) === 'PNG') return { width: head.getUint32(16), height: head.getUint32(20) };
  if (text(head, 0, 4) === 'GIF8') return { width: head.getUint16(6, true), height: head.getUint16(8, true) };
  if (text(head, 0, 2) === 'BM') {
    // A negative height means that the rows are stored from top to bottom.
    return { width: Math.abs(head.getInt32(18, true)), height: Math.abs(head.getInt32(22, true)) };
  }
  if (text(head, 0, 4) === 'RIFF' && text(head, 8, 4) === 'WEBP') return webpSize(head);
  if (text(head, 4, 4) === 'ftyp') return heifSize(head);
  if (head.getUint16(0) === 0xffd8) return jpegSize(blob);
  return undefined;
}

/**
 * @param {DataView} head
 * @returns {Size | undefined}
 */
function webpSize(head) {
  switch (text(head, 12, 4)) {
    case 'VP8 ':
      return { width: head.getUint16(26, true) & 0x3fff, height: head.getUint16(28, true) & 0x3fff };
    case 'VP8L': {
      const bits = head.getUint32(21, true);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 'VP8X':
      return { width: (head.getUint32(24, true) & 0xffffff) + 1, height: (head.getUint32(26, true) >>> 8) + 1 };
    default:
      return undefined;
  }
}

/**
 * AVIF and HEIC: the largest `ispe` box. A tiled picture has one for the tiles and one for the whole.
 *
 * @param {DataView} head
 * @returns {Size | undefined}
 */
function heifSize(head) {
  /** @type {Size | undefined} */
  let largest;
  for (let at = 12; at + 16 <= head.byteLength; at++) {
    if (text(head, at, 4) !== 'ispe') continue;
    const size = { width: head.getUint32(at + 8), height: head.getUint32(at + 12) };
    if (!largest || size.width * size.height > largest.width * largest.height) largest = size;
  }
  return largest;
}

/**
 * Goes from segment to segment: a JPEG from a phone has an Exif block with a thumbnail before its frame header, so the
 * first bytes alone do not say.
 *
 * @param {Blob} blob
 * @returns {Promise<Size | undefined>}
 */
async function jpegSize(blob) {
  let at = 2;
  for (let segments = 0; segments < 200; segments++) {
    const segment = await view(blob, at, SEGMENT);
    if (segment.byteLength < 9 || segment.getUint8(0) !== 0xff) return undefined;
    const marker = segment.getUint8(1);
    if (marker === 0xff) {
      at += 1; // padding
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { width: segment.getUint16(7), height: segment.getUint16(5) };
    at += 2 + segment.getUint16(2);
  }
  return undefined;
}

/**
 * @param {Blob} blob
 * @param {number} start
 * @param {number} length
 */
async function view(blob, start, length) {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}

/**
 * @param {DataView} data
 * @param {number} at
 * @param {number} length
 */
function text(data, at, length) {
  return String.fromCharCode(...new Uint8Array(data.buffer, at, length));
}
