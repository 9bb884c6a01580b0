// Tensors: what they accept, what they refuse, and how they travel.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import * as ort from 'onnxruntime-common';
import { buildModule } from './lib/bundle.mjs';

const { Tensor, toTensorObject, fromTensorObject } = await buildModule('tensor.ts');

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

test('typed arrays are used in place, with or without the name of their type', () => {
  for (const [type, Class] of Object.entries(ARRAYS)) {
    const data = new Class(6);
    for (const tensor of [new Tensor(type, data, [2, 3]), new Tensor(data, [2, 3])]) {
      assert.equal(tensor.data, data);
      assert.deepEqual([tensor.type, tensor.dims, tensor.size, tensor.location], [type, [2, 3], 6, 'cpu']);
    }
    assert.deepEqual(new Tensor(type, data).dims, [6]);
  }
  const bytes = Uint8Array.of(0, 1);
  assert.equal(new Tensor('bool', bytes).data, bytes);
  const clamped = new Tensor(new Uint8ClampedArray([1, 2]));
  assert.deepEqual([clamped.type, clamped.data], ['uint8', Uint8Array.of(1, 2)]);
  assert.equal(new Tensor('float16', Uint16Array.of(0x3c00)).type, 'float16');
  assert.deepEqual(new Tensor('float32', new Float32Array(1), []).dims, []);
  assert.equal(new Tensor('float32', [], [0, 5]).size, 0);
});

test('arrays of other realms', () => {
  const foreign = runInNewContext('new Float32Array([1, 2])');
  assert.deepEqual([...new Tensor('float32', foreign).data], [1, 2]);
  assert.equal(new Tensor(foreign).type, 'float32');
});

test('plain arrays become the array of the type', () => {
  assert.deepEqual(new Tensor('float32', [1, 0.5]).data, Float32Array.of(1, 0.5));
  assert.deepEqual(new Tensor('float32', [NaN, Infinity]).data, Float32Array.of(NaN, Infinity));
  assert.deepEqual(new Tensor('int64', [1, -2n]).data, BigInt64Array.of(1n, -2n));
  assert.deepEqual(new Tensor('bool', [true, 0, 1, false]).data, Uint8Array.of(1, 0, 1, 0));
  assert.deepEqual(new Tensor([true, false]).data, Uint8Array.of(1, 0));
  assert.deepEqual(new Tensor(['a', 'b']).data, ['a', 'b']);
  assert.deepEqual(new Tensor('uint8', [255]).data, Uint8Array.of(255));
});

test('values that do not fit are refused', () => {
  for (const [type, value] of [
    ['uint8', 256],
    ['uint8', -1],
    ['int8', 1.5],
    ['int8', NaN],
    ['int8', '1'],
    ['int32', 2 ** 31],
    ['int64', 0.5],
    ['int64', 2n ** 63n],
    ['uint64', -1],
    ['uint64', -1n],
    ['float32', 'x'],
    ['float32', Symbol('x')],
    ['bool', 2],
    ['bool', 'true'],
  ]) {
    assert.throws(() => new Tensor(type, [0, value]), (error) => error.code === 'INPUT_VALUE' && /Element 1/.test(error.message), `${type} ${String(value)}`);
  }
});

test('types that do not fit are refused', () => {
  for (const [args, message] of [
    [['float', [1]], /no element type "float"/],
    [['constructor', [1]], /no element type/],
    [['float32', new Float64Array(1)], /cannot hold Float64Array/],
    [['float32', new ArrayBuffer(4)], /cannot hold ArrayBuffer/],
    [['float32', 5], /cannot hold Number/],
    [['float32', null], /cannot hold Null/],
    [['float32'], /cannot hold Undefined/],
    [['string', [1]], /cannot hold Array/],
    [[[1, 2]], /array of number is not clear/],
    [[[]], /empty array/],
    [[{}], /made from Object/],
    [[], /made from Object/],
    [[new DataView(new ArrayBuffer(4))], /made from DataView/],
  ]) {
    assert.throws(() => new Tensor(...args), (error) => error.code === 'INPUT_TYPE' && error.name === 'InputError' && message.test(error.message), String(message));
  }
});

test('elements of 4 bits are refused with a way out', () => {
  for (const [type, byte] of [['int4', 'int8'], ['uint4', 'uint8']]) {
    assert.throws(() => new Tensor(type, new Uint8Array(2), [4]), (error) => error.code === 'INPUT_TYPE' && error.message.includes(type) && error.hint.includes(byte));
  }
});

test('shapes that do not fit are refused', () => {
  for (const dims of [[2], [2, 2], [3.5], [-3], [NaN], ['3'], [2 ** 53], [2 ** 30, 2 ** 30], 3, '3', {}]) {
    assert.throws(() => new Tensor('float32', [1, 2, 3], dims), { code: 'INPUT_SHAPE' }, JSON.stringify(dims));
  }
});

