// What a page downloads may not grow unnoticed: pkg-config/budgets.json says how large each file of dist/ may be, compressed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotli } from './brotli.mjs';
import { CONFIG, DIST } from './paths.mjs';

/** The files of dist/ that a page loads to start from these: themselves and what they import, and so on. */
function closure(names) {
  const found = new Set();
  const add = (name) => {
    if (found.has(name)) return;
    found.add(name);
    // Minified: `import{a as b}from"./c.js"`, `import"./c.js"`, `export{a}from"./c.js"`; not `import("./c.js")`.
    for (const [, file] of readFileSync(join(DIST, name), 'utf8').matchAll(/(?:from|import)"\.\/([^"]+)"/g)) add(file);
  };
  for (const name of names) add(name);
  return [...found];
}

const budgets = () => Object.entries(JSON.parse(readFileSync(join(CONFIG, 'budgets.json'), 'utf8')));

/** Budgets that are about several files, by name: which files of dist/ those are. */
export function budgetFiles() {
  return Object.fromEntries(budgets().flatMap(([name, { entries }]) => (entries ? [[name, closure(entries)]] : [])));
}

/**
 * One result per budget: { name, bytes, limit }. A budget is about one file, or about what the files of its list
 * `entries` load without being asked for more; that it is what pages load is tested in tests/e2e/size.test.mjs.
 */
export async function measureBudgets() {
  const results = [];
  for (const [name, { brotliBytes: limit, entries }] of budgets()) {
    const wanted = entries ?? [name];
    const matching = wanted.every((file) => existsSync(join(DIST, file))) ? closure(wanted) : [];
    let bytes = 0;
    for (const file of matching) bytes += (await brotli(join(DIST, file))).length;
    results.push({ name, bytes: matching.length > 0 ? bytes : undefined, limit });
  }
  return results;
}
