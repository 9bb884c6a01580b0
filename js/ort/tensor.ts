// Tensors as onnxruntime-common declares them. tests/js/ort.test-d.ts compares the two.
/* eslint-disable @typescript-eslint/consistent-type-definitions, @typescript-eslint/consistent-indexed-object-style,
   @typescript-eslint/unified-signatures --
   the forms are those of onnxruntime-common, so that the types go together */

import type { Tensor as BaseTensor } from '../index.js';
import { TensorImpl } from './tensor-impl.js';

/** The type of a class of the page, where its declarations are in use; otherwise the fallback. */
export type GlobalType<Name extends string, Fallback = unknown> = typeof globalThis extends { [k in Name]: { prototype: infer T } } ? T : Fallback;

/** Types that go with {@link Tensor}, as in onnxruntime-common. */
export declare namespace Tensor {
  /** The array that holds the elements, per element type. */
  interface DataTypeMap extends Omit<BaseTensor.DataTypeMap, 'float16'> {
    /** The bits; at run time a `Float16Array` where the browser has it, as in onnxruntime. */
    float16: Uint16Array;
    /** Two elements a byte. Can be held, but no model takes it. */
    uint4: Uint8Array;
    /** Two elements a byte. Can be held, but no model takes it. */
    int4: Int8Array;
  }
  /** What an element is, per element type. */
  interface ElementTypeMap {
    float32: number;
    uint8: number;
    int8: number;
    uint16: number;
    int16: number;
    int32: number;
    int64: bigint;
    string: string;
    bool: boolean;
    float16: number;
    float64: number;
    uint32: number;
    uint64: bigint;
    uint4: number;
    int4: number;
  }
  type DataType = DataTypeMap[Type];
  type ElementType = ElementTypeMap[Type];
  type CpuPinnedDataTypes = Exclude<Type, 'string'>;
  type TextureType = WebGLTexture;
  type TextureDataTypes = 'float32';
  type GpuBufferTypeFallback = { size: number; mapState: 'unmapped' | 'pending' | 'mapped' };
  type GpuBufferType = GlobalType<'GPUBuffer', GpuBufferTypeFallback>;
  type MLTensorTypeFallback = { destroy(): void };
  type MLTensorType = GlobalType<'MLTensor', MLTensorTypeFallback>;
  type GpuBufferDataTypes = 'float32' | 'float16' | 'int32' | 'int64' | 'uint32' | 'uint8' | 'bool';
  type MLTensorDataTypes = 'float32' | 'float16' | 'int8' | 'uint8' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'bool' | 'uint4' | 'int4';
  /** Where the data is. What a session returns is on the `cpu`. */
  type DataLocation = 'none' | 'cpu' | 'cpu-pinned' | 'texture' | 'gpu-buffer' | 'ml-tensor';
  type Type = keyof DataTypeMap;
}

/** Members of tensors that do not depend on the element type. */
export interface TensorUtils extends ConversionUtils {
  /** Number of elements. */
  readonly size: number;
}

/** Conversions of tensors to pictures. */
export interface ConversionUtils {
  /**
   * The tensor as the address of a PNG picture.
   *
   * Needs a page: workers have no canvas that makes addresses.
   */
  toDataURL(options?: TensorToDataUrlOptions): string;
  /** The tensor as a picture: `(value - bias) * mean` for each channel. */
  toImageData(options?: TensorToImageDataOptions): ImageData;
}

/** Members of tensors that depend on the element type. */
export interface TypedShapeUtils<T extends Tensor.Type> {
  /** The same data with another shape of the same size. */
  reshape(dims: readonly number[]): TypedTensor<T>;
}

/** A tensor with a known element type. */
export interface TypedTensor<T extends Tensor.Type> extends TensorUtils, TypedShapeUtils<T> {
  /** Shape, outermost dimension first. */
  readonly dims: readonly number[];
  /** Element type. */
  readonly type: T;
  /** The elements. Throws `INPUT_VALUE` when they are on a GPU, or disposed of. */
  readonly data: Tensor.DataTypeMap[T];
  readonly location: Tensor.DataLocation;
  /** What {@link TensorFactory.fromTexture} was given; throws for other tensors. */
  readonly texture: Tensor.TextureType;
  /** What {@link TensorFactory.fromGpuBuffer} was given; throws for other tensors. */
  readonly gpuBuffer: Tensor.GpuBufferType;
  /** What {@link TensorFactory.fromMLTensor} was given; throws for other tensors. */
  readonly mlTensor: Tensor.MLTensorType;
  /** The elements, downloaded from a GPU if need be. */
  getData(releaseData?: boolean): Promise<Tensor.DataTypeMap[T]>;
  /** Lets go of the data. */
  dispose(): void;
}

/** A tensor of any element type. */
export interface Tensor extends TypedTensor<Tensor.Type> {
  reshape(dims: readonly number[]): TypedTensor<Tensor.Type>;
}

