// A virtual environment with the pinned Python packages, which make and check the test fixtures.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt } from './debian.mjs';
import { VENV } from './paths.mjs';
import { upToDate } from './report.mjs';
import { Stop, capture, task } from './run.mjs';
import { inputKey, isFresh, removeStamp, writeStamp } from './stamps.mjs';
import { TOOL_VERSIONS, atLeast, fromEnvironment, which } from './tools.mjs';

const STAMP = 'python';
const NAMES = ['python3', 'python3.13', 'python3.12', 'python3.11'];

export const VENV_PYTHON = join(VENV, 'bin', 'python');

/** Python interpreters that are new enough, as whole paths; the PYTHON variable goes first. */
async function findPythons() {
  const { minimum } = TOOL_VERSIONS.python;
  const paths = [fromEnvironment('PYTHON'), ...NAMES.map((name) => which(name)), which('python3', ['/usr/bin'])];
  const found = [];
  for (const path of new Set(paths.filter(Boolean))) {
    // A version manager's shim tells which interpreter it stands for.
    const { code, stdout } = await capture(path, ['-c', 'import sys; print("%d.%d.%d" % sys.version_info[:3], sys.executable)']);
    const [version, executable] = stdout.trim().split(/\s+(.*)/);
    if (code === 0 && atLeast(version, minimum) && !found.includes(executable)) found.push(executable);
  }
  return found;
}

async function canMakeVenv(python) {
  return (await capture(python, ['-c', 'import venv, ensurepip'])).code === 0;
}

export async function setupPython() {
  const { minimum, packages, debianPackages } = TOOL_VERSIONS.python;
  const key = inputKey([], packages);
  if (isFresh(STAMP, key, [VENV_PYTHON]) && (await capture(VENV_PYTHON, ['-V'])).code === 0) return upToDate('Python packages');
  removeStamp(STAMP);

  const pythons = await findPythons();
  let python;
  for (const candidate of pythons) {
    if (await canMakeVenv(candidate)) {
      python = candidate;
      break;
    }
  }
  if (!python) {
    if (pythons.length > 0 || hasApt()) await aptInstall('Python', ['python3', ...debianPackages], `Python ${minimum} or newer`);
    python = (await findPythons()).at(-1);
    if (!python || !(await canMakeVenv(python))) throw new Stop(`Python ${minimum} or newer with its venv module is needed; set PYTHON to its path`);
  }

  const pins = Object.entries(packages).map(([name, version]) => `${name}==${version}`);
  await task(`Python packages (${Object.keys(packages).length}): pip install`, async ({ exec }) => {
    if (existsSync(VENV)) rmSync(VENV, { recursive: true });
    await exec(python, ['-m', 'venv', VENV]);
    // The list is complete: nothing unpinned comes in, and nothing is compiled here.
    await exec(VENV_PYTHON, ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:', ...pins]);
  }, { log: 'python-packages' });
  writeStamp(STAMP, key);
}
