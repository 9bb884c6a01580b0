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
  WasmName,
} from './protocol.js';
import { turn } from './turn.js';
import type { ProgressInfo, SessionMemory } from './types.js';
import type { CompiledModel, CompilerModule, EngineModule, EngineSession, Exports, Init, ModelInfo, TensorObject } from './wasm-modules.js';
import { loadModule } from './wasm.js';

export { decode } from './pixels.js';

/** Sends a reply; what is in `transfer` is given away. */
export type Post = (reply: Reply, transfer: Transferable[]) => void;

interface Opened {
  readonly engine: EngineModule;
  readonly session: EngineSession;
  readonly info: ModelInfo;
  readonly allowNaN: boolean;
}

/** Milliseconds that a run which may be cancelled goes on before messages get a turn. */
const SLICE = 8;

/** One session. Calls come one after the other. */
export class Runtime {
  readonly #post: Post;
  /** The call that is carried out. */
  #call: Call | undefined;
  /** Stops that call. */
  #abort = new AbortController();
  #opened: Opened | undefined;
  #compiled: CompiledModel | undefined;
  #instances: Partial<Record<WasmName, Exports>> = {};

  constructor(post: Post) {
    this.#post = post;
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
    this.#opened = undefined;
    this.#compiled = undefined;
    this.#instances = {};
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
    const { engine, compiler } = this.#instances;
    const bytes = { engine: engine?.memory.buffer.byteLength ?? 0, compiler: compiler?.memory.buffer.byteLength ?? 0 };
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
      delete this.#instances.compiler;
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
      modules,
      classifier,
      canDecode: canDecode(),
    };
  }

  /** A fresh instance of a module. */
  async #instantiate<M extends { init: Init }>(name: WasmName, glue: M, module: WebAssembly.Module): Promise<M> {
    try {
      this.#instances[name] = await glue.init({ module_or_path: module });
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

  async #run({ inputs, outputs, profile }: RunRequest): Promise<RunResult> {
    const began = performance.timeOrigin + performance.now();
    const results = await this.#execute(inputs, outputs, profile);
    return { outputs: results, profile: profile ? { steps: this.#session().session.profile(), began } : undefined };
  }

  /** Runs the model: all at once, or bit by bit where the call may be cancelled. */
  async #execute(inputs: TensorObject[], outputs: string[] | undefined, profile?: boolean): Promise<TensorObject[]> {
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

  async #classify({ image, input, activation, topK, threshold }: ClassifyRequest): Promise<ClassifyResult> {
    const times = [performance.now()];
    const pixels = await decode(image);
    times.push(performance.now());
    this.#abort.signal.throwIfAborted();
    const { engine, info } = this.#session();
    const tensor = engine.preprocess(pixels.data, pixels.width, pixels.height, input);
    tensor.name = info.inputs[0]?.name ?? '';
    times.push(performance.now());
    const [scores] = await this.#execute([tensor], info.outputs.slice(0, 1).map(({ name }) => name));
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

const SMALLER = 'Release sessions that are not needed, or use smaller inputs or a smaller model.';

function crash(thrown: unknown, outOfMemory: boolean): ErrorObject {
  return {
    code: 'RUNTIME_CRASH',
    message: `The WebAssembly module of this session ${outOfMemory ? 'ran out of memory' : 'crashed'} (${describe(thrown)})`,
    hint: `This session is lost, others are not: create a new one. ${outOfMemory ? SMALLER : 'Please report the model that did it.'}`,
    cause: (thrown as Error).stack,
  };
}

function explain(thrown: unknown): ErrorObject {
  const object = toObject(thrown);
  // What browsers throw for a buffer that is too large.
  if (!(thrown instanceof RangeError && /alloc|memory|invalid .*array.* length|too large/i.test(thrown.message))) return object;
  return { ...object, code: 'OUT_OF_MEMORY', hint: SMALLER };
}
