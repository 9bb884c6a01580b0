// Plans kept between visits: an .onnx file is compiled once, and the next visit needs neither the compiler nor, where its
// hash is known beforehand, the model.
//
// A plan is kept under what it was made of: the hashes of the model and of its external data, and the sizes for symbolic
// dimensions. With it goes the version of the package, as another may compile otherwise, and its own hash. For the
// model's address there is a note of the plan that was made last: so it is known early that the compiler will hardly be
// needed, and what has taken its place is thrown away. Models that need the compiler while they run are not kept.

import { openStore, type Store } from './cache.js';
import { isCrash } from './crash.js';
import { MAX_KEPT } from './model.js';
import { without } from './modules.js';
import type { OpenRequest, Source } from './protocol.js';
import { resolveShapes } from './shapes.js';
import type { CompiledModel, CompiledPlan, EngineModule, EngineSession, ExternalFile, Host, ModelInfo, PlanDescription, TensorObject } from './wasm-modules.js';

const VERSION = 'x-tractlet-version';
const HASH = 'x-tractlet-sha256';
/** How long a session has to rest before its plan is kept, in milliseconds. */
const REST = 500;
/** As in src/plan/mod.rs. */
const MAX_VARIANTS = 8;

type Bytes = Uint8Array<ArrayBuffer>;

/** The plans of one session's model. */
export class KeptPlans {
  readonly #store: Store;
  readonly #request: OpenRequest;
  readonly #model: Source;
  readonly #version: Promise<string>;
  /** Hash of the model in the form of an integrity attribute, once it is known. */
  #identity: string | undefined;
  #externalIdentities: (string | undefined)[];
  #forbidden = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Shapes of the kept plan that the compiler has no steps for yet. */
  #older: number[][][] = [];

  private constructor(store: Store, request: OpenRequest, model: Source, version: Promise<string>) {
    this.#store = store;
    this.#request = request;
    this.#model = model;
    this.#identity = (request.integrity ?? model.integrity)?.trim();
    this.#externalIdentities = request.externalData.map(({ source }) => source.integrity?.trim());
    this.#version = version;
  }

  /**
   * Opens the place, if there is one.
   *
   * @param version that of the package
   */
  static async open(request: OpenRequest, model: Source, version: Promise<string>): Promise<KeptPlans | undefined> {
    const store = await openStore(request.cache);
    return store && new KeptPlans(store, request, model, version);
  }

  /** The plan of a model whose hash was known before it was loaded. */
  async known(): Promise<Bytes | undefined> {
    return this.#key() === undefined ? undefined : this.#get();
  }

