// Downloads that break off, answers that are not what was wanted, hashes.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { buildPackage } from './lib/bundle.mjs';
import { image, INPUT, model, plan } from './lib/models.mjs';
import { encodePlan } from './fake-glue/format.js';
import { serve } from './lib/server.mjs';

const dist = await buildPackage();
const { ImageClassifier, InferenceSession, LoadError, ModelError, Tensor } = await import(new URL('index.js', dist));

const run = async (session) => [...(await session.run({ x: new Tensor('float32', [1, 2]) })).y.data];
const hash = (bytes, algorithm = 'sha256') => `${algorithm}-${createHash(algorithm).update(bytes).digest('base64')}`;
const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5271234\n';

/**
 * A server of one file that cuts the connection.
 *
 * @param versions for each request in turn: { bytes, end: how much is sent of what was asked for, ranges, etag }; the last
 * one stays
 */
async function flaky(versions) {
  const asked = [];
  const { origin } = await serve({
    '/m.plan': (request, response) => {
      const { bytes, end = Infinity, ranges = true, validator = { etag: '"1"' }, status } = versions[Math.min(asked.length, versions.length - 1)];
      const { range, 'if-range': ifRange } = request.headers;
      asked.push(range ?? 'all');
      if (status) return response.writeHead(status).end();
      const current = Object.values(validator)[0];
      const from = range && ranges && ifRange === current ? Number(/\d+/.exec(range)) : 0;
      response.writeHead(from ? 206 : 200, {
        ...validator,
        'content-length': bytes.length - from,
        ...(from && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      });
      const part = bytes.subarray(from, from + end);
      if (from + end >= bytes.length) return response.end(part);
      return response.write(part, () => setTimeout(() => response.destroy(), 20));
    },
  });
  return { address: `${origin}/m.plan`, asked };
}

describe('a download that breaks off', () => {
  const bytes = Buffer.from(plan('double', { pad: 'x'.repeat(3000) }));
  const newer = Buffer.from(plan('sum', { pad: 'y'.repeat(4000) }));
  const open = async (versions, options) => {
    const { address, asked } = await flaky(versions);
    const progress = [];
    const session = await InferenceSession.create(address, { cache: false, onProgress: (event) => progress.push(event), ...options });
    return { asked, result: await run(session), progress: progress.filter(({ status, file }) => status === 'progress' && file === 'm.plan') };
  };

  test('is taken up where it ended', async () => {
    const { asked, result, progress } = await open([{ bytes, end: 1000 }, { bytes, end: 500 }, { bytes }], { integrity: hash(bytes) });
    assert.deepEqual(asked, ['all', 'bytes=1000-', 'bytes=1500-']);
    assert.deepEqual(result, [2, 4]);
    assert.deepEqual([progress.at(-1).loaded, progress.at(-1).total, progress.at(-1).progress], [bytes.length, bytes.length, 100]);
    assert.ok(progress.every(({ loaded }, i) => i === 0 || loaded >= progress[i - 1].loaded));
  });

  test('is taken up by the date of the last change as well', async () => {
    const validator = { 'last-modified': 'Mon, 06 Jan 2025 08:00:00 GMT' };
    const { asked, result } = await open([{ bytes, end: 1000, validator }, { bytes, validator }]);
    assert.deepEqual(asked, ['all', 'bytes=1000-']);
    assert.deepEqual(result, [2, 4]);
  });

  test('begins anew where the server has another version by now', async () => {
    const { asked, result } = await open([{ bytes, end: 1000 }, { bytes: newer, validator: { etag: '"2"' } }], { integrity: hash(newer) });
    assert.deepEqual(asked, ['all', 'bytes=1000-']);
    assert.deepEqual(result, [3]);
  });

  test('begins anew where the server sends no parts, or has nothing to tell versions apart', async () => {
    assert.deepEqual((await open([{ bytes, end: 1000 }, { bytes, ranges: false }], { integrity: hash(bytes) })).asked, ['all', 'bytes=1000-']);
    for (const validator of [{ etag: 'W/"1"' }, { 'x-none': '' }]) {
      const { asked, result } = await open([{ bytes, end: 1000, validator }, { bytes, validator }], { integrity: hash(bytes) });
      assert.deepEqual(asked, ['all', 'all']);
      assert.deepEqual(result, [2, 4]);
    }
  });

  test('begins anew where the part is of another version than its server believes', async (t) => {
    // A broken proxy: it answers every range with a part, of whatever it has.
    const { fetch } = globalThis;
    t.mock.method(globalThis, 'fetch', async (url, options) => {
      const response = await fetch(url, options);
      return options?.headers?.range ? new Response('x'.repeat(50), { status: 206, headers: { etag: '"1"', 'content-range': 'bytes 0-49/50' } }) : response;
    });
    const { asked, result } = await open([{ bytes, end: 1000 }, { bytes }], { integrity: hash(bytes) });
    assert.deepEqual(asked, ['all', 'bytes=1000-', 'all']);
    assert.deepEqual(result, [2, 4]);
  });

  test('is given up after three attempts', async () => {
    const { address, asked } = await flaky([{ bytes, end: 100 }]);
    await assert.rejects(InferenceSession.create(address, { cache: false }), { name: 'LoadError', code: 'NETWORK_ERROR', message: /broke off after 400 bytes/ });
    assert.equal(asked.length, 4);
  });

  test('is given up when the file is gone', async () => {
    const { address, asked } = await flaky([{ bytes, end: 100 }, { status: 404 }]);
    await assert.rejects(InferenceSession.create(address, { cache: false }), { code: 'NETWORK_ERROR' });
    assert.deepEqual(asked, ['all', 'bytes=100-', 'all']);
  });

  test('is not taken up after an abort', async () => {
    const { address, asked } = await flaky([{ bytes, end: 100 }]);
    const reason = new Error('enough');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 120);
    await assert.rejects(InferenceSession.create(address, { cache: false, signal: controller.signal }), (error) => error === reason);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(asked.length, 1);
  });
});

