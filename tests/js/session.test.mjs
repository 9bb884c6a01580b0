// Sessions in the calling thread: loading, running, errors.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { buildPackage, copyPackage } from './lib/bundle.mjs';
import { model, plan, vector } from './lib/models.mjs';
import { serve } from './lib/server.mjs';
import { encodePlan } from './fake-glue/format.js';

const dist = await buildPackage();
const { InferenceSession, InferenceError, Tensor, ModelError, LoadError, InputError, RuntimeCrashError, SessionReleasedError, OutOfMemoryError } = await import(
  new URL('index.js', dist)
);

/** What the package is told when it asks for relaxed SIMD; Node itself may have it or not. */
let relaxed = false;
const { validate } = WebAssembly;
const isQuestion = (bytes) => Buffer.from(bytes).includes(Buffer.from('fd9302', 'hex'));
WebAssembly.validate = (bytes) => (isQuestion(bytes) ? relaxed : validate(bytes));

const floats = (...values) => new Tensor('float32', values);
const run = async (session, ...values) => [...(await session.run({ x: floats(...values) })).y.data];

/** Expects a rejection with this code, in this class. */
async function rejects(promise, code, Class = InferenceError, more = {}) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof Class, `${error?.stack}`);
    assert.ok(error instanceof InferenceError && error instanceof Error);
    assert.equal(error.code, code, error.message);
    for (const [key, value] of Object.entries(more)) {
      if (value instanceof RegExp) assert.match(String(error[key]), value);
      else assert.deepEqual(error[key], value);
    }
    return true;
  });
}

test('runs a model, and says what it is', async () => {
  const session = await InferenceSession.create(model('double'));
  assert.deepEqual(session.inputNames, ['x']);
  assert.deepEqual(session.outputNames, ['y']);
  assert.deepEqual(session.inputMetadata, [{ name: 'x', isTensor: true, type: 'float32', shape: ['n'] }]);
  assert.deepEqual(session.outputMetadata, [{ name: 'y', isTensor: true, type: 'float32', shape: ['n'] }]);
  assert.equal(session.modelMetadata.producerName, 'tests');
  assert.deepEqual(session.modelMetadata.opsets, [{ domain: '', version: 17 }]);
  assert.equal('inputs' in session.modelMetadata, false);
  assert.deepEqual(session.runtime, { version: '1.2.3', build: 'simd128', dot: 'pairs', threads: 1, threadsReason: 'There are more only in workers of web pages', worker: false, subgraphs: 0, compiler: false });
  const { y } = await session.run({ x: floats(1, 2, 3) });
  assert.ok(y instanceof Tensor);
  assert.deepEqual([y.type, [...y.dims], [...y.data]], ['float32', [3], [2, 4, 6]]);
  assert.deepEqual(await session.memory(), { wasmBytes: 65536, engine: 65536, compiler: 0 });
  await session.release();
});

test('every kind of source', async () => {
  const bytes = plan('double');
  const folder = await mkdtemp(join(tmpdir(), 'tractlet '));
  after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'a#b%20c.plan');
  await writeFile(file, bytes);
  const { origin } = await serve({ '/m.plan': Buffer.from(bytes) });
  const padded = new Uint8Array(bytes.length + 10).fill(1);
  padded.set(bytes, 5);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  const sources = {
    path: file,
    'file URL': pathToFileURL(file),
    'file URL string': pathToFileURL(file).href,
    URL: new URL('/m.plan', origin),
    string: `${origin}/m.plan`,
    'data URL': `data:application/octet-stream;base64,${Buffer.from(bytes).toString('base64')}`,
    Request: new Request(`${origin}/m.plan`),
    Response: await fetch(`${origin}/m.plan`),
    'made Response': new Response(bytes),
    Blob: new Blob([bytes]),
    ArrayBuffer: bytes.slice().buffer,
    'view in a larger buffer': padded.subarray(5, 5 + bytes.length),
    Buffer: Buffer.from(bytes),
    DataView: new DataView(bytes.slice().buffer),
    SharedArrayBuffer: shared.buffer,
    stream: new Blob([bytes]).stream(),
    'stream of single bytes': new ReadableStream({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    }),
  };
  for (const [name, source] of Object.entries(sources)) {
    const session = await InferenceSession.create(source);
    assert.deepEqual(await run(session, 4), [8], name);
    await session.release();
  }
});

