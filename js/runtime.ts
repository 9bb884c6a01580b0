// The side that owns the wasm instances: one session with its engine and, where the model needs it, its compiler. The
// same code serves a worker (worker.ts) and the page's own thread (port.ts).

import createEngine from '#engine';
import { beside, integrityOf, loadCard, loadLabels } from './card.js';
import { describe, type ErrorObject, InferenceError, toObject } from './errors.js';
import { canVerify, isPlan, load, type LoadOptions } from './loader.js';
import { canDecode, decode } from './pixels.js';
import type {
  Call,
  ClassifierInfo,
  ClassifierSpec,
  ClassifyRequest,
  ClassifyResult,
  Method,
  Methods,
  OpenRequest,
  OpenResult,
  Reply,
  RunRequest,
  RunResult,
} from './protocol.js';
import type { ProgressInfo, SessionMemory } from './types.js';
import type { Crew } from './threads.js';
import type { CompiledModel, CompilerModule, EngineModule, EngineSession, Init, ModelInfo } from './wasm-modules.js';
import { compilerFiles, engineFiles, loadModule } from './wasm.js';

export { decode } from './pixels.js';

/** Sends a reply; what is in `transfer` is given away. */
export type Post = (reply: Reply, transfer: Transferable[]) => void;

interface Opened {
  readonly engine: EngineModule;
  readonly session: EngineSession;
  readonly info: ModelInfo;
  readonly allowNaN: boolean;
}

/** An engine that has started. */
interface Started {
  readonly engine: EngineModule;
  readonly threads: number;
  readonly threadsReason: string | undefined;
}

/** More have not been measured to be worth their memory, unless someone asks for them. */
const MOST_THREADS = 4;

/** Why there can be but one thread. */
function whyOne({ engineOnly }: OpenRequest): string | undefined {
  if (typeof location === 'undefined' || typeof Worker !== 'function') return 'There are more only in workers of web pages';
  if (typeof document !== 'undefined') return "The session runs in the page's own thread, which must not be kept waiting";
  // Not there in workers of Deno.
  if (!(globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated) return 'The page is not cross-origin isolated: that takes the headers COOP and COEP';
  return engineOnly ? 'The option wasm has an engine, but no engineThreads' : undefined;
}

/** One session. Calls come one after the other. */
export class Runtime {
  readonly #post: Post;
  readonly #startWorker: (() => Worker) | undefined;
  readonly #abort = new AbortController();
  #opened: Opened | undefined;
  #compiled: CompiledModel | undefined;
  #memories: Partial<Record<'engine' | 'compiler', WebAssembly.Memory>> = {};
  #crew: Crew | undefined;

  /** @param startWorker starts another worker for the package; not needed in such a worker */
  constructor(post: Post, startWorker?: () => Worker) {
    this.#post = post;
    this.#startWorker = startWorker;
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
    this.#crew?.stop();
    this.#crew = undefined;
    this.#opened = undefined;
    this.#compiled = undefined;
    this.#memories = {};
  }

  #dispatch(call: Call): Promise<Methods[Method][1]> | Methods[Method][1] {
    switch (call.method) {
      case 'open':
        return this.#open(call.request, (event) => {
          this.#post({ tractlet: 'progress', id: call.id, event }, []);
        });
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

  #reply(id: number, result: Methods[Method][1]): void {
    const transfer = 'outputs' in result ? result.outputs.flatMap(({ data }) => ('buffer' in data ? [data.buffer as ArrayBuffer] : [])) : [];
    try {
      this.#post({ tractlet: 'result', id, result }, transfer);
    } catch (error) {
      // WebKitGTK cannot post modules; the next worker then compiles its own.
      if (!('modules' in result)) throw error;
      this.#post({ tractlet: 'result', id, result: { ...result, modules: {} } }, []);
    }
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

  async #open(request: OpenRequest, emit: (event: ProgressInfo) => void): Promise<OpenResult> {
    const { signal } = this.#abort;
    try {
      const result = await this.#openAll(request, { signal, emit });
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
    const modules: OpenResult['modules'] = {};
    let compiling: Promise<WebAssembly.Module> | undefined;
    const loadCompiler = (): Promise<WebAssembly.Module> => {
      compiling ??= loadModule(request.wasm.compiler, compilerFiles);
      // Awaited later; until then a failure is not unhandled.
      compiling.catch(() => undefined);
      return compiling;
    };
    const starting = this.#startEngine(request, modules);
    starting.catch(() => undefined);

    const card = request.card && (await loadCard(request.card, options));
    const model = request.card && card ? beside(request.card, card.model) : request.model;
    if (!model) throw new Error('no model');
    const spec: ClassifierSpec | undefined =
      request.card && card
        ? { input: card.input, output: card.output, labels: card.labels === undefined ? undefined : beside(request.card, card.labels) }
        : request.classifier;
    const [{ engine, threads, threadsReason }, bytes, labels, ...externalData] = await Promise.all([
      starting.then((started) => {
        // One pixel through the real thing checks the settings while the model is still on its way.
        if (spec) started.engine.preprocess(new Uint8Array(4), 1, 1, spec.input);
        return started;
      }),
      load(model, {
        ...options,
        size: card?.bytes,
        // Only where hashes can be computed: that a card has one must not keep it from working on plain http.
        integrity: request.integrity ?? (card?.sha256 !== undefined && canVerify() ? integrityOf(card.sha256) : undefined),
        onHead: (head) => {
          if (!isPlan(head)) void loadCompiler();
        },
      }),
      loadLabels(spec?.labels, options),
      ...request.externalData.map(async ({ path, source }) => ({ path, data: await load(source, options) })),
    ]);

    const file = model.file;
    options.emit?.({ status: 'compile', file });
    let plan = bytes;
    if (!isPlan(bytes)) {
      modules.compiler = await loadCompiler();
      // Most pages have their models compiled.
      const { default: createCompiler } = await import('#compiler');
      const { CompiledModel }: CompilerModule = await this.#instantiate('compiler', createCompiler(), modules.compiler);
      options.signal?.throwIfAborted();
      const { freeDimensionOverrides } = request;
      this.#compiled = new CompiledModel(bytes, externalData, { freeDimensionOverrides });
      plan = this.#compiled.plan();
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
      threads,
      threadsReason,
      modules,
      classifier,
      canDecode: canDecode(),
    };
  }

  /** The engine, with as many threads as are wanted and can be had. Notes the module. */
  async #startEngine(request: OpenRequest, modules: OpenResult['modules']): Promise<Started> {
    let threadsReason = request.threads === 1 ? undefined : whyOne(request);
    const threads = request.threads ?? (threadsReason ? 1 : Math.min(navigator.hardwareConcurrency, MOST_THREADS));
    if (threads > 1 && !threadsReason) {
      try {
        const { assemble, threadsFiles } = await import('./threads.js');
        modules.engineThreads = await loadModule(request.wasm.engineThreads, threadsFiles);
        this.#crew = await assemble(modules.engineThreads, threads, this.#startWorker);
        const { engine, memory, stop } = this.#crew;
        if (this.#abort.signal.aborted) stop();
        this.#memories.engine = memory;
        return { engine, threads, threadsReason };
      } catch (error) {
        threadsReason = `Workers cannot share memory here (${describe(error)})`;
      }
    }
    modules.engine = await loadModule(request.wasm.engine, engineFiles);
    return { engine: await this.#instantiate('engine', createEngine(), modules.engine), threads: 1, threadsReason };
  }

  /** A fresh instance of a module. */
  async #instantiate<M extends { init: Init }>(name: 'engine' | 'compiler', glue: M, module: WebAssembly.Module): Promise<M> {
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