test('reshape, getData and dispose', async () => {
  const tensor = new Tensor('float32', [1, 2, 3, 4]);
  const square = tensor.reshape([2, 2]);
  assert.deepEqual([square.dims, square.data], [[2, 2], tensor.data]);
  assert.throws(() => tensor.reshape([3]), { code: 'INPUT_SHAPE' });
  assert.throws(() => tensor.dims.push(1), TypeError);
  assert.equal(await tensor.getData(), tensor.data);
  tensor.dispose();
  assert.equal(tensor.location, 'none');
  assert.throws(() => tensor.data, { code: 'INPUT_VALUE', message: /disposed/ });
  await assert.rejects(tensor.getData(), { code: 'INPUT_VALUE' });
  assert.equal(square.data.length, 4);
  square[Symbol.dispose]();
  assert.equal(square.location, 'none');
});

test('float16, with the array where there is one and with the bits', () => {
  const bits = Uint16Array.of(0x3c00, 0xc000);
  const before = Object.getOwnPropertyDescriptor(globalThis, 'Float16Array');
  try {
    delete globalThis.Float16Array;
    assert.equal(new Tensor('float16', bits).data, bits);
    assert.deepEqual(fromTensorObject({ name: 'y', type: 'float16', dims: [2], data: new Uint8Array(bits.buffer) }).data, bits);
    assert.throws(() => new Tensor('float16', [1]), { code: 'INPUT_TYPE', hint: /Uint16Array/ });
    // As good a stand-in as is needed: a class of that name over the same bytes.
    globalThis.Float16Array = { Float16Array: class extends Uint16Array { get [Symbol.toStringTag]() { return 'Float16Array'; } } }.Float16Array;
    Object.defineProperty(globalThis.Float16Array, 'name', { value: 'Float16Array' });
    const own = new globalThis.Float16Array(bits);
    assert.equal(new Tensor('float16', own).data, own);
    assert.equal(new Tensor(own).type, 'float16');
    const adopted = new Tensor('float16', bits).data;
    assert.ok(adopted instanceof globalThis.Float16Array && adopted.buffer === bits.buffer);
    const back = fromTensorObject({ name: 'y', type: 'float16', dims: [2], data: new Uint8Array(bits.buffer) }).data;
    assert.ok(back instanceof globalThis.Float16Array);
    assert.deepEqual(toTensorObject('x', new Tensor(own)).data, new Uint8Array(bits.buffer));
  } finally {
    delete globalThis.Float16Array;
    if (before) Object.defineProperty(globalThis, 'Float16Array', before);
  }
});

test('a feed is a copy, unless it is given away', () => {
  const buffer = new Float32Array([1, 2, 3, 4]);
  const part = toTensorObject('x', new Tensor(buffer.subarray(1, 3)));
  assert.deepEqual([part.name, part.type, part.dims], ['x', 'float32', [2]]);
  assert.deepEqual(part.data, new Uint8Array(Float32Array.of(2, 3).buffer));
  assert.notEqual(part.data.buffer, buffer.buffer);
  assert.equal(toTensorObject('x', new Tensor(buffer), true).data.buffer, buffer.buffer);
  assert.notEqual(toTensorObject('x', new Tensor(buffer.subarray(1)), true).data.buffer, buffer.buffer);
  const shared = new Float32Array(new SharedArrayBuffer(4));
  assert.ok(toTensorObject('x', new Tensor(shared), true).data.buffer instanceof ArrayBuffer);
});

test("onnxruntime's tensors are as good", () => {
  const object = toTensorObject('x', new ort.Tensor('int64', [1n, 2n], [2, 1]));
  assert.deepEqual({ ...object, data: [...new BigInt64Array(object.data.buffer)] }, { name: 'x', type: 'int64', dims: [2, 1], data: [1n, 2n] });
  assert.throws(() => toTensorObject('x', { type: 'float32', data: [1], dims: [2] }), { code: 'INPUT_SHAPE' });
  for (const bad of [undefined, null, 5, [1], new Float32Array(1), {}]) assert.throws(() => toTensorObject('x', bad), { code: 'INPUT_TYPE', input: 'x' });
});

test('what comes back is a tensor, whatever the alignment', () => {
  const bytes = new Uint8Array(9);
  bytes.set(new Uint8Array(Float64Array.of(Math.PI).buffer), 1);
  const tensor = fromTensorObject({ name: 'y', type: 'float64', dims: [1], data: bytes.subarray(1) });
  assert.ok(tensor instanceof Tensor);
  assert.deepEqual(tensor.data, Float64Array.of(Math.PI));
  assert.deepEqual(fromTensorObject({ name: 'y', type: 'string', dims: [1], data: ['a'] }).data, ['a']);
  assert.deepEqual(fromTensorObject({ name: 'y', type: 'bool', dims: [2], data: Uint8Array.of(1, 0) }).data, Uint8Array.of(1, 0));
});