test('what is no source is refused', async () => {
  const used = new Response('x');
  await used.text();
  const locked = new Blob(['x']).stream();
  locked.getReader();
  for (const [source, message] of [
    [undefined, /Undefined/],
    [null, /null/],
    [5, /Number/],
    [{}, /Object/],
    [used, /read already/],
    [locked, /someone else/],
    ['https://', /cannot be resolved/],
  ]) {
    await rejects(InferenceSession.create(source), 'INVALID_OPTION', InputError, { message });
  }
});

test('a plan does not load the compiler', async () => {
  const folder = await copyPackage(dist, 'no-compiler');
  await rm(new URL('compiler.wasm', folder));
  const { InferenceSession } = await import(new URL('index.js', folder));
  const session = await InferenceSession.create(plan('double'));
  assert.deepEqual(await run(session, 4), [8]);
  await assert.rejects(InferenceSession.create(model('double')), { code: 'WASM_LOAD', name: 'LoadError', hint: /compiler\.wasm/ });
});

test('the compiler is fetched while the model is still on its way, and only then', async () => {
  const bytes = model('double');
  let finish;
  const { origin, requests } = await serve({
    '/m.onnx': (_, response) => {
      response.write(bytes.subarray(0, 20));
      finish = () => response.end(bytes.subarray(20));
    },
    '/compiler.wasm': (_, response) => {
      finish();
      response.end(compiler);
    },
    '/m.plan': Buffer.from(plan('double')),
  });
  const compiler = await readFile(new URL('compiler.wasm', dist));
  const options = { wasm: { compiler: `${origin}/compiler.wasm` }, signal: AbortSignal.timeout(5000) };
  await InferenceSession.create(`${origin}/m.plan`, options);
  assert.deepEqual(requests, ['/m.plan']);
  // The model ends when the compiler is asked for.
  await InferenceSession.create(`${origin}/m.onnx`, options);
});

test('the compiler stays as long as the engine may need it', async () => {
  const before = globalThis.fakeCompilerFrees ?? 0;
  const alone = await InferenceSession.create(model('double'));
  assert.equal(globalThis.fakeCompilerFrees, before + 1);
  const hosted = await InferenceSession.create(model('host'));
  assert.equal(globalThis.fakeCompilerFrees, before + 1);
  assert.deepEqual(await run(hosted, 1), [7]);
  assert.deepEqual(await hosted.memory(), { wasmBytes: 2 * 65536, engine: 65536, compiler: 65536 });
  assert.deepEqual([hosted.runtime.compiler, hosted.runtime.subgraphs], [true, 1]);
  await hosted.release();
  assert.equal(globalThis.fakeCompilerFrees, before + 2);
  await alone.release();
  assert.equal(globalThis.fakeCompilerFrees, before + 2);
});

