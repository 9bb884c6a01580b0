// What is left of wasm-bindgen's glue. That it works is seen wherever the real modules run.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { shrinkGlue } from '../../pkg-config/glue.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';

const read = (name) => readFileSync(join(ROOT, '.cache/wasm', name), 'utf8');

for (const name of ['engine-threads/engine.js', 'compiler/compiler.js']) {
  test(`${name}: every import is found by its short name`, () => {
    const glue = read(name);
    const shrunk = shrinkGlue(glue);
    assert.ok(shrunk.length < glue.length * 0.75, `${shrunk.length} of ${glue.length}`);
    for (const gone of ['Finalization', 'cachedTextEncoder', 'instantiateStreaming', 'initSync']) assert.ok(!shrunk.includes(gone), gone);
    const [, letters] = /name\.slice\((-\d+)\)/.exec(shrunk);
    const table = /const short = \{[^]*?^ {4}\};$/m.exec(shrunk)[0];
    const keys = [...table.matchAll(/^ {8}"(\w+)": /gm)].map(([, key]) => key);
    assert.equal(new Set(keys).size, keys.length);
    const imports = [...glue.matchAll(/^ {8}"?(\w+)"?: (?:function|memory)/gm)].map(([, key]) => key);
    assert.ok(imports.length > 20);
    assert.deepEqual(imports.map((key) => key.slice(Number(letters))), keys);
  });
}

test('what is not known stops the build', () => {
  const glue = read('engine-threads/engine.js');
  assert.throws(() => shrinkGlue(glue.replace('async function __wbg_load(', 'async function __wbg_get(')), /glue has changed.*__wbg_load/);
  assert.throws(() => shrinkGlue(glue.replace('function debugString(val) {', 'const debugString = (val) => {')), /glue has changed.*debugString/);
  assert.throws(() => shrinkGlue(glue.replace('const import0 = {', 'const imports = {')), /glue has changed/);
});
