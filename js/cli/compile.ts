// tractlet compile

import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { compileModel, InferenceError, inspectModel } from '../index.js';
import { type Arguments, type Shapes, UsageError } from './args.js';
import { withExternalData } from './files.js';
import { bytes, Progress } from './terminal.js';

export async function compile(args: Arguments): Promise<void> {
  const { file, quiet } = args;
  const output = args.output ?? `${file.replace(/\.onnx$/i, '')}.plan`;
  if (resolve(output) === resolve(file)) throw new UsageError('the plan would replace the model: give another name with -o');
  const progress = new Progress(quiet);
  const options = { freeDimensionOverrides: args.dims, onProgress: progress.onProgress };
  let plan;
  try {
    plan = await withExternalData(args, async (externalData) => {
      const shapes = await nameShapes(args, (name) => inspectModel(name, { ...options, externalData }));
      return compileModel(file, { ...options, externalData, shapes });
    });
  } catch (error) {
    progress.done();
    throw forTerminal(error);
  }
  await replace(output, plan);
  progress.done(`${output}: ${bytes(plan.length)}, ${describeShapes(args)}`);
}

/** The shapes with names: of the only input where there is none. */
export async function nameShapes(
  { file, shapes }: Arguments,
  look: (file: string) => Promise<{ inputs: readonly { name: string }[] }>,
): Promise<Shapes[]> {
  if (shapes.every((set) => !('' in set))) return [...shapes];
  const { inputs } = await look(file);
  const names = inputs.map(({ name }) => name);
  const [name] = names;
  if (name === undefined || names.length > 1) throw new UsageError(`--shape must name its input, as there are ${names.length}: ${names.join(', ')}`);
  return shapes.map(({ '': only, ...named }) => (only ? { [name]: only } : named));
}

/** The error with hints that fit a terminal. */
export function forTerminal(error: unknown): unknown {
  if (!(error instanceof InferenceError) || error.code !== 'MISSING_INPUT') return error;
  const { input, expected, actual } = error;
  return new InferenceError(error.code, error.message, { input, expected, actual, hint: 'Fix sizes by name, --dim batch=1, or give the shape, --shape input=1,3,224,224.' });
}

function describeShapes({ shapes }: Arguments): string {
  return shapes.length > 1 ? `${shapes.length} sets of input shapes` : 'one set of input shapes';
}

/** Writes a file in one piece: there is the old one or the new one, never half of it. */
async function replace(path: string, contents: Uint8Array): Promise<void> {
  const partial = `${path}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await writeFile(partial, contents);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw new Error(`${path} cannot be written (${(cause as Error).message})`, { cause });
  }
}