describe('the build of the engine', () => {
  after(() => void (relaxed = false));

  /** A package of its own: the builds that were found are kept. Creates a session from it. */
  let copies = 0;
  const open = async ({ without = [], broken = [], options = {} } = {}) => {
    const folder = await copyPackage(dist, `build-${++copies}`);
    for (const file of without) await rm(new URL(file, folder));
    for (const file of broken) await writeFile(new URL(file, folder), Uint8Array.of(0, 0x61, 0x73, 0x6d, 9, 9, 9, 9));
    const { InferenceSession } = await import(new URL('index.js', folder));
    return InferenceSession.create(plan('double'), options);
  };
  const buildOf = async (cases) => {
    const session = await open(cases);
    assert.deepEqual(await run(session, 1), [2]);
    const { build, dot } = session.runtime;
    return `${build} ${dot}`;
  };

  test('follows from what the browser says of relaxed SIMD', async () => {
    relaxed = true;
    assert.equal(await buildOf({ without: ['engine.wasm'] }), 'relaxed usdot');
    relaxed = false;
    assert.equal(await buildOf({ without: ['engine-relaxed.wasm'] }), 'simd128 pairs');
  });

  test('is the one for every browser where the other is missing or does not compile', async () => {
    relaxed = true;
    assert.equal(await buildOf({ without: ['engine-relaxed.wasm'] }), 'simd128 pairs');
    assert.equal(await buildOf({ broken: ['engine-relaxed.wasm'] }), 'simd128 pairs');
    await assert.rejects(open({ without: ['engine.wasm', 'engine-relaxed.wasm'] }), { code: 'WASM_LOAD', message: /engine\.wasm/ });
  });

  test('is the caller\'s where one is given', async () => {
    relaxed = true;
    const engine = new URL('engine.wasm', dist);
    assert.equal(await buildOf({ options: { wasm: { engine } } }), 'simd128 pairs');
    relaxed = false;
    assert.equal(await buildOf({ options: { wasm: { engine: new URL('engine-relaxed.wasm', dist) } } }), 'relaxed usdot');
    // There is no falling back from what was asked for.
    relaxed = true;
    await assert.rejects(open({ options: { wasm: { engine: new Uint8Array(5) } } }), { code: 'WASM_LOAD' });
  });

  test('is asked for by a module that is valid with relaxed SIMD only', async (t) => {
    const asked = [];
    t.mock.method(WebAssembly, 'validate', (bytes) => {
      asked.push(Buffer.from(bytes).toString('hex'));
      return false;
    });
    await open();
    // (func (result v128) (i32x4.relaxed_dot_i8x16_i7x16_add_s) on three vectors of zeros)
    const zeros = '4100fd0f';
    assert.deepEqual(asked, [`0061736d0100000001050160${'00017b'}030201000a13011100${zeros.repeat(3)}fd93020b`]);
    const answers = (...flags) => execFileSync(process.execPath, [...flags, '-p', `WebAssembly.validate(Buffer.from('${asked[0]}', 'hex'))`], { encoding: 'utf8' }).trim();
    // Since 21 Node has it without a flag, and does not know the flag.
    assert.equal(answers(...(Number.parseInt(process.versions.node, 10) < 21 ? ['--experimental-wasm-relaxed-simd'] : [])), 'true');
    if (Number.parseInt(process.versions.node, 10) < 21) assert.equal(answers(), 'false');
  });
});

test('a measured run', async () => {
  const session = await InferenceSession.create(plan('double'));
  const measures = () => performance.getEntriesByType('measure').filter(({ name }) => name.startsWith('tractlet: '));
  performance.clearMeasures();
  assert.deepEqual(session.profile, []);
  await run(session, 1);
  assert.deepEqual(session.profile, []);
  assert.deepEqual(measures(), []);

  const start = performance.now();
  const { y } = await session.run({ x: floats(4) }, { profile: true });
  assert.deepEqual([...y.data], [8], 'the outputs are what they are');
  const entry = (name) => ({ name, opType: 'double', kernel: 'fake', shape: [1, 2], microseconds: 700, macs: 3 });
  assert.deepEqual(session.profile, [entry('n0'), entry('n1')]);
  const found = measures();
  assert.deepEqual(found.map(({ name }) => name), ['tractlet: double n0', 'tractlet: double n1']);
  assert.deepEqual(found.map(({ duration }) => Math.round(1000 * duration)), [700, 700]);
  assert.deepEqual(found[0].detail, { kernel: 'fake', shape: [1, 2], macs: 3 });
  // On this thread's clock, one millisecond apart.
  assert.ok(found[0].startTime >= start - 1 && found[0].startTime <= performance.now(), `${found[0].startTime} is not after ${start}`);
  assert.equal(Math.round(found[1].startTime - found[0].startTime), 1);

  // The last measured run that has ended counts; others leave it alone, as do failures.
  await run(session, 1);
  await rejects(session.run({ z: floats(1) }, { profile: true }), 'UNKNOWN_INPUT');
  assert.equal(session.profile.length, 2);
  await session.run({ x: floats(4) }, ['y'], { profile: true });
  assert.equal(session.profile.length, 4);
  await rejects(session.run({ x: floats(4) }, { profile: 1 }), 'INVALID_OPTION', InputError);
  assert.throws(() => { session.profile = []; }, TypeError);
  performance.clearMeasures();
});

