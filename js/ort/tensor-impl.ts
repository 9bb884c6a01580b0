// The Tensor of tractlet/ort: what onnxruntime-common's class does, over the checks of tractlet's own.

import { InputError, Tensor as BaseTensor } from '../index.js';
import { invalid, isObject, tagOf } from './checks.js';
import { tensorFromImage, tensorToDataURL, tensorToImageData } from './image.js';
import type {
  CpuPinnedConstructorParameters,
  GpuBufferConstructorParameters,
  MLTensorConstructorParameters,
  Tensor as TensorType,
  TensorFromGpuBufferOptions,
  TensorFromMLTensorOptions,
  TensorFromTextureOptions,
  TensorToDataUrlOptions,
  TensorToImageDataOptions,
  TextureConstructorParameters,
} from './tensor.js';

type Data = TensorType.DataType;
type Resource = TextureConstructorParameters | GpuBufferConstructorParameters | MLTensorConstructorParameters;
type Located = Resource | (Omit<CpuPinnedConstructorParameters, 'dims'> & { readonly dims?: readonly number[] });

/** The property that holds the data, per location on a GPU. */
const HOLDERS = { texture: 'texture', 'gpu-buffer': 'gpuBuffer', 'ml-tensor': 'mlTensor' } as const;
type Holder = (typeof HOLDERS)[keyof typeof HOLDERS];

/** Types that pack two elements into a byte. tractlet's own tensors have no such types. */
const PACKED = ['uint4', 'int4'];

/** tractlet's own tensors, which make all the checks; the arguments are what callers passed. */
const Checked = BaseTensor as unknown as new (first: unknown, second?: unknown, third?: unknown) => {
  readonly type: TensorType.Type;
  readonly data: Data;
  readonly dims: readonly number[];
  readonly size: number;
};

/** What a {@link TensorType} is at run time. */
export class TensorImpl implements TensorType {
  readonly type: TensorType.Type;
  // Not frozen, and not read-only at run time: transformers.js writes to it.
  readonly dims: readonly number[];
  readonly size: number;
  #location: TensorType.DataLocation = 'cpu';
  #data: Data | undefined;
  /** Where the data is, for a tensor on a GPU. */
  #remote: Resource | undefined;
  #downloading = false;

  constructor(first: unknown, second?: unknown, third?: unknown) {
    const located = isLocated(first) ? first : undefined;
    if (located && located.location !== 'cpu-pinned') {
      checkLocation(located.location);
      this.type = located.type;
      this.size = sizeOf(located.dims);
      this.dims = [...located.dims];
      this.#remote = located;
      this.#location = located.location;
      return;
    }
    const { type, data, dims, size } = located
      ? check(located.type, located.data, located.dims)
      : typeof first === 'string'
        ? check(first, second, third)
        : new Checked(first, second);
    if (located) this.#location = located.location;
    this.type = type;
    this.size = size;
    this.dims = [...dims];
    this.#data = data;
  }

  static fromImage(image: unknown, options?: object): Promise<unknown> {
    return tensorFromImage(image, options, TensorImpl);
  }

  static fromTexture(texture: TensorType.TextureType, options: TensorFromTextureOptions<'float32'>): TensorImpl {
    return new TensorImpl({ ...options, location: 'texture', type: 'float32', texture, dims: [1, options.height, options.width, 4] });
  }

  static fromGpuBuffer(gpuBuffer: TensorType.GpuBufferType, options: TensorFromGpuBufferOptions<TensorType.GpuBufferDataTypes>): TensorImpl {
    return new TensorImpl({ ...options, location: 'gpu-buffer', type: options.dataType ?? 'float32', gpuBuffer });
  }

  static fromMLTensor(mlTensor: TensorType.MLTensorType, options: TensorFromMLTensorOptions<TensorType.MLTensorDataTypes>): TensorImpl {
    return new TensorImpl({ ...options, location: 'ml-tensor', type: options.dataType ?? 'float32', mlTensor });
  }

  static fromPinnedBuffer(type: TensorType.Type, data: Data, dims?: readonly number[]): TensorImpl {
    return new TensorImpl({ location: 'cpu-pinned', type, data, dims });
  }

  get location(): TensorType.DataLocation {
    return this.#location;
  }

