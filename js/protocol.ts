// What is said between the page's thread and the runtime, be it in a worker or in the same thread. Types only.
// A runtime serves one session, one call at a time: the page keeps the queue (see client.ts).

import type { ErrorObject } from './errors.js';
import type { ClassifierOutput, ImageInput, Labels, ModelCard, Pixels, ProgressInfo, SessionMemory, Timings } from './types.js';
import type { MeasuredStep, ModelInfo, TensorObject } from './wasm-modules.js';

/** Something to load: an address, or a body that is already there. */
export interface Source {
  /** Short name for progress and messages. */
  readonly file: string;
  /** Absolute address; fetched when there is no body. */
  readonly url?: string | undefined;
  readonly body?: Uint8Array | Blob | ReadableStream<Uint8Array> | undefined;
  /** The head of the HTTP answer whose body this is. */
  readonly head?: ResponseHead | undefined;
}

/** The parts of an HTTP answer's head that matter here. */
export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly type: string;
  /** Length of the body as announced; 0 when unknown. */
  readonly length: number;
}

export type WasmName = 'engine' | 'engineThreads' | 'compiler';
export type WasmSources = Partial<Record<WasmName, Source | WebAssembly.Module | undefined>>;

export interface ExternalSource {
  readonly path: string;
  readonly source: Source;
}

/** What makes a session a classifier. */
export interface ClassifierSpec {
  readonly input: ImageInput;
  readonly output?: ClassifierOutput | undefined;
  readonly labels?: Labels | Source | undefined;
}

/** The same once everything is loaded and checked against the model. */
export interface ClassifierInfo {
  readonly input: ImageInput;
  readonly output?: ClassifierOutput | undefined;
  readonly labels?: Labels | undefined;
  readonly card?: ModelCard | undefined;
}

export interface OpenRequest {
  /** Absent when a card names the model. */
  readonly model?: Source | undefined;
  readonly card?: Source | undefined;
  /** Absent when a card has it, or when the session is no classifier. */
  readonly classifier?: ClassifierSpec | undefined;
  readonly wasm: WasmSources;
  readonly externalData: readonly ExternalSource[];
  readonly freeDimensionOverrides?: Readonly<Record<string, number>> | undefined;
  readonly allowNaN: boolean;
  /** How many are wanted; undefined: as many as are good. */
  readonly threads: number | undefined;
  /** The caller has named an engine, but none with threads. */
  readonly engineOnly: boolean;
  readonly integrity?: string | undefined;
}

export interface OpenResult {
  readonly info: ModelInfo;
  readonly version: string;
  /** Parts of the graph that the compiler executes. */
  readonly subgraphs: number;
  /** Whether the compiler stays in memory. */
  readonly compiler: boolean;
  readonly threads: number;
  /** Why there are not more. */
  readonly threadsReason: string | undefined;
  /** The modules in use, for the next worker. */
  readonly modules: Partial<Record<WasmName, WebAssembly.Module>>;
  readonly classifier?: ClassifierInfo | undefined;
  /** Whether pictures can be decoded there. */
  readonly canDecode: boolean;
}

/** A picture as it is posted. */
export type PortableImage = Pixels | Blob | ImageBitmap | VideoFrame;

export interface ClassifyRequest {
  readonly image: PortableImage;
  readonly input: ImageInput;
  readonly activation: ClassifierOutput['activation'];
  readonly topK: number;
  readonly threshold: number | undefined;
}

export interface ClassifyResult {
  readonly best: readonly { readonly index: number; readonly score: number }[];
  readonly timings: Timings;
}

export interface RunRequest {
  readonly inputs: TensorObject[];
  /** All of them when left out. */
  readonly outputs: string[] | undefined;
  readonly profile: boolean;
}

export interface RunResult {
  readonly outputs: TensorObject[];
  /** Where it was asked for. */
  readonly profile?: { readonly steps: MeasuredStep[]; /** Milliseconds since 1970. */ readonly began: number } | undefined;
}

/** The calls of the runtime: request and result. */
export interface Methods {
  open: [OpenRequest, OpenResult];
  classifier: [ClassifierSpec, ClassifierInfo];
  run: [RunRequest, RunResult];
  classify: [ClassifyRequest, ClassifyResult];
  memory: [undefined, SessionMemory];
}

export type Method = keyof Methods;

// Every message has the field `tractlet`, so that others may post on the same worker.

/** To the runtime. */
export type Call = { [M in Method]: { tractlet: 'call'; id: number; method: M; request: Methods[M][0] } }[Method];

/** From the runtime. */
export type Reply =
  /** The worker has started. */
  | { tractlet: 'hello' }
  | { tractlet: 'progress'; id: number; event: ProgressInfo }
  | { tractlet: 'result'; id: number; result: Methods[Method][1] }
  /** `fatal`: the runtime is unusable from here on. */
  | { tractlet: 'error'; id: number; error: ErrorObject; fatal: boolean };
