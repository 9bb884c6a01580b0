/// <reference lib="esnext.disposable" preserve="true" />
// Sessions: a model, ready to run.

import { Client } from './client.js';
import { failure, tagOf } from './errors.js';
import { abortable, checkOptions, invalid, type OptionName } from './options.js';
import type { ClassifierSpec, ExternalSource, OpenRequest, OpenResult, RunResult, Source, WasmName } from './protocol.js';
import { type FileSource, toSource, transferOf } from './source.js';
import { fromTensorObject, Tensor, toTensorObject } from './tensor.js';
import type { ProgressInfo, RuntimeInfo, SessionMemory } from './types.js';
import type { ModelInfo, TensorObject } from './wasm-modules.js';

export declare namespace InferenceSession {
  /** What a model can be loaded from. A string is an address; in Node it may also be a path. */
  type ModelSource = FileSource;

  /** Where the WebAssembly modules are. */
  interface WasmOptions {
    readonly engine?: FileSource | WebAssembly.Module | undefined;
    /** The engine with threads. Without it, there is one thread only if `engine` is given. */
    readonly engineThreads?: FileSource | WebAssembly.Module | undefined;
    /** Only loaded for raw `.onnx` files. */
    readonly compiler?: FileSource | WebAssembly.Module | undefined;
  }

  /** Options of {@link InferenceSession.create}. */
  interface SessionOptions {
    /** Where the WebAssembly modules are, should they not lie beside the package's JavaScript. */
    readonly wasm?: WasmOptions | undefined;
    /** Stops the loading; `create` then rejects with the signal's reason. */
    readonly signal?: AbortSignal | undefined;
    /** Called as the loading goes on. */
    readonly onProgress?: ((event: ProgressInfo) => void) | undefined;
    /** Files that the model refers to, by the path that it uses. */
    readonly externalData?: readonly { readonly path: string; readonly data: FileSource }[] | undefined;
    /** Sizes for symbolic dimensions, by their names. A model with fixed sizes runs faster. */
    readonly freeDimensionOverrides?: Readonly<Record<string, number>> | undefined;
    /** Accept NaN in inputs, which quantized models turn into arbitrary numbers. Default false: `INPUT_VALUE`. */
    readonly allowNaN?: boolean | undefined;
    /** `sha256-<base64>` (or sha384, sha512) of the model file. */
    readonly integrity?: string | undefined;
    /**
     * Whether to run in a worker. Default: in a worker where there is a window and workers can be started, otherwise in
     * the calling thread. `true` insists on it.
     */
    readonly worker?: boolean | undefined;
    /**
     * How many threads may share the work: a whole number above 0. Default: up to 4, one for each processor core. There is
     * but one where the page is not cross-origin isolated or the session runs in the page's own thread;
     * {@link RuntimeInfo.threadsReason} says so.
     */
    readonly threads?: number | undefined;
  }

  /** Input tensors by name. */
  type FeedsType = Readonly<Record<string, Tensor>>;
  /** Output names: a list, or the keys of an object whose values are null. */
  type FetchesType = readonly string[] | Readonly<Record<string, null>>;
  /** Output tensors by name. */
  type ReturnType = Record<string, Tensor>;

  /** Options of {@link InferenceSession.run}. */
  interface RunOptions {
    /** Gives up waiting: `run` rejects with the signal's reason at once. A run that has not begun does not begin. */
    readonly signal?: AbortSignal | undefined;
    /** Gives the inputs away instead of copying them: their arrays are empty afterwards. Default false. */
    readonly transfer?: boolean | undefined;
    /**
     * Measures every step: afterwards they are in {@link InferenceSession.profile}, and as measures named
     * `tractlet: <opType> <name>` on the browser's performance time line. Default false.
     */
    readonly profile?: boolean | undefined;
  }