/** Order of the channels. */
export type ImageFormat = 'RGB' | 'RGBA' | 'BGR' | 'RBG';
/** Order of the dimensions. */
export type ImageTensorLayout = 'NHWC' | 'NCHW';

interface CommonParameters<T> {
  readonly type: T;
  readonly dims: readonly number[];
}
interface GpuResourceParameters<T extends Tensor.Type> {
  /** Gives the data; without it the tensor cannot be fed to a model. */
  download?(): Promise<Tensor.DataTypeMap[T]>;
  /** Called when the tensor is disposed of. */
  dispose?(): void;
}
/** What a tensor in pinned memory is made of. */
export interface CpuPinnedConstructorParameters<T extends Tensor.CpuPinnedDataTypes = Tensor.CpuPinnedDataTypes> extends CommonParameters<T> {
  readonly location: 'cpu-pinned';
  readonly data: Tensor.DataTypeMap[T];
}
/** What a tensor on a WebGL texture is made of. */
export interface TextureConstructorParameters<T extends Tensor.TextureDataTypes = Tensor.TextureDataTypes>
  extends CommonParameters<T>, GpuResourceParameters<T> {
  readonly location: 'texture';
  readonly texture: Tensor.TextureType;
}
/** What a tensor on a WebGPU buffer is made of. */
export interface GpuBufferConstructorParameters<T extends Tensor.GpuBufferDataTypes = Tensor.GpuBufferDataTypes>
  extends CommonParameters<T>, GpuResourceParameters<T> {
  readonly location: 'gpu-buffer';
  readonly gpuBuffer: Tensor.GpuBufferType;
}
/** What a tensor on a WebNN tensor is made of. */
export interface MLTensorConstructorParameters<T extends Tensor.MLTensorDataTypes = Tensor.MLTensorDataTypes>
  extends CommonParameters<T>, GpuResourceParameters<T> {
  readonly location: 'ml-tensor';
  readonly mlTensor: Tensor.MLTensorType;
}

/** Channels of a picture. */
export interface OptionsFormat {
  /** Channels of the picture that a tensor is turned into, or that a texture holds. */
  format?: ImageFormat;
}
/** Channels of a tensor that is made of a picture. */
export interface OptionsTensorFormat {
  /** Channels of the tensor, `RGB` by default. */
  tensorFormat?: ImageFormat;
}
/** Element type of a tensor that is made of a picture. */
export interface OptionsTensorDataType {
  /** Element type, `float32` by default; `uint8` holds the pixels as they are unless `norm` is given. */
  dataType?: 'float32' | 'uint8';
}
/** Order of the dimensions. */
export interface OptionsTensorLayout {
  /** `NCHW` by default. */
  tensorLayout?: ImageTensorLayout;
}
/** Size of a picture or texture. */
export interface OptionsDimensions {
  height?: number;
  width?: number;
}
/** Size to scale a picture to. */
export interface OptionResizedDimensions {
  /** Height to scale the picture to; its own by default. */
  resizedHeight?: number;
  /** Width to scale the picture to; its own by default. */
  resizedWidth?: number;
}
/** What is done to the values. */
export interface OptionsNormalizationParameters {
  /** `(pixel + bias) / mean` when a tensor is made, `(value - bias) * mean` when a picture is. One number, or one per channel. */
  norm?: {
    /** 0 by default. */
    bias?: number | [number, number, number] | [number, number, number, number];
    /** 255 by default. */
    mean?: number | [number, number, number] | [number, number, number, number];
  };
}

/** What all kinds of pictures have. */
export type FromImageOptions = OptionResizedDimensions & OptionsTensorFormat & OptionsTensorLayout & OptionsTensorDataType & OptionsNormalizationParameters;
/** Options of {@link TensorFactory.fromImage} with pixels. */
export type TensorFromImageDataOptions = FromImageOptions;
/** Options of {@link TensorFactory.fromImage} with an `<img>`. */
export type TensorFromImageElementOptions = FromImageOptions;
/** Options of {@link TensorFactory.fromImage} with an address. */
export type TensorFromUrlOptions = FromImageOptions & OptionsDimensions;
/** Options of {@link TensorFactory.fromImage} with a bitmap. */
export type TensorFromImageBitmapOptions = FromImageOptions;
/** Options of {@link ConversionUtils.toDataURL}. */
export type TensorToDataUrlOptions = OptionsTensorLayout & OptionsFormat & OptionsNormalizationParameters;
/** Options of {@link ConversionUtils.toImageData}. */
export type TensorToImageDataOptions = OptionsTensorLayout & OptionsFormat & OptionsNormalizationParameters;

/** Options of {@link TensorFactory.fromTexture}. */
export interface TensorFromTextureOptions<T extends Tensor.TextureDataTypes>
  extends Required<OptionsDimensions>, OptionsFormat, GpuResourceParameters<T> {}
