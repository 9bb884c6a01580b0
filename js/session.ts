/// <reference lib="esnext.disposable" preserve="true" />
// Sessions: a model, ready to run.

import type { CacheLike } from './cache.js';
import { Client } from './client.js';
import { embeddedModule } from './embedded.js';
import { tagOf } from './errors.js';
import { shareModules } from './modules.js';
import { abortable, checkOptions, invalid, type OptionName } from './options.js';
import type { ClassifierSpec, ExternalSource, Methods, OpenRequest, OpenResult, Source, WasmName, WasmSources } from './protocol.js';
import { type FileSource, toSource, transferOf } from './source.js';
import { fromTensorObject, Tensor, toTensorObject } from './tensor.js';
import type { ProgressInfo, RuntimeInfo, SessionMemory } from './types.js';
import type { ModelInfo, TensorObject, ValueInfo } from './wasm-modules.js';

/** Types that go with {@link InferenceSession}; most are named as in onnxruntime-common. */
export declare namespace InferenceSession {
  /** What a model can be loaded from. A string is an address; in Node it may also be a path. */
  type ModelSource = FileSource;

  /** Where the WebAssembly modules are. */
  interface WasmOptions {
    /** What runs models. One that is named here is taken as it is, without a choice between builds. */
    readonly engine?: WasmSource | undefined;
    /** The engine with threads. If only `engine` is given, there is one thread. */
    readonly engineThreads?: WasmSource | undefined;
    /** Only loaded for raw `.onnx` files. */
    readonly compiler?: WasmSource | undefined;
  }

  /** A WebAssembly module, or where it is; with an address also its hash, as `integrity` has that of the model. */
  type WasmSource = FileSource | WebAssembly.Module | { readonly url: string | URL; readonly integrity?: string | undefined };

  /** A file that a model refers to. */
  interface ExternalData {
    /** The path that the model uses. */
    readonly path: string;
    /** The file itself, or where it is. */
    readonly data: FileSource;
    /** `sha256-<base64>` (or sha384, sha512) of the file. */
    readonly integrity?: string | undefined;
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
    readonly externalData?: readonly ExternalData[] | undefined;
    /**
     * Whether downloads are kept for the next visit. Default true: in the browser's Cache API, where there is one, under
     * the name `tractlet`. Or a place of your own.
     */
    readonly cache?: boolean | CacheLike | undefined;
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
  /** Output names: a list, or the keys of an object. Its values are null, or tensors that the results are written to. */
  type FetchesType = readonly string[] | Readonly<Record<string, Tensor | null>>;
  /** Output tensors by name. */
  type ReturnType = Record<string, Tensor>;

  /** Options of {@link InferenceSession.run}. */
  interface RunOptions {
    /**
     * Stops the run: `run` rejects with the signal's reason at once, and the computing ends some milliseconds later. With
     * `worker: false` a run with a signal lets the page have a turn now and then, so that there is time to abort it.
     */
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
    /** The model's name for it. */
    readonly name: string;
    /** All are tensors; here because onnxruntime has other kinds. */
    readonly isTensor: true;
    /** Type of the elements. */
    readonly type: Tensor.Type;
    /** Sizes. A symbolic dimension is its name, an unknown one `?`; `['...']` where the model does not say how many there are. */
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
  'cache',
  'integrity',
  'worker',
  'threads',
];

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

  private constructor(client: Client, { info, version, threads, threadsReason, subgraphs, compiler }: OpenResult) {
    const { inputs, outputs, ...metadata } = info;
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
    const [client, result] = await ask('open', parts, options);
    const session = new InferenceSession(client, result);
    forgotten ??= new FinalizationRegistry((lost) => {
      lost.releaseWhenIdle();
      import('./forgotten.js').then(({ warn }) => { warn(); }, () => undefined);
    });
    forgotten.register(session, client, session);
    return [session, result];
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
   * @param fetches which outputs; where there is a tensor for one, its data is overwritten, and it is what is returned
   * @param options see {@link InferenceSession.RunOptions}
   * @throws InputError `OUTPUT_TYPE` or `OUTPUT_SHAPE` when such a tensor does not fit; then none is written to
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
    if (profile) this.#profile = (await import('./profile.js')).record(profile);
    const returned = Object.fromEntries(results.map((result) => [result.name, fromTensorObject(result)]));
    if (isFetches && Object.values(second).some((value) => typeof value === 'object' && value !== null)) {
      (await import('./fetches.js')).write(returned, second as Record<string, Tensor | null>);
    }
    return returned;
  }

