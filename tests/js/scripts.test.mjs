// The scripts themselves: the server, the stamps, versions, and how test results are read.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { brotliDecompressSync } from 'node:zlib';
import { checkGlue } from '../../scripts/build.mjs';
import { cargoCounts, cargoFailure, nodeCounts, outcome } from '../../scripts/lib/counts.mjs';
import { withLock } from '../../scripts/lib/lock.mjs';
import { matchesLock } from '../../scripts/lib/node-packages.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { inputKey, isFresh, readStamp, removeStamp, writeStamp } from '../../scripts/lib/stamps.mjs';
import { TOOL_VERSIONS, atLeast, fromEnvironment, lockedVersion, mentionsVersion } from '../../scripts/lib/tools.mjs';
import { CONTENT_SECURITY_POLICY, acceptsBrotli, mimeType, parsePort, serve } from '../../scripts/serve.mjs';

const temporaryFolder = () => realpathSync(mkdtempSync(join(tmpdir(), 'scripts-test-')));

test('the glue of the engine with threads must serve all builds of the engine', () => {
  const folder = temporaryFolder();
  const glue = (parts, imports) => [
    ...parts.map((name) => `export function ${name}() {\n    wasm.${name}();\n}\n`),
    'function __wbg_get_imports() {\n    const import0 = {\n        __proto__: null,',
    ...imports.map(([name, body]) => `        ${name}: function(arg0) {\n            ${body}\n        },`),
    '    };\n}\n',
  ].join('\n');
  const write = (name, text) => {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'engine.js'), text);
  };
  const writeAll = (one, threads) => {
    for (const name of ['engine', 'engine-relaxed']) write(name, one);
    for (const name of ['engine-threads', 'engine-relaxed-threads']) write(name, threads);
  };
  const [now, cast] = [['__wbg_now_0123', 'return now();'], ['__wbindgen_cast_1', 'return arg0;']];
  const one = glue(['version'], [now, cast]);
  const threads = glue(['help', 'version'], [now, cast, ['__wbg_wait_4567', 'return wait();']]);
  writeAll(one, threads);
  checkGlue(folder);
  write('engine-relaxed', threads);
  assert.throws(() => checkGlue(folder), /glue of engine-relaxed is not that of engine/);
  writeAll(one, threads);
  write('engine-relaxed-threads', one);
  assert.throws(() => checkGlue(folder), /glue of engine-relaxed-threads is not that of engine-threads/);
  writeAll(one, glue(['help', 'version'], [now, ['__wbindgen_cast_1', 'return BigInt(arg0);']]));
  assert.throws(() => checkGlue(folder), /does not have __wbindgen_cast_1 of engine/);
  writeAll(one, glue(['help'], [now, cast]));
  assert.throws(() => checkGlue(folder), /does not have version of engine/);
  rmSync(folder, { recursive: true });
});

