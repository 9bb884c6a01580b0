// The side that owns the wasm instances: one session with its engine and, where the model needs it, its compiler. The
// same code serves a worker (worker.ts) and the page's own thread (port.ts).

import createEngine from '#engine';
import type { CardParts } from './card.js';
import { describe, type ErrorObject, InferenceError, toObject } from './errors.js';
import { isPlan, load, type LoadOptions, type Via } from './loader.js';
import { awaitModules, post as postModule } from './modules.js';
import { canDecode, decode } from './pixels.js';
import type {
  Call,
  ClassifierInfo,
  ClassifierSpec,
  ClassifyRequest,
  ClassifyResult,
  CompileRequest,
  CompileResult,
  Emit,
  InspectResult,
  Method,
  Methods,
  OpenRequest,
  OpenResult,
  Reply,
  RunRequest,
  RunResult,
  Source,
  WasmName,
} from './protocol.js';
import type { Labels, SessionMemory } from './types.js';
import type { CompiledModel, CompilerModule, EngineModule, EngineSession, Init, ModelInfo } from './wasm-modules.js';
import { loadModule } from './wasm.js';

export { decode } from './pixels.js';

/** Bytes of model and external data of which it is certain that they cannot be compiled: that takes three times as much. */
const MAX_COMPILED = 2 ** 32 / 3;
/** Bytes of memory at which a crash is for want of more. */
const NEARLY_FULL = 3 * 2 ** 30;

/** Sends a reply; what is in `transfer` is given away. */
export type Post = (reply: Reply, transfer: Transferable[]) => void;

interface Opened {
  readonly engine: EngineModule;
  readonly session: EngineSession;
  readonly info: ModelInfo;
  readonly allowNaN: boolean;
}

/** One session. Calls come one after the other. */
export class Runtime {
  readonly #post: Post;
  readonly #abort = new AbortController();
  #opened: Opened | undefined;
  #compiled: CompiledModel | undefined;
  #memories: Partial<Record<WasmName, WebAssembly.Memory>> = {};

  constructor(post: Post) {
    this.#post = post;
  }

  /** Carries out a call and posts its reply. Never throws. */
  async handle(call: Call): Promise<void> {
    const { id } = call;
    try {
      const result = await this.#dispatch(call);
      this.#reply(id, result);
    } catch (thrown) {
      const fatal = isCrash(thrown);
      if (fatal) {
        // What is left of the instances must not be touched again, not even to free it.
        this.#forget();
      }
      this.#post({ tractlet: 'error', id, error: fatal ? crash(thrown) : explain(thrown), fatal }, []);
    }
  }

  /** Stops downloads and lets go of the wasm instances, whose memory goes with them. */
  dispose(): void {
    this.#abort.abort();
    this.#opened?.session.free();
    this.#compiled?.free();
    this.#forget();
  }

