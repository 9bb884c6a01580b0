// `tractlet/ort` with the fake glue: sessions, settings and exports.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as common from 'onnxruntime-common';
import * as web from 'onnxruntime-web';
import { buildPackage } from './lib/bundle.mjs';
import { model } from './lib/models.mjs';
import { encodeModel } from './fake-glue/format.js';

const dist = await buildPackage();
const ort = await import(new URL('ort.js', dist));
const { InferenceError } = await import(new URL('index.js', dist));
const readRoot = async (name) => JSON.parse(await readFile(new URL(`../../${name}`, import.meta.url), 'utf8'));

const floats = (...values) => new ort.Tensor('float32', values);
const create = (...rest) => ort.InferenceSession.create(model('double'), ...rest);

async function rejects(promise, code, message = /./) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof InferenceError, `${error.stack}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

describe('the package', () => {
  test('exports what onnxruntime-web exports', () => {
    assert.ok(Object.keys(web).includes('InferenceSession'));
    // What its Node build adds for its own use is no interface.
    const names = Object.keys(web).filter((name) => name !== 'module.exports');
    assert.deepEqual(names.filter((name) => !(name in ort)), []);
    for (const name of names) assert.equal(typeof ort[name], typeof web[name], name);
    for (const [name, value] of Object.entries(ort)) if (name !== 'default') assert.equal(ort.default[name], value, name);
  });

  test('has the subpaths of onnxruntime-web, so that an alias of the bare name covers them', async () => {
    const { exports } = await readRoot('package.json');
    const { exports: theirs } = await readRoot('node_modules/onnxruntime-web/package.json');
    const entries = Object.keys(theirs).filter((path) => !/\.(wasm|mjs)$/.test(path));
    assert.ok(entries.includes('./webgpu'));
    for (const path of entries) assert.deepEqual(exports[path.replace('.', './ort')], exports['./ort'], path);
    assert.deepEqual(exports['./ort'], { types: './dist/ort.d.ts', default: './dist/ort.js' });
  });

  test("the guide's import map names files that are there, for each way in", async () => {
    const guide = await readFile(new URL('../../docs/migration-onnxruntime-web.md', import.meta.url), 'utf8');
    const { imports } = JSON.parse(/<script type="importmap">(.*?)<\/script>/s.exec(guide)[1]);
    const { exports } = await readRoot('package.json');
    for (const address of Object.values(imports)) assert.equal(address, `/node_modules/tractlet/${exports['./ort'].default.slice(2)}`);
    assert.ok('onnxruntime-web' in imports && 'onnxruntime-web/webgpu' in imports && 'onnxruntime-common' in imports);
  });

  test('says which interface it has', async () => {
    assert.equal(ort.env.versions.common, (await readRoot('node_modules/onnxruntime-common/package.json')).version);
  });
});

describe('models', () => {
  test('from bytes, a part of a buffer, a Blob and a path', async () => {
    const bytes = model('double');
    const buffer = new ArrayBuffer(bytes.length + 8);
    new Uint8Array(buffer).set(bytes, 3);
    const folder = await mkdtemp(join(tmpdir(), 'ort-'));
    after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'm.onnx'), bytes);
    const forms = [
      [bytes],
      [bytes.slice().buffer],
      [buffer, 3, bytes.length],
      [buffer, 3, bytes.length, { executionProviders: ['wasm'] }],
      [buffer.slice(0, bytes.length + 3), 3],
      [buffer.slice(0, bytes.length + 3), 3, undefined, {}],
      [new Blob([bytes])],
      [join(folder, 'm.onnx'), {}],
    ];
    for (const form of forms) {
      const session = await ort.InferenceSession.create(...form);
      assert.deepEqual(session.inputNames, ['x']);
      await session.release();
    }
  });

  test('a part that is none', async () => {
    const buffer = new ArrayBuffer(8);
    for (const part of [[-1], [8], [1.5], [2, 7], [2, 0], [2, -1], [Number.NaN]]) {
      await rejects(ort.InferenceSession.create(buffer, ...part), 'INVALID_OPTION', /byte(Offset|Length)/);
    }
    await rejects(ort.InferenceSession.create(new Uint8Array(8), 1, 2), 'INVALID_OPTION', /buffer is Uint8Array/);
    await rejects(ort.InferenceSession.create(), 'INVALID_OPTION');
    await rejects(ort.InferenceSession.create(new Uint8Array(8)), 'NOT_ONNX');
  });

  test('metadata in the form of onnxruntime', async () => {
    const value = (name, shape) => ({ name, type: 'float32', shape });
    const session = await ort.InferenceSession.create(encodeModel({ op: 'double', inputs: [value('x', ['n', 3])], outputs: [value('y', ['?', 3]), value('z', ['...'])] }));
    assert.deepEqual(session.inputMetadata, [{ name: 'x', isTensor: true, type: 'float32', shape: ['n', 3] }]);
    assert.deepEqual(session.outputMetadata.map(({ shape }) => shape), [[-1, 3], []]);
  });
});

describe('options of create', () => {
  test('those without a meaning here are accepted', async () => {
    const session = await create({
      executionProviders: ['webgpu', { name: 'webnn', deviceType: 'npu' }, 'cuda', 'something new', 'wasm'],
      intraOpNumThreads: 3,
      interOpNumThreads: 2,
      graphOptimizationLevel: 'disabled',
      enableCpuMemArena: false,
      enableMemPattern: false,
      executionMode: 'parallel',
      optimizedModelFilePath: '/tmp/never-written.onnx',
      profileFilePrefix: 'p',
      logId: 'id',
      logSeverityLevel: 0,
      logVerbosityLevel: 9,
      preferredOutputLocation: 'gpu-buffer',
      enableGraphCapture: true,
      extra: { session: { use_ort_model_bytes_directly: '1' } },
      optionOfNextYear: true,
    });
    const { y } = await session.run({ x: floats(1) });
    assert.equal(y.location, 'cpu');
    await session.release();
  });

  test('freeDimensionOverrides', async () => {
    const session = await create({ freeDimensionOverrides: { n: 3 } });
    assert.deepEqual(session.inputMetadata[0].shape, [3]);
  });

  test('externalData: a description, or a string that is both path and address', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ort-'));
    after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'w'), 'named-by-path');
    const bytes = (path) => model('double', { external: [path] });
    // The fake compiler calls the output what the file says.
    const first = await ort.InferenceSession.create(bytes('w'), { externalData: [{ path: 'w', data: Buffer.from('z') }] });
    assert.deepEqual(first.outputNames, ['z']);
    const path = join(folder, 'w');
    const second = await ort.InferenceSession.create(bytes(path), { externalData: [path] });
    assert.deepEqual(second.outputNames, ['named-by-path']);
    await rejects(ort.InferenceSession.create(bytes('w')), 'EXTERNAL_DATA_MISSING');
  });

  test('extra.tractlet has those of tractlet', async () => {
    const statuses = new Set();
    const session = await create({ extra: { tractlet: { worker: false, onProgress: ({ status }) => statuses.add(status) } } });
    assert.ok(statuses.has('ready'));
    await rejects(create({ extra: { tractlet: { onProgres: 1 } } }), 'INVALID_OPTION', /onProgres/);
    const reason = new Error('enough');
    await assert.rejects(create({ extra: { tractlet: { signal: AbortSignal.abort(reason) } } }), reason);
    await assert.rejects(session.run({ x: floats(1) }, { extra: { tractlet: { signal: AbortSignal.abort(reason) } } }), reason);
  });

  test('NaN is computed with, as in onnxruntime, unless it is refused', async () => {
    const bytes = model('allowNaN');
    const allowed = async (options) => (await (await ort.InferenceSession.create(bytes, options)).run({ x: floats(1) })).y.data[0];
    assert.equal(await allowed({}), 1);
    assert.equal(await allowed({ extra: { tractlet: { allowNaN: false } } }), 0);
  });

  test('what cannot be meant', async () => {
    for (const options of [
      5, 'wasm', [],
      { executionProviders: 'wasm' }, { executionProviders: [5] }, { executionProviders: [null] },
      { externalData: 'w' }, { externalData: [null] }, { externalData: [{ data: '/w' }] },
      { freeDimensionOverrides: { n: -1 } }, { extra: { tractlet: true } },
    ]) {
      await rejects(create(options), 'INVALID_OPTION');
    }
    for (const options of [null, undefined]) await (await create(options)).release();
  });
});

describe('runs', () => {
  test('give tensors of this interface, in an object that can be written to', async () => {
    const session = await create();
    const result = await session.run({ x: floats(1, 2) });
    assert.ok(result.y instanceof ort.Tensor);
    assert.deepEqual([...result.y.data], [2, 4]);
    result.y = 1;
    session.config = {};
    assert.ok(session instanceof ort.InferenceSession);
  });

  test('take tensors of onnxruntime-common', async () => {
    const session = await create();
    const { y } = await session.run({ x: new common.Tensor('float32', [3]) });
    assert.deepEqual([...y.data], [6]);
  });

  test('download what is on a GPU, if there is a way', async () => {
    const session = await create();
    for (const { Tensor } of [ort, common]) {
      const { y } = await session.run({ x: Tensor.fromGpuBuffer({}, { dims: [2], download: async () => Float32Array.of(1, 2) }) });
      assert.deepEqual([...y.data], [2, 4]);
    }
    await rejects(session.run({ x: ort.Tensor.fromGpuBuffer({}, { dims: [2] }) }), 'INPUT_VALUE', /downloads/);
  });

  test('some outputs, by name or in an object, with options or without', async () => {
    const value = (name) => ({ name, type: 'float32', shape: ['n'] });
    const session = await ort.InferenceSession.create(encodeModel({ op: 'double', inputs: [value('x')], outputs: [value('y'), value('z')] }));
    const keys = async (...rest) => Object.keys(await session.run({ x: floats(1) }, ...rest));
    assert.deepEqual(await keys(), ['y', 'z']);
    assert.deepEqual(await keys({ tag: 'a' }), ['y', 'z']);
    assert.deepEqual(await keys(undefined, { tag: 'a' }), ['y', 'z']);
    assert.deepEqual(await keys({ logSeverityLevel: 0, logVerbosityLevel: 1, terminate: true }), ['y', 'z']);
    assert.deepEqual(await keys(['z']), ['z']);
    assert.deepEqual(await keys(['z'], {}), ['z']);
    assert.deepEqual(await keys({ z: null }), ['z']);
    assert.deepEqual(await keys({ z: null }, { tag: 'a' }), ['z']);
  });

  test('fill a tensor that is there already', async () => {
    const session = await create();
    const place = new Float32Array(4);
    const y = new ort.Tensor('float32', place.subarray(1, 3), [2]);
    const result = await session.run({ x: floats(1, 2) }, { y });
    assert.equal(result.y, y);
    assert.deepEqual([...place], [0, 2, 4, 0]);
    await rejects(session.run({ x: floats(1, 2) }, { y: floats(0) }), 'INPUT_SHAPE', /output "y"/);
    await rejects(session.run({ x: floats(1, 2) }, { y: new ort.Tensor('int32', [0, 0]) }), 'INPUT_TYPE', /output "y"/);
    assert.deepEqual([...place], [0, 2, 4, 0]);
  });

  test('fill strings', async () => {
    const value = (name) => ({ name, type: 'string', shape: ['n'] });
    const session = await ort.InferenceSession.create(encodeModel({ op: 'echo', inputs: [value('x')], outputs: [value('y')] }));
    const place = ['', ''];
    await session.run({ x: new ort.Tensor(['a', 'b']) }, { y: new ort.Tensor('string', place) });
    assert.deepEqual(place, ['a', 'b']);
  });

  test('the data is taken when run is called', async () => {
    const session = await create();
    const data = Float32Array.of(1);
    const running = session.run({ x: new ort.Tensor(data) });
    data[0] = 9;
    assert.deepEqual([...(await running).y.data], [2]);
  });

  test('what cannot be meant', async () => {
    const session = await create();
    const x = floats(1);
    for (const feeds of [undefined, null, 5, 'x', [x], x]) await rejects(session.run(feeds), 'INVALID_OPTION', /feeds/);
    for (const fetches of [null, 5, 'y', [], x, { y: 5 }, { y: undefined }]) await rejects(session.run({ x }, fetches), 'INVALID_OPTION', /fetches/);
    await rejects(session.run({ x }, [5]), 'INVALID_OPTION');
    await rejects(session.run({ x: new Float32Array(1) }), 'INPUT_TYPE');
    await rejects(session.run({ x: null }), 'INPUT_TYPE');
    await rejects(session.run({ a: x }), 'UNKNOWN_INPUT');
    await rejects(session.run({ x: new ort.Tensor('uint4', Uint8Array.of(1), [2]) }), 'INPUT_TYPE', /uint4/);
    const disposed = floats(1);
    disposed.dispose();
    await rejects(session.run({ x: disposed }), 'INPUT_VALUE', /disposed/);
    // And still usable.
    assert.deepEqual([...(await session.run({ x })).y.data], [2]);
  });

  test('profiling puts the steps on the time line', async () => {
    const measured = async (session) => {
      performance.clearMeasures();
      await session.run({ x: floats(1) });
      return performance.getEntriesByType('measure').map(({ name }) => name);
    };
    const session = await create({ enableProfiling: true });
    assert.deepEqual(await measured(session), ['tractlet: double n0']);
    session.endProfiling();
    assert.deepEqual(await measured(session), []);
    session.startProfiling();
    assert.equal((await measured(session)).length, 3);
  });

  test('none after release, which may be repeated', async () => {
    const session = await create();
    await session.release();
    await session.release();
    await rejects(session.run({ x: floats(1) }), 'SESSION_RELEASED');
  });
});

describe('settings', () => {
  test("onnxruntime's own files are not looked for, wherever they are said to be", async () => {
    const asked = [];
    const { fetch } = globalThis;
    globalThis.fetch = (url) => {
      asked.push(String(url));
      return Promise.reject(new Error('no network'));
    };
    try {
      ort.env.wasm.wasmPaths = 'https://cdn.example/ort/';
      ort.env.wasm.wasmPaths = { wasm: 'https://cdn.example/a.wasm', mjs: new URL('https://cdn.example/a.mjs') };
      ort.env.wasm.wasmBinary = new Uint8Array(4);
      Object.assign(ort.env.wasm, { numThreads: 4, simd: 'fixed', proxy: true, initTimeout: 1, trace: false });
      Object.assign(ort.env.webgpu, { powerPreference: 'low-power', device: 'mine' });
      ort.env.webgpu.profiling.mode = 'default';
      ort.env.webgl.pack = true;
      ort.env.logLevel = 'verbose';
      ort.env.debug = true;
      const session = await create();
      assert.deepEqual([...(await session.run({ x: floats(1) })).y.data], [2]);
      assert.deepEqual(asked, []);
      // What was set is still there.
      assert.equal(ort.env.wasm.wasmPaths.wasm, 'https://cdn.example/a.wasm');
      assert.equal(await ort.env.webgpu.device, 'mine');
    } finally {
      globalThis.fetch = fetch;
    }
  });

  test('no version that an address of a CDN could be made of', () => {
    assert.equal(ort.env.versions.web, undefined);
  });

  test('other backends are not used', async () => {
    ort.registerBackend('wasm', { init: () => assert.fail(), createInferenceSessionHandler: () => assert.fail() }, 1e9);
    await (await create({ executionProviders: ['wasm'] })).release();
    assert.deepEqual(ort.listSupportedBackends(), [{ name: 'wasm', bundled: true }]);
  });

  test('tracing', (t) => {
    const stamps = t.mock.method(console, 'timeStamp', () => undefined);
    ort.env.trace = false;
    ort.TRACE('CPU', 'a');
    ort.TRACE_FUNC_BEGIN('b');
    ort.env.trace = true;
    ort.TRACE('CPU', 'c');
    ort.TRACE_FUNC_BEGIN('d');
    ort.TRACE_FUNC_END();
    assert.deepEqual(stamps.mock.calls.map(({ arguments: [label] }) => label), ['CPU::ORT::c', 'CPU::ORT::FUNC_BEGIN::d', 'CPU::ORT::FUNC_END']);
    const starts = t.mock.method(console, 'time', () => undefined);
    const ends = t.mock.method(console, 'timeEnd', () => undefined);
    ort.TRACE_EVENT_BEGIN('e');
    ort.TRACE_EVENT_END('e');
    ort.env.trace = false;
    ort.TRACE_EVENT_BEGIN('f');
    ort.TRACE_EVENT_END('f');
    for (const { mock } of [starts, ends]) assert.deepEqual(mock.calls.map(({ arguments: [label] }) => label), ['ORT::e']);
  });
});
