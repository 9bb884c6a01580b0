// Traps in place of functions that are never called.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trapInPlaceOf } from '../../scripts/lib/wasm-stubs.mjs';
import { body, list, section, text } from './lib/wasm-module.mjs';

const functionNames = (...names) => {
  const map = list(...names.map((name, i) => [i, ...text(name)]));
  return [1, map.length, ...map];
};

/** A module that imports a function, and exports two that return 1 and 2. */
const MODULE = Uint8Array.from([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  ...section(1, list([0x60, 0, 1, 0x7f])),
  ...section(2, list([...text('m'), ...text('f'), 0, 0])),
  ...section(3, list([0], [0])),
  ...section(7, list([...text('one'), 0, 1], [...text('two'), 0, 2])),
  ...section(10, list(body(1), body(2))),
  ...section(0, [...text('name'), ...functionNames('f', '<a[0123456789abcdef]::B as c::D>::one', '<a::B as c::D>::two::h0123456789abcdef')]),
]);

const exportsOf = (bytes) => new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { f: () => 0 } }).exports;

test('what is named traps, and nothing else does', () => {
  const { one, two } = exportsOf(trapInPlaceOf(MODULE, [/^<a::B as c::D>::one$/]));
  assert.throws(one, WebAssembly.RuntimeError);
  assert.equal(two(), 2);
});

test('imports are not counted among the functions of the module', () => {
  const { one, two } = exportsOf(trapInPlaceOf(MODULE, [/two$/]));
  assert.equal(one(), 1);
  assert.throws(two, WebAssembly.RuntimeError);
});

test('a pattern that finds nothing is an error', () => {
  assert.throws(() => trapInPlaceOf(MODULE, [/one$/, /three$/]), /three/);
});
