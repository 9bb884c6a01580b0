// Stamps: a step that was finished with the same inputs is not done again. A key is a hash over the contents of files
// (never their dates, which a clone resets) and over any values, such as flags and versions, that the result depends on.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT, STAMPS } from './paths.mjs';

/** Every file under `path` (or `path` itself), sorted, so that the order does not depend on the file system. */
export function listFiles(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return [];
  if (stats.isFile()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => listFiles(join(path, name)));
}

export function hashFile(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** The key of a step: the contents of `paths` (files or folders; a missing one counts as such) and `values` (JSON). */
export function inputKey(paths, values = {}) {
  const hash = createHash('sha256').update(JSON.stringify(values));
  for (const path of paths) {
    if (!existsSync(path)) hash.update(`missing ${relative(ROOT, path)}\n`);
    for (const file of listFiles(path)) hash.update(`${relative(ROOT, file)} ${hashFile(file)}\n`);
  }
  return hash.digest('hex');
}

/** `directory` is for tests. */
export function readStamp(name, directory = STAMPS) {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch {
    return undefined;
  }
}

export function writeStamp(name, key, directory = STAMPS) {
  mkdirSync(directory, { recursive: true });
  // Written beside and renamed: a script that is interrupted leaves the old stamp or the new one, never half of one.
  const temporary = join(directory, `.${name}.${process.pid}`);
  writeFileSync(temporary, key);
  renameSync(temporary, join(directory, name));
}

export function removeStamp(name, directory = STAMPS) {
  rmSync(join(directory, name), { force: true });
}

/**
 * True if the step `name` was finished with `key` and everything it made is still there.
 */
export function isFresh(name, key, outputs = [], directory = STAMPS) {
  return readStamp(name, directory) === key && outputs.every((path) => existsSync(path));
}
