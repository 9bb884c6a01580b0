// Threads: where they are to be had, what a page without them is told, and that they go when they are no longer needed.
// That they compute the same bytes is in integers.test.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIST } from '../../scripts/lib/paths.mjs';
import { openChromium, readJson } from './lib/chromium.mjs';
import { openHashPage } from './lib/hash-page.mjs';
import { countTasks } from './lib/tasks.mjs';

const { file, photos } = readJson('.cache/fixtures/models/index.json').find(({ committed }) => committed);
const JOB = { model: `/${file}`, inputs: photos.slice(0, 1).map(({ input }) => `/${input}`) };

/** What `count` says once it no longer changes to `expected`, or does. */
async function settled(count, expected) {
  for (const end = Date.now() + 10_000; count() !== expected && Date.now() < end;) await sleep(50);
  return count();
}

describe('Chromium, on an isolated page', () => {
  let browser;
  let page;
  before(async () => {
    browser = await openChromium({ isolated: true });
    page = await browser.openPage();
  });
  after(() => browser?.close());

  test('threads by default, one for each processor core, up to 4', async () => {
    const { threads, threadsReason, cores } = await page.evaluate(async (job) => ({
      ...(await hashRuns(job)),
      cores: navigator.hardwareConcurrency,
    }), JOB);
    assert.equal(threads, Math.min(cores, 4));
    assert.equal(threadsReason, undefined);
  });

  test('as many as are asked for', async () => {
    for (const threads of [1, 2, 5]) {
      const result = await page.evaluate((job) => hashRuns(job), { ...JOB, options: { threads } });
      assert.deepEqual([result.threads, result.threadsReason], [threads, undefined]);
    }
  });

  test('one where none with threads was named, or in the thread of the page', async () => {
    const run = (options) => page.evaluate((job) => hashRuns(job), { ...JOB, options });
    const named = await run({ threads: 2, wasm: { engine: '/dist/engine.wasm' } });
    assert.deepEqual([named.threads, named.threadsReason], [1, 'The option wasm has an engine, but no engineThreads']);
    const inPage = await run({ threads: 2, worker: false });
    assert.equal(inPage.threads, 1);
    assert.match(inPage.threadsReason, /page's own thread/);
  });

  test('one where the file is missing', async () => {
    const result = await page.evaluate((job) => hashRuns(job), { ...JOB, options: { threads: 2, wasm: { engineThreads: '/dist/nowhere.wasm' } } });
    assert.equal(result.threads, 1);
    assert.match(result.threadsReason, /nowhere\.wasm/);
  });

  test('nonsense is refused', async () => {
    for (const threads of [0, 1.5, -1, '2', Number.NaN]) {
      const { error } = await page.evaluate((job) => attempt(() => hashRuns(job)), { ...JOB, options: { threads } });
      assert.equal(error?.code, 'INVALID_OPTION', String(threads));
      assert.equal(error.expected, 'a whole number above 0');
    }
  });

  test('released, a session takes its helpers along', { skip: process.platform !== 'linux' && 'threads are counted in /proc' }, async () => {
    const workers = () => countTasks(/^DedicatedWorker/);
    const before = await settled(workers, 0);
    assert.equal(before, 0);
    await page.evaluate(async (job) => {
      globalThis.kept = await Promise.all([2, 3].map((threads) => tractlet.InferenceSession.create(job.model, { threads })));
      const feeds = await loadFeeds(job.inputs);
      await Promise.all(globalThis.kept.map((session) => session.run(feeds)));
    }, JOB);
    assert.equal(workers(), 5);
    await page.evaluate(() => globalThis.kept[1].release());
    assert.equal(await settled(workers, 2), 2);
    await page.evaluate(() => globalThis.kept[0].release());
    assert.equal(await settled(workers, 0), 0);
  });
});

describe('a helper that crashes', () => {
  let page;
  before(async () => {
    // A helper that traps as soon as it is called.
    const broken = readFileSync(join(DIST, 'worker.js'), 'utf8').replace(/\.help\(\)/, '.helpless()');
    assert.match(broken, /helpless/);
    const answers = {
      '/dist/worker.js': (request, response) => response.setHeader('content-type', 'text/javascript').end(broken),
    };
    page = await openHashPage('firefox', true, answers);
  });
  after(() => page?.close());

  test('ends its session, and no other', async () => {
    const result = await page.browser.evaluateAsync(async (job) => {
      const alone = await globalThis.tractlet.InferenceSession.create(job.model, { threads: 1 });
      const { error, value } = await globalThis.attempt(() => globalThis.hashRuns({ ...job, options: { threads: 2 } }));
      const feeds = await globalThis.loadFeeds(job.inputs);
      const outputs = Object.keys(await alone.run(feeds)).length;
      await alone.release();
      return { error, value, outputs };
    }, JOB);
    assert.equal(result.error?.code, 'RUNTIME_CRASH', JSON.stringify(result));
    assert.ok(result.error.classes.includes('RuntimeCrashError'));
    assert.equal(result.outputs, 1);
  });
});

describe('where there are no threads', () => {
  test('a page that is not isolated runs on one, loads nothing for more, and says why', async () => {
    const page = await openHashPage('firefox', false);
    try {
      const result = await page.run({ ...JOB, options: { threads: 2 } });
      assert.equal(result.threads, 1);
      assert.match(result.threadsReason, /not cross-origin isolated/);
      assert.equal(result.hashes.length, 1);
      assert.deepEqual(page.log.filter(({ path }) => /threads/.test(path)), []);
    } finally {
      await page.close();
    }
  });

  // WebKitGTK shares no memory with workers, although it calls the page isolated.
  test('WebKitGTK falls back to one', { skip: process.platform !== 'linux' && 'WebKitGTK is for Linux' }, async () => {
    const page = await openHashPage('webkit', true);
    try {
      const result = await page.run({ ...JOB, options: { threads: 2 } });
      assert.equal(result.threads, 1);
      assert.match(result.threadsReason, /could not be started/);
      assert.equal(result.hashes.length, 1);
    } finally {
      await page.close();
    }
  });
});
