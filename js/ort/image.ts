// Pictures to tensors and back, as onnxruntime-common does it: value by value, with a bias and a divisor per channel.

import { ImageError, InferenceError, InputError } from '../index.js';
import { invalid, tagOf } from './checks.js';
import type { FromImageOptions, ImageFormat, Tensor, TensorToImageDataOptions } from './tensor.js';

type TensorClass = new (type: string, data: Float32Array | Uint8Array, dims: readonly number[]) => unknown;

/** The channels of each format, as places in an RGBA pixel. */
const FORMATS: Readonly<Record<ImageFormat, readonly number[]>> = { RGB: [0, 1, 2], RGBA: [0, 1, 2, 3], BGR: [2, 1, 0], RBG: [0, 2, 1] };

function channelsOf(format: ImageFormat, option: string): readonly number[] {
  return Object.hasOwn(FORMATS, format) ? FORMATS[format] : invalid(option, format, 'RGB, RGBA, BGR or RBG');
}

/** One number for each channel. Those that are missing are the default. */
function perChannel(values: number | readonly number[] | undefined, fallback: number, option: string): (channel: number) => number {
  const list = values === undefined || typeof values === 'number' ? [0, 1, 2, 3].map(() => values ?? fallback) : values;
  if (!Array.isArray(list) || list.some((value) => typeof value !== 'number')) {
    invalid(`norm.${option}`, values, 'a number, or one for each channel');
  }
  return (channel) => (list as number[])[channel] ?? fallback;
}

/** Whether the channels are the last dimension. */
function isChannelsLast(layout: unknown): boolean {
  if (layout !== undefined && layout !== 'NCHW' && layout !== 'NHWC') invalid('tensorLayout', layout, 'NCHW or NHWC');
  return layout === 'NHWC';
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

function contextOf(width: number, height: number): Context {
  let context: Context | null;
  if (typeof document !== 'undefined') {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, height];
    context = canvas.getContext('2d', { willReadFrequently: true });
  } else if (typeof OffscreenCanvas !== 'undefined') {
    context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  } else {
    throw new InferenceError('UNSUPPORTED_ENVIRONMENT', 'There is no canvas here, which pictures are read with', {
      hint: 'Make the tensor of an array of pixels.',
    });
  }
  return context ?? tooLarge(width, height);
}

function tooLarge(width: number, height: number): never {
  throw new ImageError('IMAGE_TOO_LARGE', `The browser has no canvas of ${width} x ${height} pixels`, { hint: 'Scale the picture with resizedWidth and resizedHeight.' });
}

/** The picture at an address. Elements load what `img-src` of a Content-Security-Policy allows, workers have no elements. */
async function load(url: string): Promise<HTMLImageElement | ImageBitmap> {
  try {
    if (typeof Image === 'undefined') return await createImageBitmap(await (await fetch(url)).blob());
    const element = new Image();
    element.crossOrigin = 'anonymous';
    element.src = url;
    await element.decode();
    return element;
  } catch (cause) {
    const shown = url.length > 100 ? `${url.slice(0, 100)}...` : url;
    throw new ImageError('IMAGE_DECODE', `${shown} cannot be loaded as a picture (${String(cause)})`, {
      cause,
      hint: 'Open the address in the browser. From another origin it needs CORS headers.',
    });
  }
}

