/// <reference lib="esnext.disposable" preserve="true" />
// Tensors, as in onnxruntime-common. Only data: all arithmetic is in the wasm modules.

import { asBytes, copyBytes } from './bytes.js';
import { failure, tagOf } from './errors.js';
import type { ImageSource } from './image.js';
import type { FileSource } from './source.js';
import type { ImageInput, ImageView } from './types.js';
import type { TensorObject } from './wasm-modules.js';

type Float16Type = typeof globalThis extends { Float16Array: { prototype: infer T } } ? T : never;

/** Types that go with {@link Tensor}; most are named as in onnxruntime-common. */
export declare namespace Tensor {
  /** The array that holds the elements, per element type. */
  interface DataTypeMap {
    /** Floating point, 32 bits. */
    float32: Float32Array;
    /** 0 to 255. */
    uint8: Uint8Array;
    /** -128 to 127. */
    int8: Int8Array;
    /** 0 to 65,535. */
    uint16: Uint16Array;
    /** -32,768 to 32,767. */
    int16: Int16Array;
    /** Whole numbers, 32 bits. */
    int32: Int32Array;
    /** Whole numbers, 64 bits. */
    int64: BigInt64Array;
    /** Strings, in an ordinary array. */
    string: string[];
    /** One byte per element, 0 or 1. */
    bool: Uint8Array;
    /** A `Float16Array` where the browser has it, otherwise the bits in a `Uint16Array`. */
    // eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents -- depends on the lib in use
    float16: Uint16Array | Float16Type;
    /** Floating point, 64 bits. */
    float64: Float64Array;
    /** Whole numbers from 0, 32 bits. */
    uint32: Uint32Array;
    /** Whole numbers from 0, 64 bits. */
    uint64: BigUint64Array;
  }
  /** Element types, named as in onnxruntime-common. */
  type Type = keyof DataTypeMap;
  /** Any of the arrays. */
  type DataType = DataTypeMap[Type];
  /** Where the data is: `none` after {@link Tensor.dispose}. */
  type DataLocation = 'none' | 'cpu';

  /** Options of {@link TensorConstructor.fromImage}: how the picture becomes a tensor, as in a model card, and where. */
  interface FromImageOptions<T extends ImageType = ImageType> extends Omit<ImageInput, 'type'>, ImageView {
    /** Element type, float32 when left out. */
    readonly type?: T | undefined;
    /** Gives up waiting: `fromImage` rejects with the signal's reason at once. */
    readonly signal?: AbortSignal | undefined;
    /** Whether to work in a worker, as for a session. Default: in a worker where there is a window. */
    readonly worker?: boolean | undefined;
    /** Where the engine is, should it not lie beside the package's JavaScript. */
    readonly wasm?: { readonly engine?: FileSource | WebAssembly.Module | undefined } | undefined;
  }
  /** Element types that pictures can be turned into. */
  type ImageType = NonNullable<ImageInput['type']>;

  /** Options of {@link Tensor.toImageData} and {@link Tensor.toDataURL}, as in onnxruntime-common. */
  interface ImageOptions {
    /** What the channels are; their number must be that of the tensor's. Default `RGB`. */
    readonly format?: 'RGB' | 'BGR' | 'RBG' | 'RGBA' | undefined;
    /** Order of the dimensions. Default `NCHW`. */
    readonly tensorLayout?: 'NCHW' | 'NHWC' | undefined;
    /**
     * `pixel = (value - bias) * mean`; one number for all channels or one for each. By default `bias` is 0 and `mean` is 255
     * for floating-point tensors (values of 0 to 1), 1 for others.
     */
    readonly norm?: { readonly bias?: number | readonly number[] | undefined; readonly mean?: number | readonly number[] | undefined } | undefined;
  }
}

/** What the constructor takes as data besides the array itself. */
type DataInput<T extends Tensor.Type> =
  | Tensor.DataTypeMap[T]
  | (T extends 'string'
      ? readonly string[]
      : T extends 'bool'
        ? readonly boolean[] | readonly number[]
        : T extends 'int64' | 'uint64'
          ? readonly bigint[] | readonly number[]
          : T extends 'uint8'
            ? readonly number[] | Uint8ClampedArray
            : T extends 'float16'
              ? readonly number[] | Uint16Array
              : readonly number[]);

