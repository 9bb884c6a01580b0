// The Tensor of `tractlet/ort` beside that of onnxruntime-common: what one does, the other has to do.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as common from 'onnxruntime-common';
import { buildPackage } from './lib/bundle.mjs';

const dist = await buildPackage();
const ort = await import(new URL('ort.js', dist));
const { InferenceError } = await import(new URL('index.js', dist));

/** What a call ends with: a value, or that it throws. Errors of ours have to be typed. */
async function outcome(call, runtime) {
  try {
    return { value: await call(runtime) };
  } catch (error) {
    if (runtime === ort) assert.ok(error instanceof InferenceError && error.hint !== '', `${error.stack}`);
    return { throws: true };
  }
}

const describeTensor = ({ type, dims, size, location, data }) => ({ type, dims: [...dims], size, location, array: data.constructor.name, data: [...data] });

/** Expects the same of both. */
async function same(call, { throws = false } = {}) {
  const [ours, theirs] = [await outcome(call, ort), await outcome(call, common)];
  assert.deepEqual(ours, theirs, String(call));
  assert.equal(ours.throws ?? false, throws, String(call));
}

describe('constructors', () => {
  const arrays = {
    float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
    int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
  };
  for (const [type, TypedArray] of Object.entries(arrays)) {
    test(type, async () => {
      const one = type.endsWith('t64') && type !== 'float64' ? 1n : 1;
      await same((o) => describeTensor(new o.Tensor(type, TypedArray.of(one, one), [1, 2, 1])));
      await same((o) => describeTensor(new o.Tensor(type, TypedArray.of(one, one))));
      await same((o) => describeTensor(new o.Tensor(type, [1, 0], [2])));
      await same((o) => describeTensor(new o.Tensor(type, [], [0, 3])));
      if (type !== 'bool') await same((o) => describeTensor(new o.Tensor(TypedArray.of(one, one), [2, 1])));
      await same((o) => new o.Tensor(type, new DataView(new ArrayBuffer(8))), { throws: true });
      await same((o) => new o.Tensor(type, TypedArray.of(one), [2]), { throws: true });
    });
  }

  const forms = {
    strings: (o) => describeTensor(new o.Tensor('string', ['a', 'b'], [2, 1])),
    'bare strings': (o) => describeTensor(new o.Tensor(['a', 'b'])),
    booleans: (o) => describeTensor(new o.Tensor('bool', [true, false])),
    'bare booleans': (o) => describeTensor(new o.Tensor([true, false], [1, 2])),
    'numbers as int64': (o) => describeTensor(new o.Tensor('int64', [1, -2, 3])),
    bigints: (o) => describeTensor(new o.Tensor('uint64', [1n, 2n], [2])),
    'clamped bytes': (o) => describeTensor(new o.Tensor(Uint8ClampedArray.of(1, 2))),
    'clamped bytes as uint8': (o) => describeTensor(new o.Tensor('uint8', Uint8ClampedArray.of(1, 2))),
    'a scalar': (o) => describeTensor(new o.Tensor('float32', [3], [])),
    'float16 bits': (o) => describeTensor(new o.Tensor('float16', Uint16Array.of(0x3c00, 0x4000), [2])),
    'a view into a buffer': (o) => describeTensor(new o.Tensor('float32', new Float32Array(new ArrayBuffer(32), 8, 3), [3])),
    'uint4, two a byte': (o) => describeTensor(new o.Tensor('uint4', Uint8Array.of(0x21, 0x03), [3])),
    'int4, two a byte': (o) => describeTensor(new o.Tensor('int4', Uint8Array.of(0x21), [1, 2])),
    'uint4 without a shape': (o) => describeTensor(new o.Tensor('uint4', Uint8Array.of(1, 2))),
    'a pinned buffer': (o) => describeTensor(o.Tensor.fromPinnedBuffer('int32', Int32Array.of(1, 2), [2, 1])),
    'a pinned buffer without a shape': (o) => describeTensor(o.Tensor.fromPinnedBuffer('float32', Float32Array.of(1, 2))),
    'a pinned buffer, by parameters': (o) => describeTensor(new o.Tensor({ location: 'cpu-pinned', type: 'uint8', data: Uint8Array.of(1), dims: [1] })),
  };
  for (const [name, form] of Object.entries(forms)) test(name, () => same(form));

  const mistakes = {
    'an unknown type': (o) => new o.Tensor('float', [1]),
    'the name of a property of objects': (o) => new o.Tensor('toString', [1]),
    'a bare array of numbers': (o) => new o.Tensor([1, 2]),
    'an empty bare array': (o) => new o.Tensor([]),
    'nothing': (o) => new o.Tensor(undefined),
    'null': (o) => new o.Tensor(null),
    'another array': (o) => new o.Tensor('float32', new Float64Array(1)),
    'clamped bytes as int8': (o) => new o.Tensor('int8', new Uint8ClampedArray(1)),
    'a string as data': (o) => new o.Tensor('string', 'abc'),
    'a shape that is a number': (o) => new o.Tensor('float32', [1], 1),
    'a negative size': (o) => new o.Tensor('float32', [1], [-1]),
    'half a size': (o) => new o.Tensor('float32', [1], [0.5]),
    'a shape of strings': (o) => new o.Tensor('float32', [1], ['1']),
    'fractions as int64': (o) => new o.Tensor('int64', [1.5]),
    'numbers as uint4': (o) => new o.Tensor('uint4', [1, 2]),
    'too few bytes of uint4': (o) => new o.Tensor('uint4', Uint8Array.of(1), [3]),
    'too many bytes of uint4': (o) => new o.Tensor('uint4', Uint8Array.of(1, 2, 3), [2]),
    'an unknown location': (o) => new o.Tensor({ location: 'moon', type: 'float32', dims: [1] }),
    'a pinned buffer of another type': (o) => o.Tensor.fromPinnedBuffer('int8', new Uint8Array(1)),
    'a buffer on a GPU without a shape': (o) => o.Tensor.fromGpuBuffer({}, {}),
    'a buffer on a GPU with an odd shape': (o) => o.Tensor.fromGpuBuffer({}, { dims: [1, -1] }),
  };
  for (const [name, mistake] of Object.entries(mistakes)) test(`refused: ${name}`, () => same(mistake, { throws: true }));

  test('wider: int4 in the array that is declared for it, which onnxruntime refuses', () => {
    assert.throws(() => new common.Tensor('int4', Int8Array.of(0x21), [2]));
    assert.equal(new ort.Tensor('int4', Int8Array.of(0x21), [2]).size, 2);
  });

  test('stricter: elements that the type cannot hold, which onnxruntime wraps around', () => {
    assert.deepEqual([...new common.Tensor('uint8', [300]).data], [44]);
    assert.throws(() => new ort.Tensor('uint8', [300]), { code: 'INPUT_VALUE' });
    assert.throws(() => new ort.Tensor('int32', [0.5]), { code: 'INPUT_VALUE' });
  });
});