  /** A step of a measured run. */
  interface ProfileEntry {
    /** The model's name for the node. */
    readonly name: string;
    /** Its operator. */
    readonly opType: string;
    /** What computed it; `tract` for a part of the graph that the engine has no step for. */
    readonly kernel: string;
    /** Shape of the result as it lies in memory: images are channels last. */
    readonly shape: readonly number[];
    /** How long it took. Browsers round times, to 100 or 1000 unless the page is cross-origin isolated. */
    readonly microseconds: number;
    /** Products that were added up. */
    readonly macs: number;
  }

  /** An input or output of the model. */
  interface ValueMetadata {
    readonly name: string;
    /** All are tensors; here because onnxruntime has other kinds. */
    readonly isTensor: true;
    readonly type: Tensor.Type;
    /** Sizes. A symbolic dimension is its name, an unknown one `?`. */
    readonly shape: readonly (number | string)[];
  }

  /** What the model file says about itself. */
  type ModelMetadata = Readonly<Omit<ModelInfo, 'inputs' | 'outputs'>>;
}

/** Everything that {@link InferenceSession.open} takes besides the options. */
type OpenParts =
  | { readonly card: FileSource }
  | {
      readonly card?: undefined;
      readonly model: FileSource;
      readonly classifier?: Omit<ClassifierSpec, 'labels'> & { readonly labels?: unknown };
    };

/** @internal Names of the options of {@link InferenceSession.create}. */
export const SESSION_OPTIONS: readonly OptionName[] = [
  'wasm',
  'signal',
  'onProgress',
  'externalData',
  'freeDimensionOverrides',
  'allowNaN',
  'integrity',
  'worker',
  'threads',
];

/** Compiled modules that a worker has handed back, for the next ones. */
const modules: Partial<Record<WasmName, WebAssembly.Module>> = {};

// Sessions that nobody refers to any more need not keep their worker. Made with the first session.
let forgotten: FinalizationRegistry<Client> | undefined;

/**
 * A model, ready to run.
 *
 * @example
 * ```ts
 * const session = await InferenceSession.create('/models/model.onnx');
 * const { logits } = await session.run({ input: new Tensor('float32', data, [1, 3, 224, 224]) });
 * await session.release();
 * ```
 */
export class InferenceSession {
  /** Names of the inputs, in the model's order. */
  readonly inputNames: readonly string[];
  /** Names of the outputs, in the model's order. */
  readonly outputNames: readonly string[];
  /** Type and shape of the inputs. */
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  /** Type and shape of the outputs. */
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
  /** What the model file says about itself: producer, operator sets, custom entries. */
  readonly modelMetadata: InferenceSession.ModelMetadata;
  /** What the session runs on. */
  readonly runtime: RuntimeInfo;
  #profile: readonly InferenceSession.ProfileEntry[] = [];
  /** @internal */
  readonly client: Client;
  /** @internal */
  readonly canDecode: boolean;

  private constructor(client: Client, { info, version, threads, threadsReason, subgraphs, compiler, canDecode }: OpenResult) {
    const { inputs, outputs, ...metadata } = info;
    const toMetadata = ({ name, type, shape }: ModelInfo['inputs'][number]): InferenceSession.ValueMetadata => ({
      name,
      isTensor: true,
      type: type as Tensor.Type,
      shape,
    });
    this.inputMetadata = inputs.map(toMetadata);
    this.outputMetadata = outputs.map(toMetadata);
    this.inputNames = inputs.map(({ name }) => name);
    this.outputNames = outputs.map(({ name }) => name);
    this.modelMetadata = metadata;
    // The engine's version is that of the package; after a plus sign its build, and how that multiplies here.
    const [number = '', traits = ''] = version.split('+');
    const [build, dot] = traits.split('.') as [RuntimeInfo['build'], RuntimeInfo['dot']];
    this.runtime = { version: number, build, dot, threads, threadsReason, worker: client.worker, subgraphs, compiler };
    this.client = client;
    this.canDecode = canDecode;
  }

  /**
   * Loads a model.
   *
   * @param model an `.onnx` file: its address, its bytes, or what has them
   * @throws ModelError when the model is damaged or uses something unknown, LoadError when it cannot be fetched,
   * InputError `INVALID_OPTION`; the signal's reason when that is aborted
   */
  static async create(model: InferenceSession.ModelSource, options: InferenceSession.SessionOptions = {}): Promise<InferenceSession> {
    checkOptions(options, SESSION_OPTIONS);
    const [session] = await InferenceSession.open({ model }, options);
    return session;
  }

