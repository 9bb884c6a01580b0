// What a page downloads may not grow unnoticed: pkg-config/budgets.json says how large each file of dist/ may be, compressed.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { brotli } from './brotli.mjs';
import { CONFIG, DIST } from './paths.mjs';

/** One result per budget: { name, bytes, limit }. A name like `*.js` stands for the sum of the files that it matches. */
export async function measureBudgets() {
  const budgets = JSON.parse(readFileSync(join(CONFIG, 'budgets.json'), 'utf8'));
  const files = readdirSync(DIST);
  const results = [];
  for (const [name, { brotliBytes: limit }] of Object.entries(budgets)) {
    const matching = name.startsWith('*') ? files.filter((file) => file.endsWith(name.slice(1))) : files.filter((file) => file === name);
    let bytes = 0;
    for (const file of matching) bytes += (await brotli(join(DIST, file))).length;
    results.push({ name, bytes: matching.length > 0 ? bytes : undefined, limit });
  }
  return results;
}
