// The side that owns the wasm instances: one session with its engine and, where the model needs it, its compiler. The
// same code serves a worker (worker.ts) and the page's own thread (port.ts).

import createEngine from '#engine';
import type { CompileTools } from './compile-runtime.js';
import { crash, explain, isCrash } from './crash.js';
import { describe, InferenceError, toObject } from './errors.js';
import { canDecode, classify, preprocess, toClassifier } from './image-runtime.js';
import { more, problem } from './load-more.js';
import { isPlan, type LoadOptions } from './loader.js';
import { type Loaded, ModelFiles } from './model.js';
import { without } from './modules.js';
import { loadCard, loadLabels, type Start, startModules, viaCache } from './opening.js';
import type { KeptPlans } from './kept-plans.js';
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
  PreprocessRequest,
  Reply,
  RunRequest,
  RunResult,
  WasmName,
} from './protocol.js';
import { assemble, type Crew } from './threads.js';
import { turn } from './turn.js';
import type { SessionMemory } from './types.js';
import type { CompiledModel, EngineModule, EngineSession, Exports, Init, ModelInfo, TensorObject } from './wasm-modules.js';
import { loadModule } from './wasm.js';

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
  if (INLINE) return 'tractlet/inline has no engine with threads';
  if (typeof location === 'undefined' || typeof Worker !== 'function') return 'There are more only in workers of web pages';
  if (typeof document !== 'undefined') return "The session runs in the page's own thread, which must not be kept waiting";
  // Deno has workers, but no such thing.
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  if (!crossOriginIsolated) return 'The page is not cross-origin isolated: that takes the headers COOP and COEP';
  return engineOnly ? 'The option wasm has an engine, but no engineThreads' : undefined;
}

/** Milliseconds that a run which may be cancelled goes on before messages get a turn. */
const SLICE = 4;

/** One session. Calls come one after the other. */
export class Runtime {
  readonly #post: Post;
  readonly #ways: readonly (() => Worker)[] | undefined;
  /** The call that is carried out. */
  #call: Call | undefined;
  /** Stops that call. */
  #abort = new AbortController();
  #opened: Opened | undefined;
  #compiled: CompiledModel | undefined;
  /** Without a session, for pictures only. */
  #engine: EngineModule | undefined;
  #instances: Partial<Record<WasmName, Exports>> = {};
  #crew: Crew | undefined;
  #kept: KeptPlans | undefined;
  /** Gets a kept plan's session ready for input shapes that the plan has no steps for. */
  #prepare: ((inputs: readonly TensorObject[]) => Promise<void>) | undefined;

  /** @param ways start another worker for the package, the first that works; not needed in such a worker */
  constructor(post: Post, ways?: readonly (() => Worker)[]) {
    this.#post = post;
    this.#ways = ways;
  }

