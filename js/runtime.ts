// The side that owns the wasm instances: one session with its engine and, where the model needs it, its compiler. The
// same code serves a worker (worker.ts) and the page's own thread (port.ts).

import createEngine from '#engine';
import { beside, integrityOf, loadCard, loadLabels } from './card.js';
import { describe, type ErrorObject, InferenceError, toObject } from './errors.js';
import { canVerify, isPlan, load, type LoadOptions } from './loader.js';
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
  PreprocessRequest,
  Reply,
  RunRequest,
  RunResult,
  WasmName,
} from './protocol.js';
import type { ProgressInfo, SessionMemory } from './types.js';
import type { CompiledModel, CompilerModule, EngineModule, EngineSession, Init, ModelInfo } from './wasm-modules.js';
import { loadModule } from './wasm.js';

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
  /** Without a session, for pictures only. */
  #engine: EngineModule | undefined;
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
    this.#engine = undefined;
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
      case 'engine':
        return this.#loadEngine(call.request);
      case 'preprocess':
        return this.#preprocess(call.request);
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
    const loading: Partial<Record<WasmName, Promise<WebAssembly.Module>>> = {};
    const start = (name: WasmName): Promise<WebAssembly.Module> => {
      const module = (loading[name] ??= loadModule(name, request.wasm));
      // Awaited later; until then a failure is not unhandled.
      module.catch(() => undefined);
      return module;
    };
    void start('engine');

    const card = request.card && (await loadCard(request.card, options));
    const model = request.card && card ? beside(request.card, card.model) : request.model;
    if (!model) throw new Error('no model');
    const spec: ClassifierSpec | undefined =
      request.card && card
        ? { input: card.input, output: card.output, labels: card.labels === undefined ? undefined : beside(request.card, card.labels) }
        : request.classifier;
    // Only classifiers need it.
    const pictures = spec && import('./image-runtime.js');
    // Awaited later; until then a failure is not unhandled.
    pictures?.catch(() => undefined);
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
        // Only where hashes can be computed: that a card has one must not keep it from working on plain http.
        integrity: request.integrity ?? (card?.sha256 !== undefined && canVerify() ? integrityOf(card.sha256) : undefined),
        onHead: (head) => {
          if (!isPlan(head)) void start('compiler');
        },
      }),
      loadLabels(spec?.labels, options),
      ...request.externalData.map(async ({ path, source }) => ({ path, data: await load(source, options) })),
    ]);

    const file = model.file;
    options.emit?.({ status: 'compile', file });
    const modules: OpenResult['modules'] = { engine: await start('engine') };
    let plan = bytes;
    if (!isPlan(bytes)) {
      modules.compiler = await start('compiler');
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
    const classifier = spec && (await pictures)?.toClassifier(engine, info, { ...spec, labels, card });
    options.emit?.({ status: 'ready', file });
    return {
      info,
      version: engine.version(),
      subgraphs: session.subgraphs(),
      compiler: this.#compiled !== undefined,
      modules,
      classifier,
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
    const [{ toClassifier }, labels] = await Promise.all([
      import('./image-runtime.js'),
      loadLabels(spec.labels, { signal: this.#abort.signal }),
    ]);
    const { engine, info } = this.#session();
    return toClassifier(engine, info, { ...spec, labels });
  }

  #run({ inputs, outputs, profile }: RunRequest): RunResult {
    const { session, allowNaN } = this.#session();
    const began = performance.timeOrigin + performance.now();
    const results = session.run(inputs, outputs, { allowNaN, profile });
    return { outputs: results, profile: profile ? { steps: session.profile(), began } : undefined };
  }

  async #classify(request: ClassifyRequest): Promise<ClassifyResult> {
    const { classify } = await import('./image-runtime.js');
    return classify(request, () => {
      const { engine, session, info, allowNaN } = this.#session();
      return { engine, info, run: (inputs, outputs) => session.run(inputs, outputs, { allowNaN }) };
    });
  }

  /** For pictures only: there is no session. */
  async #loadEngine({ wasm }: Methods['engine'][0]): Promise<Methods['engine'][1]> {
    const [{ canDecode }] = await Promise.all([
      import('./image-runtime.js'),
      loadModule('engine', wasm).then(async (module) => {
        this.#engine = await this.#instantiate('engine', createEngine(), module);
      }),
    ]);
    return { canDecode: canDecode() };
  }

  async #preprocess(request: PreprocessRequest): Promise<Methods['preprocess'][1]> {
    const { preprocess } = await import('./image-runtime.js');
    if (!this.#engine) throw new Error('no engine');
    return { outputs: [await preprocess(request, this.#engine)] };
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
