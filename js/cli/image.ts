// Pictures from files. Node has no decoder: these two formats have well-known ones in JavaScript, bundled here.

import { readFile } from 'node:fs/promises';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { ImageError } from '../index.js';
import { orientationOf, type Picture, turned } from './exif.js';

/** As in the browser. */
const MAX_MEGAPIXELS = 100;

/** RGBA pixels, upright. */
export async function readPicture(path: string): Promise<Picture> {
  let contents: Uint8Array;
  try {
    contents = await readFile(path);
  } catch (cause) {
    throw new ImageError('IMAGE_DECODE', `The picture ${path} cannot be read (${(cause as Error).message})`, { cause });
  }
  const [a, b, c, d] = contents;
  const isPng = a === 0x89 && b === 0x50 && c === 0x4e && d === 0x47;
  if (!isPng && !(a === 0xff && b === 0xd8)) {
    throw new ImageError('IMAGE_DECODE', `${path} is neither a JPEG nor a PNG file`, {
      hint: 'Other formats are decoded by browsers only: convert it first.',
    });
  }
  try {
    return isPng ? readPng(contents, path) : readJpeg(contents);
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw new ImageError('IMAGE_DECODE', `${path} cannot be decoded (${(cause as Error).message})`, { hint: 'The file is damaged.', cause });
  }
}

function readPng(contents: Uint8Array, path: string): Picture {
  // Checked ahead: a small file can unpack to gigabytes.
  const head = new DataView(contents.buffer, contents.byteOffset, contents.byteLength);
  const [width, height] = contents.length < 24 ? [0, 0] : [head.getUint32(16), head.getUint32(20)];
  if (width * height > MAX_MEGAPIXELS * 1e6) {
    throw new ImageError('IMAGE_TOO_LARGE', `${path} has ${width} x ${height} pixels`, { expected: `at most ${MAX_MEGAPIXELS} million`, actual: `${width} x ${height}` });
  }
  return own(PNG.sync.read(Buffer.from(contents)));
}

function readJpeg(contents: Uint8Array): Picture {
  const options = { useTArray: true, formatAsRGBA: true, maxResolutionInMP: MAX_MEGAPIXELS, maxMemoryUsageInMB: 4096 } as const;
  return turned(own(jpeg.decode(contents, options)), orientationOf(contents));
}

/** A copy of the pixels in memory of their own, aligned. */
function own({ data, width, height }: Picture): Picture {
  return { data: Uint8Array.from(data), width, height };
}
