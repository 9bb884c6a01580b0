// A model on its way to the runtime: its bytes and those of its external data, or the plan that was kept of it.

import type { InferenceError } from './errors.js';
import type { KeptPlans } from './kept-plans.js';
import { canVerify } from './integrity.js';
import { explaining, more } from './load-more.js';
import { isPlan, load, type LoadOptions } from './loader.js';
import { without } from './modules.js';
import type { OpenRequest, Source } from './protocol.js';
import type { EngineModule, ExternalFile } from './wasm-modules.js';

/** Bytes of model and external data that the engine's memory certainly has no room for. */
const MAX_COMPILED = 2 ** 32;

/** Larger models and plans are not kept: to be hashed they have to be in memory as a whole, beside the engine's weights. */
export const MAX_KEPT = 2 ** 29;

/** What was downloaded. */
export interface Loaded {
  readonly bytes: Uint8Array;
  readonly externalData: readonly ExternalFile[];
}

/** What there is to open: a plan that was kept, or what was downloaded; the latter perhaps as well. */
export interface Found {
  readonly plan?: Uint8Array | undefined;
  readonly loaded?: Loaded | undefined;
}

/** The files of a model. */
export class ModelFiles {
  readonly request: OpenRequest;
  readonly model: Source;
  /** By path; the model's is empty. */
  readonly #sizes = new Map<string, number>();
  readonly #options: LoadOptions;
  readonly #startCompiler: () => unknown;
  readonly #engine: Promise<EngineModule>;
  /** Of the model's answer. */
  #headers: Headers | undefined;
  /** Plans that were kept; once {@link find} has been called. */
  kept: KeptPlans | undefined;

  /**
   * @param options those of the model's download
   * @param startCompiler called when the compiler will be needed
   * @param engine the engine, once it is there
   */
  constructor(
    request: OpenRequest,
    model: Source,
    options: LoadOptions,
    startCompiler: () => unknown,
    engine: Promise<EngineModule>,
  ) {
    this.request = request;
    this.model = model;
    this.#options = options;
    this.#startCompiler = startCompiler;
    this.#engine = engine;
  }

  /** What was kept, or else what there is to compile. */
  async find(): Promise<Found> {
    const { body, file } = this.model;
    // What is called a plan most likely is one, and no other has been made of it.
    if (!(/\.plan$/i.test(file) || (body instanceof Uint8Array && isPlan(body)))) await this.#openKept();
    const known = await this.kept?.known();
    if (known) {
      this.#options.emit?.({ status: 'initiate', file });
      this.#options.emit?.({ status: 'done', file });
      return { plan: known };
    }
    const loaded = await this.load();
    if (isPlan(loaded.bytes) || this.#total() > MAX_KEPT) return { loaded };
    if (!this.kept) await this.#openKept();
    return { loaded, plan: await this.kept?.find(loaded.bytes, loaded.externalData) };
  }

  /** Opens the place where plans are kept, if there is one. */
  async #openKept(): Promise<void> {
    if (this.request.cache === false || !canVerify()) return;
    const { KeptPlans } = await more();
    // After the plus sign comes the build, which plans do not depend on.
    const version = this.#engine.then((module) => module.version().split('+')[0] ?? '');
    // Whoever waits for the engine hears of it.
    version.catch(() => undefined);
    this.kept = await KeptPlans.open(this.request, this.model, version);
    this.#heed();
  }

  /** What the server says of keeping its answer goes for what is made of it, too. */
  #heed(): void {
    if (this.#headers) this.kept?.heed(this.#headers);
  }

  /** Downloads everything. The compiler is loaded at the same time, when it will be needed. */
  async load(): Promise<Loaded> {
    const { kept, model, request } = this;
    const likely = kept?.isLikely();
    let compiles = request.externalData.length > 0;
    // Before memory is asked for.
    const weigh = async (): Promise<void> => {
      if (compiles && this.#total() > MAX_COMPILED) throw await this.tooLarge();
    };
    const onSize = (path: string) => (size: number): Promise<void> => {
      this.#sizes.set(path, size);
      return weigh();
    };
    const onHead = (head: Uint8Array): Promise<void> => {
      compiles ||= !isPlan(head);
      if (isPlan(head)) without(request.line, 'compiler');
      else {
        more().catch(() => undefined);
        void Promise.resolve(likely).then((isLikely) => { if (!isLikely) this.#startCompiler(); });
      }
      return weigh();
    };
    const options = { ...this.#options, onHeaders: (headers: Headers) => { this.#headers = headers; this.#heed(); } };
    const [bytes, ...externalData] = await Promise.all([
      load(model, { ...options, integrity: request.integrity ?? model.integrity ?? kept?.integrity, onSize: onSize(''), onHead }),
      ...request.externalData.map(async ({ path, source }) => ({
        path,
        data: await load(source, { ...options, size: undefined, kind: 'data', onSize: onSize(path) }),
      })),
    ]);
    return { bytes, externalData };
  }

  /** The error of a model that does not fit into WebAssembly's memory. */
  async tooLarge(): Promise<InferenceError> {
    return (await explaining('MODEL_TOO_LARGE', 'The model is too large to be compiled')).tooLarge(this.#total());
  }

  #total(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }
}
