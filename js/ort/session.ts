// Sessions as onnxruntime-common declares them. tests/js/ort.test-d.ts compares the two.
/* eslint-disable @typescript-eslint/consistent-type-definitions, @typescript-eslint/consistent-indexed-object-style,
   @typescript-eslint/unified-signatures, @typescript-eslint/no-redundant-type-constituents --
   the forms are those of onnxruntime-common, so that the types go together */

import type { InferenceSession as BaseSession } from '../index.js';
import { SessionImpl } from './session-impl.js';
import type { GlobalType, Tensor } from './tensor.js';

/** Values of models are tensors. */
export type NonTensorType = never;
/** What goes into models and comes out of them. */
export type OnnxValue = Tensor | NonTensorType;
/** Where a value is. */
export type OnnxValueDataLocation = Tensor.DataLocation;

/** An address; in Node also a path. */
export type FileUrlOrPath = string;
/** A file as the browser has it. */
export type FileBlob = Blob;
/** The bytes of a file. */
export type FileData = Uint8Array | ArrayBufferLike;
/** Any of them. */
export type FileType = FileUrlOrPath | FileBlob | FileData;
/** A file that a model refers to. */
export interface ExternalDataFileDescription {
  data: FileType;
  /** The name that the model uses. */
  path: string;
}
/** A string is both the name that the model uses and the address. */
export type ExternalDataFileType = ExternalDataFileDescription | FileUrlOrPath;
/** Options about the model. */
export interface OnnxModelOptions {
  /** Files that the model refers to. */
  externalData?: readonly ExternalDataFileType[];
}

/** Types that go with {@link InferenceSession}, as in onnxruntime-common. */
export declare namespace InferenceSession {
  type OnnxValueMapType = { readonly [name: string]: OnnxValue };
  type NullableOnnxValueMapType = { readonly [name: string]: OnnxValue | null };
  /** Input tensors by name. */
  type FeedsType = OnnxValueMapType;
  /** Output names; or an object from name to null, or to a tensor that is filled. */
  type FetchesType = readonly string[] | NullableOnnxValueMapType;
  /** Output tensors by name. */
  type ReturnType = OnnxValueMapType;

  /** Options of {@link InferenceSessionFactory.create}. Those without a comment are accepted and have no effect. */
  interface SessionOptions extends OnnxModelOptions {
    /** Any list is accepted: everything runs in WebAssembly. */
    executionProviders?: readonly ExecutionProviderConfig[];
    intraOpNumThreads?: number;
    interOpNumThreads?: number;
    /** Sizes for symbolic dimensions, by their names. */
    freeDimensionOverrides?: { readonly [dimensionName: string]: number };
    graphOptimizationLevel?: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
    enableCpuMemArena?: boolean;
    enableMemPattern?: boolean;
    executionMode?: 'sequential' | 'parallel';
    optimizedModelFilePath?: string;
    /** As if {@link InferenceSession.startProfiling} were called at once. */
    enableProfiling?: boolean;
    profileFilePrefix?: string;
    logId?: string;
    logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
    logVerbosityLevel?: number;
    preferredOutputLocation?: OnnxValueDataLocation | { readonly [outputName: string]: OnnxValueDataLocation };
    enableGraphCapture?: boolean;
    /** `{ tractlet: { signal, onProgress, ... } }`: options of tractlet's own sessions. Everything else has no effect. */
    extra?: Record<string, unknown> & { tractlet?: BaseSession.SessionOptions };
  }

  /** Options of {@link InferenceSession.run}. Those without a comment are accepted and have no effect. */
  interface RunOptions {
    logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
    logVerbosityLevel?: number;
    terminate?: boolean;
    tag?: string;
    /** `{ tractlet: { signal, transfer, ... } }`: options of the runs of tractlet's own sessions. Everything else has no effect. */
    extra?: Record<string, unknown> & { tractlet?: BaseSession.RunOptions };
  }

  interface ValueMetadataBase {
    readonly name: string;
  }
  interface NonTensorValueMetadata extends ValueMetadataBase {
    readonly isTensor: false;
  }
  interface TensorValueMetadata extends ValueMetadataBase {
    readonly isTensor: true;
    readonly type: Tensor.Type;
    readonly shape: readonly (number | string)[];
  }
  type ValueMetadata = NonTensorValueMetadata | TensorValueMetadata;