test('progress goes from initiate to ready', async () => {
  const bytes = Buffer.from(model('double', { pad: 'x'.repeat(200_000) }));
  const { origin } = await serve({ '/models/m.onnx': bytes });
  const events = [];
  const session = await InferenceSession.create(`${origin}/models/m.onnx`, { onProgress: (event) => events.push(event) });
  await session.release();
  const name = `${origin}/models/m.onnx`;
  assert.ok(events.every((event) => event.name === name));
  const of = (wanted) => events.filter(({ file }) => file === wanted);
  const order = (wanted) => [...new Set(of(wanted).map(({ status }) => status))];
  assert.deepEqual(order('m.onnx'), ['initiate', 'download', 'progress', 'done', 'compile', 'ready']);
  const progress = of('m.onnx').filter(({ status }) => status === 'progress');
  assert.deepEqual(progress.at(-1), { status: 'progress', name, file: 'm.onnx', loaded: bytes.length, total: bytes.length, progress: 100 });
  assert.ok(progress.every(({ loaded }, i) => i === 0 || loaded >= progress[i - 1].loaded));
});

test('errors of the modules arrive with all fields', async () => {
  await rejects(InferenceSession.create(new TextEncoder().encode('nonsense')), 'NOT_ONNX', ModelError, { hint: 'Export it again.' });
  await rejects(InferenceSession.create(new Uint8Array()), 'NOT_ONNX', ModelError);
  await rejects(InferenceSession.create(model('unknown')), 'UNSUPPORTED_OPERATOR', ModelError, {
    node: 'n1',
    opType: 'Foo',
    operators: [{ domain: '', opType: 'Foo', count: 2 }, { domain: 'x', opType: 'Bar', count: 1 }],
  });
  await rejects(InferenceSession.create(plan('bad-plan')), 'PLAN_VERSION', ModelError);
  const session = await InferenceSession.create(plan('double'));
  await rejects(session.run({ z: floats(1) }), 'UNKNOWN_INPUT', InputError, { input: 'z', hint: /The inputs are x/ });
  assert.deepEqual(await run(session, 1), [2], 'usable after an error');
});

test('errors of downloads', async () => {
  const { origin } = await serve({
    '/html': '<!doctype html>\n<title>Home</title>',
    '/cut': (_, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('TRACTLET{');
      setTimeout(() => response.destroy(), 20);
    },
  });
  await rejects(InferenceSession.create(`${origin}/none`), 'HTTP_ERROR', LoadError, { message: /404.*\/none/, actual: '404' });
  await rejects(InferenceSession.create(`${origin}/html`), 'HTML_RESPONSE', LoadError, { message: /HTML page.*\/html/ });
  await rejects(InferenceSession.create(`${origin}/cut`), 'NETWORK_ERROR', LoadError, { message: /after 9 bytes/ });
  await rejects(InferenceSession.create('http://127.0.0.1:1/x'), 'NETWORK_ERROR', LoadError);
  await rejects(InferenceSession.create('/no/such/file.onnx'), 'NETWORK_ERROR', LoadError, { message: /ENOENT/ });
  await rejects(InferenceSession.create(new Response('', { status: 500, statusText: 'Oops' })), 'HTTP_ERROR', LoadError, { message: /500 Oops/ });
});

test('integrity', async () => {
  const bytes = plan('double');
  for (const algorithm of ['sha256', 'sha384', 'sha512']) {
    const integrity = `${algorithm}-${createHash(algorithm).update(bytes).digest('base64')}`;
    await (await InferenceSession.create(bytes, { integrity })).release();
    await rejects(InferenceSession.create(plan('sum'), { integrity }), 'INTEGRITY', LoadError, { expected: integrity });
  }
  await rejects(InferenceSession.create(bytes, { integrity: 'md5-x' }), 'INVALID_OPTION', InputError);
});