type BareData = Tensor.DataType | Uint8ClampedArray | readonly string[] | readonly boolean[];

/** What the constructor infers from a bare array. */
type Inferred<D> = D extends readonly string[]
  ? 'string'
  : D extends readonly boolean[]
    ? 'bool'
    : D extends Float32Array
      ? 'float32'
      : D extends Float64Array
        ? 'float64'
        : D extends Int8Array
          ? 'int8'
          : D extends Uint8Array | Uint8ClampedArray
            ? 'uint8'
            : D extends Int16Array
              ? 'int16'
              : D extends Uint16Array
                ? 'uint16'
                : D extends Int32Array
                  ? 'int32'
                  : D extends Uint32Array
                    ? 'uint32'
                    : D extends BigInt64Array
                      ? 'int64'
                      : D extends BigUint64Array
                        ? 'uint64'
                        : 'float16';

type Numeric = Exclude<Tensor.DataType, string[]>;
interface NumericConstructor {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): Numeric;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Numeric;
}

/** The array constructor of an element type; undefined for strings and for names that are no type. */
function arrayOf(type: string): NumericConstructor | undefined {
  // Not a constant of the module: importing has no side effect, and Float16Array may come from a polyfill later.
  const arrays: Record<string, unknown> = {
    float32: Float32Array,
    uint8: Uint8Array,
    int8: Int8Array,
    uint16: Uint16Array,
    int16: Int16Array,
    int32: Int32Array,
    int64: BigInt64Array,
    bool: Uint8Array,
    float16: (globalThis as { Float16Array?: unknown }).Float16Array ?? Uint16Array,
    float64: Float64Array,
    uint32: Uint32Array,
    uint64: BigUint64Array,
  };
  return Object.hasOwn(arrays, type) ? (arrays[type] as NumericConstructor) : undefined;
}

/** The type of the elements of a bare array. */
function inferType(data: object): string {
  if (Array.isArray(data)) {
    const kind = typeof data[0];
    if (kind === 'string') return 'string';
    if (kind === 'boolean') return 'bool';
    throw failure('INPUT_TYPE', `The element type of ${data.length === 0 ? 'an empty array' : `an array of ${kind}`} is not clear`, {
      hint: "Name it, for example new Tensor('float32', data, dims).",
    });
  }
  const tag = tagOf(data);
  const type = tag.replace(/^Big|Clamped|Array$/g, '').toLowerCase();
  if (!ArrayBuffer.isView(data) || !arrayOf(type)) {
    throw failure('INPUT_TYPE', `A tensor cannot be made from ${tag}`, { hint: 'Pass a typed array, or an array of strings or booleans.' });
  }
  return type;
}

/** Elements given one by one, in the array of their type. Values that the type cannot hold are refused. */
function convert(type: string, values: readonly unknown[], Class: NumericConstructor): Numeric {
  if (type === 'float16' && Class.name === 'Uint16Array') {
    throw failure('INPUT_TYPE', 'This browser cannot convert numbers to float16', {
      hint: 'Pass the bits in a Uint16Array, or add a Float16Array polyfill.',
    });
  }
  const array = new Class(values.length);
  values.forEach((value, i) => {
    try {
      const wanted = type.endsWith('64') && type !== 'float64' ? BigInt(value as number) : Number(value);
      array[i] = wanted;
      const kept = typeof value !== 'string' && (type.startsWith('float') || array[i] === wanted);
      if (kept && !(type === 'bool' && Number(value) > 1)) return;
    } catch {
      // BigInt() of something that is not an integer, or Number() of a symbol.
    }
    throw failure('INPUT_VALUE', `Element ${i} (${String(value)}) does not fit in ${type}`);
  });
  return array;
}

