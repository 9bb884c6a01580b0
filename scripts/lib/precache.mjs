// What the demo needs to run without a network: www/precache.js, which its service worker (www/sw.js) imports. As the list
// names every file's hash, another version of any of them is another list, and that makes browsers update the worker.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reachable } from './package-files.mjs';
import { ROOT } from './paths.mjs';

const LIST = 'www/precache.js';

/** Browsers load the worker and its list themselves; the benchmark page needs a server anyway. */
const NOT_LISTED = [LIST, 'www/sw.js'];
const BENCH = /^www\/(bench[./-]|styles\/bench)/;

/** Loaded for some models, and not small: kept once it has been used. */
const WHEN_USED = ['dist/compiler.wasm'];

const filesBelow = (root, folder) =>
  readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1).replaceAll('\\', '/'));

/** The files by path from `root`, as { bytes, sha256, whenUsed, build }; of the engine's builds a browser uses one. */
export function precacheFiles(root = ROOT) {
  const page = filesBelow(root, 'www').filter((path) => !NOT_LISTED.includes(path) && !BENCH.test(path));
  const code = [...reachable(['dist/index.js', 'dist/worker.js'], root)].map((path) => path.replaceAll('\\', '/'));
  const builds = readdirSync(join(root, 'dist')).filter((name) => /^engine.*\.wasm$/.test(name)).map((name) => `dist/${name}`);
  // Models themselves are large, and the package keeps those that were used.
  const models = readdirSync(join(root, 'models')).filter((name) => name.endsWith('.json')).map((name) => `models/${name}`);
  return Object.fromEntries([...new Set([...page, ...code, ...builds, ...models])].sort().map((path) => {
    const contents = readFileSync(join(root, path));
    const sha256 = createHash('sha256').update(contents).digest('base64');
    return [path, { bytes: contents.length, sha256, ...(WHEN_USED.includes(path) ? { whenUsed: true } : {}), ...(builds.includes(path) ? { build: true } : {}) }];
  }));
}

/** Writes the list if it is another one than before; says whether it was. */
export function writePrecache(root = ROOT) {
  const files = precacheFiles(root);
  const version = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 16);
  const text = `// Made by scripts/lib/precache.mjs. Not to be edited.\nself.PRECACHE = ${JSON.stringify({ version, files }, null, 1)};\n`;
  const path = join(root, LIST);
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return false;
  writeFileSync(path, text);
  return true;
}
