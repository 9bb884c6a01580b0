// Errors about pictures, in full. Loaded when there is one, see load-more.ts.

import { describe, InferenceError } from './errors.js';
import { MAX_PIXELS, MAX_SIDE } from './image-checks.js';

/** What to do about a picture without pixels, by its class. */
const EMPTY: Readonly<Record<string, string>> = {
  VideoFrame: 'The frame has been closed.',
  HTMLImageElement: 'The <img> could not be loaded, or is an SVG without a size.',
  HTMLVideoElement: "The <video> has no frame yet: wait for its 'loadeddata' event.",
  HTMLCanvasElement: 'The canvas is empty.',
  OffscreenCanvas: 'The canvas is empty.',
  ImageBitmap: 'The ImageBitmap has been closed or transferred.',
  ImageData: 'Pass { data, width, height }.',
  Object: 'Pass { data, width, height }.',
  Blob: 'The file is damaged.',
};

/** A picture without pixels, or with too many. */
export function unusable(width: number, height: number, tag = ''): InferenceError {
  const actual = `${width} x ${height}`;
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)) {
    return new InferenceError('INVALID_IMAGE', `The picture has no pixels: its size is ${actual}`, {
      actual,
      hint: EMPTY[tag] ?? 'Wait until it has loaded.',
    });
  }
  return new InferenceError('IMAGE_TOO_LARGE', `The picture is too large: ${actual} pixels`, {
    expected: `at most ${MAX_PIXELS / 1e6} million pixels and no side over ${MAX_SIDE}`,
    actual,
    hint: 'Scale it down first.',
  });
}

/** A picture whose pixels are there and may not be read. */
export function unreadable(cause: unknown): InferenceError {
  return new InferenceError('IMAGE_DECODE', `The pixels of the picture cannot be read (${describe(cause)})`, {
    hint: 'Pictures of another origin need crossorigin="anonymous" and a server that sends Access-Control-Allow-Origin.',
    cause,
  });
}

/** A picture that was there once. */
export function gone(tag: string, cause: unknown): InferenceError {
  return new InferenceError('INVALID_IMAGE', describe(cause), { hint: EMPTY[tag], cause });
}

/** An `<img>` that did not load. */
export function notLoaded(source: string, cause: unknown): InferenceError {
  return new InferenceError('IMAGE_DECODE', `The <img> could not be loaded: ${source || 'it has no src'}`, { hint: 'Check its src.', cause });
}

/** Something else. */
export function noPicture(actual: string, isText: boolean): InferenceError {
  return new InferenceError('INVALID_IMAGE', `${actual} is no picture`, {
    expected: '<img>, <video>, <canvas>, OffscreenCanvas, ImageBitmap, ImageData, Blob, VideoFrame or { data, width, height }',
    actual,
    hint: isText
      ? 'Of an address, fetch it and pass the Blob: await (await fetch(url)).blob().'
      : 'Pass one of those; if it comes from the page, check that the element was found.',
  });
}

/** Pixels in another array than those of bytes. */
export function otherPixels(actual: string): InferenceError {
  return new InferenceError('INVALID_IMAGE', `The pixels are ${actual}`, {
    expected: 'Uint8Array or Uint8ClampedArray',
    actual,
    hint: 'Pixels are RGBA with 8 bits each.',
  });
}

/** More or fewer pixels than sides say. */
export function otherLength(bytes: number, width: number, height: number): InferenceError {
  const length = width * height * 4;
  return new InferenceError('INVALID_IMAGE', `${bytes} bytes are no picture of ${width} x ${height}`, {
    expected: `${length} bytes`,
    actual: `${bytes} bytes`,
    hint: bytes * 4 === length * 3 ? 'Pixels are RGBA: add an alpha of 255 to each.' : 'Pixels are RGBA, 4 bytes each, rows without padding.',
  });
}

/** Nothing to decode pictures with. */
export function noDecoder(): InferenceError {
  return new InferenceError('UNSUPPORTED_ENVIRONMENT', 'Pictures cannot be decoded here', {
    hint: 'Decode it elsewhere and pass { data, width, height } with RGBA bytes.',
  });
}

/** A file that is damaged, or of an unknown format. */
export function undecodable({ type, size }: Blob, cause: unknown): InferenceError {
  return new InferenceError('IMAGE_DECODE', `The picture (${type || 'unknown type'}, ${size} bytes) cannot be decoded`, {
    actual: type,
    hint: 'It is damaged, no picture, or of a format that this browser lacks: JPEG, PNG and WebP work everywhere.',
    cause,
  });
}