/** The array for the data of a typed constructor call. */
function adopt(type: string, data: unknown): Tensor.DataType {
  const fail = (expected: string, hint?: string): never => {
    const actual = tagOf(data);
    throw failure('INPUT_TYPE', `A ${type} tensor cannot hold ${actual}`, { expected, actual, hint });
  };
  if (type === 'string') {
    return Array.isArray(data) && data.every((s) => typeof s === 'string') ? (data) : fail('an array of strings');
  }
  const Class = arrayOf(type);
  if (!Class) {
    throw failure('INPUT_TYPE', `There is no element type ${JSON.stringify(type)}`, {
      hint: /^u?int4$/.test(type)
        ? `Elements of 4 bits are not supported: give each a byte, as ${type.replace('4', '8')}.`
        : 'float32, float64, float16, int8 to int64, uint8 to uint64, bool and string are known.',
    });
  }
  if (Array.isArray(data)) return convert(type, data as unknown[], Class);
  // By name, not instanceof: typed arrays of other realms (an iframe, a test runner) are as good.
  const tag = tagOf(data);
  if (tag === Class.name) return data as Numeric;
  if ((type === 'uint8' && tag === 'Uint8ClampedArray') || (type === 'float16' && tag === 'Uint16Array')) {
    const view = data as Uint16Array;
    return new Class(view.buffer, view.byteOffset, view.length);
  }
  return fail(`${Class.name} or an array`);
}

/** The number of elements of a shape, whose dimensions are checked. */
export function sizeOf(dims: unknown): number {
  if (!Array.isArray(dims)) throw failure('INPUT_SHAPE', 'The dims of a tensor must be an array of numbers');
  return dims.reduce<number>((size, dim: unknown, i) => {
    const next = size * (dim as number);
    if (!Number.isSafeInteger(dim) || (dim as number) < 0 || !Number.isSafeInteger(next)) {
      throw failure('INPUT_SHAPE', `Dimension ${i} (${String(dim)}) is not a usable size`, {
        hint: 'Dimensions are whole numbers, 0 or more.',
      });
    }
    return next;
  }, 1);
}

/**
 * A tensor: elements in row-major order with a type and a shape.
 *
 * The data is not copied here; `session.run` copies it when it is called, so that the array stays usable.
 */
export interface Tensor<T extends Tensor.Type = Tensor.Type> {
  /** Element type. */
  readonly type: T;
  /** Shape, outermost dimension first; `[]` for a scalar. */
  readonly dims: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** The elements. Throws `INPUT_VALUE` after {@link Tensor.dispose}. */
  readonly data: Tensor.DataTypeMap[T];
  /** Where the data is. */
  readonly location: Tensor.DataLocation;
  /** The elements, as a promise; for code that also runs with onnxruntime's GPU tensors. */
  getData(): Promise<Tensor.DataTypeMap[T]>;
  /** The same data with another shape of the same size. */
  reshape(dims: readonly number[]): Tensor<T>;
  /**
   * A picture of the tensor, whose shape is [1, channels, height, width] or [1, height, width, channels], the 1 being
   * optional. Values are rounded and clamped to 0 to 255.
   *
   * @throws InputError `INPUT_SHAPE` or `INVALID_OPTION`; `UNSUPPORTED_ENVIRONMENT` where there is no `ImageData`
   */
  toImageData(options?: Tensor.ImageOptions): Promise<ImageData>;
  /** The same as a `data:` address of a PNG file. */
  toDataURL(options?: Tensor.ImageOptions): Promise<string>;
  /** Lets go of the data. */
  dispose(): void;
  /** For `using`. */
  [Symbol.dispose](): void;
}

/** The constructor of {@link Tensor}. */
export interface TensorConstructor {
  /** What all tensors inherit from. */
  readonly prototype: Tensor;
  /**
   * A tensor of a given element type.
   *
   * @param type element type
   * @param data the elements: the typed array of that type, or an array of numbers, bigints, booleans or strings
   * @param dims shape; one dimension when left out
   * @throws InputError `INPUT_TYPE`, `INPUT_SHAPE` (sizes do not match) or `INPUT_VALUE` (an element does not fit)
   */
  new <T extends Tensor.Type>(type: T, data: DataInput<T>, dims?: readonly number[]): Tensor<T>;
  /** A tensor whose element type follows from the array: that of a typed array, `string` or `bool`. */
  new <D extends BareData>(data: D, dims?: readonly number[]): Tensor<Inferred<D>>;
  /**
   * A picture as an input of a model: cropped, resized and normalised by the engine, with the same results as a
   * classifier's. That is done in a worker that calls share and that ends when it has been idle for ten seconds; outside of
   * a window, in the calling thread.
   *
   * @param image pictures from other origins need CORS
   * @param options as the `input` of a model card, and a view of the picture
   * @returns a tensor of shape [1, 3, height, width] or [1, height, width, 3]
   * @throws ImageError when the picture cannot be used, InputError `INVALID_OPTION`, LoadError
   */
  fromImage<T extends Tensor.ImageType = 'float32'>(image: ImageSource, options: Tensor.FromImageOptions<T>): Promise<Tensor<T>>;
}

