// Models that have to be compiled: for a session, or for compileModel and inspectModel. Loaded with the first.

import createCompiler from '#compiler';
import type { Fallback, FallbackNode } from './compile.js';
import { isCrash } from './crash.js';
import { InferenceError, toObject } from './errors.js';
import { withAddresses } from './external.js';
import { bytesOf } from './kept-plans.js';
import { isPlan, type LoadOptions } from './loader.js';
import type { Loaded, ModelFiles } from './model.js';
import type { CompileRequest, CompileResult, InspectResult } from './protocol.js';
import { openInputs, resolveShapes } from './shapes.js';
import type { CompiledModel, CompiledPlan, CompilerModule, EngineModule, EngineSession, Host, ModelInfo, PlanDescription } from './wasm-modules.js';

type Shapes = CompileRequest['shapes'];

/** What the runtime lends. */
export interface CompileTools {
  readonly files: ModelFiles;
  readonly signal: AbortSignal;
  /** The compiler's module. */
  readonly module: () => Promise<WebAssembly.Module>;
  /** Makes an instance of it. */
  readonly instantiate: (glue: CompilerModule, module: WebAssembly.Module) => Promise<CompilerModule>;
  /** Size of the instance's memory. */
  readonly memoryBytes: () => number;
}

/** Bytes of memory at which a crash is for want of more. */
const NEARLY_FULL = 3 * 2 ** 30;

interface Compiled {
  readonly plan: Uint8Array;
  readonly info: ModelInfo;
  readonly description: PlanDescription;
  /** Absent for plans. */
  readonly model?: CompiledModel;
}

async function makeCompiler({ instantiate, module, signal }: CompileTools): Promise<CompilerModule> {
  const compiler = await instantiate(createCompiler(), await module());
  signal.throwIfAborted();
  return compiler;
}

/** The error of a model that was not compiled. */
async function explain({ files, memoryBytes }: CompileTools, error: unknown): Promise<unknown> {
  if (isCrash(error) && memoryBytes() > NEARLY_FULL) return files.tooLarge();
  return toObject(error).code === 'EXTERNAL_DATA_MISSING' ? withAddresses(error, files.model.url) : error;
}

/**
 * The session of a model, and the model as the compiler holds it if runs may need that.
 *
 * @param shapes input shapes that are wanted
 */
export async function compileSession(
  engine: EngineModule,
  { bytes, externalData }: Loaded,
  tools: CompileTools,
  shapes?: number[][],
): Promise<{ session: EngineSession; compiled: CompiledModel | undefined }> {
  const { kept, request } = tools.files;
  const { CompiledModel } = await makeCompiler(tools);
  const { freeDimensionOverrides } = request;
  let compiled: CompiledModel;
  let host: Host;
  let plan: CompiledPlan;
  try {
    compiled = new CompiledModel(bytes, externalData, { freeDimensionOverrides });
    host = kept?.host(compiled, () => session.describe()) ?? compiled;
    if (shapes) host.specialize(shapes);
    plan = compiled.plan();
  } catch (error) {
    throw await explain(tools, error);
  }
  const session: EngineSession = new engine.EngineSession(plan, host);
  if (session.needsHost()) return { session, compiled };
  void kept?.keep(plan);
  compiled.free();
  return { session, compiled: undefined };
}

/** A plan of the model that the engine runs by itself. */
export async function compile(
  shapes: Shapes,
  options: LoadOptions,
  engine: EngineModule,
  loaded: Loaded,
  tools: CompileTools,
): Promise<CompileResult> {
  const { plan, info, description, model } = await prepare(shapes, options, engine, loaded, tools);
  const { file } = tools.files.model;
  if (!model) {
    throw new InferenceError('INVALID_OPTION', `${file} is a plan already`, { expected: 'an .onnx file', actual: 'a plan', hint: 'Use it as it is.' });
  }
  if (description.variants.length === 0) {
    const open = openInputs(info);
    throw new InferenceError('MISSING_INPUT', `The model leaves sizes of its inputs open: ${open}`, {
      expected: 'input shapes',
      actual: open,
      hint: 'Fix them by name with freeDimensionOverrides, or give whole shapes.',
    });
  }
  if (hasFallbacks(description)) {
    const without = fallbackNodes(model);
    const names = [...new Set(without.map(({ opType }) => opType))].join(', ');
    throw new InferenceError('UNSUPPORTED_MODEL', `The engine has no steps for parts of the model (${names}), so it needs the compiler while it runs`, {
      node: without[0]?.name,
      opType: without[0]?.opType,
      hint: 'Use the .onnx file: parts without steps are executed by the compiler. inspectModel, and tractlet inspect, list them.',
    });
  }
  return { plan };
}