  /** Carries out a call and posts its reply. Never throws. */
  async handle(call: Call): Promise<void> {
    const { id } = call;
    this.#call = call;
    this.#abort = new AbortController();
    try {
      const result = await this.#dispatch(call);
      this.#reply(id, result);
    } catch (thrown) {
      const fatal = isCrash(thrown) || this.#isStuck();
      let error = explain(thrown);
      if (fatal) {
        error = crash(thrown, error.code === 'OUT_OF_MEMORY' || Object.values(this.#instances).some(({ outOfMemory }) => outOfMemory?.()));
      }
      // What a crash has left of the instances must not be touched again, not even to free it.
      if (fatal || call.method === 'open') this.#forget();
      this.#post({ tractlet: 'error', id, error, fatal }, []);
    }
  }

  /** Stops a call, should it be the one that is carried out. */
  cancel(id: number): void {
    if (this.#call?.id === id) this.#abort.abort();
  }

  /** Stops downloads and lets go of the wasm instances, whose memory goes with them. */
  dispose(): void {
    this.#abort.abort();
    this.#opened?.session.free();
    this.#compiled?.free();
    this.#forget();
  }

  /** Whether an exception went right through the engine, as when there is no memory for what it returns. */
  #isStuck(): boolean {
    try {
      this.#opened?.session.subgraphs();
      return false;
    } catch {
      return true;
    }
  }

  #forget(): void {
    this.#kept?.stop();
    this.#crew?.stop();
    this.#crew = undefined;
    this.#prepare = undefined;
    this.#opened = undefined;
    this.#compiled = undefined;
    this.#engine = undefined;
    this.#instances = {};
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
      case 'engine':
        return this.#loadEngine(call.request);
      case 'preprocess':
        return this.#preprocess(call.request);
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
    without(request.line, 'engineThreads');
    const engine = start('engine').then((module) => this.#instantiate('engine', createEngine(), module));
    const files = new ModelFiles(request, request.model, options, () => start('compiler'), engine);
    const [compiling, loaded] = await Promise.all([more(), files.load()]);
    return compiling[method](request.shapes, options, await engine, loaded, this.#tools(files, () => start('compiler')));
  }

  /** What compile-runtime.ts gets. */
  #tools(files: ModelFiles, module: () => Promise<WebAssembly.Module>): CompileTools {
    return {
      files,
      module,
      signal: this.#abort.signal,
      instantiate: (glue, compiled) => this.#instantiate('compiler', glue, compiled),
      memoryBytes: () => this.#memory().compiler,
    };
  }

  #loadOptions({ cache, progress }: OpenRequest, emit: Emit): LoadOptions {
    return { signal: this.#abort.signal, emit: progress ? emit : undefined, via: viaCache(cache) };
  }

  #memory(): SessionMemory {
    const { engine, compiler } = this.#instances;
    const bytes = { engine: engine?.memory.buffer.byteLength ?? 0, compiler: compiler?.memory.buffer.byteLength ?? 0 };
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
      throw request.card ? blameCard(error, request.card.url ?? request.card.file) : error;
    }
  }

  async #openAll(request: OpenRequest, options: LoadOptions): Promise<OpenResult> {
    const start = startModules(request, options.emit);
    const starting = this.#startEngine(request, start);
    const loading = starting.then(({ engine }) => engine);
    // Awaited later; until then a failure is not unhandled.
    loading.catch(() => undefined);

    const { card, model, spec } = request.card ? await loadCard(request.card, options) : { model: request.model, spec: request.classifier };
    if (!model) throw new Error('no model');
    const files = new ModelFiles(request, model, { ...options, size: card?.bytes }, () => start('compiler'), loading);
    const [{ engine, threads, threadsReason }, { plan, loaded }, labels] = await Promise.all([
      starting.then((started) => {
        // One pixel through the real thing checks the settings while the model is still on its way.
        if (spec) started.engine.preprocess(new Uint8Array(4), 1, 1, spec.input);
        return started;
      }),
      files.find(),
      loadLabels(spec?.labels, options),
    ]);

    this.#kept = files.kept;
    options.emit?.({ status: 'compile', file: model.file });
    const again = plan && (await files.kept?.openSession(engine, plan));
    const session = again ?? (await this.#compileAll(engine, files, loaded ?? (await files.load()), () => start('compiler')));
    const info = session.info();
    this.#opened = { engine, session, info, allowNaN: request.allowNaN };
    const classifier = spec && (await toClassifier(engine, info, { ...spec, labels, card }));
    if (again?.needsHost()) this.#prepare = this.#preparation(this.#opened, files);
    options.emit?.({ status: 'ready', file: model.file });
    return {
      info,
      version: engine.version(),
      subgraphs: session.subgraphs(),
      compiler: this.#compiled !== undefined,
      threads,
      threadsReason,
      classifier,
    };
  }