  interface ExecutionProviderOption {
    readonly name: string;
  }
  interface CpuExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'cpu';
    useArena?: boolean;
  }
  interface CudaExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'cuda';
    deviceId?: number;
  }
  interface DmlExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'dml';
    deviceId?: number;
  }
  interface TensorRtExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'tensorrt';
    deviceId?: number;
  }
  interface WebAssemblyExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'wasm';
  }
  interface WebGLExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'webgl';
  }
  interface XnnpackExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'xnnpack';
  }
  type BufferCacheMode = 'disabled' | 'lazyRelease' | 'simple' | 'bucket';
  interface WebGpuExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'webgpu';
    preferredLayout?: 'NCHW' | 'NHWC';
    forceCpuNodeNames?: readonly string[];
    validationMode?: 'disabled' | 'wgpuOnly' | 'basic' | 'full';
    enableRobustness?: boolean;
    storageBufferCacheMode?: BufferCacheMode;
    uniformBufferCacheMode?: BufferCacheMode;
    queryResolveBufferCacheMode?: BufferCacheMode;
    defaultBufferCacheMode?: BufferCacheMode;
    device?: GlobalType<'GPUDevice'>;
  }
  interface WebNNExecutionProviderName extends ExecutionProviderOption {
    readonly name: 'webnn';
  }
  interface WebNNContextOptions {
    deviceType?: 'cpu' | 'gpu' | 'npu';
    numThreads?: number;
    powerPreference?: 'default' | 'low-power' | 'high-performance';
  }
  interface WebNNOptionsWithoutMLContext extends WebNNExecutionProviderName, WebNNContextOptions {
    context?: never;
  }
  interface WebNNOptionsWithMLContext
    extends WebNNExecutionProviderName, Omit<WebNNContextOptions, 'deviceType'>, Required<Pick<WebNNContextOptions, 'deviceType'>> {
    context: GlobalType<'MLContext'>;
  }
  interface WebNNOptionsWebGpu extends WebNNExecutionProviderName {
    context: GlobalType<'MLContext'>;
    gpuDevice: GlobalType<'GPUDevice'>;
  }
  type WebNNExecutionProviderOption = WebNNOptionsWithoutMLContext | WebNNOptionsWithMLContext | WebNNOptionsWebGpu;
  interface QnnExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'qnn';
    backendType?: string;
    backendPath?: string;
    enableFp16Precision?: boolean;
  }
  interface CoreMLExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'coreml';
    coreMlFlags?: number;
    useCPUOnly?: boolean;
    useCPUAndGPU?: boolean;
    enableOnSubgraph?: boolean;
    onlyEnableDeviceWithANE?: boolean;
  }
  interface NnapiExecutionProviderOption extends ExecutionProviderOption {
    readonly name: 'nnapi';
    useFP16?: boolean;
    useNCHW?: boolean;
    cpuDisabled?: boolean;
    cpuOnly?: boolean;
  }
  interface ExecutionProviderOptionMap {
    coreml: CoreMLExecutionProviderOption;
    cpu: CpuExecutionProviderOption;
    cuda: CudaExecutionProviderOption;
    dml: DmlExecutionProviderOption;
    nnapi: NnapiExecutionProviderOption;
    tensorrt: TensorRtExecutionProviderOption;
    wasm: WebAssemblyExecutionProviderOption;
    webgl: WebGLExecutionProviderOption;
    webgpu: WebGpuExecutionProviderOption;
    webnn: WebNNExecutionProviderOption;
    qnn: QnnExecutionProviderOption;
    xnnpack: XnnpackExecutionProviderOption;
  }
  type ExecutionProviderName = keyof ExecutionProviderOptionMap;
  type ExecutionProviderConfig =
    | ExecutionProviderOptionMap[ExecutionProviderName]
    | ExecutionProviderOption
    | ExecutionProviderName
    | string;
}

/** A model, ready to run. */
export interface InferenceSession {
  /** Runs the model. Runs of one session take place one after the other, in the order of the calls. */
  run(feeds: InferenceSession.FeedsType, options?: InferenceSession.RunOptions): Promise<InferenceSession.ReturnType>;
  run(feeds: InferenceSession.FeedsType, fetches: InferenceSession.FetchesType, options?: InferenceSession.RunOptions): Promise<InferenceSession.ReturnType>;
  /** Ends the session's worker and gives its memory back. */
  release(): Promise<void>;
  /** From now on runs are measured: each step becomes a `performance.measure`, on the browser's time line. */
  startProfiling(): void;
  /** From now on runs are not measured. */
  endProfiling(): void;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
}

/** How sessions are made. */
export interface InferenceSessionFactory {
  /** Loads the model from an address; in Node also from a path. */
  create(uri: string, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  /** Loads the model from bytes. */
  create(buffer: ArrayBufferLike, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  /** Loads the model from a part of a buffer. */
  create(buffer: ArrayBufferLike, byteOffset: number, byteLength?: number, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  /** Loads the model from bytes. */
  create(buffer: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  /** Loads the model from anything that `tractlet` takes; onnxruntime-common does not declare this form. */
  create(source: BaseSession.ModelSource, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
}

/** Makes sessions. */
export const InferenceSession = SessionImpl as unknown as InferenceSessionFactory;