test('options are checked', async () => {
  for (const [options, message] of [
    [{ sginal: 1 }, /no option "sginal"/],
    [{ signal: 1 }, /signal is Number|signal is 1/],
    [{ onProgress: 'x' }, /onProgress is "x"/],
    [{ wasm: 'x' }, /wasm/],
    [{ externalData: [{ data: 1 }] }, /externalData/],
    [{ externalData: {} }, /externalData/],
    [{ freeDimensionOverrides: { n: 1.5 } }, /freeDimensionOverrides/],
    [{ allowNaN: 1 }, /allowNaN/],
    [{ integrity: 1 }, /integrity/],
    [{ worker: 'yes' }, /worker/],
    [null, /null/],
    ['x', /"x"/],
  ]) {
    await rejects(InferenceSession.create(plan('double'), options), 'INVALID_OPTION', InputError, { message });
  }
  await InferenceSession.create(plan('double'), { signal: undefined, worker: undefined });
  const session = await InferenceSession.create(plan('double'));
  for (const call of [
    () => session.run({ x: floats(1) }, { timeout: 3 }),
    () => session.run({ x: floats(1) }, ['y'], { transfer: 1 }),
    () => session.run(null),
    () => session.run(floats(1)),
    () => session.run({ x: floats(1) }, { y: 1 }),
    () => session.run({ x: floats(1) }, { y: undefined }),
    () => session.run({ x: floats(1) }, { y: new Float32Array(1) }),
    () => session.warmup({}, { transfer: true }),
    () => session.run({ x: floats(1) }, [3]),
  ]) {
    await rejects(call(), 'INVALID_OPTION', InputError);
  }
  await rejects(session.run({ x: [1, 2] }), 'INPUT_TYPE', InputError, { input: 'x', hint: /new Tensor/ });
  await rejects(InferenceSession.create(plan('double'), { worker: true }), 'UNSUPPORTED_ENVIRONMENT');
});

test('options reach the modules', async () => {
  const overridden = await InferenceSession.create(model('double'), { freeDimensionOverrides: { n: 5 } });
  assert.deepEqual(overridden.inputMetadata[0].shape, [5]);
  for (const allowNaN of [true, false, undefined]) {
    assert.deepEqual(await run(await InferenceSession.create(plan('allowNaN'), { allowNaN }), 1), [allowNaN ? 1 : 0]);
  }
  const external = model('double', { external: ['weights.bin'] });
  await rejects(InferenceSession.create(external), 'EXTERNAL_DATA_MISSING', ModelError, { expected: 'weights.bin' });
  const session = await InferenceSession.create(external, { externalData: [{ path: 'weights.bin', data: new TextEncoder().encode('renamed') }] });
  assert.deepEqual(session.outputNames, ['renamed']);
});

test('fetches: a list, an object, none', async () => {
  const session = await InferenceSession.create(encodePlan(vector('double', { outputs: ['y', 'z'].map((name) => ({ name, type: 'float32', shape: ['n'] })) })));
  const feeds = { x: floats(1) };
  assert.deepEqual(Object.keys(await session.run(feeds)), ['y', 'z']);
  assert.deepEqual(Object.keys(await session.run(feeds, ['z'])), ['z']);
  assert.deepEqual(Object.keys(await session.run(feeds, { z: null })), ['z']);
  assert.deepEqual(Object.keys(await session.run(feeds, ['z'], {})), ['z']);
  assert.deepEqual(Object.keys(await session.run(feeds, { signal: undefined })), ['y', 'z']);
});

