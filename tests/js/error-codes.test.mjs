// Every code is in the documentation, with its cause and cure, and the documentation has no others.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const read = (path) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/errors.md has every code of js/errors.ts and src/error.rs, and no other', async () => {
  const [docs, types, rust] = await Promise.all([read('docs/errors.md'), read('js/errors.ts'), read('src/error.rs')]);
  const all = (source, pattern) => [...source.matchAll(pattern)].map(([, code]) => code);
  const union = /export type ErrorCode =([^;]+);/.exec(types)[1];
  const typed = all(union, /'([A-Z_]+)'/g);
  const thrown = all(rust, /=> "([A-Z_]+)"/g);
  assert.ok(typed.length > 25 && thrown.length > 15, `${typed.length}, ${thrown.length}`);
  const sorted = (codes) => [...new Set(codes)].sort();
  assert.deepEqual(sorted(all(docs, /^### ([A-Z_]+)$/gm)), sorted(typed));
  assert.deepEqual(thrown.filter((code) => !typed.includes(code)), [], 'codes of Rust that TypeScript does not know');
});

test('each code is explained', async () => {
  const docs = await read('docs/errors.md');
  for (const section of docs.split(/^### /m).slice(1)) {
    const [code, ...lines] = section.split('\n');
    const prose = lines.join(' ').split(/ ## /)[0].trim();
    assert.ok(prose.length > 60, `${code}: "${prose}"`);
  }
});
