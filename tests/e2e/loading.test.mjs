// What is downloaded, how often, and in what order: with the browsers' own cache, locks and compilers.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { DEMO_FOLDERS } from '../../scripts/serve.mjs';
import { openChromium, readBytes } from './lib/chromium.mjs';
import { openSite, quiet } from './lib/site.mjs';
import { Browser } from './lib/webdriver.mjs';

const FOLDERS = [...DEMO_FOLDERS, 'tests/e2e', 'tests/js/lib', '.cache/fixtures'];
const PAGE = '/tests/e2e/pages/index.html';
const MODEL = '/models/squeezenet1.1-int8.onnx';
const OTHER = '/models/efficientnet-lite0-int8.onnx';
const CARD = '/models/squeezenet1.1-int8.json';
const PATIENCE_MS = 60_000;

/** Ways to have the page: each gives { call(work, argument), reload(), close() }. */
const PLACES = {
  async chromium(site) {
    const browser = await openChromium({ site });
    let page = await browser.openPage();
    return {
      call: (work, argument) => page.evaluate(work, argument),
      reload: async () => {
        await page.close();
        page = await browser.openPage();
      },
      close: browser.close,
      browser,
      page: () => page,
    };
  },
  firefox: (site) => openWebDriver('firefox', site),
  webkit: (site) => openWebDriver('webkit', site),
};

async function openWebDriver(name, site) {
  const browser = await Browser.start(name);
  const open = async () => {
    await browser.goto(site.origin + PAGE);
    await browser.waitFor(() => globalThis.ready === true, { timeout: PATIENCE_MS, what: 'the page is ready' });
  };
  try {
    await open();
  } catch (error) {
    await browser.close();
    throw error;
  }
  return { call: (work, argument) => browser.evaluateAsync(work, argument), reload: open, close: () => browser.close() };
}

/**
 * Creates sessions at once; gives how many outputs each has, or what went wrong. The copies are written when it ends.
 *
 * @param waiting ask for /release once one session downloads and this many wait for it
 */