/** RGBA pixels of a picture, scaled if sizes are given. */
async function pixelsOf(image: unknown, { resizedWidth, resizedHeight }: FromImageOptions): Promise<ImageData> {
  const tag = tagOf(image);
  if (typeof image !== 'string' && !['ImageData', 'HTMLImageElement', 'ImageBitmap', 'HTMLCanvasElement', 'OffscreenCanvas'].includes(tag)) {
    throw new ImageError('INVALID_IMAGE', `A tensor cannot be made from ${image === null ? 'null' : tag}`, {
      expected: 'ImageData, an image element, an ImageBitmap or an address',
      hint: 'ImageClassifier of tractlet takes more kinds of pictures.',
    });
  }
  const source = typeof image === 'string' ? await load(image) : (image as ImageData | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap);
  const [ownWidth, ownHeight] = 'naturalWidth' in source ? [source.naturalWidth, source.naturalHeight] : [source.width, source.height];
  const [width, height] = [resizedWidth ?? ownWidth, resizedHeight ?? ownHeight];
  for (const side of [width, height]) {
    if (!Number.isSafeInteger(side) || side <= 0) {
      throw new ImageError('INVALID_IMAGE', `The picture has ${width} x ${height} pixels`, { hint: 'Wait until it is loaded, and pass whole sizes above 0.' });
    }
  }
  if ('data' in source && width === ownWidth && height === ownHeight) return source;
  const drawn = 'data' in source ? await createImageBitmap(source) : source;
  const context = contextOf(width, height);
  try {
    context.drawImage(drawn, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  } catch (cause) {
    throw new ImageError('INVALID_IMAGE', `The picture cannot be read (${String(cause)})`, {
      cause,
      hint: 'A picture of another origin must be served with CORS headers and loaded with crossOrigin.',
    });
  } finally {
    if (drawn !== image && 'close' in drawn) drawn.close();
  }
}

/** `Tensor.fromImage`: `(pixel + bias) / mean` for each channel. */
export async function tensorFromImage(image: unknown, options: FromImageOptions = {}, TensorImpl: TensorClass): Promise<unknown> {
  const { tensorFormat = 'RGB', tensorLayout, dataType = 'float32', norm } = options;
  const channels = channelsOf(tensorFormat, 'tensorFormat');
  const last = isChannelsLast(tensorLayout);
  if (!['float32', 'uint8'].includes(dataType)) invalid('dataType', dataType, 'float32 or uint8');
  const bias = perChannel(norm?.bias, 0, 'bias');
  const mean = perChannel(norm?.mean, dataType === 'uint8' && !norm ? 1 : 255, 'mean');
  const { data, width, height } = await pixelsOf(image, options);
  const count = width * height;
  const values = dataType === 'uint8' ? new Uint8ClampedArray(count * channels.length) : new Float32Array(count * channels.length);
  channels.forEach((channel, place) => {
    const [start, step] = last ? [place, channels.length] : [place * count, 1];
    const [add, divisor] = [bias(channel), mean(channel)];
    for (let i = 0; i < count; i++) values[start + step * i] = ((data[4 * i + channel] ?? 0) + add) / divisor;
  });
  const shape = last ? [1, height, width, channels.length] : [1, channels.length, height, width];
  return new TensorImpl(dataType, values instanceof Float32Array ? values : new Uint8Array(values.buffer), shape);
}

/** RGBA pixels of a tensor: `(value - bias) * mean` for each channel, rounded and kept within 0 to 255. */
function toPixels(tensor: Tensor, options: TensorToImageDataOptions = {}): { data: Uint8ClampedArray<ArrayBuffer>; width: number; height: number } {
  const { format, norm, tensorLayout } = options;
  const last = isChannelsLast(tensorLayout);
  const { dims, type, data } = tensor;
  const [batch = 0, depth = 0, height = 0, width = 0] = last ? [0, 3, 1, 2].map((i) => dims[i]) : dims;
  if (dims.length !== 4 || batch !== 1 || (type !== 'float32' && type !== 'uint8')) {
    throw new InputError('INPUT_SHAPE', `A ${type} tensor of shape [${dims.join(', ')}] is no picture`, {
      expected: `float32 or uint8, ${last ? '[1, height, width, channels]' : '[1, channels, height, width]'}`,
    });
  }
  const channels = channelsOf(format ?? (depth === 4 ? 'RGBA' : 'RGB'), 'format');
  if (depth !== channels.length) {
    throw new InputError('INPUT_SHAPE', `A tensor with ${depth} channels is no picture in ${format ?? 'RGB'}`, { expected: `${channels.length} channels`, actual: `${depth}` });
  }
  const bias = perChannel(norm?.bias, 0, 'bias');
  const mean = perChannel(norm?.mean, type === 'uint8' && !norm ? 1 : 255, 'mean');
  const count = width * height;
  const pixels = new Uint8ClampedArray(4 * count).fill(255);
  channels.forEach((channel, place) => {
    const [start, step] = last ? [place, depth] : [place * count, 1];
    const [subtract, factor] = [bias(channel), mean(channel)];
    for (let i = 0; i < count; i++) pixels[4 * i + channel] = (Number(data[start + step * i]) - subtract) * factor;
  });
  return { data: pixels, width, height };
}

/** `tensor.toImageData()`. */
export function tensorToImageData(tensor: Tensor, options?: TensorToImageDataOptions): ImageData {
  const { data, width, height } = toPixels(tensor, options);
  if (typeof ImageData !== 'undefined') return new ImageData(data, width, height);
  throw new InferenceError('UNSUPPORTED_ENVIRONMENT', 'There is no ImageData here', { hint: 'Read tensor.data.' });
}

/** `tensor.toDataURL()`. */
export function tensorToDataURL(tensor: Tensor, options?: TensorToImageDataOptions): string {
  const image = tensorToImageData(tensor, options);
  const context = contextOf(image.width, image.height);
  if (!('toDataURL' in context.canvas)) {
    throw new InferenceError('UNSUPPORTED_ENVIRONMENT', 'Only a page can make the address of a picture', { hint: 'Use toImageData() in workers.' });
  }
  context.putImageData(image, 0, 0);
  return context.canvas.toDataURL();
}