test('fetches: results are written to tensors that are there', async () => {
  const session = await InferenceSession.create(encodePlan(vector('double', { outputs: ['y', 'z'].map((name) => ({ name, type: 'float32', shape: ['n'] })) })));
  const y = floats(0, 0);
  const { data } = y;
  const results = await session.run({ x: floats(1, 2) }, { y, z: null });
  assert.equal(results.y, y);
  assert.equal(y.data, data);
  assert.deepEqual([...y.data], [2, 4]);
  assert.deepEqual([...results.z.data], [2, 4]);
  // Tensors of onnxruntime-common, and those that are inputs as well.
  const foreign = { type: 'float32', dims: [2], data: new Float32Array(2) };
  assert.equal((await session.run({ x: y }, { y: foreign, z: y })).y, foreign);
  assert.deepEqual([...foreign.data, ...y.data], [4, 8, 4, 8]);
  // Of several none is written to when one does not fit.
  const good = floats(7, 7);
  for (const [z, code, hint] of [
    [new Tensor('int32', [0, 0]), 'OUTPUT_TYPE', /null/],
    [floats(0, 0, 0), 'OUTPUT_SHAPE', /null/],
    [new Tensor('float32', [0, 0], [2, 1]), 'OUTPUT_SHAPE', /null/],
  ]) {
    await rejects(session.run({ x: floats(1, 2) }, { y: good, z }), code, InputError, { message: /"z"/, hint });
  }
  assert.deepEqual([...good.data], [7, 7]);
  structuredClone(good.data.buffer, { transfer: [good.data.buffer] });
  await rejects(session.run({ x: floats(1, 2) }, { y: good }), 'OUTPUT_SHAPE', InputError, { hint: /transfer/ });
  const gone = floats(0, 0);
  gone.dispose();
  await rejects(session.run({ x: floats(1, 2) }, { y: gone }), 'INPUT_VALUE', InputError);
  assert.deepEqual([...(await session.run({ x: floats(1, 2) }, ['y'])).y.data], [2, 4]);
});

test('strings are written to tensors too', async () => {
  const session = await InferenceSession.create(
    encodePlan({ op: 'echo', inputs: [{ name: 'x', type: 'string', shape: ['n'] }], outputs: [{ name: 'y', type: 'string', shape: ['n'] }] }),
  );
  const y = new Tensor(['', '']);
  await session.run({ x: new Tensor(['a', 'b']) }, { y });
  assert.deepEqual(y.data, ['a', 'b']);
});

