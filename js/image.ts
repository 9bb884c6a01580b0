// What a page has as a picture, in a form that can be posted. As little as possible happens here: files are decoded and
// pixels are read by the runtime.

import { copyBytes } from './bytes.js';
import { tagOf } from './errors.js';
import { isUsable } from './image-checks.js';
import { imageError } from './load-more.js';
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
      const { displayWidth, displayHeight } = frame;
      if (!isUsable(displayWidth, displayHeight)) throw await imageError('INVALID_IMAGE', 'unusable', displayWidth, displayHeight, tag);
      return frame.clone();
    }
    case 'HTMLImageElement': {
      const element = image as HTMLImageElement;
      if (!element.complete) {
        await element.decode().catch(async (cause: unknown) => {
          throw await imageError('IMAGE_DECODE', 'notLoaded', element.currentSrc, cause);
        });
      }
      return capture(element, element.naturalWidth, element.naturalHeight, tag);
    }
    case 'HTMLVideoElement': {
      const video = image as HTMLVideoElement;
      return capture(video, video.videoWidth, video.videoHeight, tag);
    }
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas':
    case 'ImageBitmap': {
      const { width, height } = image as ImageBitmap;
      return capture(image as ImageBitmap, width, height, tag);
    }
    case 'ImageData':
    case 'Object':
      return toPixels(image as ImageData, tag);
    default:
      throw await imageError('INVALID_IMAGE', 'noPicture', tag, typeof image === 'string');
  }
}

async function capture(image: ImageBitmapSource, width: number, height: number, tag: string): Promise<ImageBitmap> {
  // Otherwise at once, while the picture is what it was.
  if (!isUsable(width, height)) throw await imageError('INVALID_IMAGE', 'unusable', width, height, tag);
  try {
    return await createImageBitmap(image, { imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'default' }).catch(
      (error: unknown) => {
        // Older browsers do not know 'from-image', but do so by default.
        if (error instanceof TypeError) return createImageBitmap(image);
        throw error;
      },
    );
  } catch (cause) {
    throw await ((cause as Error).name === 'InvalidStateError'
      ? imageError('INVALID_IMAGE', 'gone', tag, cause)
      : imageError('IMAGE_DECODE', 'unreadable', cause));
  }
}

async function toPixels(image: Pixels | ImageData, tag: string): Promise<ImageBitmap | Pixels> {
  const { data, width, height, orientation } = image as Pixels;
  if (!isUsable(width, height)) throw await imageError('INVALID_IMAGE', 'unusable', width, height, tag);
  const type = tagOf(data);
  if (type !== 'Uint8Array' && type !== 'Uint8ClampedArray') throw await imageError('INVALID_IMAGE', 'otherPixels', type);
  if (data.length !== width * height * 4) throw await imageError('INVALID_IMAGE', 'otherLength', data.length, width, height);
  // Drawing it converts the colours.
  if ('colorSpace' in image && image.colorSpace !== 'srgb') return capture(image, width, height, tag);
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