/** Options of {@link TensorFactory.fromGpuBuffer}. */
export interface TensorFromGpuBufferOptions<T extends Tensor.GpuBufferDataTypes> extends GpuResourceParameters<T> {
  readonly dims: readonly number[];
  /** Element type, `float32` by default. */
  dataType?: T;
}
/** Options of {@link TensorFactory.fromMLTensor}. */
export interface TensorFromMLTensorOptions<T extends Tensor.MLTensorDataTypes> extends GpuResourceParameters<T> {
  readonly dims: readonly number[];
  /** Element type, `float32` by default. */
  dataType?: T;
}

type PictureTensor = TypedTensor<'float32'> | TypedTensor<'uint8'>;

/** How tensors are made of other things than arrays. */
export interface TensorFactory {
  /** A tensor of the pixels of a picture. */
  fromImage(imageData: ImageData, options?: TensorFromImageDataOptions): Promise<PictureTensor>;
  fromImage(imageElement: HTMLImageElement, options?: TensorFromImageElementOptions): Promise<PictureTensor>;
  /** A tensor of the pixels of a picture that is fetched. */
  fromImage(urlSource: string, options?: TensorFromUrlOptions): Promise<PictureTensor>;
  fromImage(bitmap: ImageBitmap, options?: TensorFromImageBitmapOptions): Promise<PictureTensor>;
  /** Wraps a WebGL texture. Models take it only if `download` is given. */
  fromTexture<T extends Tensor.TextureDataTypes = 'float32'>(texture: Tensor.TextureType, options: TensorFromTextureOptions<T>): TypedTensor<'float32'>;
  /** Wraps a WebGPU buffer. Models take it only if `download` is given. */
  fromGpuBuffer<T extends Tensor.GpuBufferDataTypes>(buffer: Tensor.GpuBufferType, options: TensorFromGpuBufferOptions<T>): TypedTensor<T>;
  /** Wraps a WebNN tensor. Models take it only if `download` is given. */
  fromMLTensor<T extends Tensor.MLTensorDataTypes>(tensor: Tensor.MLTensorType, options: TensorFromMLTensorOptions<T>): TypedTensor<T>;
  /** The same as the constructor; nothing is pinned. */
  fromPinnedBuffer<T extends Exclude<Tensor.Type, 'string'>>(type: T, buffer: Tensor.DataTypeMap[T], dims?: readonly number[]): TypedTensor<T>;
}

type Dims = readonly number[];

/** The constructor of {@link Tensor}. Without `dims` a tensor has one dimension. */
export interface TensorConstructor extends TensorFactory {
  new (type: 'string', data: readonly string[], dims?: Dims): TypedTensor<'string'>;
  new (type: 'bool', data: Uint8Array | readonly boolean[], dims?: Dims): TypedTensor<'bool'>;
  new (type: 'uint8', data: Uint8ClampedArray, dims?: Dims): TypedTensor<'uint8'>;
  new <T extends 'uint64' | 'int64'>(type: T, data: Tensor.DataTypeMap[T] | readonly bigint[] | readonly number[], dims?: Dims): TypedTensor<T>;
  new <T extends Exclude<Tensor.Type, 'string' | 'bool' | 'uint64' | 'int64'>>(
    type: T,
    data: Tensor.DataTypeMap[T] | readonly number[],
    dims?: Dims,
  ): TypedTensor<T>;
  new (data: Float32Array, dims?: Dims): TypedTensor<'float32'>;
  new (data: Int8Array, dims?: Dims): TypedTensor<'int8'>;
  new (data: Uint8Array, dims?: Dims): TypedTensor<'uint8'>;
  new (data: Uint8ClampedArray, dims?: Dims): TypedTensor<'uint8'>;
  new (data: Uint16Array, dims?: Dims): TypedTensor<'uint16'>;
  new (data: Int16Array, dims?: Dims): TypedTensor<'int16'>;
  new (data: Int32Array, dims?: Dims): TypedTensor<'int32'>;
  new (data: BigInt64Array, dims?: Dims): TypedTensor<'int64'>;
  new (data: readonly string[], dims?: Dims): TypedTensor<'string'>;
  new (data: readonly boolean[], dims?: Dims): TypedTensor<'bool'>;
  new (data: Float64Array, dims?: Dims): TypedTensor<'float64'>;
  new (data: Uint32Array, dims?: Dims): TypedTensor<'uint32'>;
  new (data: BigUint64Array, dims?: Dims): TypedTensor<'uint64'>;
  new (type: Tensor.Type, data: Tensor.DataType | readonly number[] | readonly string[] | readonly bigint[] | readonly boolean[], dims?: Dims): Tensor;
  new (data: Tensor.DataType, dims?: Dims): Tensor;
}

/** Makes tensors, of data, of pictures, or of what is on a GPU. */
export const Tensor = TensorImpl as unknown as TensorConstructor;
