// The runtime's side of compileModel and inspectModel.

import type { Fallback, FallbackNode } from './compile.js';
import { InferenceError } from './errors.js';
import { bytesOf } from './kept-plans.js';
import { isPlan, type LoadOptions } from './loader.js';
import type { Loaded, ModelFiles } from './model.js';
import type { CompileRequest, CompileResult, InspectResult } from './protocol.js';
import { openInputs, resolveShapes } from './shapes.js';
import type { CompiledModel, CompiledPlan, CompilerModule, EngineModule, EngineSession, ModelInfo, PlanDescription } from './wasm-modules.js';

type Shapes = CompileRequest['shapes'];

export interface Tools {
  readonly options: LoadOptions;
  readonly files: ModelFiles;
  readonly loaded: Loaded;
  readonly engine: EngineModule;
  /** Makes an instance. */
  readonly compiler: () => Promise<CompilerModule>;
  /** The error of a model that was not compiled. */
  readonly explain: (error: unknown) => Promise<unknown>;
}

interface Compiled {
  readonly plan: Uint8Array;
  readonly info: ModelInfo;
  readonly description: PlanDescription;
  /** Absent for plans. */
  readonly model?: CompiledModel;
}

/** A plan of the model that the engine runs by itself. */
export async function compile(shapes: Shapes, tools: Tools): Promise<CompileResult> {
  const { plan, info, description, model } = await prepare(shapes, tools);
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
export async function inspect(shapes: Shapes, tools: Tools): Promise<InspectResult> {
  const { plan, info, description, model } = await prepare(shapes, tools);
  const [, traits = ''] = tools.engine.version().split('+');
  const [build = ''] = traits.split('.');
  const parts = new Map(model?.fallbacks().map(({ id, nodes }) => [id, nodes.map(toNode)]));
  return {
    format: model ? 'onnx' : 'plan',
    bytes: tools.loaded.bytes.length,
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
async function prepare(sets: Shapes, { options, files, loaded, engine, compiler, explain }: Tools): Promise<Compiled> {
  const { bytes, externalData } = loaded;
  const { file } = files.model;
  let plan = bytes;
  let model: CompiledModel | undefined;
  if (!isPlan(bytes)) {
    const { CompiledModel } = await compiler();
    options.signal?.throwIfAborted();
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
      throw await explain(error);
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
