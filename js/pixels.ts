// From pictures to RGBA pixels. Runs in the worker where it can draw, otherwise in the page.

import { isUsable } from './image-checks.js';
import { readSize } from './image-size.js';
import { imageError } from './load-more.js';
import type { PortableImage } from './protocol.js';
import type { Pixels } from './types.js';

/**
 * Pixels that are drawn at once. Pictures are read in strips: browsers draw nothing on a canvas beyond their limit, which
 * is 16 million pixels on phones, without saying so; and it saves a second copy of the picture.
 */
const STRIP_PIXELS = 1 << 22;

type Context = Pick<CanvasRenderingContext2D, 'drawImage' | 'getImageData' | 'clearRect'>;

/** Something to draw on, or undefined where there is nothing. */
function createContext(width: number, height: number): Context | undefined {
  // getImageData is all that happens to it: a canvas in the memory of a graphics card would be slower.
  const settings: CanvasRenderingContext2DSettings = { willReadFrequently: true };
  if (typeof OffscreenCanvas !== 'undefined') {
    const context = new OffscreenCanvas(width, height).getContext('2d', settings);
    if (context) return context;
  }
  if (typeof document === 'undefined') return undefined;
  const canvas: HTMLCanvasElement = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext('2d', settings) ?? undefined;
}

/** Whether pictures (other than pixels) can be read here. */
export function canDecode(): boolean {
  return typeof createImageBitmap === 'function' && createContext(1, 1) !== undefined;
}

/**
 * The pixels of a picture, upright. Closes bitmaps and frames.
 *
 * @throws ImageError `IMAGE_DECODE`, `INVALID_IMAGE` or `IMAGE_TOO_LARGE`; `UNSUPPORTED_ENVIRONMENT` where nothing can
 * decode
 */
export async function decode(image: PortableImage): Promise<Pixels> {
  if ('data' in image) return image;
  if (!canDecode()) throw await imageError('UNSUPPORTED_ENVIRONMENT', 'noDecoder');
  const bitmap = image instanceof Blob ? await decodeBlob(image) : image;
  try {
    const width = 'displayWidth' in bitmap ? bitmap.displayWidth : bitmap.width;
    const height = 'displayHeight' in bitmap ? bitmap.displayHeight : bitmap.height;
    if (!isUsable(width, height)) throw await imageError('INVALID_IMAGE', 'unusable', width, height);
    try {
      return { data: readPixels(bitmap, width, height), width, height };
    } catch (cause) {
      throw await imageError('IMAGE_DECODE', 'unreadable', cause);
    }
  } finally {
    bitmap.close();
  }
}

function readPixels(bitmap: ImageBitmap | VideoFrame, width: number, height: number): Uint8ClampedArray {
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const context = createContext(width, rows);
  if (!context) throw new Error(`no canvas of ${width} x ${rows}`);
  if (rows === height) {
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  }
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y += rows) {
    const count = Math.min(rows, height - y);
    // Or the strip before would show through translucent pixels.
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -y);
    data.set(context.getImageData(0, 0, width, count).data, y * width * 4);
  }
  return data;
}

async function decodeBlob(blob: Blob): Promise<ImageBitmap> {
  // A file that cannot be read has no size here and fails below.
  const size = await readSize(blob).catch(() => undefined);
  if (size && !isUsable(size.width, size.height)) throw await imageError('INVALID_IMAGE', 'unusable', size.width, size.height, 'Blob');
  try {
    try {
      return await createImageBitmap(blob, {
        imageOrientation: 'from-image',
        premultiplyAlpha: 'none',
        colorSpaceConversion: 'default',
      });
    } catch (error) {
      // Older browsers do not know 'from-image', but do so by default.
      if (error instanceof TypeError) return await createImageBitmap(blob);
      throw error;
    }
  } catch (cause) {
    throw await imageError('IMAGE_DECODE', 'undecodable', blob, cause);
  }
}
