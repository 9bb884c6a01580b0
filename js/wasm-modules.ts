// What the wasm modules export, as types. The bundler resolves `#engine`, `#engine-threads` and `#compiler` to their glue,
// wrapped so that every call of the factory gives a fresh copy (see pkg-config/esbuild.mjs).

/** A tensor on the wasm border. */
export interface TensorObject {
  name: string;
  /** `float32` and so on. */
  type: string;
  dims: number[];
  /** Little-endian bytes in a buffer of their own, or the strings of a string tensor. */
  data: Uint8Array | string[];
}

/** An input or output of a model. */
export interface ValueInfo {
  name: string;
  type: string;
  /** Sizes; a symbolic dimension is its name, an unknown one `?`. */
  shape: (number | string)[];
}

/** What a model says about itself. */
export interface ModelInfo {
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  graphName: string;
  producerName: string;
  producerVersion: string;
  irVersion: number;
  opsets: { domain: string; version: number }[];
  metadata: Record<string, string>;
  description: string;
}

/** What the engine asks the compiler for while a model runs. Synchronous. */
export interface Host {
  /** The plan for these input shapes. */
  specialize(shapes: number[][]): Uint8Array;
  /** Runs a part of the graph that the engine has no step for. */
  runSubgraph(id: number, inputs: TensorObject[]): TensorObject[];
}

/** A step of a measured run. */
export interface MeasuredStep {
  /** The model's name for the node. */
  node: string;
  /** Its operator. */
  opType: string;
  /** What computed it; `tract` for a part of the graph that the compiler executed. */
  kernel: string;
  /** Shape of the result as it lies in memory: images are channels last. */
  shape: number[];
  /** When it began, in microseconds from the start of the run. */
  start: number;
  microseconds: number;
  /** Products that were added up. */
  macs: number;
}

/** A model ready to run. */
export interface EngineSession {
  info(): ModelInfo;
  run(inputs: TensorObject[], outputs: string[] | undefined, options: { allowNaN?: boolean; profile?: boolean }): TensorObject[];
  /** The steps of the last run with `profile`. */
  profile(): MeasuredStep[];
  /** How many parts of the graph the compiler executes. */
  subgraphs(): number;
  /** Whether runs may ask the host. If not, the session does not refer to it, and the compiler's memory is given back. */
  needsHost(): boolean;
  free(): void;
}

/** A model as the compiler holds it. */
export interface CompiledModel extends Host {
  plan(): Uint8Array;
  free(): void;
}

/** Bytes of a file that the model refers to. */
export interface ExternalFile {
  path: string;
  data: Uint8Array;
}

/** wasm-bindgen's initialiser; gives the instance's exports. */
export type Init = (options: {
  module_or_path: WebAssembly.Module;
  /** Of the instance whose work this one shares. */
  memory?: WebAssembly.Memory;
  /** Then: bytes for its stack. */
  thread_stack_size?: number;
}) => Promise<{ memory: WebAssembly.Memory }>;

/** One copy of the engine's glue. */
export interface EngineModule {
  init: Init;
  /** Version of the package, build and dot product: `0.1.0+relaxed.usdot`. */
  version(): string;
  EngineSession: new (plan: Uint8Array, host: Host | undefined) => EngineSession;
  preprocess(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number, spec: object): TensorObject;
  classify(scores: TensorObject, spec: object): { index: number; score: number }[][];
}

/** One copy of the glue of an engine that has threads. */
export interface ThreadsEngineModule extends EngineModule {
  /** Says how many threads there are, before a session is made. */
  setThreads(threads: number): void;
  /** Waits for work and does it. Never comes back, but may trap. */
  help(): void;
  /** Ends the run that a helper which has trapped was part of. */
  helperFailed(): void;
}

/** One copy of the compiler's glue. */
export interface CompilerModule {
  init: Init;
  CompiledModel: new (
    model: Uint8Array,
    externalData: ExternalFile[],
    options: { freeDimensionOverrides?: Readonly<Record<string, number>> | undefined },
  ) => CompiledModel;
}
