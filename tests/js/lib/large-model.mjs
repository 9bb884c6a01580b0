// Models with many weights, made when they are needed, and how much memory compiling them takes. Node only.
import { execFile } from 'node:child_process';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { DIST, ROOT } from '../../../scripts/lib/paths.mjs';
import { VENV_PYTHON } from '../../../scripts/lib/python.mjs';
import { readTensor } from './tensor-proto.mjs';

/**
 * Writes a model, see tests/fixtures/large_model.py, unless it is there.
 *
 * @returns { bytes, names, input, output }: of all files, the names of those beside the model, and what onnxruntime computes
 */
export async function makeLargeModel(folder, kind, megabytes, files) {
  const tensor = async (name) => readTensor(await readFile(join(folder, name)));
  if (!(await stat(join(folder, 'output_0.pb')).catch(() => undefined))) {
    await promisify(execFile)(VENV_PYTHON, [join(ROOT, 'tests/fixtures/large_model.py'), folder, kind, String(megabytes), String(files)]);
  }
  const names = (await readdir(folder)).filter((name) => name.endsWith('.bin')).sort();
  const sizes = await Promise.all(['model.onnx', ...names].map(async (name) => (await stat(join(folder, name))).size));
  return { bytes: sizes.reduce((sum, size) => sum + size), names, input: await tensor('input_0.pb'), output: await tensor('output_0.pb') };
}

/** The package, and the memories that its modules have had: `peaks()` gives { engine, compiler } in bytes, of the latest instances. */
export async function watchedPackage() {
  const modules = {};
  for (const name of ['engine', 'compiler']) modules[name] = await WebAssembly.compile(await readFile(join(DIST, `${name}.wasm`)));
  const memories = new Map();
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (module, imports) => {
    const instance = await instantiate(module, imports);
    memories.set(module, instance.exports.memory);
    return instance;
  };
  const size = (name) => memories.get(modules[name])?.buffer.byteLength ?? 0;
  // WebAssembly memory never shrinks: what there is at last is the most that there was.
  return { ...(await import(pathToFileURL(join(DIST, 'index.js')).href)), modules, peaks: () => ({ engine: size('engine'), compiler: size('compiler') }) };
}

/** The largest distance between two tensors. */
export function distance({ data: got }, { data: want }) {
  return want.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), got.length === want.length ? 0 : Infinity);
}
