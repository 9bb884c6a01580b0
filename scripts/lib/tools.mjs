// The pinned versions, and finding programs.
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { CONFIG, ROOT, TOOLS } from './paths.mjs';
import { Stop, capture } from './run.mjs';

export const TOOL_VERSIONS = JSON.parse(readFileSync(join(CONFIG, 'tools.json'), 'utf8'));

export const CARGO_BIN = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The first of `names` that is a program on the PATH (or in one of the `more` folders): its whole path. */
export function which(names, more = []) {
  const folders = [...more, ...(process.env.PATH ?? '').split(delimiter)].filter(Boolean);
  for (const name of [names].flat()) {
    for (const folder of folders) {
      const path = join(folder, name);
      if (isProgram(path)) return path;
    }
  }
  return undefined;
}

/** A program named by an environment variable; a value that is no program is an error, not a reason to look elsewhere. */
export function fromEnvironment(variable) {
  const path = process.env[variable];
  if (!path) return undefined;
  if (!isProgram(path)) throw new Stop(`${variable} is set to '${path}', which is not a program`);
  return path;
}

/** True if `version` stands in `text` as a whole version number ('0.2.13' is not in '0.2.130'). */
export function mentionsVersion(text, version) {
  return new RegExp(`(^|[^0-9.])${version.replaceAll('.', '\\.')}($|[^0-9.])`, 'm').test(text);
}

/** Compares the numbers of two versions: true if `version` is `minimum` or newer. */
export function atLeast(version, minimum) {
  const numbers = (text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const [have, want] = [numbers(version), numbers(minimum)];
  for (let i = 0; i < want.length; i++) {
    if ((have[i] ?? 0) !== want[i]) return (have[i] ?? 0) > want[i];
  }
  return true;
}

/** The folder that holds all programs of a cargo tool in the pinned version, or undefined. */
export async function findCargoTool(name) {
  const { version, programs } = TOOL_VERSIONS.cargo[name];
  const folders = [join(TOOLS, 'bin'), ...(process.env.PATH ?? '').split(delimiter), CARGO_BIN];
  for (const folder of new Set(folders)) {
    if (!folder || !programs.every((program) => isProgram(join(folder, program)))) continue;
    const { code, stdout } = await capture(join(folder, programs[0]), ['--version']);
    if (code === 0 && mentionsVersion(stdout, version)) return folder;
  }
  return undefined;
}

/** The version that Cargo.lock gives a package. */
export function lockedVersion(name, lock = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8')) {
  return lock.match(new RegExp(`\\[\\[package\\]\\]\\nname = "${name}"\\nversion = "([^"]+)"`))?.[1];
}