  /**
   * Runs the model once on zeros: the first run of a session is slower than later ones, as browsers compile the code that
   * turns out to be in demand once more.
   *
   * @param shapes for inputs whose shapes are symbolic; may be left out for the others
   * @param options a signal that stops it
   * @throws InputError `INPUT_SHAPE` when a shape is missing or does not fit
   */
  async warmup(shapes: Readonly<Record<string, readonly number[]>> = {}, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    checkOptions(options, ['signal']);
    const { zeros } = await import('./warmup.js');
    const inputs = zeros(this.inputMetadata, shapes);
    await this.client.call('run', { inputs, outputs: undefined, profile: false }, { signal: options.signal, transfer: buffersOf(inputs) });
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

  /** For `using`. */
  [Symbol.dispose](): void {
    void this.release();
  }
}

/** Names of outputs from a list or the keys of an object. */
function toNames(fetches: InferenceSession.FetchesType): string[] {
  const names = Array.isArray(fetches) ? (fetches as string[]) : Object.keys(fetches);
  if (names.some((name) => typeof name !== 'string')) invalid('fetches', fetches, 'a list of output names');
  if (names !== fetches) {
    // Tensors of onnxruntime-common are as good.
    const isFetch = (value: unknown): boolean => value === null || (value instanceof Object && 'dims' in value);
    if (!Object.values(fetches).every(isFetch)) invalid('fetches', fetches, 'null or a Tensor for each output');
  }
  return names;
}

function buffersOf(tensors: TensorObject[]): ArrayBuffer[] {
  // A buffer that two inputs share is given away once.
  return [...new Set(tensors.flatMap(({ data }) => ('buffer' in data ? [data.buffer as ArrayBuffer] : [])))];
}

/** @internal An input or output, as the page gets to see it. */
export function toMetadata({ name, type, shape }: ValueInfo): InferenceSession.ValueMetadata {
  return { name, isTensor: true, type: type as Tensor.Type, shape };
}

/**
 * @internal Starts a runtime and has it load something.
 *
 * @param more what the request has besides
 * @returns the line to it, which is to be released, and the answer
 */
export async function ask<M extends 'open' | 'compile' | 'inspect'>(
  method: M,
  parts: OpenParts,
  options: InferenceSession.SessionOptions,
  more?: Omit<Methods[M][0], keyof OpenRequest>,
): Promise<[Client, Methods[M][1]]> {
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
  let end: ((loaded: boolean) => void) | undefined;
  try {
    const rest = await abortable(toRequest(parts, options, client.worker), signal);
    const shared = shareModules(rest.wasm, client.worker);
    ({ end } = shared);
    const request = { ...rest, ...more, wasm: shared.wasm, line: shared.line };
    const { model, card, classifier, wasm, externalData } = request;
    const sources = [model, card, classifier?.labels, ...Object.values(wasm), ...externalData.map(({ source }) => source)];
    // To a worker nothing but a port is posted in place of a cache.
    const ports = [request.line, request.cache].filter((port) => typeof port === 'object') as MessagePort[];
    const transfer = client.worker ? [...sources.filter(isSource).flatMap(transferOf), ...ports] : [];
    const result = await client.call(method, request, { signal, onProgress, transfer });
    end(true);
    return [client, result];
  } catch (error) {
    end?.(false);
    client.release();
    throw error;
  }
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
  const wasm = async (name: WasmName): Promise<WasmSources[WasmName]> => {
    const given = options.wasm?.[name];
    if (given === undefined) return INLINE && name !== 'engineThreads' ? source(embeddedModule(name), `${name}.wasm`) : undefined;
    if (given instanceof WebAssembly.Module) return given;
    const { url, integrity } = (tagOf(given) === 'Object' ? given : {}) as { url?: string | URL; integrity?: string };
    return url === undefined ? source(given as FileSource, `${name}.wasm`) : { ...(await source(url, `${name}.wasm`)), integrity };
  };
  const external = async ({ path, data, integrity }: InferenceSession.ExternalData): Promise<ExternalSource> => ({
    path,
    source: { ...(await source(data, path)), integrity },
  });
  const { cache = true } = options;
  return {
    ...(parts.card === undefined
      ? {
          model: await source(parts.model, 'model'),
          classifier: parts.classifier && { ...parts.classifier, labels: await toLabels(parts.classifier.labels, worker, signal) },
        }
      : { card: await source(parts.card, 'model card') }),
    wasm: { engine: await wasm('engine'), engineThreads: await wasm('engineThreads'), compiler: await wasm('compiler') },
    cache: typeof cache === 'object' && worker ? (await import('./cache-port.js')).portTo(cache) : cache,
    progress: options.onProgress !== undefined,
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