  get data(): Data {
    if (this.#data) return this.#data;
    this.#checkAlive();
    throw new InputError('INPUT_VALUE', `The data of the tensor is not on the CPU, its location is ${this.#location}`, {
      hint: 'await tensor.getData() downloads it.',
    });
  }

  get texture(): TensorType.TextureType {
    return this.#resource('texture') as TensorType.TextureType;
  }

  get gpuBuffer(): TensorType.GpuBufferType {
    return this.#resource('gpuBuffer') as TensorType.GpuBufferType;
  }

  get mlTensor(): TensorType.MLTensorType {
    return this.#resource('mlTensor') as TensorType.MLTensorType;
  }

  #resource(holder: Holder): unknown {
    this.#checkAlive();
    const remote = this.#remote as Partial<Record<Holder, unknown>> | undefined;
    if (remote?.[holder] !== undefined) return remote[holder];
    throw new InputError('INPUT_VALUE', `The tensor has no ${holder}, its location is ${this.#location}`, { hint: 'await tensor.getData() gives its data.' });
  }

  async getData(releaseData?: boolean): Promise<Data> {
    if (this.#data) return this.#data;
    this.#checkAlive();
    const remote = this.#remote;
    if (!remote?.download) {
      throw new InputError('INPUT_VALUE', 'The tensor has no function that downloads its data', { hint: 'Pass `download` when the tensor is made.' });
    }
    if (this.#downloading) {
      throw new InputError('INPUT_VALUE', 'The data of the tensor is being downloaded', { hint: 'Wait for the first call of getData().' });
    }
    this.#downloading = true;
    try {
      const { data } = check(this.type, await remote.download(), this.dims);
      this.#data = data;
      this.#location = 'cpu';
      if (releaseData) this.#release();
      return data;
    } finally {
      this.#downloading = false;
    }
  }

  reshape(dims: readonly number[]): TensorImpl {
    return new TensorImpl(this.type, this.data, dims);
  }

  toImageData(options?: TensorToImageDataOptions): ImageData {
    return tensorToImageData(this, options);
  }

  toDataURL(options?: TensorToDataUrlOptions): string {
    return tensorToDataURL(this, options);
  }

  dispose(): void {
    this.#release();
    this.#data = undefined;
    this.#location = 'none';
  }

  #release(): void {
    const remote = this.#remote;
    this.#remote = undefined;
    remote?.dispose?.();
  }

  #checkAlive(): void {
    if (this.#location === 'none') throw new InputError('INPUT_VALUE', 'The tensor has been disposed');
  }
}

function isLocated(value: unknown): value is Located {
  return isObject(value) && 'location' in value;
}

function checkLocation(location: string): void {
  if (!Object.hasOwn(HOLDERS, location)) invalid('location', location, 'cpu-pinned, texture, gpu-buffer or ml-tensor');
}

/** Type, data and shape that belong together. */
function check(type: string, data: unknown, dims: unknown): { type: TensorType.Type; data: Data; dims: readonly number[]; size: number } {
  if (!PACKED.includes(type)) return new Checked(type, data, dims);
  if (Array.isArray(data)) {
    throw new InputError('INPUT_TYPE', `A ${type} tensor cannot be made from an array of numbers`, { hint: 'Pass the bytes: two elements each.' });
  }
  // For int4 onnxruntime-common declares an Int8Array, and takes a Uint8Array.
  const bytes = new Checked(type === 'int4' && tagOf(data) === 'Int8Array' ? 'int8' : 'uint8', data);
  const shape = (dims ?? bytes.dims) as readonly number[];
  const size = sizeOf(shape);
  if (size !== bytes.size && Math.ceil(size / 2) !== bytes.size) {
    const [expected, actual] = [`${Math.ceil(size / 2)} bytes`, `${bytes.size} bytes`];
    throw new InputError('INPUT_SHAPE', `${actual} are no ${type} tensor of shape [${shape.join(', ')}]`, { expected, actual });
  }
  return { type: type as TensorType.Type, data: bytes.data, dims: shape, size };
}

/** Number of elements of a shape, which is checked. */
function sizeOf(dims: readonly number[]): number {
  // A tensor without elements may have any other dimensions that make sense.
  new Checked('uint8', [], Array.isArray(dims) ? [0, ...(dims as number[])] : Object(dims));
  return dims.reduce((size, dim) => size * dim, 1);
}