  /** The session of a model that was downloaded; of a plan, too. `shapes` are input shapes that are wanted. */
  async #compileAll(
    engine: EngineModule,
    files: ModelFiles,
    loaded: Loaded,
    compiler: () => Promise<WebAssembly.Module>,
    shapes?: number[][],
  ): Promise<EngineSession> {
    if (isPlan(loaded.bytes)) return new engine.EngineSession(loaded.bytes, undefined);
    const { session, compiled } = await (await more()).compileSession(engine, loaded, this.#tools(files, compiler), shapes);
    this.#compiled = compiled;
    if (!compiled) delete this.#instances.compiler;
    return session;
  }

  /** Gets a kept plan's session ready for input shapes that the plan has no steps for: the model is compiled after all. */
  #preparation(opened: Opened, files: ModelFiles): (inputs: readonly TensorObject[]) => Promise<void> {
    const description = opened.session.describe();
    return async (inputs) => {
      const shapes = files.kept?.missing(description, opened.info, inputs);
      if (!shapes) return;
      // Not one that another session compiles: what is said of it has been said.
      const compiler = loadModule('compiler', files.request.wasm);
      compiler.catch(() => undefined);
      const session = await this.#compileAll(opened.engine, files, await files.load(), () => compiler, shapes);
      opened.session.free();
      this.#opened = { ...opened, session };
      this.#prepare = undefined;
    };
  }

  /** The engine, with as many threads as are wanted and can be had. */
  async #startEngine(request: OpenRequest, start: Start): Promise<Started> {
    const { signal } = this.#abort;
    const { line, threads: wanted } = request;
    let threadsReason = wanted === 1 ? undefined : whyOne(request);
    const threads = threadsReason ? 1 : (wanted ?? Math.min(navigator.hardwareConcurrency, MOST_THREADS));
    if (!INLINE && threads > 1) {
      const engine = createEngine();
      try {
        const crew = await assemble(engine, await start('engineThreads'), threads, this.#ways);
        if (signal.aborted) crew.stop();
        signal.throwIfAborted();
        without(line, 'engine');
        this.#crew = crew;
        this.#instances.engine = crew.exports;
        return { engine, threads, threadsReason };
      } catch (error) {
        signal.throwIfAborted();
        threadsReason = `The engine with threads could not be started (${describe(error)})`;
      }
    }
    without(line, 'engineThreads');
    const engine = await this.#instantiate('engine', createEngine(), await start('engine'));
    return { engine, threads: 1, threadsReason };
  }

  /** A fresh instance of a module. */
  async #instantiate<M extends { init: Init }>(name: WasmName, glue: M, module: WebAssembly.Module): Promise<M> {
    try {
      this.#instances[name] = await glue.init({ module_or_path: module, memory: {} });
      return glue;
    } catch (cause) {
      if (!(cause instanceof WebAssembly.LinkError || cause instanceof TypeError)) throw cause;
      throw await problem('WASM_LOAD', 'otherVersion', name, cause);
    }
  }

  async #classifier(spec: ClassifierSpec): Promise<ClassifierInfo> {
    const labels = await loadLabels(spec.labels, { signal: this.#abort.signal });
    const { engine, info } = this.#session();
    return toClassifier(engine, info, { ...spec, labels });
  }

  async #run({ inputs, outputs, profile }: RunRequest): Promise<RunResult> {
    const began = performance.timeOrigin + performance.now();
    const results = await this.#execute(inputs, outputs, profile);
    return { outputs: results, profile: profile ? { steps: this.#session().session.profile(), began } : undefined };
  }

  /** Runs the model: all at once, or bit by bit where the call may be cancelled. */
  async #execute(inputs: TensorObject[], outputs: string[] | undefined, profile = false): Promise<TensorObject[]> {
    await this.#prepare?.(inputs);
    const { session, allowNaN } = this.#session();
    const options = { allowNaN, profile };
    if (!this.#call?.stoppable) return session.run(inputs, outputs, options);
    const { signal } = this.#abort;
    session.begin(inputs, outputs, options);
    while (!session.advance(SLICE)) {
      await turn();
      // Gone if it was released meanwhile.
      if (signal.aborted) this.#opened?.session.cancel();
      signal.throwIfAborted();
    }
    return session.finish();
  }

  #classify(request: ClassifyRequest): Promise<ClassifyResult> {
    return classify(request, () => {
      const { engine, info } = this.#session();
      return { engine, info, run: (inputs, outputs) => this.#execute(inputs, outputs) };
    });
  }

  /** For pictures only: there is no session. */
  async #loadEngine({ wasm }: Methods['engine'][0]): Promise<Methods['engine'][1]> {
    this.#engine = await this.#instantiate('engine', createEngine(), await loadModule('engine', wasm));
    return { canDecode: canDecode() };
  }

  async #preprocess(request: PreprocessRequest): Promise<Methods['preprocess'][1]> {
    if (!this.#engine) throw new Error('no engine');
    return { outputs: [await preprocess(request, this.#engine)] };
  }
}

function blameCard(error: unknown, card: string): unknown {
  const object = toObject(error);
  return object.code === 'INVALID_OPTION' ? new InferenceError('INVALID_CARD', `The model card ${card}: ${object.message}`, object) : error;
}