describe('members', () => {
  const make = (o) => new o.Tensor('float32', [1, 2, 3, 4], [2, 2]);

  test('data, as it is and as a promise', () => same(async (o) => [[...make(o).data], [...(await make(o).getData())]]));
  test('the data is not copied', () => {
    const data = new Float32Array(2);
    assert.equal(new ort.Tensor(data).data, data);
    assert.equal(new ort.Tensor('float32', data).reshape([1, 2]).data, data);
  });
  test('reshape', () => same((o) => describeTensor(make(o).reshape([4, 1]))));
  test('reshape to another size', () => same((o) => make(o).reshape([3]), { throws: true }));
  test('dims can be set, as transformers.js does', () => same((o) => {
    const tensor = make(o);
    tensor.dims = [1, 4];
    return describeTensor(tensor);
  }));
  test('dims are not those of the caller, and not frozen', () => {
    const dims = [1, 2];
    const tensor = new ort.Tensor('float32', [1, 2], dims);
    dims[0] = 9;
    assert.deepEqual(tensor.dims, [1, 2]);
    tensor.dims.push(1);
    assert.deepEqual(tensor.dims, [1, 2, 1]);
  });
  test('dispose', () => same((o) => {
    const tensor = make(o);
    tensor.dispose();
    return tensor.location;
  }));
  for (const [name, use] of Object.entries({
    data: (tensor) => tensor.data,
    getData: (tensor) => tensor.getData(),
    reshape: (tensor) => tensor.reshape([4]),
    gpuBuffer: (tensor) => tensor.gpuBuffer,
  })) {
    test(`disposed: no ${name}`, () => same((o) => {
      const tensor = make(o);
      tensor.dispose();
      return use(tensor);
    }, { throws: true }));
  }
  test('on the CPU there is no texture, no buffer and no MLTensor', async () => {
    for (const holder of ['texture', 'gpuBuffer', 'mlTensor']) await same((o) => make(o)[holder], { throws: true });
  });
});

