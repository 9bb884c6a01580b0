// What a page has as a picture, in a form that can be posted. As little as possible happens here: files are decoded and
// pixels are read by the runtime.

import { copyBytes } from './bytes.js';
import { describe, InferenceError, tagOf } from './errors.js';
import { checkSize, unreadable } from './image-checks.js';
import type { PortableImage } from './protocol.js';
import type { Pixels } from './types.js';

/** Whatever is a picture in a page. */
export type ImageSource =
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | ImageBitmap
  | ImageData
  | Blob
  | VideoFrame
  | Pixels;

/**
 * The picture as it is now, which the caller owns: the original stays usable.
 *
 * @throws ImageError `INVALID_IMAGE`, `IMAGE_TOO_LARGE` or `IMAGE_DECODE`
 */
export async function toPortable(image: ImageSource): Promise<PortableImage> {
  // By name, not instanceof: objects of other realms are as good, and not every class exists everywhere.
  const tag = tagOf(image);
  switch (tag) {
    case 'Blob':
    case 'File':
      return image as Blob;
    case 'VideoFrame': {
      const frame = image as VideoFrame;
      checkSize(frame.displayWidth, frame.displayHeight, 'The frame has been closed.');
      return frame.clone();
    }
    case 'HTMLImageElement': {
      const element = image as HTMLImageElement;
      if (!element.complete) {
        await element.decode().catch((cause: unknown) => {
          throw new InferenceError('IMAGE_DECODE', `The <img> could not be loaded: ${element.currentSrc || 'it has no src'}`, {
            hint: 'Check its src.',
            cause,
          });
        });
      }
      return capture(element, element.naturalWidth, element.naturalHeight, 'The <img> could not be loaded, or is an SVG without a size.');
    }
    case 'HTMLVideoElement': {
      const video = image as HTMLVideoElement;
      return capture(video, video.videoWidth, video.videoHeight, "The <video> has no frame yet: wait for its 'loadeddata' event.");
    }
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas': {
      const canvas = image as HTMLCanvasElement;
      return capture(canvas, canvas.width, canvas.height, 'The canvas is empty.');
    }
    case 'ImageBitmap': {
      const bitmap = image as ImageBitmap;
      return capture(bitmap, bitmap.width, bitmap.height, 'The ImageBitmap has been closed or transferred.');
    }
    case 'ImageData':
    case 'Object':
      return toPixels(image as ImageData);
    default:
      throw new InferenceError('INVALID_IMAGE', `${tag} is no picture`, {
        expected: '<img>, <video>, <canvas>, OffscreenCanvas, ImageBitmap, ImageData, Blob, VideoFrame or { data, width, height }',
        actual: tag,
        hint:
          typeof image === 'string'
            ? 'Of an address, fetch it and pass the Blob: await (await fetch(url)).blob().'
            : 'Pass one of those; if it comes from the page, check that the element was found.',
      });
  }
}

async function capture(image: ImageBitmapSource, width: number, height: number, hint: string): Promise<ImageBitmap> {
  checkSize(width, height, hint);
  try {
    return await createImageBitmap(image, { imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'default' }).catch(
      (error: unknown) => {
        // Older browsers do not know 'from-image', but do so by default.
        if (error instanceof TypeError) return createImageBitmap(image);
        throw error;
      },
    );
  } catch (cause) {
    throw (cause as Error).name === 'InvalidStateError' ? new InferenceError('INVALID_IMAGE', describe(cause), { hint, cause }) : unreadable(cause);
  }
}

function toPixels(image: Pixels | ImageData): Promise<ImageBitmap> | Pixels {
  const { data, width, height, orientation } = image as Pixels;
  checkSize(width, height, 'Pass { data, width, height }.');
  const type = tagOf(data);
  if (type !== 'Uint8Array' && type !== 'Uint8ClampedArray') {
    throw new InferenceError('INVALID_IMAGE', `The pixels are ${type}`, {
      expected: 'Uint8Array or Uint8ClampedArray',
      actual: type,
      hint: 'Pixels are RGBA with 8 bits each.',
    });
  }
  const length = width * height * 4;
  if (data.length !== length) {
    throw new InferenceError('INVALID_IMAGE', `${data.length} bytes are no picture of ${width} x ${height}`, {
      expected: `${length} bytes`,
      actual: `${data.length} bytes`,
      hint: data.length * 4 === length * 3 ? 'Pixels are RGBA: add an alpha of 255 to each.' : 'Pixels are RGBA, 4 bytes each, rows without padding.',
    });
  }
  // Drawing it converts the colours.
  if ('colorSpace' in image && image.colorSpace !== 'srgb') return capture(image, width, height, '');
  return { data: copyBytes(data), width, height, orientation };
}

/** What has to be given away when the picture is posted. */
export function transferOfImage(image: PortableImage): Transferable[] {
  if ('data' in image) return [image.data.buffer as ArrayBuffer];
  return image instanceof Blob ? [] : [image];
}

/** Gives back the memory of a picture that is not going to be posted. */
export function closeImage(image: PortableImage): void {
  if ('close' in image) image.close();
}
