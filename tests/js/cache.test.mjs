// What is kept of downloads, with a cache of the caller's: Node has none of its own. The browser's is in tests/e2e/loading.test.mjs.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { buildModule, buildPackage } from './lib/bundle.mjs';
import { image, imagePlan, INPUT, plan } from './lib/models.mjs';
import { encodeModel, encodePlan } from './fake-glue/format.js';
import { serve } from './lib/server.mjs';
import { installWindow } from './lib/window.mjs';

installWindow();
const dist = await buildPackage();
const { ImageClassifier, InferenceSession, Tensor } = await import(new URL('index.js', dist));

const run = async (session) => [...(await session.run({ x: new Tensor('float32', [1, 2]) })).y.data];
const sha256 = (bytes, encoding = 'base64') => createHash('sha256').update(bytes).digest(encoding);

/** A cache in memory that counts. */
function memoryCache() {
  const kept = new Map();
  const puts = [];
  return {
    kept,
    puts,
    match: async (request) => kept.get(request)?.clone(),
    put: async (request, response) => {
      puts.push(request);
      kept.set(request, response);
    },
    delete: async (request) => kept.delete(request),
  };
}

/**
 * A server of one file, /m.plan.
 *
 * @returns { address, file: { bytes, etag, headers }, log: [status, if-none-match] of each request, stop() }
 */
async function site(bytes) {
  const file = { bytes: Buffer.from(bytes), etag: '"1"', headers: {}, delay: 0 };
  const log = [];
  let down = false;
  const { origin } = await serve({
    '/m.plan': async (request, response) => {
      if (down) return request.destroy();
      await new Promise((resolve) => setTimeout(resolve, file.delay));
      const known = request.headers['if-none-match'];
      const status = file.etag && known === file.etag ? 304 : 200;
      log.push(known ? `${status} ${known}` : `${status}`);
      response.writeHead(status, { ...(file.etag && { etag: file.etag }), ...file.headers });
      return response.end(status === 200 ? file.bytes : undefined);
    },
  });
  return { address: `${origin}/m.plan`, origin, file, log, stop: () => { down = true; }, start: () => { down = false; } };
}