  /** @internal Loads a model, or what a card names. Options are checked already. */
  static async open(parts: OpenParts, options: InferenceSession.SessionOptions): Promise<[InferenceSession, OpenResult]> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    const starting = Client.start(options.worker);
    let client: Client;
    try {
      client = await abortable(starting, signal);
    } catch (error) {
      // Aborted while it started.
      starting.then((started) => { started.release(); }, () => undefined);
      throw error;
    }
    try {
      const request = await abortable(toRequest(parts, options, client.worker), signal);
      const { model, card, classifier, wasm, externalData } = request;
      const sources = [model, card, classifier?.labels, ...Object.values(wasm), ...externalData.map(({ source }) => source)];
      const transfer = client.worker ? sources.filter(isSource).flatMap(transferOf) : [];
      const result = await client.call('open', request, { signal, onProgress, transfer });
      for (const name of Object.keys(result.modules) as WasmName[]) {
        const module = result.modules[name];
        if (module && !options.wasm?.[name]) modules[name] = module;
      }
      const session = new InferenceSession(client, result);
      forgotten ??= new FinalizationRegistry((lost) => {
        lost.releaseWhenIdle();
      });
      forgotten.register(session, client, session);
      return [session, result];
    } catch (error) {
      client.release();
      throw error;
    }
  }

  /**
   * Runs the model. Runs of one session take place one after the other, in the order of the calls.
   *
   * @param feeds a tensor for each input
   * @param options see {@link InferenceSession.RunOptions}
   * @returns the outputs by name
   * @throws InputError when inputs do not fit the model, SessionReleasedError, RuntimeCrashError
   */
  run(feeds: InferenceSession.FeedsType, options?: InferenceSession.RunOptions): Promise<InferenceSession.ReturnType>;
  /**
   * Runs the model for some of its outputs.
   *
   * @param feeds a tensor for each input
   * @param fetches which outputs
   * @param options see {@link InferenceSession.RunOptions}
   */
  run(
    feeds: InferenceSession.FeedsType,
    fetches: InferenceSession.FetchesType,
    options?: InferenceSession.RunOptions,
  ): Promise<InferenceSession.ReturnType>;
  async run(
    feeds: InferenceSession.FeedsType,
    second: InferenceSession.FetchesType | InferenceSession.RunOptions = {},
    third?: InferenceSession.RunOptions,
  ): Promise<InferenceSession.ReturnType> {
    const isFetches = third !== undefined || Array.isArray(second) || this.outputNames.some((name) => Object.hasOwn(second, name));
    const outputs = isFetches ? toNames(second as InferenceSession.FetchesType) : undefined;
    const options = (isFetches ? third : (second as InferenceSession.RunOptions)) ?? {};
    checkOptions(options, ['signal', 'transfer', 'profile']);
    if (typeof feeds !== 'object' || (feeds as unknown) === null || feeds instanceof Tensor) {
      invalid('feeds', feeds, 'an object from input name to Tensor');
    }
    const inputs = Object.entries(feeds)
      .filter(([, tensor]) => (tensor as unknown) !== undefined)
      .map(([name, tensor]) => toTensorObject(name, tensor, options.transfer));
    const request = { inputs, outputs, profile: options.profile ?? false };
    const { outputs: results, profile } = await this.client.call('run', request, { signal: options.signal, transfer: buffersOf(inputs) });
    if (profile) this.#profile = record(profile);
    return Object.fromEntries(results.map((result) => [result.name, fromTensorObject(result)]));
  }

  /** The steps of the last run with `profile: true` that has ended, in the order they were taken. Empty before. */
  get profile(): readonly InferenceSession.ProfileEntry[] {
    return this.#profile;
  }

  /** Memory in use. */
  memory(): Promise<SessionMemory> {
    return this.client.call('memory', undefined);
  }

  /**
   * Frees the session: its worker ends, its memory is given back. Runs that are not finished, and all later ones, reject
   * with `SESSION_RELEASED`. May be called more than once.
   */
  // eslint-disable-next-line @typescript-eslint/require-await -- onnxruntime-common's signature; freeing may take time one day
  async release(): Promise<void> {
    forgotten?.unregister(this);
    this.client.release();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** A profile as the caller sees it; also puts it on this thread's time line. */
function record({ steps, began }: NonNullable<RunResult['profile']>): InferenceSession.ProfileEntry[] {
  const origin = began - performance.timeOrigin;
  return steps.map(({ node: name, opType, kernel, shape, start, microseconds, macs }) => {
    performance.measure(`tractlet: ${opType} ${name}`, {
      // The clocks of two threads may be a little apart, and no measure may start before the page.
      start: Math.max(0, origin + start / 1000),
      duration: microseconds / 1000,
      detail: { kernel, shape, macs },
    });
    // Clocks do not tell less than a tenth apart.
    return { name, opType, kernel, shape, microseconds: Math.round(10 * microseconds) / 10, macs };
  });
}

/** Names of outputs from a list or the keys of an object. */
function toNames(fetches: InferenceSession.FetchesType): string[] {
  const names = Array.isArray(fetches) ? (fetches as string[]) : Object.keys(fetches);
  if (names.some((name) => typeof name !== 'string')) invalid('fetches', fetches, 'a list of output names');
  if (!Array.isArray(fetches) && Object.values(fetches).some((value) => value !== null)) {
    throw failure('INVALID_OPTION', 'Outputs cannot be written to tensors that are there already', {
      hint: 'Pass null for each output, or a list of names.',
    });
  }
  return names;
}

function buffersOf(tensors: TensorObject[]): ArrayBuffer[] {
  // A buffer that two inputs share is given away once.
  return [...new Set(tensors.flatMap(({ data }) => ('buffer' in data ? [data.buffer as ArrayBuffer] : [])))];
}

function isSource(value: unknown): value is Source {
  return typeof value === 'object' && value !== null && 'file' in value;
}

async function toRequest(
  parts: OpenParts,
  options: InferenceSession.SessionOptions,
  worker: boolean,
): Promise<OpenRequest> {
  const { signal } = options;
  const source = (from: FileSource, what: string): Promise<Source> => toSource(from, what, worker, signal);
  const wasm = (name: WasmName): Promise<Source> | WebAssembly.Module | undefined => {
    const override = options.wasm?.[name];
    if (override === undefined) return modules[name];
    return override instanceof WebAssembly.Module ? override : source(override, `${name}.wasm`);
  };
  const external = async ({ path, data }: { path: string; data: FileSource }): Promise<ExternalSource> => ({
    path,
    source: await source(data, path),
  });
  return {
    ...(parts.card === undefined
      ? {
          model: await source(parts.model, 'model'),
          classifier: parts.classifier && { ...parts.classifier, labels: await toLabels(parts.classifier.labels, worker, signal) },
        }
      : { card: await source(parts.card, 'model card') }),
    wasm: { engine: await wasm('engine'), engineThreads: await wasm('engineThreads'), compiler: await wasm('compiler') },
    externalData: await Promise.all((options.externalData ?? []).map(external)),
    freeDimensionOverrides: options.freeDimensionOverrides,
    allowNaN: options.allowNaN ?? false,
    threads: options.threads,
    engineOnly: options.wasm?.engine !== undefined && options.wasm.engineThreads === undefined,
    integrity: options.integrity,
  };
}

/** @internal Labels as they are, or where to load them from. */
export async function toLabels(labels: unknown, worker: boolean, signal?: AbortSignal): Promise<ClassifierSpec['labels']> {
  const isPlain = labels === undefined || Array.isArray(labels) || tagOf(labels) === 'Object';
  return isPlain ? (labels as ClassifierSpec['labels']) : toSource(labels as FileSource, 'labels', worker, signal);
}