describe('server', () => {
  let root;
  let server;
  const files = {
    'www/index.html': '<!doctype html><title>page</title>',
    'www/app.js': 'export {};'.repeat(100),
    'www/sub/index.html': 'sub',
    'www/a b%.png': 'picture',
    'www/empty.txt': '',
    'www/.hidden': 'hidden',
    'dist/engine.wasm': '\0asm'.repeat(1000),
    'models/model.onnx': 'weights'.repeat(1000),
    'secret.txt': 'secret',
    'www-private/secret.txt': 'secret',
  };

  before(async () => {
    root = temporaryFolder();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    symlinkSync(join(root, 'secret.txt'), join(root, 'www', 'link.txt'));
    symlinkSync(join(root, 'www', 'app.js'), join(root, 'www', 'inside.js'));
    server = await serve({ port: 0, root });
  });
  after(async () => {
    await server.close();
    rmSync(root, { recursive: true });
  });

  /** A request with the path exactly as given: fetch() would tidy it up. */
  const get = (path, { method = 'GET', headers = {}, port = server.port } = {}) => new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    }).on('error', reject).end();
  });

  test('MIME types, lengths and contents', async () => {
    const types = {
      'www/index.html': 'text/html; charset=utf-8',
      'www/app.js': 'text/javascript; charset=utf-8',
      'dist/engine.wasm': 'application/wasm',
      'models/model.onnx': 'application/octet-stream',
      'www/empty.txt': 'text/plain; charset=utf-8',
    };
    for (const [path, type] of Object.entries(types)) {
      const { status, headers, body } = await get(`/${path}`);
      assert.equal(status, 200, path);
      assert.equal(headers['content-type'], type);
      assert.equal(headers['content-length'], String(files[path].length));
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(body.toString(), files[path]);
    }
    assert.equal((await get('/www/a%20b%25.png')).headers['content-type'], 'image/png');
    assert.equal(mimeType('X.JPG'), 'image/jpeg');
    assert.equal(mimeType('font.woff2'), 'font/woff2');
    assert.equal(mimeType('unknown'), 'application/octet-stream');
  });

  test('/ leads to the page, a folder to its index', async () => {
    const { status, headers } = await get('/');
    assert.equal(status, 302);
    assert.equal(headers.location, '/www/');
    assert.equal((await get('/www/')).body.toString(), files['www/index.html']);
    assert.equal((await get('/www/?model=x')).status, 200);
    const folder = await get('/www/sub');
    assert.equal(folder.status, 308);
    assert.equal(folder.headers.location, '/www/sub/');
    assert.equal((await get('/www/sub/')).body.toString(), 'sub');
    assert.equal((await get('/dist/')).status, 404);
    assert.equal((await get('/www/app.js/')).status, 404);
  });

  test('nothing outside the folders', async () => {
    const paths = [
      '/secret.txt', '/www/../secret.txt', '/www/%2e%2e/secret.txt', '/www/..%2fsecret.txt', '/www/%2E%2E%2Fsecret.txt',
      '/www//../secret.txt', '/www/sub/../../secret.txt', '/../secret.txt', '/www-private/secret.txt', '/www/link.txt',
      '/www/.hidden', '/www/..', '/package.json', '/www/..%5csecret.txt', '/www/%00', '/www/%', '//secret.txt', 'http://x/secret.txt',
    ];
    for (const path of paths) {
      const { status, body } = await get(path);
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
      assert.doesNotMatch(body.toString(), /secret\b.*secret|^secret/, path);
    }
    assert.equal((await get('/www/inside.js')).status, 200, 'a link that stays inside');
  });

  test('only GET and HEAD', async () => {
    const { status, headers } = await get('/www/', { method: 'POST' });
    assert.equal(status, 405);
    assert.equal(headers.allow, 'GET, HEAD');
    const head = await get('/www/app.js', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], String(files['www/app.js'].length));
    assert.equal(head.body.length, 0);
  });

  test('conditional requests', async () => {
    const { headers: { etag, 'cache-control': caching } } = await get('/dist/engine.wasm');
    assert.equal(caching, 'no-cache');
    const again = await get('/dist/engine.wasm', { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.equal(again.body.length, 0);
    assert.equal((await get('/dist/engine.wasm', { headers: { 'if-none-match': `"x", W/${etag}` } })).status, 304);
    writeFileSync(join(root, 'dist/engine.wasm'), '\0asm2');
    const changed = await get('/dist/engine.wasm', { headers: { 'if-none-match': etag } });
    assert.equal(changed.status, 200);
    assert.equal(changed.body.toString(), '\0asm2');
  });

  test('brotli once it is ready, with an ETag of its own', async () => {
    const headers = { 'accept-encoding': 'gzip, br' };
    const plain = await get('/www/app.js');
    assert.equal(plain.headers['content-encoding'], undefined);
    let compressed;
    for (let i = 0; i < 200; i++) {
      compressed = await get('/www/app.js', { headers });
      if (compressed.headers['content-encoding']) break;
      assert.equal(compressed.body.toString(), files['www/app.js']);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(compressed.headers['content-encoding'], 'br');
    assert.equal(compressed.headers.vary, 'accept-encoding');
    assert.notEqual(compressed.headers.etag, plain.headers.etag);
    assert.ok(compressed.body.length < plain.body.length);
    assert.equal(brotliDecompressSync(compressed.body).toString(), files['www/app.js']);
    assert.equal((await get('/www/app.js', { headers: { ...headers, 'if-none-match': compressed.headers.etag } })).status, 304);
    assert.equal((await get('/models/model.onnx', { headers })).headers['content-encoding'], undefined);
    assert.equal(acceptsBrotli('gzip;q=1, br;q=0'), false);
    assert.equal(acceptsBrotli('br;q=0.5'), true);
    assert.equal(acceptsBrotli('brotli'), false);
    assert.equal(acceptsBrotli(undefined), false);
  });

  test('a strict Content-Security-Policy on every answer, and the one of the page', async () => {
    for (const path of ['/', '/www/', '/dist/engine.wasm', '/nowhere']) {
      assert.equal((await get(path)).headers['content-security-policy'], CONTENT_SECURITY_POLICY, path);
    }
    const sorted = (policy) => policy.split(';').map((part) => part.trim()).filter(Boolean).sort();
    const page = await readFile(join(ROOT, 'www', 'index.html'), 'utf8');
    const meta = page.match(/http-equiv="Content-Security-Policy"\s+content="([^"]+)"/)[1];
    // The one directive that browsers ignore in a page.
    assert.deepEqual(sorted(`${meta}; frame-ancestors 'none'`), sorted(CONTENT_SECURITY_POLICY));
    assert.doesNotMatch(CONTENT_SECURITY_POLICY, /'unsafe-inline'|'unsafe-eval'|\*|https?:/);
  });

  test('isolation, other folders and other policies when asked for', async () => {
    assert.equal((await get('/www/')).headers['cross-origin-opener-policy'], undefined);
    const other = await serve({ port: 0, root, folders: ['www/sub'], isolated: true, csp: false, headers: { 'x-test': '1' } });
    try {
      const { port } = other;
      const { status, headers } = await get('/www/sub/', { port });
      assert.equal(status, 200);
      assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
      assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
      assert.equal(headers['content-security-policy'], undefined);
      assert.equal(headers['x-test'], '1');
      assert.equal((await get('/www/', { port })).status, 404);
      assert.equal((await get('/', { port })).headers.location, '/www/sub/');
    } finally {
      await other.close();
    }
  });

  test('a taken port is said in one line; without a number the next one is taken', async () => {
    await assert.rejects(serve({ port: server.port, root }), (error) => {
      assert.match(error.message, new RegExp(`^port ${server.port} is taken by another program; choose one with PORT=\\d+`));
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
    const [one, two] = [await serve({ root }), await serve({ root })];
    try {
      assert.notEqual(one.port, two.port);
      assert.equal(two.url, `http://localhost:${two.port}/`);
    } finally {
      await one.close();
      await two.close();
    }
    await assert.rejects(serve({ port: 0, host: '203.0.113.1', root }), /HOST is '203\.0\.113\.1'/);
  });

  test('PORT', () => {
    assert.equal(parsePort('8123'), 8123);
    assert.equal(parsePort(''), undefined);
    assert.equal(parsePort(undefined), undefined);
    for (const text of ['80x', '-1', '65536', '1e3', ' ']) assert.throws(() => parsePort(text), /not a port number/, text);
  });

  test('a client that goes away does no harm', async () => {
    await new Promise((resolve, reject) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write('GET /models/model.onnx HTTP/1.1\r\nhost: x\r\n\r\n');
        socket.once('data', () => socket.destroy());
      });
      socket.on('close', resolve).on('error', reject);
    });
    assert.equal((await get('/www/')).status, 200);
  });
});

