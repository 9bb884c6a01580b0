// Which files of the package its entries lead to.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './paths.mjs';

/** `from './x.js'`, `import './x.js'`, `import('./x.js')`, `require('../x.js')`, and `new URL('./x.wasm', import.meta.url)`. */
const REFERENCE = /\b(?:from|import|import\(|require\(|(new URL\())\s*["'`](\.\.?\/[^"'`]+)["'`](\s*,\s*import\.meta\.url)?/g;

/** The files that package.json names: what can be imported, and the programs. Paths from the package's folder. */
export function entries({ exports = {}, bin = {} } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))) {
  const paths = (value) => (typeof value === 'string' ? [value] : Object.values(value).flatMap(paths));
  return [...new Set([...paths(exports), ...paths(bin)].map((path) => path.replace(/^\.\//, '')))];
}

/**
 * The entries and everything that they load, as paths from `root`; declarations lead to declarations.
 *
 * @throws if a file that is loaded does not exist
 */
export function reachable(from, root = ROOT) {
  const found = new Set();
  const add = (path, by) => {
    if (found.has(path)) return;
    if (!existsSync(join(root, path))) throw new Error(`${path} does not exist; ${by} needs it`);
    found.add(path);
    if (!/\.[cm]?[jt]s$/.test(path)) return;
    const declaration = /\.d\.[cm]?ts$/.test(path);
    for (const [, url, file, own] of readFileSync(join(root, path), 'utf8').matchAll(REFERENCE)) {
      if (url && !own) continue;
      const target = join(dirname(path), file);
      add(declaration ? target.replace(/\.([cm]?)js$/, '.d.$1ts') : target, path);
    }
  };
  for (const path of from) add(path, 'package.json');
  return found;
}