class TensorImpl implements Tensor {
  static async fromImage(image: ImageSource, options: Tensor.FromImageOptions): Promise<Tensor> {
    return (await import('./tensor-image.js')).fromImage(image, options);
  }

  readonly type: Tensor.Type;
  readonly dims: readonly number[];
  readonly size: number;
  #data: Tensor.DataType | undefined;

  constructor(first: unknown, second?: unknown, third?: unknown) {
    const typed = typeof first === 'string';
    const type = typed ? first : inferType(Object(first) as object);
    const data = adopt(type, typed ? second : first);
    const dims = (typed ? third : second) ?? [data.length];
    const size = sizeOf(dims);
    if (size !== data.length) {
      const [expected, actual] = [`${size} elements`, `${data.length} elements`];
      throw failure('INPUT_SHAPE', `${actual} are no tensor of shape [${(dims as number[]).join(', ')}]`, { expected, actual });
    }
    this.type = type as Tensor.Type;
    this.dims = Object.freeze([...(dims as number[])]);
    this.size = size;
    this.#data = data;
  }

  get data(): Tensor.DataType {
    if (!this.#data) throw failure('INPUT_VALUE', 'The tensor has been disposed');
    return this.#data;
  }

  get location(): Tensor.DataLocation {
    return this.#data ? 'cpu' : 'none';
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a disposed tensor must reject, not throw
  async getData(): Promise<Tensor.DataType> {
    return this.data;
  }

  reshape(dims: readonly number[]): Tensor {
    return new TensorImpl(this.type, this.data, dims);
  }

  async toImageData(options?: Tensor.ImageOptions): Promise<ImageData> {
    return (await import('./tensor-canvas.js')).toImageData(this, options);
  }

  async toDataURL(options?: Tensor.ImageOptions): Promise<string> {
    return (await import('./tensor-canvas.js')).toDataURL(this, options);
  }

  dispose(): void {
    this.#data = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Makes tensors, of data or of pictures. */
export const Tensor = TensorImpl as unknown as TensorConstructor;

/**
 * A feed as it goes to the engine, with a copy of its data; with `transfer`, the data itself where it has a buffer of its
 * own.
 *
 * @throws InputError `INPUT_TYPE` when the value is not a tensor
 */
export function toTensorObject(name: string, value: unknown, transfer = false): TensorObject {
  let tensor = value;
  // Tensors of another copy of this package, or of onnxruntime-common, are as good.
  if (!(tensor instanceof Tensor) && typeof tensor === 'object' && tensor && 'type' in tensor && 'data' in tensor && 'dims' in tensor) {
    tensor = new TensorImpl(tensor.type, tensor.data, tensor.dims);
  }
  if (!(tensor instanceof Tensor)) {
    throw failure('INPUT_TYPE', `The input ${JSON.stringify(name)} is not a Tensor`, {
      input: name,
      expected: 'Tensor',
      actual: tagOf(value),
      hint: "Wrap the data: new Tensor('float32', data, dims).",
    });
  }
  const { type, dims, data } = tensor;
  if (Array.isArray(data)) return { name, type, dims: [...dims], data: [...data] };
  const own = transfer && data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength;
  return { name, type, dims: [...dims], data: own ? asBytes(data) : copyBytes(data) };
}

/** The tensor that came from the engine. Its data is used in place where it can be. */
export function fromTensorObject({ type, dims, data }: TensorObject): Tensor {
  const Class = arrayOf(type);
  if (!Class || Array.isArray(data)) return new TensorImpl(type, data, dims);
  const bytes = data.byteOffset % Class.BYTES_PER_ELEMENT ? copyBytes(data) : data;
  return new TensorImpl(type, new Class(bytes.buffer, bytes.byteOffset, bytes.byteLength / Class.BYTES_PER_ELEMENT), dims);
}
