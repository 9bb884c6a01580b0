// Native onnxruntime: not a library for pages, but the mark to be measured by.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VENV_PYTHON } from '../../scripts/lib/python.mjs';
import { capture } from '../../scripts/lib/run.mjs';
import { median, summarise } from './statistics.mjs';

const NAME = 'onnxruntime, native';
const LIMIT_SECONDS = 20;

export async function hasNative() {
  return existsSync(VENV_PYTHON) && (await capture(VENV_PYTHON, ['-c', 'import onnxruntime'])).code === 0;
}

/** Runs benches/native.py. `exec` is the task's; one thread, when the browser is gone. */
export async function measureNative(exec, models, { runs, warmUp }) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-native-'));
  const [job, results] = ['job.json', 'results.json'].map((file) => join(folder, file));
  try {
    const list = models.map(({ name, files, inputName, photos }) => ({ name, file: files.onnx, inputName, input: photos[0].input }));
    writeFileSync(job, JSON.stringify({ runs, warmUp: warmUp.milliseconds / 1000, limit: LIMIT_SECONDS, models: list }));
    await exec(VENV_PYTHON, ['benches/native.py', job, results]);
    return JSON.parse(readFileSync(results, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Its line in the table, beside that of ours: `ours` are all our times. The ratio is of medians, as there are no rounds. */
export function nativeFigures({ error, create, first, times }, ours) {
  if (error !== undefined) return { name: NAME, error, outside: true };
  const run = summarise(times);
  const ratio = ours && { ratio: median(ours) / run.median };
  return { name: NAME, outside: true, create: summarise([create]), first: summarise([first]), run, ratio, times };
}
