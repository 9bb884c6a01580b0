// The order of functions that compresses best.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameBySimilarity, similarityOrder } from '../../scripts/lib/wasm-order.mjs';
import { body, list, section, text } from './lib/wasm-module.mjs';

/** So many bytes, always the same for a seed. */
function noise(length, seed) {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** A copy with a few bytes changed. */
function altered(bytes, ...positions) {
  const copy = bytes.slice();
  for (const position of positions) copy[position] ^= 1;
  return copy;
}

/** A module that imports a function and a memory, and exports functions that return 1, 2 and 3. */
const MODULE = Uint8Array.from([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  ...section(1, list([0x60, 0, 1, 0x7f])),
  ...section(2, list([...text('m'), ...text('f'), 0, 0], [...text('m'), ...text('memory'), 2, 1, 1, 2])),
  ...section(3, list([0], [0], [0])),
  ...section(7, list([...text('one'), 0, 1], [...text('two'), 0, 2], [...text('three'), 0, 3])),
  ...section(10, list(body(1), body(2), body(3))),
  ...section(0, [...text('name'), 1, 5, ...list([1, ...text('old')])]),
  ...section(0, [...text('kept'), 7]),
]);

const contentsOf = (module, name) => WebAssembly.Module.customSections(module, name).map((bytes) => Buffer.from(bytes));

test('functions stand beside those that they resemble', () => {
  const [a, b, c] = [noise(400, 1), noise(300, 2), noise(200, 3)];
  const bodies = [a, b, c, altered(b, 100), altered(a, 50, 300), altered(c, 9), altered(a, 50)];
  const order = similarityOrder(bodies.map((code) => ({ type: 0, body: code })));
  assert.deepEqual(order, [0, 6, 4, 1, 3, 2, 5]);
});

test('of functions that are alike, those of one type stand together', () => {
  const code = noise(400, 4);
  const functions = [0, 1, 0, 1].map((type, i) => ({ type, body: altered(code, 10 * i) }));
  const types = similarityOrder(functions).map((i) => functions[i].type);
  assert.deepEqual(types, [0, 0, 1, 1]);
});

test('every function is there once, the short ones too', () => {
  const functions = Array.from({ length: 300 }, (_, i) => ({ type: i % 7, body: noise(i % 11, i % 40) }));
  assert.deepEqual(similarityOrder(functions).sort((x, y) => x - y), functions.map((_, i) => i));
  assert.deepEqual(similarityOrder([]), []);
});

test('a module gets other names, and is otherwise the same', async () => {
  const named = nameBySimilarity(MODULE);
  const module = await WebAssembly.compile(named);
  const { exports } = await WebAssembly.instantiate(module, { m: { f: () => 0, memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }) } });
  assert.deepEqual([exports.one(), exports.two(), exports.three()], [1, 2, 3]);
  assert.deepEqual(contentsOf(module, 'kept'), [Buffer.from([7])]);
  const names = contentsOf(module, 'name');
  assert.equal(names.length, 1);
  const found = names[0].toString('latin1').match(/import0|0000000\d/g);
  assert.deepEqual([...found].sort(), ['00000000', '00000001', '00000002', 'import0']);
  assert.equal(found[0], 'import0');
});

test('what imports it does not know it does not touch', () => {
  const tag = Uint8Array.from([...MODULE.subarray(0, 8), ...section(2, list([...text('m'), ...text('t'), 4, 0, 0]))]);
  assert.throws(() => nameBySimilarity(tag), /an import of kind 4 is not known here/);
});