async function create({ models, options, waiting }) {
  const { InferenceSession } = globalThis.tractlet;
  const settling = Promise.allSettled(models.map((model) => InferenceSession.create(model, options)));
  while (waiting) {
    const { held, pending } = await navigator.locks.query();
    const count = (locks) => locks.filter(({ name }) => name.startsWith('tractlet ')).length;
    if (count(held) === 1 && count(pending) === waiting) {
      await fetch('/release');
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const sessions = await settling;
  const cache = options?.cache === false ? undefined : await caches.open('tractlet').catch(() => undefined);
  for (let k = 0; k < 50 && cache && (await cache.keys()).length < new Set(models).size; k++) await new Promise((resolve) => setTimeout(resolve, 20));
  const outcomes = sessions.map(({ value, reason }) => (value ? value.outputNames.length : `${reason.code}: ${reason.message}`));
  await Promise.all(sessions.map(({ value }) => value?.release()));
  return outcomes;
}

const clear = () => caches.delete('tractlet');

function describeIn(title, place, more = () => undefined) {
  describe(`downloads in ${title}`, () => {
    let site;
    let at;
    before(async () => {
      site = await openSite({ folders: FOLDERS });
      at = await PLACES[place](site);
    });
    after(async () => {
      await at?.close();
      await site?.close();
    });
    beforeEach(async () => {
      site.answers = Object.assign(site.answers, Object.fromEntries(Object.keys(site.answers).map((path) => [path, undefined])));
      await at.call(clear);
      await at.reload();
      await quiet(site);
      site.log.length = 0;
    });

    /** The statuses of the answers for a path so far. */
    const statuses = (path) => site.log.filter((entry) => entry.path === path).map(({ status }) => status);
    const wasm = () => site.log.filter(({ path }) => path.endsWith('.wasm')).map(({ path }) => path);

    /** Holds the second half of the model back until `release`. */
    const hold = () => {
      const bytes = readBytes(MODEL.slice(1));
      // The lock is there before the request is.
      let release;
      const released = new Promise((resolve) => { release = resolve; });
      site.answers[MODEL] = (_, response) => {
        response.writeHead(200, { etag: '"1"', 'content-length': bytes.length }).write(bytes.subarray(0, bytes.length / 2));
        released.then(() => response.end(bytes.subarray(bytes.length / 2)));
      };
      site.answers['/release'] = (_, response) => {
        release();
        response.writeHead(204).end();
      };
    };

    test('three sessions at once share one', async () => {
      hold();
      assert.deepEqual(await at.call(create, { models: [MODEL, MODEL, MODEL], waiting: 2 }), [1, 1, 1]);
      await quiet(site);
      assert.equal(statuses(MODEL).length, 1);
      const asked = wasm();
      assert.equal(asked.length, 2, `${asked}`);
      assert.equal(new Set(asked).size, 2, `${asked}`);
    });

    // Driven by WebDriver, WebKitGTK forgets a page's cache with the page, and from then on takes what is put there without
    // keeping it, whoever puts it.
    const keeps = { skip: place === 'webkit' && 'WebKitGTK keeps nothing from one page to the next when it is driven' };
    test('the next visit asks whether it is still the same', keeps, async () => {
      await at.call(create, { models: [MODEL] });
      await at.reload();
      assert.deepEqual(await at.call(create, { models: [MODEL] }), [1]);
      await quiet(site);
      // The first may be answered so as well: the browser has a cache of its own.
      assert.equal(statuses(MODEL).length, 2);
      assert.equal(statuses(MODEL)[1], 304);
      // Another model under the same address.
      const bytes = readBytes(OTHER.slice(1));
      site.answers[MODEL] = (_, response) => response.writeHead(200, { etag: '"other"', 'content-length': bytes.length }).end(bytes);
      await at.reload();
      const names = await at.call(async (model) => {
        const session = await globalThis.tractlet.InferenceSession.create(model);
        const shapes = session.inputMetadata.map(({ name, shape }) => [name, ...shape].join(' '));
        const other = await globalThis.tractlet.InferenceSession.create('/models/efficientnet-lite0-int8.onnx', { cache: false });
        const wanted = other.inputMetadata.map(({ name, shape }) => [name, ...shape].join(' '));
        const { graphName } = session.modelMetadata;
        const same = graphName === other.modelMetadata.graphName && JSON.stringify(session.outputMetadata) === JSON.stringify(other.outputMetadata);
        await Promise.all([session.release(), other.release()]);
        return { shapes, wanted, same };
      }, MODEL);
      assert.deepEqual(names.shapes, names.wanted);
      assert.equal(names.same, true);
    });

    test('without a network the copy has to do', keeps, async () => {
      await at.call(create, { models: [MODEL] });
      site.answers[MODEL] = (_, response) => response.destroy();
      await at.reload();
      assert.deepEqual(await at.call(create, { models: [MODEL] }), [1]);
      const [error] = await at.call(create, { models: [MODEL], options: { cache: false } });
      assert.match(error, /^NETWORK_ERROR/);
    });

    test('a hash in the card does without asking', keeps, async () => {
      const classify = async (card) => {
        const classifier = await globalThis.tractlet.ImageClassifier.create(card);
        const cache = await caches.open('tractlet');
        for (let k = 0; k < 50 && (await cache.keys()).length < 3; k++) await new Promise((resolve) => setTimeout(resolve, 20));
        const [best] = await classifier.classify({ data: new Uint8Array(4 * 100).fill(200), width: 10, height: 10 });
        await classifier.release();
        return { label: best.label, kept: (await cache.keys()).map(({ url }) => url).filter((url) => !url.includes('/plan%20')).sort() };
      };
      const first = await at.call(classify, CARD);
      await at.reload();
      const second = await at.call(classify, CARD);
      assert.deepEqual(second, first);
      assert.equal(second.kept.length, 3);
      assert.ok(second.kept.some((url) => url.startsWith('https://tractlet.invalid/sha256-')), `${second.kept}`);
      await quiet(site);
      assert.equal(statuses(MODEL).length, 1);
      assert.deepEqual(statuses(CARD).length, 2);
    });

    test('cache: false leaves nothing', async () => {
      assert.deepEqual(await at.call(create, { models: [MODEL], options: { cache: false } }), [1]);
      assert.equal(await at.call(() => caches.has('tractlet')), false);
    });

    test('a download that is cut is taken up again', async () => {
      const bytes = readBytes(MODEL.slice(1));
      const ranges = [];
      site.answers[MODEL] = (request, response) => {
        const from = Number(/\d+/.exec(request.headers.range ?? '0'));
        ranges.push(request.headers.range ?? 'all');
        const head = { etag: '"1"', 'content-length': bytes.length - from };
        if (from > 0) return response.writeHead(206, { ...head, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }).end(bytes.subarray(from));
        return response.writeHead(200, head).write(bytes.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 200));
      };
      assert.deepEqual(await at.call(create, { models: [MODEL] }), [1]);
      assert.equal(ranges.length, 2, `${ranges}`);
      assert.match(ranges[1], /^bytes=[1-9]\d*-$/);
    });

    more({ site: () => site, at: () => at, statuses, hold });
  });
}

describeIn('Chromium', 'chromium', ({ site, at, statuses, hold }) => {
  test('nothing waits that need not: engine, compiler and model come side by side', async () => {
    const log = [];
    /** Serves a file in two parts, the second when `ready` says so. */
    const inParts = (path, type, ready) => {
      const bytes = readBytes(path.slice(1));
      site().answers[path] = (_, response) => {
        log.push(path);
        response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
        response.write(bytes.subarray(0, bytes.length / 2));
        const finish = () => {
          if (ready()) response.end(bytes.subarray(bytes.length / 2));
          else if (!response.destroyed) setTimeout(finish, 10);
        };
        finish();
      };
    };
    // Each ends only once all have begun: where one waited for another, nothing would ever end.
    const all = () => log.length === 3;
    for (const path of ['/dist/engine.wasm', '/dist/engine-relaxed.wasm', '/dist/compiler.wasm']) inParts(path, 'application/wasm', all);
    inParts(MODEL, 'application/octet-stream', all);
    const outcome = await at().call(async (model) => {
      const { compileStreaming } = WebAssembly;
      const streamed = [];
      // In the page's thread, where the calls can be seen.
      WebAssembly.compileStreaming = (response) => {
        streamed.push(response.url.split('/').pop());
        return compileStreaming.call(WebAssembly, response);
      };
      const session = await globalThis.tractlet.InferenceSession.create(model, { worker: false, signal: AbortSignal.timeout(30_000) });
      await session.release();
      WebAssembly.compileStreaming = compileStreaming;
      return streamed;
    }, MODEL);
    assert.equal(outcome.length, 2);
    assert.match(outcome[0], /^engine/);
    assert.equal(outcome[1], 'compiler.wasm');
    log.length = 0;
    await at().call(clear);
    await at().reload();
    // And in a worker.
    assert.deepEqual(await at().call(create, { models: [MODEL] }), [1]);
    assert.equal(log.length, 3, `${log}`);
  });

  test('progress tells of the modules too', async () => {
    const files = await at().call(async (model) => {
      const events = [];
      const session = await globalThis.tractlet.InferenceSession.create(model, { onProgress: (event) => events.push(event) });
      await session.release();
      return Object.fromEntries([...new Set(events.map(({ file }) => file))].map((file) => {
        const own = events.filter((event) => event.file === file);
        return [file, { order: [...new Set(own.map(({ status }) => status))], last: own.findLast(({ status }) => status === 'progress') }];
      }));
    }, MODEL);
    const names = Object.keys(files);
    assert.equal(names.filter((name) => /^engine.*\.wasm$/.test(name)).length, 1, `${names}`);
    for (const name of names) assert.deepEqual(files[name].order.slice(0, 4), ['initiate', 'download', 'progress', 'done'], name);
    const { loaded, total, progress } = files['squeezenet1.1-int8.onnx'].last;
    assert.deepEqual([loaded, total, progress], [readBytes(MODEL.slice(1)).length, loaded, 100]);
    assert.ok(files['compiler.wasm'].last.loaded > 1_000_000);
  });

  test('two pages share one download', async () => {
    const { browser } = at();
    const pages = [await browser.openPage(), await browser.openPage()];
    await quiet(site());
    site().log.length = 0;
    hold();
    const creating = pages.map((page, i) => page.evaluate(create, { models: [MODEL], waiting: i }));
    assert.deepEqual(await Promise.all(creating), [[1], [1]]);
    await quiet(site());
    assert.equal(statuses(MODEL).length, 1);
    for (const page of pages) await page.close();
  });

  test('one that is stopped leaves its place to the next', async () => {
    const bytes = readBytes(MODEL.slice(1));
    let requests = 0;
    site().answers[MODEL] = (_, response) => {
      response.writeHead(200, { etag: '"1"', 'content-length': bytes.length });
      // The first one never ends.
      if (++requests === 1) response.write(bytes.subarray(0, 1000));
      else response.end(bytes);
    };
    const outcome = await at().call(async (model) => {
      const { InferenceSession } = globalThis.tractlet;
      const controller = new AbortController();
      const first = InferenceSession.create(model, { signal: controller.signal }).catch(({ name }) => name);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const second = InferenceSession.create(model);
      setTimeout(() => controller.abort(), 300);
      const session = await second;
      const outputs = session.outputNames.length;
      await session.release();
      return [await first, outputs];
    }, MODEL);
    assert.deepEqual(outcome, ['AbortError', 1]);
    assert.equal(requests, 2);
  });

  test('storage that is full is done without', async () => {
    const page = at().page();
    const client = await page.context().newCDPSession(page);
    const { origin } = site();
    const quota = (quotaSize) => client.send('Storage.overrideQuotaForOrigin', { origin, ...(quotaSize !== undefined && { quotaSize }) });
    await quota(1000);
    try {
      assert.deepEqual(await at().call(create, { models: [MODEL, MODEL] }), [1, 1]);
      assert.equal(await at().call(async () => (await (await caches.open('tractlet')).keys()).length), 0);
    } finally {
      await quota();
    }
  });

  test('storage that is blocked is done without', async () => {
    const outcome = await at().call(async (model) => {
      const { open } = CacheStorage.prototype;
      CacheStorage.prototype.open = () => Promise.reject(new DOMException('blocked', 'SecurityError'));
      try {
        const session = await globalThis.tractlet.InferenceSession.create(model, { worker: false });
        await session.release();
        return session.outputNames.length;
      } finally {
        CacheStorage.prototype.open = open;
      }
    }, MODEL);
    assert.equal(outcome, 1);
  });

  test("a cache of the page's serves the worker", async () => {
    const outcome = await at().call(async (model) => {
      const mine = await caches.open('mine');
      const { InferenceSession } = globalThis.tractlet;
      const session = await InferenceSession.create(model, { cache: mine });
      for (let k = 0; k < 50 && (await mine.keys()).length === 0; k++) await new Promise((resolve) => setTimeout(resolve, 20));
      const again = await InferenceSession.create(model, { cache: mine });
      const { worker } = again.runtime;
      await Promise.all([session.release(), again.release()]);
      // Plans are another test's subject.
      const kept = (await mine.keys()).map(({ url }) => new URL(url).pathname).filter((path) => !path.startsWith('/plan%20'));
      await caches.delete('mine');
      return { worker, kept, own: await caches.has('tractlet') };
    }, MODEL);
    assert.deepEqual(outcome, { worker: true, kept: [MODEL], own: false });
    assert.equal(statuses(MODEL).length, 2);
    assert.equal(statuses(MODEL)[1], 304);
  });
});
describeIn('Firefox', 'firefox');
if (process.platform === 'linux') describeIn('WebKitGTK', 'webkit');
else test('downloads in WebKitGTK', { skip: 'there is no WebKitGTK for this system' }, () => {});