describe('stamps', () => {
  test('the key follows contents, names, missing files and values, not dates', () => {
    const folder = temporaryFolder();
    try {
      const file = join(folder, 'a.txt');
      writeFileSync(file, 'one');
      const key = inputKey([folder], { level: 1 });
      writeFileSync(file, 'one');
      assert.equal(inputKey([folder], { level: 1 }), key);
      assert.notEqual(inputKey([folder], { level: 2 }), key);
      writeFileSync(file, 'two');
      const changed = inputKey([folder], { level: 1 });
      assert.notEqual(changed, key);
      writeFileSync(join(folder, 'b.txt'), '');
      assert.notEqual(inputKey([folder], { level: 1 }), changed);
      assert.notEqual(inputKey([join(folder, 'c')]), inputKey([join(folder, 'd')]));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('fresh means: same key, and every output is there', () => {
    const folder = temporaryFolder();
    try {
      const output = join(folder, 'output');
      assert.equal(isFresh('step', 'key', [], folder), false);
      writeStamp('step', 'key', folder);
      assert.equal(readStamp('step', folder), 'key');
      assert.equal(isFresh('step', 'key', [], folder), true);
      assert.equal(isFresh('step', 'other', [], folder), false);
      assert.equal(isFresh('step', 'key', [output], folder), false);
      writeFileSync(output, '');
      assert.equal(isFresh('step', 'key', [output], folder), true);
      removeStamp('step', folder);
      assert.equal(isFresh('step', 'key', [output], folder), false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('locks', () => {
  test('one at a time, also after an error; a lock of a process that is gone does not count', async () => {
    const folder = temporaryFolder();
    try {
      const order = [];
      const job = (name, fails) => withLock('job', async () => {
        order.push(`${name} starts`);
        await new Promise((resolve) => setTimeout(resolve, 50));
        order.push(`${name} ends`);
        if (fails) throw new Error('expected');
        return name;
      }, folder);
      const results = await Promise.allSettled([job('a', true), job('b', false)]);
      assert.deepEqual(results.map(({ status }) => status), ['rejected', 'fulfilled']);
      assert.deepEqual(order, ['a starts', 'a ends', 'b starts', 'b ends']);
      // No process has this number: it is above what any system gives out.
      writeFileSync(join(folder, 'job.lock'), '2000000000');
      assert.equal(await job('c', false), 'c');
      writeFileSync(join(folder, 'job.lock'), '');
      assert.equal(await job('d', false), 'd');
      assert.equal(existsSync(join(folder, 'job.lock')), false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('versions', () => {
  test('are found as whole numbers', () => {
    assert.ok(mentionsVersion('wasm-bindgen 0.2.130', '0.2.130'));
    assert.ok(mentionsVersion('geckodriver 0.37.1 (abc 2026)\n', '0.37.1'));
    assert.ok(!mentionsVersion('wasm-bindgen 0.2.130', '0.2.13'));
    assert.ok(!mentionsVersion('tool 10.2.130', '0.2.130'));
    assert.ok(!mentionsVersion('tool 0x2x130', '0.2.130'));
  });

  test('are compared as numbers', () => {
    assert.ok(atLeast('1.96.0', '1.91'));
    assert.ok(atLeast('1.91', '1.91.0'));
    assert.ok(atLeast('20.10.0', '20.9.1'));
    assert.ok(!atLeast('1.9.0', '1.91'));
    assert.ok(atLeast('1.97.0-nightly', '1.96'));
  });

  test('wasm-bindgen is the same in Cargo.lock and tools.json', () => {
    assert.equal(lockedVersion('wasm-bindgen'), TOOL_VERSIONS.cargo['wasm-bindgen-cli'].version);
    assert.equal(lockedVersion('b', '[[package]]\nname = "ab"\nversion = "1.0.0"\n\n[[package]]\nname = "b"\nversion = "2.0.0"\n'), '2.0.0');
    assert.equal(lockedVersion('c', ''), undefined);
  });

  test('a variable that names no program is an error', () => {
    process.env.SCRIPTS_TEST_PROGRAM = '/nowhere/program';
    try {
      assert.throws(() => fromEnvironment('SCRIPTS_TEST_PROGRAM'), /SCRIPTS_TEST_PROGRAM is set to '\/nowhere\/program'/);
      process.env.SCRIPTS_TEST_PROGRAM = process.execPath;
      assert.equal(fromEnvironment('SCRIPTS_TEST_PROGRAM'), process.execPath);
    } finally {
      delete process.env.SCRIPTS_TEST_PROGRAM;
    }
    assert.equal(fromEnvironment('SCRIPTS_TEST_PROGRAM'), undefined);
  });

  test('installed Node packages are compared with the lock file', () => {
    const lock = { packages: { '': { name: 'x' }, 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '2.0.0', optional: true } } };
    assert.ok(matchesLock(lock, { packages: { 'node_modules/a': { version: '1.0.0' } } }));
    assert.ok(!matchesLock(lock, { packages: { 'node_modules/a': { version: '1.0.1' } } }));
    assert.ok(!matchesLock(lock, { packages: { 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '1.0.0' } } }));
    assert.ok(!matchesLock(lock, { packages: {} }));
  });
});

describe('test results', () => {
  test('of cargo are added up over all programs', () => {
    const output = 'test a ... ok\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\n'
      + 'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 filtered out; finished in 0.1s\n';
    assert.deepEqual(cargoCounts(output), { passed: 15, failed: 2, skipped: 1 });
    assert.deepEqual(cargoCounts('error: could not compile'), { passed: 0, failed: 0, skipped: 0 });
  });

  test('of node are read from the summary', () => {
    const output = '✔ a (1ms)\nℹ tests 9\nℹ suites 2\nℹ pass 5\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 1\nℹ duration_ms 5\n';
    assert.deepEqual(nodeCounts(output), { passed: 5, failed: 2, skipped: 2 });
    assert.deepEqual(nodeCounts('# pass 3\n# fail 0\n'), { passed: 3, failed: 0, skipped: 0 });
  });

  test('a run that failed, or ran nothing, never counts as passed', () => {
    assert.deepEqual(outcome({ passed: 3, failed: 0, skipped: 1 }, true), { passed: 3, failed: 0, skipped: 1 });
    assert.equal(outcome({ passed: 3, failed: 0, skipped: 0 }, false).failed, 1);
    assert.equal(outcome({ passed: 0, failed: 0, skipped: 5 }, true).failed, 1);
    assert.equal(outcome({ passed: 3, failed: 2, skipped: 0 }, false).failed, 2);
  });

  test('of a failed cargo run the failures are shown, not what passed', () => {
    const passing = Array.from({ length: 500 }, (_, i) => `test ok_${i} ... ok`).join('\n');
    const output = `${passing}\ntest bad ... FAILED\n\nfailures:\n\n---- bad stdout ----\nleft: 1\n\n${passing}\ntest result: FAILED\n`;
    const shown = cargoFailure(output);
    assert.match(shown, /^failures:/);
    assert.match(shown, /left: 1/);
    assert.doesNotMatch(shown, /ok_/);
    assert.match(cargoFailure('   Compiling x\nwarning: y\nerror[E0425]: cannot find\n --> a.rs'), /^error\[E0425\]/);
  });
});
