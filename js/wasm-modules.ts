// What the wasm modules export, as types. The bundler resolves `#engine` and `#compiler` to wasm-bindgen's glue,
// wrapped so that every call of the factory gives a fresh copy (see pkg-config/esbuild.mjs).

import type { ClassifierOutput, ImageInput, ImageView } from './types.js';

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
  /** Sizes; a symbolic dimension is its name, an unknown one `?`, any number of dimensions `...`. */
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

/** An encoded plan that is made while it is read. */
export interface CompiledPlan {
  /** Bytes. */
  readonly size: number;
  /** Fills an array with the bytes from `offset` on. */
  read(offset: number, to: Uint8Array): void;
}

/** What the engine asks the compiler for while a model runs. Synchronous. */
export interface Host {
  /** The plan for these input shapes. */
  specialize(shapes: number[][]): CompiledPlan;
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

/** What a plan consists of. */
export interface PlanDescription {
  /** By input shapes, most recently used last. */
  variants: {
    /** In the order of the model's inputs. */
    inputShapes: number[][];
    steps: (Pick<MeasuredStep, 'node' | 'opType' | 'kernel' | 'shape' | 'macs'> & {
      /** The compiler's number for it, if it is a part that the engine has no step for. */
      subgraph?: number;
    })[];
    /** Bytes that a run computes in. */
    arenaBytes: number;
  }[];
  /** Bytes that the packed weights take. */
  weightBytes: number;
}

/** A model ready to run. */
export interface EngineSession {
  info(): ModelInfo;
  run(inputs: TensorObject[], outputs: string[] | undefined, options: { allowNaN?: boolean; profile?: boolean | undefined }): TensorObject[];
  /** Begins a run that is carried out bit by bit; one that was begun before is dropped. */
  begin(inputs: TensorObject[], outputs: string[] | undefined, options: { allowNaN?: boolean; profile?: boolean | undefined }): void;
  /** Goes on with it for about so long: true when it is at its end. */
  advance(milliseconds: number): boolean;
  /** What it gives. */
  finish(): TensorObject[];
  /** Gives it up. */
  cancel(): void;
  /** The steps of the last run with `profile`. */
  profile(): MeasuredStep[];
  /** What the plan consists of. */
  describe(): PlanDescription;
  /** How many parts of the graph the compiler executes. */
  subgraphs(): number;
  /** Whether runs may ask the host. If not, the session does not refer to it, and the compiler's memory is given back. */
  needsHost(): boolean;
  free(): void;
}

/** A model as the compiler holds it. */
export interface CompiledModel extends Host {
  plan(): CompiledPlan;
  /** Parts that the engine has no steps for, by the numbers that the plan has for them. */
  fallbacks(): { id: number; nodes: { node: string; opType: string; reason: string }[] }[];
  free(): void;
}

/** Bytes of a file that the model refers to. */
export interface ExternalFile {
  path: string;
  data: Uint8Array;
}

/** Which classes are wanted. */
export interface ClassifySpec {
  topK?: number | undefined;
  threshold?: number | undefined;
  activation?: ClassifierOutput['activation'];
  /** Indices of the only classes to give, and of those to leave out. */
  allow?: readonly number[] | undefined;
  deny?: readonly number[] | undefined;
}

/** A class and its score. */
export interface RankedClass {
  index: number;
  score: number;
}

/** What an instance exports, as it is without glue. */
export interface Exports {
  memory: WebAssembly.Memory;
  /** Whether memory ran out and no error has said so; for when the module has trapped. */
  outOfMemory?: () => number;
}

/** wasm-bindgen's initialiser. */
export type Init = (options: {
  module_or_path: WebAssembly.Module;
  /** Of the instance whose work this one shares. Modules without threads have one of their own and ignore it. */
  memory?: WebAssembly.Memory | object;
  /** Bytes for the stack of such an instance. */
  thread_stack_size?: number;
}) => Promise<Exports>;

/** One copy of the engine's glue. */
export interface EngineModule {
  init: Init;
  /** Version of the package, build and dot product: `0.1.0+relaxed.usdot`. */
  version(): string;
  EngineSession: new (plan: Uint8Array | CompiledPlan, host: Host | undefined) => EngineSession;
  preprocess(
    rgba: Uint8Array | Uint8ClampedArray,
    width: number,
    height: number,
    spec: ImageInput,
    view?: ImageView & { orientation?: number | undefined },
  ): TensorObject;
  /** The best classes of each row of scores. */
  classify(scores: TensorObject, spec: ClassifySpec): RankedClass[][];
  /** Those of one row, averaged with earlier ones. */
  classifySmoothed(
    scores: TensorObject,
    spec: ClassifySpec,
    average: Float32Array | undefined,
    keep: number,
  ): { best: RankedClass[]; average: Float32Array };
  /** Says how many threads there are, before a session is made. This and what follows is only in builds with threads. */
  setThreads(threads: number): void;
  /** Waits for work and does it. Never comes back, but may trap. */
  help(): void;
  /** Ends the run that a helper which has trapped was part of. */
  helperFailed(): void;
}

/** One copy of the compiler's glue. */
export interface CompilerModule {
  init: Init;
  /** The bytes are read when they are needed, until there is neither the model nor a plan of it: they must not change. */
  CompiledModel: new (
    model: Uint8Array,
    externalData: readonly ExternalFile[],
    options: { freeDimensionOverrides?: Readonly<Record<string, number>> | undefined },
  ) => CompiledModel;
}
