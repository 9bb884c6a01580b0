// What is said between the page's thread and the runtime, be it in a worker or in the same thread. Types only.
// A runtime serves one session, one call at a time: the page keeps the queue (see client.ts).

import type { CacheLike } from './cache.js';
import type { ModelInspection } from './compile.js';
import type { ErrorObject } from './errors.js';
import type { ClassifierOutput, ImageInput, ImageView, Labels, ModelCard, Pixels, ProgressInfo, SessionMemory, Timings } from './types.js';
import type { ClassifySpec, MeasuredStep, ModelInfo, RankedClass, TensorObject } from './wasm-modules.js';

/** Something to load: an address, or a body that is already there. */
export interface Source {
  /** Short name for progress and messages. */
  readonly file: string;
  /** Absolute address; fetched when there is no body. */
  readonly url?: string | undefined;
  readonly body?: Uint8Array | Blob | ReadableStream<Uint8Array> | undefined;
  /** The head of the HTTP answer whose body this is. */
  readonly head?: ResponseHead | undefined;
  /** `sha256-<base64>` that belongs to the source itself. */
  readonly integrity?: string | undefined;
}

/** The parts of an HTTP answer's head that matter here. */
export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly type: string;
  /** Length of the body as announced; 0 when unknown. */
  readonly length: number;
  /** A strong ETag, or the date of the last change: what tells versions apart. Empty when there is none. */
  readonly validator: string;
}

/** Told of the steps of loading. */
export type Emit = (event: Omit<ProgressInfo, 'name'>) => void;

export type WasmName = 'engine' | 'engineThreads' | 'compiler';
/** Where each module is from: `awaited` is one that another session compiles, and which comes by the line. */
export type WasmSources = Partial<Record<WasmName, Source | WebAssembly.Module | 'awaited' | undefined>>;

/** What is said on the line between a page and a worker that loads: a compiled module, or that there will be none. */
export interface ModuleMessage {
  readonly name: WasmName;
  readonly module: WebAssembly.Module | undefined;
}

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
  /** Classes of the model; undefined where it does not say. */
  readonly classes: number | undefined;
  /** Whether pictures can be decoded there. */
  readonly canDecode: boolean;
}

export interface OpenRequest {
  /** Absent when a card names the model. */
  readonly model?: Source | undefined;
  readonly card?: Source | undefined;
  /** Absent when a card has it, or when the session is no classifier. */
  readonly classifier?: ClassifierSpec | undefined;
  readonly wasm: WasmSources;
  /** For modules, where there is a worker, see {@link ModuleMessage}. */
  readonly line?: MessagePort | undefined;
  /** Where downloads are kept; a port where it is the page that has it, see cache-port.ts. */
  readonly cache: boolean | CacheLike | MessagePort;
  /** Whether anyone wants to know how the loading goes on. */
  readonly progress: boolean;
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
  readonly classifier?: ClassifierInfo | undefined;
}

/** What to compile, or to look into. */
export interface CompileRequest extends OpenRequest {
  readonly model: Source;
  readonly shapes: readonly Readonly<Record<string, readonly number[]>>[];
}

export interface CompileResult {
  readonly plan: Uint8Array;
}

export interface InspectResult extends Omit<ModelInspection, 'inputs' | 'outputs' | 'metadata'> {
  readonly info: ModelInfo;
}

/** A picture as it is posted. */
export type PortableImage = Pixels | Blob | ImageBitmap | VideoFrame;

export interface ClassifyRequest {
  readonly images: readonly PortableImage[];
  /** Whether errors say which of them they are about. */
  readonly numbered: boolean;
  readonly input: ImageInput;
  readonly view: ImageView;
  readonly spec: ClassifySpec;
  /** For a picture of a stream. */
  readonly smoothing?: Smoothing | undefined;
}

/** Averages the scores with those of earlier pictures. */
export interface Smoothing {
  /** Of the pictures so far; undefined for the first one. */
  readonly average?: Float32Array | undefined;
  /** Its weight, 0 to 1. */
  readonly keep: number;
}

export interface ClassifyResult {
  /** The best classes of each picture. */
  readonly best: readonly (readonly RankedClass[])[];
  readonly timings: Timings;
  /** For the next picture of the stream. */
  readonly average?: Float32Array | undefined;
}

export interface PreprocessRequest {
  readonly image: PortableImage;
  readonly input: ImageInput;
  readonly view: ImageView;
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
  /** Loads the engine alone, for `preprocess`; gives whether pictures can be decoded there. */
  engine: [{ readonly wasm: WasmSources }, { readonly canDecode: boolean }];
  preprocess: [PreprocessRequest, { readonly outputs: [TensorObject] }];
  memory: [undefined, SessionMemory];
  compile: [CompileRequest, CompileResult];
  inspect: [CompileRequest, InspectResult];
}

export type Method = keyof Methods;

// Every message has the field `tractlet`, so that others may post on the same worker.

/** To the runtime. */
export type Call = { [M in Method]: { tractlet: 'call'; id: number; method: M; request: Methods[M][0]; stoppable: boolean } }[Method];

/** To the runtime: nobody waits for that call any more. Its reply, which is still due, says when it has stopped. */
export interface Cancel {
  readonly tractlet: 'cancel';
  readonly id: number;
}

/** From the runtime. */
export type Reply =
  /** The worker has started. */
  | { tractlet: 'hello' }
  | { tractlet: 'progress'; id: number; event: ProgressInfo }
  | { tractlet: 'result'; id: number; result: Methods[Method][1] }
  /** `fatal`: the runtime is unusable from here on. */
  | { tractlet: 'error'; id: number; error: ErrorObject; fatal: boolean };