  #forget(): void {
    this.#opened = undefined;
    this.#compiled = undefined;
    this.#memories = {};
  }

  #dispatch(call: Call): Promise<Methods[Method][1]> | Methods[Method][1] {
    switch (call.method) {
      case 'open':
        return this.#open(call.request, this.#emitter(call.id, call.request));
      case 'compile':
      case 'inspect':
        return this.#compile(call.method, call.request, this.#emitter(call.id, call.request));
      case 'classifier':
        return this.#classifier(call.request);
      case 'run':
        return this.#run(call.request);
      case 'classify':
        return this.#classify(call.request);
      case 'memory':
        this.#session();
        return this.#memory();
    }
  }

  /** Posts progress. */
  #emitter(id: number, { model, card }: OpenRequest): Emit {
    const name = card?.url ?? model?.url ?? card?.file ?? model?.file ?? '';
    return (event) => {
      this.#post({ tractlet: 'progress', id, event: { ...event, name } }, []);
    };
  }

  #reply(id: number, result: Methods[Method][1]): void {
    const bytes = 'plan' in result ? [result.plan] : 'outputs' in result ? result.outputs.map(({ data }) => data) : [];
    const transfer = bytes.flatMap((data) => ('buffer' in data ? [data.buffer as ArrayBuffer] : []));
    this.#post({ tractlet: 'result', id, result }, transfer);
  }

  /** Compiles a model without opening it. */
  async #compile(method: 'compile' | 'inspect', request: CompileRequest, emit: Emit): Promise<CompileResult | InspectResult> {
    const options = this.#loadOptions(request, emit);
    const start = startModules(request, options.emit);
    const { compile, inspect } = await import('./compile-runtime.js');
    return (method === 'compile' ? compile : inspect)(request, {
      options,
      engine: async () => this.#instantiate('engine', createEngine(), await start('engine')),
      compiler: async () => this.#instantiate('compiler', (await import('#compiler')).default(), await start('compiler')),
      noCompiler: () => {
        withoutCompiler(request);
      },
    });
  }

  #loadOptions({ cache, progress }: OpenRequest, emit: Emit): LoadOptions {
    return { signal: this.#abort.signal, emit: progress ? emit : undefined, via: viaCache(cache) };
  }

  #memory(): SessionMemory {
    const { engine, compiler } = this.#memories;
    const bytes = { engine: engine?.buffer.byteLength ?? 0, compiler: compiler?.buffer.byteLength ?? 0 };
    return { wasmBytes: bytes.engine + bytes.compiler, ...bytes };
  }

  #session(): Opened {
    if (!this.#opened) throw new InferenceError('SESSION_RELEASED', 'The session has been released');
    return this.#opened;
  }

  async #open(request: OpenRequest, emit: Emit): Promise<OpenResult> {
    const { signal } = this.#abort;
    try {
      const result = await this.#openAll(request, this.#loadOptions(request, emit));
      signal.throwIfAborted();
      return result;
    } catch (error) {
      // One download has failed: the others are of no use.
      this.#abort.abort();
      this.#forget();
      throw request.card ? blameCard(error, request.card.url ?? request.card.file) : error;
    }
  }

  async #openAll(request: OpenRequest, options: LoadOptions): Promise<OpenResult> {
    const start = startModules(request, options.emit);
    void start('engine');

    const { card, model, spec } = request.card ? await loadCard(request.card, options) : { model: request.model, spec: request.classifier };
    if (!model) throw new Error('no model');
    const sizes = new Map<string, number>();
    const total = (): number => [...sizes.values()].reduce((sum, size) => sum + size, 0);
    let compiles = request.externalData.length > 0;
    // Before memory is asked for.
    const weigh = async (): Promise<void> => {
      if (compiles && total() > MAX_COMPILED) throw (await import('./external.js')).tooLarge(total());
    };
    const onSize = (path: string) => (size: number): Promise<void> => {
      sizes.set(path, size);
      return weigh();
    };
    const [engine, bytes, labels, ...externalData] = await Promise.all([
      start('engine').then(async (module) => {
        const instance = await this.#instantiate('engine', createEngine(), module);
        // One pixel through the real thing checks the settings while the model is still on its way.
        if (spec) instance.preprocess(new Uint8Array(4), 1, 1, spec.input);
        return instance;
      }),
      load(model, {
        ...options,
        size: card?.bytes,
        integrity: request.integrity,
        onSize: onSize(''),
        onHead: (head) => {
          compiles ||= !isPlan(head);
          if (!isPlan(head)) void start('compiler');
          else withoutCompiler(request);
          return weigh();
        },
      }),
      loadLabels(spec?.labels, options),
      ...request.externalData.map(async ({ path, source }) => ({ path, data: await load(source, { ...options, kind: 'data', onSize: onSize(path) }) })),
    ]);

    const file = model.file;
    options.emit?.({ status: 'compile', file });
    let plan = bytes;
    if (!isPlan(bytes)) {
      const module = await start('compiler');
      // Most pages have their models compiled.
      const { default: createCompiler } = await import('#compiler');
      const { CompiledModel }: CompilerModule = await this.#instantiate('compiler', createCompiler(), module);
      options.signal?.throwIfAborted();
      const { freeDimensionOverrides } = request;
      try {
        this.#compiled = new CompiledModel(bytes, externalData, { freeDimensionOverrides });
        plan = this.#compiled.plan();
      } catch (error) {
        const full = isCrash(error) && (this.#memories.compiler?.buffer.byteLength ?? 0) > NEARLY_FULL;
        if (full) throw (await import('./external.js')).tooLarge(total());
        if (toObject(error).code === 'EXTERNAL_DATA_MISSING') throw (await import('./external.js')).withAddresses(error, model.url);
        throw error;
      }
    }
    options.signal?.throwIfAborted();
    const session = new engine.EngineSession(plan, this.#compiled);
    if (!session.needsHost()) {
      this.#compiled?.free();
      this.#compiled = undefined;
      delete this.#memories.compiler;
    }
    const info = session.info();
    this.#opened = { engine, session, info, allowNaN: request.allowNaN };
    const classifier = spec && { ...spec, labels, card };
    if (classifier) checkClassifier(this.#opened, classifier);
    options.emit?.({ status: 'ready', file });
    return {
      info,
      version: engine.version(),
      subgraphs: session.subgraphs(),
      compiler: this.#compiled !== undefined,
      classifier,
      canDecode: canDecode(),
    };
  }

  /** A fresh instance of a module. */
  async #instantiate<M extends { init: Init }>(name: WasmName, glue: M, module: WebAssembly.Module): Promise<M> {
    try {
      this.#memories[name] = (await glue.init({ module_or_path: module })).memory;
      return glue;
    } catch (cause) {
      if (!(cause instanceof WebAssembly.LinkError || cause instanceof TypeError)) throw cause;
      throw new InferenceError('WASM_LOAD', `The ${name} does not belong to this version of the package (${describe(cause)})`, {
        hint: 'An old copy may have been cached: reload without cache, and deploy all files of the package together.',
        cause,
      });
    }
  }

  async #classifier(spec: ClassifierSpec): Promise<ClassifierInfo> {
    const classifier = { ...spec, labels: await loadLabels(spec.labels, { signal: this.#abort.signal }) };
    checkClassifier(this.#session(), classifier);
    return classifier;
  }

  #run({ inputs, outputs, profile }: RunRequest): RunResult {
    const { session, allowNaN } = this.#session();
    const began = performance.timeOrigin + performance.now();
    const results = session.run(inputs, outputs, { allowNaN, profile });
    return { outputs: results, profile: profile ? { steps: session.profile(), began } : undefined };
  }

  async #classify({ image, input, activation, topK, threshold }: ClassifyRequest): Promise<ClassifyResult> {
    const times = [performance.now()];
    const pixels = await decode(image);
    times.push(performance.now());
    const { engine, session, info, allowNaN } = this.#session();
    const tensor = engine.preprocess(pixels.data, pixels.width, pixels.height, input);
    tensor.name = info.inputs[0]?.name ?? '';
    times.push(performance.now());
    const [scores] = session.run([tensor], info.outputs.slice(0, 1).map(({ name }) => name), { allowNaN });
    times.push(performance.now());
    const [best = []] = scores ? engine.classify(scores, { topK, threshold, activation }) : [];
    times.push(performance.now());
    const lap = (i: number): number => (times[i + 1] ?? 0) - (times[i] ?? 0);
    return { best, timings: { decode: lap(0), preprocess: lap(1), inference: lap(2), postprocess: lap(3) } };
  }
}

async function loadCard(source: Source, options: LoadOptions): Promise<CardParts> {
  const [bytes, { readCard }] = await Promise.all([load(source, { ...options, kind: 'card' }), import('./card.js')]);
  return readCard(bytes, source);
}

/** The names of the classes from a list, an object, or a JSON file of either. */
async function loadLabels(labels: ClassifierSpec['labels'], options: LoadOptions): Promise<Labels | undefined> {
  if (!labels || !('file' in labels)) return labels;
  const [bytes, { parseLabels }] = await Promise.all([load(labels, { ...options, kind: 'labels' }), import('./card.js')]);
  return parseLabels(bytes, labels);
}

/** Loads modules when they are asked for, each once; hands them on to other sessions. */
function startModules({ line, wasm }: OpenRequest, emit: Emit | undefined): (name: WasmName) => Promise<WebAssembly.Module> {
  const awaited = line && awaitModules(line);
  const acquire = async (name: WasmName): Promise<WebAssembly.Module> => {
    const given = wasm[name] === 'awaited' ? await awaited?.[name] : undefined;
    if (given) return given;
    const module = await loadModule(name, wasm, emit);
    if (line) postModule(line, { name, module });
    return module;
  };
  const loading: Partial<Record<WasmName, Promise<WebAssembly.Module>>> = {};
  return (name) => {
    const module = (loading[name] ??= acquire(name));
    // Awaited later; until then a failure is not unhandled.
    module.catch(() => undefined);
    return module;
  };
}

/** Tells sessions that wait for this one's compiler that it has none. */
function withoutCompiler({ line }: OpenRequest): void {
  if (line) postModule(line, { name: 'compiler', module: undefined });
}

/** The way downloads take: its code comes while the engine is fetched. */
function viaCache(cache: OpenRequest['cache']): Via | undefined {
  if (cache === false) return undefined;
  const opening = import('./cached.js').then(({ openCached }) => openCached(cache));
  opening.catch(() => undefined);
  return async (source, options) => (await opening)(source, options);
}

/** That settings and labels fit the model: found when it is opened rather than with the first picture. */
function checkClassifier({ engine, info }: Opened, { input, labels }: ClassifierInfo): void {
  const fail = (message: string, expected: string, actual: string, hint: string): never => {
    throw new InferenceError('INVALID_OPTION', message, { input: info.inputs[0]?.name, expected, actual, hint });
  };
  const [wanted] = info.inputs;
  if (!wanted || info.inputs.length > 1) {
    return fail('A classifier needs a model with one input', '1 input', `${info.inputs.length} inputs`, 'Use InferenceSession for other models.');
  }
  const { type, dims } = engine.preprocess(new Uint8Array(4), 1, 1, input);
  const fits = dims.length === wanted.shape.length && wanted.shape.every((size, i) => typeof size === 'string' || size === dims[i]);
  if (type !== wanted.type || !fits) {
    const [expected, actual] = [`${wanted.type} [${wanted.shape.join(', ')}]`, `${type} [${dims.join(', ')}]`];
    fail(`The input settings make ${actual}, the model takes ${expected}`, expected, actual, 'Correct size, layout or type.');
  }
  // [batch, classes] or [batch, classes, 1, 1]
  const shape = info.outputs[0]?.shape ?? [];
  const classes = shape[shape.length > 1 ? 1 : 0];
  if (Array.isArray(labels) && typeof classes === 'number' && labels.length !== classes) {
    fail(
      `The model has ${classes} classes and there are ${labels.length} labels`,
      `${classes} labels`,
      `${labels.length} labels`,
      'The labels may be those of another model; some models put a background class first. To name a part only, use an object from index to name.',
    );
  }
}

function blameCard(error: unknown, card: string): unknown {
  const object = toObject(error);
  return object.code === 'INVALID_OPTION' ? new InferenceError('INVALID_CARD', `The model card ${card}: ${object.message}`, object) : error;
}

/** Whether a wasm instance is left in a state that nothing is known about. */
function isCrash(thrown: unknown): boolean {
  if (thrown instanceof WebAssembly.RuntimeError) return true;
  // A stack overflow inside of wasm leaves its own stack pointer where it was. Errors with a code are ours, whatever they say.
  return thrown instanceof Error && !('code' in thrown) && /call stack|recursion/i.test(thrown.message);
}

function crash(thrown: unknown): ErrorObject {
  return {
    code: 'RUNTIME_CRASH',
    message: `The WebAssembly module of this session crashed (${describe(thrown)})`,
    hint: 'This session is lost, others are not: create a new one. Please report the model that did it.',
    cause: (thrown as Error).stack,
  };
}

function explain(thrown: unknown): ErrorObject {
  const object = toObject(thrown);
  // What browsers throw for a buffer that is too large.
  if (!(thrown instanceof RangeError && /alloc|memory|invalid .*array.* length|too large/i.test(thrown.message))) return object;
  return { ...object, code: 'OUT_OF_MEMORY', hint: 'Release sessions that are not needed, or use a smaller model.' };
}
