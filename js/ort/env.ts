// The settings of onnxruntime-web. Apps set them before anything else, so all of them can be set; few have a meaning here.

import type { GlobalType } from './tensor.js';

/** Types that go with {@link Env}. What has no comment has no effect. */
export declare namespace Env {
  type WasmPathPrefix = string;
  interface WasmFilePaths {
    wasm?: URL | string;
    mjs?: URL | string;
  }
  type WasmPrefixOrFilePaths = WasmPathPrefix | WasmFilePaths;
  /** But for the first, all of them are accepted and have no effect: tractlet finds its own files, and picks the build that fits the browser. */
  interface WebAssemblyFlags {
    /** The option `threads` of sessions that are created from now on; 0, as without it: as many as are good. */
    numThreads?: number;
    simd?: boolean | 'fixed' | 'relaxed';
    /** @deprecated `env.trace` */
    trace?: boolean;
    initTimeout?: number;
    /** Where onnxruntime's files are. They are not loaded; `extra.tractlet.wasm` of a session's options is for tractlet's. */
    wasmPaths?: WasmPrefixOrFilePaths;
    /** onnxruntime's own WebAssembly, which is not used. */
    wasmBinary?: ArrayBufferLike | Uint8Array;
    /** Sessions run in a worker wherever they can. */
    proxy?: boolean;
  }
  /** There is no WebGL here: no effect. */
  interface WebGLFlags {
    contextId?: 'webgl' | 'webgl2';
    readonly context: WebGLRenderingContext;
    /** @deprecated */
    matmulMaxBatchSize?: number;
    textureCacheMode?: 'initializerOnly' | 'full';
    pack?: boolean;
    async?: boolean;
  }
  interface WebGpuProfilingDataV1TensorMetadata {
    dims: readonly number[];
    dataType: string;
  }
  interface WebGpuProfilingDataV1 {
    version: 1;
    inputsMetadata: readonly WebGpuProfilingDataV1TensorMetadata[];
    outputsMetadata: readonly WebGpuProfilingDataV1TensorMetadata[];
    kernelId: number;
    kernelType: string;
    kernelName: string;
    programName: string;
    startTime: number;
    endTime: number;
  }
  type WebGpuProfilingData = WebGpuProfilingDataV1;
  /** There is no WebGPU here: no effect. */
  interface WebGpuFlags {
    /** @deprecated */
    profilingMode?: 'off' | 'default';
    profiling: {
      mode?: 'off' | 'default';
      ondata?: (data: WebGpuProfilingData) => void;
    };
    /** @deprecated */
    powerPreference?: 'low-power' | 'high-performance';
    /** @deprecated */
    forceFallbackAdapter?: boolean;
    /** @deprecated */
    adapter: GlobalType<'GPUAdapter'>;
    /** A promise of what it was set to. */
    get device(): Promise<GlobalType<'GPUDevice'>>;
    set device(value: GlobalType<'GPUDevice'>);
    validateInputContent?: boolean;
  }
}

/** The settings of onnxruntime-web. */
export interface Env {
  /** No effect: nothing is logged, errors say what there is to say. */
  logLevel?: 'verbose' | 'info' | 'warning' | 'error' | 'fatal';
  /** No effect. */
  debug?: boolean;
  /** Whether the functions `TRACE...` do anything. */
  trace?: boolean;
  readonly versions: {
    /** The version of onnxruntime-common that this interface is that of. */
    readonly common: string;
    /**
     * Left out: apps compute from it where to download onnxruntime's files, and transformers.js does so as soon as it is
     * loaded.
     */
    readonly web?: string;
    readonly node?: string;
    readonly 'react-native'?: string;
  };
  readonly wasm: Env.WebAssemblyFlags;
  readonly webgl: Env.WebGLFlags;
  readonly webgpu: Env.WebGpuFlags;
  [name: string]: unknown;
}

let device: unknown;

/** The settings. */
export const env: Env = {
  logLevel: 'warning',
  versions: { common: '1.30.0' },
  wasm: {},
  // Other than declared, as in onnxruntime before the first session there is no context and no adapter.
  webgl: {} as Env.WebGLFlags,
  webgpu: {
    profiling: {},
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- has to be there
    adapter: undefined,
    get device(): Promise<GlobalType<'GPUDevice'>> {
      return Promise.resolve(device);
    },
    set device(value: GlobalType<'GPUDevice'>) {
      device = value;
    },
  },
};
