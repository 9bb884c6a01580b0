// Plans ahead of time: the page's side. What is done is in compile-runtime.ts, which is loaded when it is needed.

import { checkOptions, type OptionName } from './options.js';
import type { CompileResult, InspectResult } from './protocol.js';
import { ask, type InferenceSession, toMetadata } from './session.js';

/** Options of {@link compileModel} and {@link inspectModel}. */
export interface CompileOptions
  extends Pick<
    InferenceSession.SessionOptions,
    'wasm' | 'signal' | 'onProgress' | 'externalData' | 'freeDimensionOverrides' | 'integrity' | 'cache' | 'worker'
  > {
  /**
   * Sets of input shapes to compile for, at most 8: `[{ input: [1, 3, 224, 224] }]`. Needed where the model leaves sizes
   * open and `freeDimensionOverrides` does not fix them. Inputs whose shape follows may be left out: because the model
   * fixes it, or because it uses the same symbols as one that is given.
   */
  readonly shapes?: readonly Readonly<Record<string, readonly number[]>>[] | undefined;
}

/** What {@link inspectModel} finds. */
export interface ModelInspection {
  /** What the file is. */
  readonly format: 'onnx' | 'plan';
  /** Size of the file. */
  readonly bytes: number;
  /** Size of the plan. */
  readonly planBytes: number;
  /** Type and shape of the inputs. */
  readonly inputs: readonly InferenceSession.ValueMetadata[];
  /** Type and shape of the outputs. */
  readonly outputs: readonly InferenceSession.ValueMetadata[];
  /** What the file says about itself. */
  readonly metadata: InferenceSession.ModelMetadata;
  /** Build of the engine whose kernels are named. */
  readonly build: string;
  /** Memory that the weights take once they are packed for the kernels. All variants share it. */
  readonly weightBytes: number;
  /** By input shapes. None for a model that leaves sizes open when no shapes were given. */
  readonly variants: readonly PlanVariant[];
}

/** What is done for one set of input shapes. */
export interface PlanVariant {
  /** Shapes by input. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** In the order they are taken. */
  readonly steps: readonly PlanStep[];
  /** Products that are added up, in all. */
  readonly macs: number;
  /** Memory that a run computes in. */
  readonly arenaBytes: number;
  /** Parts that the engine has no steps for: the compiler executes them. A plan with any cannot be saved. */
  readonly fallbacks: readonly Fallback[];
}

/** A step. */
export interface PlanStep {
  /** The model's name for the node. */
  readonly name: string;
  /** Its operator. */
  readonly opType: string;
  /** What computes it; `tract` for a part that the engine has no step for. */
  readonly kernel: string;
  /** Shape of the result as it lies in memory: images are channels last. 0 for what depends on the data. */
  readonly shape: readonly number[];
  /** Products that are added up. */
  readonly macs: number;
}

/** A part of the graph that the compiler executes. */
export interface Fallback {
  /** The step that stands for it. */
  readonly name: string;
  /** Its nodes; not known of a plan, which does not have them. */
  readonly nodes: readonly FallbackNode[];
}

/** A node that the engine has no step for. */
export interface FallbackNode {
  /** The model's name for it. */
  readonly name: string;
  /** Its operator. */
  readonly opType: string;
  /**
   * `operator`: no step computes this operator. `form`: its types, attributes or operands are not those that steps are
   * for. `size`: the size of a result depends on the data. `whole`: it could have one, but its graph cannot be split.
   */
  readonly reason: 'operator' | 'form' | 'size' | 'whole';
}

/**
 * Compiles a model to a plan that the engine runs without the compiler: what `tractlet compile` writes to a file. Save
 * it, serve it, and pass it wherever an `.onnx` file is taken.
 *
 * @param model an `.onnx` file
 * @throws ModelError `UNSUPPORTED_MODEL` when parts of the model need the compiler; InputError when `shapes` do not fit
 * the model, or are needed and were not given; and what {@link InferenceSession.create} throws
 */
export async function compileModel(model: InferenceSession.ModelSource, options: CompileOptions = {}): Promise<Uint8Array> {
  return (await load('compile', model, options)).plan;
}

/**
 * Says what a model consists of, and how it would run: inputs, outputs, steps with their kernels, memory, and what the
 * engine has no steps for.
 *
 * @param model an `.onnx` file or a plan
 * @throws what {@link InferenceSession.create} throws
 */
export async function inspectModel(model: InferenceSession.ModelSource, options: CompileOptions = {}): Promise<ModelInspection> {
  const { info, ...rest } = await load('inspect', model, options);
  const { inputs, outputs, ...metadata } = info;
  return { ...rest, inputs: inputs.map(toMetadata), outputs: outputs.map(toMetadata), metadata };
}

const OPTIONS: readonly OptionName[] = ['wasm', 'signal', 'onProgress', 'externalData', 'freeDimensionOverrides', 'integrity', 'cache', 'worker', 'shapes'];

interface Results {
  compile: CompileResult;
  inspect: InspectResult;
}

async function load<M extends keyof Results>(method: M, model: InferenceSession.ModelSource, options: CompileOptions): Promise<Results[M]> {
  checkOptions(options, OPTIONS);
  const { shapes = [], ...rest } = options;
  const [client, result] = await ask<keyof Results>(method, { model }, rest, { shapes });
  client.release();
  return result as Results[M];
}