describe('what a server sends in place of a file', () => {
  const answer = (body, type = 'application/octet-stream', status = 200) => (_, response) => response.writeHead(status, { 'content-type': type }).end(body);
  const routes = {
    '/page': answer('\n <!DOCTYPE html><title>Home</title>', 'text/html'),
    '/denied': answer('Please log in', 'text/html'),
    '/lfs': answer(LFS),
    '/gzip': answer(gzipSync(Buffer.from(plan('double')))),
    '/zip': answer('PK\x03\x04 and so on and so on'),
    '/json': answer('{"error": "no such model"}', 'application/json'),
    '/missing': answer('{\n "error": "Repository not found"\n}', 'application/json', 404),
    '/private': answer('', 'text/plain', 401),
    '/busy': answer('<h1>Busy</h1>', 'text/html', 503),
  };
  const cases = {
    '/page': ['HTML_RESPONSE', LoadError, /HTML page for .*\/page/, /address is probably wrong/],
    '/denied': ['HTML_RESPONSE', LoadError, /HTML page/, /address is probably wrong/],
    '/lfs': ['NOT_ONNX', ModelError, /\/lfs is a Git LFS pointer, not an ONNX model/, /git lfs pull/],
    '/gzip': ['NOT_ONNX', ModelError, /\/gzip is compressed with gzip/, /Content-Encoding/],
    '/zip': ['NOT_ONNX', ModelError, /\/zip is a zip archive/, /\.pt/],
    '/json': ['NOT_ONNX', ModelError, /\/json is JSON \(\{"error": "no such model"/, /ImageClassifier\.create/],
    '/missing': ['HTTP_ERROR', LoadError, /404 Not Found for .*\/missing: \{ "error": "Repository not found" \}$/, /Check the address/],
    '/private': ['HTTP_ERROR', LoadError, /401 Unauthorized/, /not public/],
    '/busy': ['HTTP_ERROR', LoadError, /503 Service Unavailable for .*\/busy$/, /later/],
  };

  test('in place of a model', async () => {
    // The compiler is not even asked for.
    const wasm = { compiler: 'http://127.0.0.1:1/compiler.wasm' };
    const { origin } = await serve(routes);
    for (const [path, [code, Class, message, hint]] of Object.entries(cases)) {
      await assert.rejects(InferenceSession.create(origin + path, { wasm }), (error) => {
        assert.ok(error instanceof Class, path);
        assert.equal(error.code, code, path);
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      });
    }
    await assert.rejects(InferenceSession.create(new Blob([LFS])), { code: 'NOT_ONNX', message: /^model is a Git LFS pointer/ });
  });

  test('in place of a WebAssembly module', async () => {
    const { origin } = await serve({ ...routes, '/text': answer('function () {}, and so on', 'text/javascript') });
    const texts = { ...cases, '/text': ['WASM_LOAD', LoadError, /is not a WebAssembly module/] };
    for (const [path, [code, , message]] of Object.entries(texts)) {
      await assert.rejects(InferenceSession.create(plan('double'), { wasm: { engine: origin + path } }), (error) => {
        assert.ok(error instanceof LoadError, path);
        assert.equal(error.code, code === 'HTML_RESPONSE' ? code : 'WASM_LOAD', path);
        assert.match(error.message, new RegExp(message.source.replace('an ONNX model', 'a WebAssembly module')));
        assert.ok(error.hint.length > 10);
        return true;
      });
    }
  });

  test('in place of external data, which may start with anything else', async () => {
    const { origin } = await serve({ ...routes, '/data': answer('<a>{PK version', 'text/html'), '/brackets': answer('[[[[[[[[[[[[[[[[[[') });
    const create = (path) => InferenceSession.create(model('double', { external: ['w'] }), { externalData: [{ path: 'w', data: origin + path }] });
    for (const path of ['/data', '/brackets', '/gzip', '/zip']) await (await create(path)).release();
    await assert.rejects(create('/page'), { code: 'HTML_RESPONSE' });
    await assert.rejects(create('/lfs'), { name: 'ModelError', code: 'EXTERNAL_DATA_MISSING', message: /\/lfs is a Git LFS pointer/, hint: /git lfs pull/ });
    await assert.rejects(create('/json'), { code: 'EXTERNAL_DATA_MISSING', message: /JSON/ });
    await assert.rejects(create('/missing'), { code: 'HTTP_ERROR' });
  });

  test('in place of a card', async () => {
    const { origin } = await serve(routes);
    await assert.rejects(ImageClassifier.create(`${origin}/page`), { code: 'HTML_RESPONSE' });
    await assert.rejects(ImageClassifier.create(`${origin}/lfs`), { code: 'INVALID_CARD' });
    await assert.rejects(ImageClassifier.create(`${origin}/missing`), { code: 'HTTP_ERROR' });
  });
});

describe('external data', () => {
  const external = Buffer.from(model('double', { external: ['w.bin', 'sub folder/v.bin'] }));

  test('that is missing is named with the address where it most likely is', async () => {
    const { origin } = await serve({ '/models/m.onnx': external });
    await assert.rejects(InferenceSession.create(`${origin}/models/m.onnx`), {
      name: 'ModelError',
      code: 'EXTERNAL_DATA_MISSING',
      hint: `pass the data too: { externalData: [{ path: 'w.bin', data: '${origin}/models/w.bin' }, { path: 'sub folder/v.bin', data: '${origin}/models/sub%20folder/v.bin' }] }`,
    });
    await assert.rejects(InferenceSession.create(external), { code: 'EXTERNAL_DATA_MISSING', hint: /path: 'w\.bin', data: … }/ });
  });

  /** Begins to send much, and never ends. */
  const endless = (start, length) => (_, response) => response.writeHead(200, { 'content-length': length }).write(start);

  test('that is too large is refused before it is downloaded', async () => {
    const { origin } = await serve({
      '/w': endless('w', 2100 * 2 ** 20),
      '/v': endless('v', 2100 * 2 ** 20),
      '/m.onnx': endless(external, 4500 * 2 ** 20),
      '/m.plan': endless(plan('double'), 4500 * 2 ** 20),
    });
    const signal = () => AbortSignal.timeout(2000);
    const externalData = [{ path: 'w.bin', data: `${origin}/w` }, { path: 'sub folder/v.bin', data: `${origin}/v` }];
    const error = { name: 'ModelError', code: 'MODEL_TOO_LARGE', message: /it has 4201 MiB/, hint: /4 GiB/ };
    await assert.rejects(InferenceSession.create(external, { externalData, signal: signal() }), error);
    await assert.rejects(InferenceSession.create(`${origin}/m.onnx`, { signal: signal() }), { ...error, message: /4500 MiB/ });
    // That goes for what has to be compiled.
    await assert.rejects(InferenceSession.create(`${origin}/m.plan`, { signal: AbortSignal.timeout(300) }), { name: 'TimeoutError' });
  });

  test('a crash of the compiler for want of memory is said to be that', async (t) => {
    const create = () => InferenceSession.create(model('compile-trap'));
    await assert.rejects(create(), { code: 'RUNTIME_CRASH' });
    globalThis.fakeFullMemory = true;
    t.after(() => { delete globalThis.fakeFullMemory; });
    await assert.rejects(create(), { code: 'MODEL_TOO_LARGE', message: /1 MiB/ });
    await assert.rejects(InferenceSession.create(model('unknown')), { code: 'UNSUPPORTED_OPERATOR' });
  });
});

describe('hashes', () => {
  test('of WebAssembly modules', async () => {
    const engine = await readFile(new URL('engine.wasm', dist));
    const { origin } = await serve({ '/engine.wasm': (_, response) => response.writeHead(200, { 'content-type': 'application/wasm' }).end(engine) });
    const url = `${origin}/engine.wasm`;
    for (const algorithm of ['sha256', 'sha384', 'sha512']) {
      const session = await InferenceSession.create(plan('double'), { wasm: { engine: { url: new URL(url), integrity: hash(engine, algorithm) } } });
      assert.deepEqual(await run(session), [2, 4]);
      const other = hash(Buffer.from('x'), algorithm);
      await assert.rejects(InferenceSession.create(plan('double'), { wasm: { engine: { url, integrity: other } } }), {
        name: 'LoadError', code: 'INTEGRITY', message: /engine\.wasm is not the file/, expected: other, actual: hash(engine, algorithm), hint: /damaged/,
      });
    }
    await assert.rejects(InferenceSession.create(plan('double'), { wasm: { engine: { url, integrity: 'md5-x' } } }), { name: 'InputError', code: 'INVALID_OPTION', hint: /sha256-/ });
    await (await InferenceSession.create(plan('double'), { wasm: { engine: { url } } })).release();
    await assert.rejects(InferenceSession.create(plan('double'), { wasm: { engine: { address: url } } }), { code: 'INVALID_OPTION' });
  });

  test('of external data', async () => {
    const data = new TextEncoder().encode('weights');
    const create = (integrity) => InferenceSession.create(model('double', { external: ['w'] }), { externalData: [{ path: 'w', data, integrity }] });
    await (await create(hash(data))).release();
    await assert.rejects(create(hash('x')), { code: 'INTEGRITY', message: /^w is not the file/ });
  });
});

test('progress has the files of a card, the modules too, under one name', async () => {
  const [card, engine] = [{ model: 'm.plan', labels: 'l.json', input: INPUT }, await readFile(new URL('engine.wasm', dist))];
  const { origin } = await serve({
    '/card.json': JSON.stringify(card),
    '/m.plan': Buffer.from(encodePlan(image())),
    '/l.json': '["a", "b", "c", "d"]',
    '/engine.wasm': (_, response) => response.writeHead(200, { 'content-type': 'application/wasm', 'content-length': engine.length }).end(engine),
  });
  const events = [];
  const classifier = await ImageClassifier.create(`${origin}/card.json`, { wasm: { engine: `${origin}/engine.wasm` }, onProgress: (event) => events.push(event) });
  await classifier.release();
  assert.deepEqual([...new Set(events.map(({ name }) => name))], [`${origin}/card.json`]);
  assert.deepEqual([...new Set(events.map(({ file }) => file))].sort(), ['card.json', 'engine.wasm', 'l.json', 'm.plan']);
  for (const file of ['card.json', 'engine.wasm', 'l.json', 'm.plan']) {
    const own = events.filter((event) => event.file === file);
    assert.deepEqual([...new Set(own.map(({ status }) => status))].slice(0, 4), ['initiate', 'download', 'progress', 'done'], file);
    const last = own.findLast(({ status }) => status === 'progress');
    assert.equal(last.progress, 100, file);
    assert.equal(last.loaded, last.total, file);
  }
  assert.deepEqual(events.slice(-2).map(({ status, file }) => [status, file]), [['compile', 'm.plan'], ['ready', 'm.plan']]);
});