test('warmup runs zeros', async () => {
  const types = { float32: 4, float16: 2, int64: 8, bool: 1, uint8: 1, string: 0 };
  const inputs = Object.keys(types).map((name) => ({ name, type: name, shape: [2, name === 'int64' ? 'n' : 3] }));
  const session = await InferenceSession.create(encodePlan({ op: 'last-inputs', inputs, outputs: [] }));
  await session.warmup({ int64: [2, 5] });
  assert.deepEqual(
    globalThis.fakeLastInputs.map(({ name, type, dims, data }) => [name, type, dims, data.length, new Set(data).size]),
    inputs.map(({ name }) => {
      const dims = [2, name === 'int64' ? 5 : 3];
      return [name, name, dims, dims[0] * dims[1] * (types[name] || 1), 1];
    }),
  );
  assert.deepEqual(globalThis.fakeLastInputs.map(({ data }) => data[0]), [0, 0, 0, 0, 0, '']);
  await rejects(session.warmup(), 'INPUT_SHAPE', InputError, { input: 'int64', message: /"n"/, hint: /warmup\({ "int64": \[2, 1\] }\)/ });
  await rejects(session.warmup({ ids: [1] }), 'UNKNOWN_INPUT', InputError, { input: 'ids', hint: /"float32"/ });
  await rejects(session.warmup({ int64: [2 ** 40] }), 'OUT_OF_MEMORY', OutOfMemoryError, { input: 'int64' });
  await assert.rejects(session.warmup({ int64: [2, 5] }, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('a run in the page gives it turns when it may be aborted', async () => {
  const session = await InferenceSession.create(plan('slow'));
  const controller = new AbortController();
  let turns = 0;
  const count = () => {
    if (++turns === 3) controller.abort();
    else setTimeout(count);
  };
  setTimeout(count);
  const start = performance.now();
  const first = session.run({ x: floats(60_000) }, { signal: controller.signal });
  const second = session.run({ x: floats(30) }, { signal: new AbortController().signal });
  await assert.rejects(first, { name: 'AbortError' });
  assert.ok(performance.now() - start < 20_000);
  assert.deepEqual([...(await second).y.data], [60]);
  // Released in the middle.
  const third = session.run({ x: floats(60_000) }, { signal: new AbortController().signal });
  setTimeout(() => session.release(), 30);
  await rejects(third, 'SESSION_RELEASED', SessionReleasedError);
});

test('using', async () => {
  const before = globalThis.fakeGlueFrees ?? 0;
  const session = await InferenceSession.create(plan('double'));
  session[Symbol.dispose]();
  assert.equal(globalThis.fakeGlueFrees, before + 1);
  await rejects(run(session, 1), 'SESSION_RELEASED', SessionReleasedError);
});

test('an exception that went through the engine ends the session', async () => {
  const session = await InferenceSession.create(plan('stuck'));
  const [first, second] = [run(session, 1), run(session, 1)];
  await rejects(first, 'RUNTIME_CRASH', RuntimeCrashError, { message: /ran out of memory/ });
  await rejects(second, 'RUNTIME_CRASH', RuntimeCrashError);
  await session.release();
});

test('inputs are copied, and all types go there and back', async () => {
  const tensors = {
    a: new Tensor('float32', [1.5, -2]),
    b: new Tensor('int64', [1n, -(2n ** 63n)]),
    c: new Tensor('uint64', [2n ** 64n - 1n]),
    d: new Tensor('bool', [true, false, true]),
    e: new Tensor('string', ['ä', '', '😀'], [3, 1]),
    f: new Tensor('int8', [-128, 127], [1, 2, 1]),
    g: new Tensor('float64', [Math.PI], []),
    h: new Tensor('float16', new Uint16Array([0x3c00])),
    i: new Tensor('uint8', [], [0, 4]),
  };
  const names = Object.keys(tensors);
  const session = await InferenceSession.create(
    encodePlan({ op: 'echo', inputs: names.map((name) => ({ name, type: 'x', shape: [] })), outputs: names.map((name) => ({ name: `${name}2`, type: 'x', shape: [] })) }),
  );
  const promise = session.run(tensors);
  tensors.a.data[0] = 99;
  const outputs = await promise;
  tensors.a.data[0] = 1.5;
  for (const name of names) {
    const { type, dims, data } = outputs[`${name}2`];
    assert.deepEqual({ type, dims, data }, { type: tensors[name].type, dims: tensors[name].dims, data: tensors[name].data }, name);
  }
});

test('a crash takes its own session only', async () => {
  const other = await InferenceSession.create(plan('double'));
  for (const op of ['trap', 'overflow']) {
    const session = await InferenceSession.create(plan(op));
    const [first, second] = [session.run({ x: floats(1) }), session.run({ x: floats(1) })];
    await rejects(first, 'RUNTIME_CRASH', RuntimeCrashError, { message: /crashed/, hint: /create a new one/ });
    await rejects(second, 'RUNTIME_CRASH', RuntimeCrashError);
    await rejects(run(session, 1), 'RUNTIME_CRASH', RuntimeCrashError);
    await session.release();
    await rejects(run(session, 1), 'SESSION_RELEASED', SessionReleasedError);
  }
  await rejects(run(await InferenceSession.create(plan('trap-for-memory')), 1), 'RUNTIME_CRASH', RuntimeCrashError, {
    message: /ran out of memory/,
    hint: /create a new one.*smaller/,
  });
  await rejects(InferenceSession.create(model('compile-trap')), 'RUNTIME_CRASH', RuntimeCrashError);
  assert.deepEqual(await run(other, 1), [2]);
});

test('a failed allocation is no crash', async () => {
  const session = await InferenceSession.create(plan('memory'));
  await rejects(run(session, 1), 'OUT_OF_MEMORY', OutOfMemoryError);
  await rejects(run(session, 1), 'OUT_OF_MEMORY', OutOfMemoryError);
});

test('release', async () => {
  const before = globalThis.fakeGlueFrees ?? 0;
  const session = await InferenceSession.create(plan('double'));
  await session.release();
  await session.release();
  assert.equal(globalThis.fakeGlueFrees, before + 1);
  await rejects(run(session, 1), 'SESSION_RELEASED', SessionReleasedError, { name: 'SessionReleasedError' });
  await rejects(session.memory(), 'SESSION_RELEASED', SessionReleasedError);
  const disposable = await InferenceSession.create(plan('double'));
  await disposable[Symbol.asyncDispose]();
  await rejects(run(disposable, 1), 'SESSION_RELEASED');
});

test('runs keep their order, and an aborted one is never begun', async () => {
  const session = await InferenceSession.create(plan('slow'));
  const done = [];
  const start = performance.now();
  const controller = new AbortController();
  const runs = [1, 2, 3, 4].map((n) =>
    session.run({ x: floats(n === 3 ? 10_000 : n) }, n === 3 ? { signal: controller.signal } : {}).then(
      ({ y }) => done.push(y.data[0]),
      (error) => done.push(error.name),
    ),
  );
  controller.abort();
  await Promise.all(runs);
  assert.equal(done.length, 4);
  assert.ok(performance.now() - start < 5000);
  assert.deepEqual(done.filter((x) => x !== 'AbortError'), [2, 4, 8]);
});

test('create can be aborted', async () => {
  const { origin, requests } = await serve({ '/never': (_, response) => void response.writeHead(200).write('TRACT') });
  await assert.rejects(InferenceSession.create(`${origin}/never`, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(requests.length, 0);
  const controller = new AbortController();
  const promise = InferenceSession.create(`${origin}/never`, { signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) });
  await assert.rejects(promise, { message: 'enough' });
  await assert.rejects(InferenceSession.create(`${origin}/never`, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
  let cancelled = false;
  const stream = new ReadableStream({ cancel: () => void (cancelled = true) });
  await assert.rejects(InferenceSession.create(stream, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(cancelled, 'the stream of the caller is cancelled');
});

test('a listener that throws does not disturb the loading', async (t) => {
  // Where it would be reported: the test runner has its own opinion of uncaught errors.
  const errors = [];
  t.mock.method(globalThis, 'queueMicrotask', (callback) => {
    try {
      callback();
    } catch (error) {
      errors.push(error.message);
    }
  });
  const session = await InferenceSession.create(plan('double'), {
    onProgress: ({ status }) => {
      if (status === 'ready') throw new Error('mine');
    },
  });
  assert.deepEqual(await run(session, 1), [2]);
  assert.deepEqual(errors, ['mine']);
});

test('wasm overrides', async () => {
  const bytes = await readFile(new URL('engine.wasm', dist));
  const compiler = await readFile(new URL('compiler.wasm', dist));
  const { origin } = await serve({
    '/typed.wasm': (_, response) => response.writeHead(200, { 'content-type': 'application/wasm' }).end(bytes),
    '/untyped.wasm': bytes,
    '/page': '<html>',
  });
  for (const engine of [
    bytes,
    await WebAssembly.compile(bytes),
    new URL('engine.wasm', dist),
    `${origin}/typed.wasm`,
    `${origin}/untyped.wasm`,
    new Response(bytes),
    await fetch(`${origin}/typed.wasm`),
  ]) {
    assert.deepEqual(await run(await InferenceSession.create(plan('double'), { wasm: { engine } }), 1), [2]);
  }
  const failures = [
    [`${origin}/page`, 'HTML_RESPONSE'],
    [`${origin}/none`, 'WASM_LOAD'],
    [new Uint8Array(5), 'WASM_LOAD'],
    [Uint8Array.of(0, 0x61, 0x73, 0x6d, 9, 9, 9, 9), 'WASM_LOAD'],
    [compiler, 'WASM_LOAD'],
  ];
  for (const [engine, code] of failures) {
    await rejects(InferenceSession.create(plan('double'), { wasm: { engine } }), code, LoadError);
  }
});
