// The InferenceSession of tractlet/ort: onnxruntime's arguments, tractlet's sessions.

import { type FileSource, InferenceSession as BaseSession, InputError, type Tensor as BaseTensor } from '../index.js';
import { invalid, isObject, tagOf } from './checks.js';
import { env } from './env.js';
import type { ExternalDataFileType, InferenceSession as Session } from './session.js';
import { Tensor } from './tensor.js';

type Fetches = readonly string[] | Record<string, Tensor | null>;

/** What {@link Session} is at run time. */
export class SessionImpl implements Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly Session.ValueMetadata[];
  readonly outputMetadata: readonly Session.ValueMetadata[];
  readonly #session: BaseSession;
  #profile: boolean;

  constructor(session: BaseSession, profile: boolean) {
    this.inputNames = session.inputNames;
    this.outputNames = session.outputNames;
    this.inputMetadata = session.inputMetadata.map(toMetadata);
    this.outputMetadata = session.outputMetadata.map(toMetadata);
    this.#session = session;
    this.#profile = profile;
  }

  static async create(source: FileSource, second?: unknown, third?: unknown, fourth?: unknown): Promise<SessionImpl> {
    const isPart = typeof second === 'number';
    const options = ((isPart ? (typeof third === 'number' ? fourth : (fourth ?? third)) : second) ?? {}) as Session.SessionOptions;
    const model = isPart ? partOf(source, second, third) : source;
    const session = await BaseSession.create(model, toOptions(options));
    return new SessionImpl(session, options.enableProfiling ?? false);
  }

  async run(feeds: Session.FeedsType, second?: unknown, third?: unknown): Promise<Session.ReturnType> {
    if (!isObject(feeds) || isTensor(feeds)) invalid('feeds', feeds, 'an object from input name to tensor');
    const fetches = this.#isFetches(second) ? second : undefined;
    const { extra } = ((fetches ? third : (second ?? third)) ?? {}) as Session.RunOptions;
    const names = Array.isArray(fetches) ? (fetches as readonly string[]) : Object.keys(fetches ?? {});
    // Data on a GPU has to be downloaded, which needs time; everything else is copied before this function returns.
    const remote = Object.values(feeds).filter((tensor: unknown): tensor is Tensor => isTensor(tensor) && !/^(cpu|none)/.test(tensor.location));
    if (remote.length > 0) await Promise.all(remote.map((tensor) => tensor.getData()));
    const results = await this.#session.run(feeds as unknown as BaseSession.FeedsType, fetches ? names : this.outputNames, {
      profile: this.#profile,
      ...extra?.tractlet,
    });
    const filled = fetches && !Array.isArray(fetches) ? (fetches as Record<string, Tensor | null>) : {};
    return Object.fromEntries(Object.entries(results).map(([name, result]) => [name, fill(name, filled[name], result)]));
  }

  /** Whether the second argument of `run` says which outputs are wanted: it may also be the options. */
  #isFetches(value: unknown): value is Fetches {
    if (value === undefined) return false;
    if (Array.isArray(value)) return value.length > 0 || invalid('fetches', value, 'at least one output name');
    if (!isObject(value) || isTensor(value)) invalid('fetches', value, 'output names, an object from output name to tensor or null, or options');
    const wanted = Object.entries(value).filter(([name]) => this.outputNames.includes(name));
    for (const [name, target] of wanted) if (target !== null && !isTensor(target)) invalid(`fetches.${name}`, target, 'a Tensor or null');
    return wanted.length > 0;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  startProfiling(): void {
    this.#profile = true;
  }

  endProfiling(): void {
    this.#profile = false;
  }
}

/** In onnxruntime a size without a name is -1, and a shape that is not known at all is empty. */
function toMetadata({ shape, ...rest }: BaseSession.ValueMetadata): Session.ValueMetadata {
  return { ...rest, shape: shape.filter((dim) => dim !== '...').map((dim) => (dim === '?' ? -1 : dim)) };
}

/** Tensors of onnxruntime-common are as good as our own. */
function isTensor(value: unknown): value is Tensor {
  return isObject(value) && 'dims' in value && 'type' in value && 'location' in value && 'getData' in value;
}

/** The part of a buffer that `create(buffer, byteOffset, byteLength)` means. */
function partOf(buffer: unknown, offset: number, length: unknown): Uint8Array {
  const tag = tagOf(buffer);
  if (tag !== 'ArrayBuffer' && tag !== 'SharedArrayBuffer') invalid('buffer', buffer, 'an ArrayBuffer, to go with a byteOffset');
  const whole = new Uint8Array(buffer as ArrayBufferLike);
  if (!Number.isSafeInteger(offset) || offset < 0 || offset >= whole.length) invalid('byteOffset', offset, `0 to ${whole.length - 1}`);
  const end = typeof length === 'number' ? offset + length : whole.length;
  if (!Number.isSafeInteger(end) || end <= offset || end > whole.length) invalid('byteLength', length, `1 to ${whole.length - offset}`);
  return whole.subarray(offset, end);
}

/** The options of a tractlet session. What has no meaning here is left out. */
function toOptions(options: Session.SessionOptions): BaseSession.SessionOptions {
  if (!isObject(options)) invalid('options', options, 'an object');
  const { executionProviders, externalData, freeDimensionOverrides, extra } = options;
  const isProvider = (provider: unknown): boolean => typeof (isObject(provider) ? (provider as { name?: unknown }).name : provider) === 'string';
  if (executionProviders !== undefined && !(Array.isArray(executionProviders) && executionProviders.every(isProvider))) {
    invalid('executionProviders', executionProviders, 'a list of names');
  }
  const isFile = (file: unknown): boolean => typeof (isObject(file) ? (file as { path?: unknown }).path : file) === 'string';
  if (externalData !== undefined && !(Array.isArray(externalData) && externalData.every(isFile))) {
    invalid('externalData', externalData, 'a list of addresses or { path, data }');
  }
  if (extra?.tractlet !== undefined && !isObject(extra.tractlet)) invalid('extra.tractlet', extra.tractlet, 'an object');
  const { numThreads = 0 } = env.wasm;
  return {
    // 0 is as many as are good, there too.
    threads: Number.isSafeInteger(numThreads) && numThreads > 0 ? numThreads : undefined,
    // As in onnxruntime, which computes on whatever it is given.
    allowNaN: true,
    freeDimensionOverrides,
    externalData: externalData?.map(toExternalFile),
    ...extra?.tractlet,
  };
}

/** A file that the model refers to. */
function toExternalFile(file: ExternalDataFileType): { path: string; data: FileSource } {
  return typeof file === 'string' ? { path: file, data: file } : file;
}

/** The result as a tensor of this interface; in the tensor that is there for it, if there is one. */
function fill(name: string, target: Tensor | null | undefined, { type, dims, data }: BaseTensor): Tensor {
  if (!target) return new Tensor(type, data, dims);
  const show = (of: { type: string; dims: readonly number[] }): string => `${of.type} [${of.dims.join(', ')}]`;
  const [expected, actual] = [show({ type, dims }), show(target)];
  if (expected !== actual) {
    throw new InputError(target.type === type ? 'INPUT_SHAPE' : 'INPUT_TYPE', `The tensor for the output ${JSON.stringify(name)} does not fit it`, {
      expected,
      actual,
      hint: 'Pass null, and a new tensor is made.',
    });
  }
  const { data: place } = target;
  if (Array.isArray(data)) data.forEach((text, i) => { (place as string[])[i] = text; });
  else bytesOf(place as Uint8Array).set(bytesOf(data));
  return target;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