/** What the model, or plan, consists of. */
export async function inspect(
  shapes: Shapes,
  options: LoadOptions,
  engine: EngineModule,
  loaded: Loaded,
  tools: CompileTools,
): Promise<InspectResult> {
  const { plan, info, description, model } = await prepare(shapes, options, engine, loaded, tools);
  const [, traits = ''] = engine.version().split('+');
  const [build = ''] = traits.split('.');
  const parts = new Map(model?.fallbacks().map(({ id, nodes }) => [id, nodes.map(toNode)]));
  return {
    format: model ? 'onnx' : 'plan',
    bytes: loaded.bytes.length,
    planBytes: plan.length,
    info,
    build,
    weightBytes: description.weightBytes,
    variants: description.variants.map(({ inputShapes, steps, arenaBytes }) => ({
      inputs: Object.fromEntries(info.inputs.map(({ name }, i) => [name, inputShapes[i] ?? []])),
      steps: steps.map(({ node, opType, kernel, shape, macs }) => ({ name: node, opType, kernel, shape, macs })),
      macs: steps.reduce((sum, { macs }) => sum + macs, 0),
      arenaBytes,
      fallbacks: steps.flatMap(({ node, subgraph }): Fallback[] =>
        subgraph === undefined ? [] : [{ name: node, nodes: parts.get(subgraph) ?? [] }],
      ),
    })),
  };
}

/** Whether any of the steps needs the compiler. */
export function hasFallbacks({ variants }: PlanDescription): boolean {
  return variants.some(({ steps }) => steps.some(({ subgraph }) => subgraph !== undefined));
}

const toNode = ({ node, opType, reason }: { node: string; opType: string; reason: string }): FallbackNode => ({
  name: node,
  opType,
  reason: reason as FallbackNode['reason'],
});

function fallbackNodes(model: CompiledModel): FallbackNode[] {
  return model.fallbacks().flatMap(({ nodes }) => nodes.map(toNode));
}

/** Compiles what was loaded for all shapes, if it is a model, and has the engine load it. */
async function prepare(
  sets: Shapes,
  options: LoadOptions,
  engine: EngineModule,
  { bytes, externalData }: Loaded,
  tools: CompileTools,
): Promise<Compiled> {
  const { files } = tools;
  const { file } = files.model;
  let plan = bytes;
  let model: CompiledModel | undefined;
  if (!isPlan(bytes)) {
    const { CompiledModel } = await makeCompiler(tools);
    options.emit?.({ status: 'compile', file, progress: 0 });
    const { freeDimensionOverrides } = files.request;
    try {
      model = new CompiledModel(bytes, externalData, { freeDimensionOverrides });
      // A model whose sizes are fixed is compiled by now; otherwise this plan has no steps.
      const shapes = resolveShapes(withSession(engine, model.plan(), (session) => session.info()), sets);
      for (const [i, set] of shapes.entries()) {
        options.signal?.throwIfAborted();
        model.specialize(set);
        options.emit?.({ status: 'compile', file, progress: (100 * (i + 1)) / shapes.length });
      }
      plan = bytesOf(model.plan());
    } catch (error) {
      throw await explain(tools, error);
    }
  }
  const [info, description] = withSession(engine, plan, (session) => [session.info(), session.describe()] as const);
  options.emit?.({ status: 'ready', file });
  return { plan, info, description, ...(model && { model }) };
}

function withSession<T>(engine: EngineModule, plan: Uint8Array | CompiledPlan, use: (session: EngineSession) => T): T {
  const session = new engine.EngineSession(plan, undefined);
  try {
    return use(session);
  } finally {
    session.free();
  }
}
