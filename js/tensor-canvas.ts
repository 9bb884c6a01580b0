// Pictures of tensors. Loaded with the first one.

import { failure, specific } from './errors.js';
import { isUsable } from './image-checks.js';
import { unusable } from './image-errors.js';
import type { Tensor } from './tensor.js';

/** Where the channels of each format are in a pixel of RGBA. */
const FORMATS = { RGB: [0, 1, 2], BGR: [2, 1, 0], RBG: [0, 2, 1], RGBA: [0, 1, 2, 3] } as const;

/** What {@link Tensor.toImageData} does. */
export function toImageData(tensor: Tensor, options: Tensor.ImageOptions = {}): ImageData {
  const { tensorLayout = 'NCHW', format = 'RGB', norm } = options;
  const wrong = (name: string, value: unknown, expected: string): never => {
    throw failure('INVALID_OPTION', `The option ${name} is ${String(value)}, it should be ${expected}`, { expected, actual: String(value), hint: `Pass ${expected}.` });
  };
  if (!Object.hasOwn(FORMATS, format)) wrong('format', format, 'RGB, BGR, RBG or RGBA');
  if (!['NCHW', 'NHWC'].includes(tensorLayout)) wrong('tensorLayout', tensorLayout, 'NCHW or NHWC');
  const channels = FORMATS[format];
  const { dims, type } = tensor;
  const planar = tensorLayout === 'NCHW';
  const [batch = 0, ...sides] = dims.length === 3 ? [1, ...dims] : dims;
  const [depth = 0, height = 0, width = 0] = planar ? sides : [sides[2], sides[0], sides[1]];
  if (sides.length !== 3 || batch !== 1 || depth !== channels.length) {
    const expected = planar ? `[1, ${channels.length}, height, width]` : `[1, height, width, ${channels.length}]`;
    throw failure('INPUT_SHAPE', `A tensor of shape [${dims.join(', ')}] is no ${format} picture in ${tensorLayout}`, {
      expected,
      actual: `[${dims.join(', ')}]`,
      hint: 'Name its tensorLayout and format; make a tensor of each picture of a batch.',
    });
  }
  if (type === 'string') throw failure('INPUT_TYPE', 'A string tensor is no picture');
  if (!isUsable(width, height)) throw specific(unusable(width, height));
  if (typeof ImageData === 'undefined') {
    throw failure('UNSUPPORTED_ENVIRONMENT', 'There is no ImageData here', { hint: 'Read tensor.data, or do this in a browser.' });
  }
  const each = (name: string, value: number | readonly number[] | undefined, or: number): readonly number[] => {
    const list: readonly number[] = Array.isArray(value) ? value : channels.map(() => (value as number | undefined) ?? or);
    // The fourth may be left out, as in onnxruntime-common.
    const all = list.length === 3 && channels.length === 4 ? [...list, or] : list;
    return all.length === channels.length && all.every(Number.isFinite) ? all : wrong(`norm.${name}`, value, `a number, or ${channels.length} of them`);
  };
  const means = each('mean', norm?.mean, type.startsWith('float') ? 255 : 1);
  const biases = each('bias', norm?.bias, 0);

  const image = new ImageData(width, height);
  const value = reader(tensor);
  const pixels = width * height;
  channels.forEach((to, c) => {
    const [mean = 1, bias = 0] = [means[c], biases[c]];
    // Rounded and clamped to 0 to 255 by the array.
    for (let i = 0; i < pixels; i++) image.data[i * 4 + to] = (value(planar ? c * pixels + i : i * depth + c) - bias) * mean;
  });
  if (channels.length === 3) for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  return image;
}

/** The elements of a tensor as numbers. */
function reader({ data, type }: Tensor): (i: number) => number {
  return type === 'float16' && data instanceof Uint16Array ? (i) => fromHalf(data[i] ?? 0) : (i) => Number(data[i]);
}

/** The value of a float16, where there is no array that knows. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** What {@link Tensor.toDataURL} does. */
export async function toDataURL(tensor: Tensor, options?: Tensor.ImageOptions): Promise<string> {
  const image = toImageData(tensor, options);
  if (typeof document !== 'undefined') {
    const canvas: HTMLCanvasElement = document.createElement('canvas');
    Object.assign(canvas, { width: image.width, height: image.height });
    canvas.getContext('2d')?.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d')?.putImageData(image, 0, 0);
  const blob = await canvas.convertToBlob();
  return new Promise((resolve, reject) => {
    const file = new FileReader();
    file.onload = () => {
      resolve(file.result as string);
    };
    file.onerror = () => {
      reject(file.error ?? new Error('the picture cannot be read'));
    };
    file.readAsDataURL(blob);
  });
}