for (const worker of [false, true]) {
  describe(`a cache of the caller's, worker: ${worker}`, () => {
    const open = async (address, cache, options) => {
      const session = await InferenceSession.create(address, { cache, worker, ...options });
      try {
        return await run(session);
      } finally {
        await session.release();
      }
    };
    /** Copies are written while the session goes on. */
    const written = async (cache, count) => {
      for (let k = 0; k < 100 && cache.puts.length < count; k++) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.equal(cache.puts.length, count);
    };
    /** Opens and has the copy written, which releasing the worker might cut off. */
    const fill = async (address, cache, options) => {
      const before = cache.puts.length;
      const session = await InferenceSession.create(address, { cache, worker, ...options });
      await written(cache, before + 1);
      await session.release();
    };

    test('a plan is no reason to look for another; an .onnx file that is called one is compiled, and its plan kept', async () => {
      for (const [bytes, isPlan] of [[imagePlan(), true], [encodeModel(image()), false]]) {
        const { address } = await site(bytes);
        const cache = memoryCache();
        const asked = [];
        const { match } = cache;
        cache.match = (request) => { asked.push(decodeURIComponent(request)); return match(request); };
        const session = await InferenceSession.create(address, { cache, worker });
        await written(cache, isPlan ? 1 : 3);
        await session.release();
        const plans = (list) => list.map(decodeURIComponent).filter((key) => /plan (of )?\[/.test(key)).length;
        assert.equal(plans(asked) > 0, !isPlan);
        assert.equal(plans(cache.puts), isPlan ? 0 : 2);
      }
    });

    test('an address is asked for again, and sent again only when it has changed', async () => {
      const { address, file, log } = await site(plan('double'));
      const cache = memoryCache();
      await fill(address, cache);
      assert.deepEqual(cache.puts, [address]);
      assert.deepEqual(await open(address, cache), [2, 4]);
      assert.deepEqual(log, ['200', '304 "1"']);
      Object.assign(file, { bytes: Buffer.from(plan('sum')), etag: '"2"' });
      await fill(address, cache);
      assert.deepEqual(await open(address, cache), [3]);
      assert.deepEqual(log.slice(2), ['200 "1"', '304 "2"']);
      assert.equal(cache.puts.length, 2);
    });

    test('an answer with the same tag is as good as "not modified"', async () => {
      const { address, file, log } = await site(plan('double'));
      const cache = memoryCache();
      await fill(address, cache);
      // A server that does not look at the condition.
      file.etag = '"1" ';
      file.headers = { etag: '"1"' };
      assert.deepEqual(await open(address, cache), [2, 4]);
      assert.deepEqual(log, ['200', '200 "1"']);
      assert.equal(cache.puts.length, 1);
    });

    test('without a tag it is always sent again', async () => {
      const { address, file, log } = await site(plan('double'));
      file.etag = undefined;
      const cache = memoryCache();
      await fill(address, cache);
      file.bytes = Buffer.from(plan('sum'));
      assert.deepEqual(await open(address, cache), [3]);
      assert.deepEqual(log, ['200', '200']);
    });

    test('without a network the copy has to do', async () => {
      const { address, stop, log } = await site(plan('double'));
      const cache = memoryCache();
      await fill(address, cache);
      stop();
      assert.deepEqual(await open(address, cache), [2, 4]);
      await assert.rejects(open(address, memoryCache()), { code: 'NETWORK_ERROR' });
      await assert.rejects(open(address, false), { code: 'NETWORK_ERROR' });
      assert.equal(log.length, 1);
    });

    test('with a known hash no request is made, and what is kept is held against it', async () => {
      const bytes = plan('double');
      const { address, log } = await site(bytes);
      const cache = memoryCache();
      const integrity = `sha256-${sha256(bytes)}`;
      await fill(address, cache, { integrity });
      assert.deepEqual(await open(address, cache, { integrity }), [2, 4]);
      // From wherever.
      assert.deepEqual(await open('http://127.0.0.1:1/elsewhere.plan', cache, { integrity }), [2, 4]);
      assert.deepEqual(log, ['200']);
      const [key] = cache.puts;
      assert.match(key, /^https:\/\/tractlet\.invalid\/sha256-/);
      for (const damaged of [plan('sum'), bytes.subarray(0, 20), new TextEncoder().encode('<html>'), new Uint8Array()]) {
        cache.kept.set(key, new Response(damaged));
        await fill(address, cache, { integrity });
        assert.deepEqual(Buffer.from(await cache.kept.get(key).clone().arrayBuffer()), Buffer.from(bytes), 'the copy is replaced');
      }
      assert.equal(log.length, 5);
      // A file that is not what it should be is not kept.
      const before = cache.puts.length;
      const other = `sha256-${sha256('other')}`;
      await assert.rejects(open(address, cache, { integrity: other }), { code: 'INTEGRITY' });
      assert.equal(cache.puts.length, before);
    });

    test('a copy that was cut short is fetched again', async () => {
      const bytes = plan('double');
      const { address, log } = await site(bytes);
      const cache = memoryCache();
      await fill(address, cache);
      const { headers } = cache.kept.get(address);
      cache.kept.set(address, new Response(bytes.subarray(0, 10), { headers }));
      await fill(address, cache);
      assert.deepEqual(await open(address, cache), [2, 4]);
      assert.deepEqual(log, ['200', '304 "1"', '200', '304 "1"']);
    });

    test('a server may forbid it', async () => {
      const { address, file, log } = await site(plan('double'));
      file.headers = { 'cache-control': 'private, No-Store' };
      const cache = memoryCache();
      await open(address, cache);
      await open(address, cache);
      assert.deepEqual(log, ['200', '200']);
      assert.deepEqual(cache.puts, []);
    });

    test('a cache that does not work is done without', async () => {
      const { address, log } = await site(plan('double'));
      const broken = () => { throw new DOMException('full', 'QuotaExceededError'); };
      for (const cache of [
        { match: broken, put: broken },
        { match: async () => undefined, put: async () => broken() },
        { match: async () => null, put: async () => undefined },
        { match: async () => ({ junk: true }), put: async () => undefined },
      ]) assert.deepEqual(await open(address, cache), [2, 4]);
      assert.equal(log.length, 4);
    });

    test('false keeps nothing, and asks nobody', async () => {
      const { address, log } = await site(plan('double'));
      await open(address, false);
      await open(address, false);
      assert.deepEqual(log, ['200', '200']);
    });

    test('all files of a card are kept', async () => {
      const bytes = Buffer.from(encodePlan(image()));
      const card = { model: 'm.plan', labels: 'l.json', input: INPUT, sha256: sha256(bytes, 'hex') };
      let down = false;
      const serveOr = (body) => (request, response) => (down ? request.destroy() : response.writeHead(200, { etag: '"1"' }).end(body));
      const { origin } = await serve({ '/card.json': serveOr(JSON.stringify(card)), '/m.plan': serveOr(bytes), '/l.json': serveOr('["a", "b", "c", "d"]') });
      const cache = memoryCache();
      const first = await ImageClassifier.create(`${origin}/card.json`, { cache, worker });
      await written(cache, 3);
      await first.release();
      down = true;
      const classifier = await ImageClassifier.create(`${origin}/card.json`, { cache, worker });
      assert.deepEqual(classifier.labels, ['a', 'b', 'c', 'd']);
      await classifier.release();
    });
  });
}

describe('downloads at the same time', () => {
  const options = { worker: false };

  test('are one, with or without a cache', async () => {
    for (const cache of [true, memoryCache()]) {
      const { address, file, log } = await site(plan('double'));
      file.delay = 50;
      const sessions = await Promise.all(Array.from({ length: 3 }, () => InferenceSession.create(address, { ...options, cache })));
      for (const session of sessions) {
        assert.deepEqual(await run(session), [2, 4]);
        await session.release();
      }
      assert.deepEqual(log, ['200']);
    }
  });

  test('that stop, or fail, leave the others to themselves', async () => {
    const { address, file, log } = await site(plan('double'));
    file.delay = 50;
    const controller = new AbortController();
    const first = InferenceSession.create(address, { ...options, signal: controller.signal });
    const second = InferenceSession.create(address, options);
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(first, { name: 'AbortError' });
    assert.deepEqual(await run(await second), [2, 4]);
    assert.ok(log.length <= 2, `${log}`);
  });

  test('with different hashes are different ones', async () => {
    const bytes = plan('double');
    const { address, file } = await site(bytes);
    file.delay = 20;
    const [right, wrong] = await Promise.allSettled([bytes, 'x'].map((content) => InferenceSession.create(address, { ...options, integrity: `sha256-${sha256(content)}` })));
    assert.equal(right.status, 'fulfilled');
    assert.equal(wrong.reason.code, 'INTEGRITY');
  });
});

test('the option is checked', async () => {
  for (const cache of ['yes', null, {}, { match: () => undefined }, 1]) {
    await assert.rejects(InferenceSession.create(plan('double'), { cache }), { code: 'INVALID_OPTION', message: /The option cache is/ });
  }
});

describe('the store', async () => {
  const { openStore } = await buildModule('cache.ts');

  test('is not there where there is nothing to keep in', async () => {
    assert.equal(await openStore(true), undefined);
    assert.equal(await openStore(undefined), undefined);
    assert.equal(await openStore(false), undefined);
  });

  /** What browsers have, as far as it is used. */
  const fakeCaches = (t, { quota = Infinity, open } = {}) => {
    const kept = new Map();
    const cache = {
      match: async (address) => kept.get(address)?.clone(),
      put: async (address, response) => {
        if (kept.size >= quota) throw new DOMException('full', 'QuotaExceededError');
        kept.set(address, response);
      },
      delete: async (request) => kept.delete(request.url ?? request),
      keys: async () => [...kept.keys()].map((url) => ({ url })),
    };
    globalThis.caches = { open: open ?? (async (name) => (assert.equal(name, 'tractlet'), cache)) };
    t.after(() => { delete globalThis.caches; });
    return kept;
  };

  test('keeps bytes and answers under any key', async (t) => {
    const kept = fakeCaches(t);
    const store = await openStore(true);
    assert.equal(await store.get('plan/1'), undefined);
    assert.equal(await store.put('plan/1', Uint8Array.of(1, 2, 3), { 'x-version': '7' }), true);
    const found = await store.get('plan/1');
    assert.deepEqual([...new Uint8Array(await found.arrayBuffer())], [1, 2, 3]);
    assert.equal(found.headers.get('x-version'), '7');
    assert.equal(found.headers.get('content-length'), '3');
    assert.equal(await store.put('https://a.example/m', new Response('abc', { headers: { etag: '"1"' } })), true);
    assert.equal((await store.get('https://a.example/m')).headers.get('etag'), '"1"');
    assert.deepEqual([...kept.keys()], ['https://tractlet.invalid/plan%2F1', 'https://a.example/m']);
    await store.delete('plan/1');
    assert.equal(await store.get('plan/1'), undefined);
  });

  test('makes room once when storage is full', async (t) => {
    const kept = fakeCaches(t, { quota: 2 });
    const store = await openStore(true);
    for (const key of ['a', 'b', 'c']) assert.equal(await store.put(key, Uint8Array.of(1)), true);
    assert.deepEqual([...kept.keys()], ['https://tractlet.invalid/c']);
    const full = fakeCaches(t, { quota: 0 });
    assert.equal(await (await openStore(true)).put('a', Uint8Array.of(1)), false);
    assert.equal(full.size, 0);
  });

  test('is not there where storage is blocked', async (t) => {
    fakeCaches(t, { open: () => Promise.reject(new DOMException('no', 'SecurityError')) });
    assert.equal(await openStore(true), undefined);
    Object.defineProperty(globalThis, 'caches', { configurable: true, get: () => { throw new DOMException('no', 'SecurityError'); } });
    assert.equal(await openStore(true), undefined);
  });
});