  /** The session of a plan; undefined if it is of no use. */
  async openSession(engine: EngineModule, plan: Uint8Array): Promise<EngineSession | undefined> {
    try {
      const session = new engine.EngineSession(plan, undefined);
      without(this.#request.line, 'compiler');
      return session;
    } catch (error) {
      await this.drop();
      if (isCrash(error)) throw error;
      return undefined;
    }
  }

  /** Whether the model at this address had a plan, so that the compiler will hardly be needed. */
  async isLikely(): Promise<boolean> {
    // What is in memory is hashed at once: it need not be guessed.
    if (this.#model.url === undefined) return true;
    const key = await this.#noted();
    return key !== undefined && (await this.#store.get(key)) !== undefined;
  }

  /** The plan of a model that was loaded. */
  async find(model: Uint8Array, externalData: readonly ExternalFile[]): Promise<Bytes | undefined> {
    this.#identity ??= await identityOf(model);
    this.#externalIdentities = await Promise.all(externalData.map(async ({ data }, i) => this.#externalIdentities[i] ?? identityOf(data)));
    return this.#get();
  }

  /** The hash that the model has to have when it is loaded once more. */
  get integrity(): string | undefined {
    return this.#identity;
  }

  /** Heeds what a server says of keeping its answer: that goes for what is made of it, too. */
  heed(headers: Headers): void {
    this.#forbidden ||= /\bno-store\b/i.test(headers.get('cache-control') ?? '');
  }

  /** Keeps a plan in place of what was kept for this address. Never throws. */
  async keep(made: CompiledPlan): Promise<void> {
    const key = this.#key();
    if (key === undefined || this.#forbidden || made.size > MAX_KEPT) return;
    // At once: the model may be gone in the next moment.
    const plan = bytesOf(made);
    const [version, hash] = await Promise.all([this.#version, identityOf(plan)]);
    // The thread may end at any moment. In this order it leaves nothing behind that nobody knows of.
    if (this.#model.url !== undefined) {
      const before = await this.#noted();
      if (before !== undefined && before !== key) await this.#store.delete(before);
      if (before !== key && !(await this.#store.put(this.#note(), new TextEncoder().encode(key)))) return;
    }
    const done = await this.#store.put(key, plan, { [VERSION]: version, [HASH]: hash });
    // Storage is full.
    if (!done) await this.#store.delete(this.#note());
  }

  /** Forgets a plan that is of no use. */
  async drop(): Promise<void> {
    const key = this.#key();
    if (key !== undefined) await this.#store.delete(key);
  }

  /** The compiler as the engine sees it. Plans for further input shapes are kept once the session rests. */
  host(compiled: CompiledModel, describe: () => PlanDescription): Host {
    return {
      specialize: (shapes) => {
        const plan = compiled.specialize(shapes);
        this.#later(compiled, describe, REST);
        return plan;
      },
      runSubgraph: (id, inputs) => compiled.runSubgraph(id, inputs),
    };
  }

  /**
   * The shapes of a run's inputs, if a kept plan has no steps for them though the model takes them: then the compiler is
   * needed after all.
   */
  missing({ variants }: PlanDescription, info: ModelInfo, inputs: readonly TensorObject[]): number[][] | undefined {
    let shapes: number[][] | undefined;
    try {
      [shapes] = resolveShapes(info, [Object.fromEntries(inputs.map(({ name, dims }) => [name, dims]))]);
    } catch {
      // The engine knows best what is wrong with them.
    }
    const text = JSON.stringify(shapes);
    if (variants.some(({ inputShapes }) => JSON.stringify(inputShapes) === text)) return undefined;
    this.#older = variants.map(({ inputShapes }) => inputShapes);
    return shapes;
  }

  /** The session is over. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #later(compiled: CompiledModel, describe: () => PlanDescription, delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { variants } = describe();
      if (variants.some(({ steps }) => steps.some(({ subgraph }) => subgraph !== undefined))) return;
      const used = new Set(variants.map(({ inputShapes }) => JSON.stringify(inputShapes)));
      const older = this.#older.shift();
      if (older && used.size + this.#older.length < MAX_VARIANTS && !used.has(JSON.stringify(older))) compiled.specialize(older);
      // One at a time: whoever wants a run need not wait for all.
      if (older) this.#later(compiled, describe, 0);
      else void this.keep(compiled.plan());
    }, delay);
  }

  /** Where the plan is kept; undefined as long as hashes are missing. */
  #key(): string | undefined {
    if (this.#identity === undefined || this.#externalIdentities.includes(undefined)) return undefined;
    const { externalData } = this.#request;
    const external = externalData.map(({ path }, i) => [path, this.#externalIdentities[i]]);
    return `plan ${JSON.stringify([this.#identity, external.sort(), this.#overrides()])}`;
  }

  /** Where it is noted which plan was made of an address. */
  #note(): string {
    return `plan of ${JSON.stringify([this.#model.url, this.#overrides()])}`;
  }

  /** The key of the plan that was made of this address last. */
  async #noted(): Promise<string | undefined> {
    const note = await this.#store.get(this.#note());
    return note?.text().catch(() => undefined);
  }

  #overrides(): [string, number][] {
    return Object.entries(this.#request.freeDimensionOverrides ?? {}).sort();
  }

  /** What is kept, if it is whole and of this version. */
  async #get(): Promise<Bytes | undefined> {
    const key = this.#key();
    const kept = key === undefined ? undefined : await this.#store.get(key);
    if (!kept) return undefined;
    const version = await this.#version;
    const bytes = await kept.arrayBuffer().then((buffer) => new Uint8Array(buffer), () => undefined);
    if (bytes && kept.headers.get(VERSION) === version && kept.headers.get(HASH) === (await identityOf(bytes))) return bytes;
    await this.drop();
    return undefined;
  }
}

/** All of a plan. */
export function bytesOf(plan: CompiledPlan): Bytes {
  const bytes = new Uint8Array(plan.size);
  plan.read(0, bytes);
  return bytes;
}

async function identityOf(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Bytes));
  return `sha256-${btoa(String.fromCharCode(...digest))}`;
}