describe('tensors on a GPU', () => {
  const resource = { name: 'resource' };
  const kinds = {
    texture: (o, more) => o.Tensor.fromTexture(resource, { width: 2, height: 1, ...more }),
    gpuBuffer: (o, more) => o.Tensor.fromGpuBuffer(resource, { dims: [8], ...more }),
    mlTensor: (o, more) => o.Tensor.fromMLTensor(resource, { dims: [2, 4], dataType: 'float32', ...more }),
  };
  const download = async () => new Float32Array(8).fill(2);

  for (const [holder, make] of Object.entries(kinds)) {
    test(holder, async () => {
      await same((o) => {
        const tensor = make(o, {});
        assert.equal(tensor[holder], resource);
        return [tensor.type, tensor.dims, tensor.size, tensor.location];
      });
      await same((o) => make(o, {}).data, { throws: true });
      await same((o) => make(o, {}).getData(), { throws: true });
      await same((o) => make(o, { download }).reshape([8, 1]), { throws: true });
      await same(async (o) => {
        const tensor = make(o, { download });
        const data = await tensor.getData();
        return [tensor.location, [...data], [...tensor.data], [...(await tensor.getData())]];
      });
    });

    test(`${holder}, given back once`, () => same(async (o) => {
      let disposed = 0;
      const dispose = () => { disposed++; };
      const downloaded = make(o, { download, dispose });
      await downloaded.getData(true);
      downloaded.dispose();
      make(o, { dispose }).dispose();
      await make(o, { download, dispose }).getData();
      return disposed;
    }));
  }

  test('downloaded once at a time', () => same(async (o) => {
    const tensor = kinds.gpuBuffer(o, { download });
    const first = tensor.getData();
    await assert.rejects(tensor.getData());
    return [...(await first)];
  }));

  test('a download that fails can be repeated', () => same(async (o) => {
    let calls = 0;
    const tensor = kinds.gpuBuffer(o, { download: async () => { if (calls++ === 0) throw new Error('lost'); return download(); } });
    await assert.rejects(tensor.getData(), /lost/);
    return [...(await tensor.getData())];
  }));

  test('stricter: what is downloaded has to be what was promised', async () => {
    const tensor = kinds.gpuBuffer(ort, { download: async () => new Float32Array(3) });
    await assert.rejects(tensor.getData(), { code: 'INPUT_SHAPE' });
  });
});

test('pictures need a browser', async () => {
  await assert.rejects(ort.Tensor.fromImage({}), { code: 'INVALID_IMAGE' });
  await assert.rejects(ort.Tensor.fromImage(null), { code: 'INVALID_IMAGE' });
  assert.throws(() => new ort.Tensor('float32', new Float32Array(12), [1, 3, 2, 2]).toImageData(), { code: 'UNSUPPORTED_ENVIRONMENT' });
  assert.throws(() => new ort.Tensor('float32', new Float32Array(12), [3, 2, 2]).toImageData(), { code: 'INPUT_SHAPE' });
});
