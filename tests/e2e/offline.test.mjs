// The demo page without a network: kept by its service worker, cut off by its switch, and its list of requests. Chromium.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { findBrowser, webdriverCapabilities } from '../../scripts/lib/browsers.mjs';
import { DIST, ROOT } from '../../scripts/lib/paths.mjs';
import { precacheFiles, writePrecache } from '../../scripts/lib/precache.mjs';
import { EFFICIENTNET, PATIENCE, SQUEEZENET, assertAnswer, photoPath, readAnswers } from './lib/demo.mjs';
import { openSite, quiet } from './lib/site.mjs';

const PHOTO = 'foolbox-14.png';
const OTHER_PHOTO = 'foolbox-18.png';
/** What browsers fetch themselves, past every service worker. */
const OF_THE_BROWSER = ['/www/sw.js', '/www/precache.js'];

let browser;
let scratch;
let site;
let context;
let page;

before(async () => {
  const { binary } = await findBrowser('chromium');
  if (!binary) throw new Error('Chromium is missing: set CHROME_BIN, or run `npm run setup`');
  const { args } = webdriverCapabilities('chromium', { binary })['goog:chromeOptions'];
  browser = await chromium.launch({ executablePath: binary, args: args.filter((arg) => arg !== '--headless') });
  scratch = mkdtempSync(join(tmpdir(), 'tractlet-'));
  writePrecache();
});

after(async () => {
  await browser?.close();
  if (scratch) rmSync(scratch, { recursive: true, force: true });
});

/** A page as a first visitor gets it. */
async function openSiteAndPage(options) {
  site = await openSite(options);
  context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  page = await context.newPage();
}

beforeEach(() => {
  site = undefined;
  context = undefined;
});

afterEach(async () => {
  await context?.close();
  await site?.close();
});

const state = (name) => page.waitForSelector(`main[data-state="${name}"]`, { timeout: PATIENCE });
const text = (selector) => page.textContent(selector);

async function visit() {
  await page.goto(`${site.origin}/`);
  await state('ready');
}

/** The first visit, until everything is kept. */
async function firstVisit() {
  await visit();
  await page.waitForFunction(() => /kept/.test(document.querySelector('#offline-status').textContent), null, { timeout: PATIENCE });
  assert.match(await text('#offline-status'), /works without a network/);
  // The plan is kept a moment after the model has been loaded.
  await page.waitForFunction(async () => (await (await caches.open('tractlet')).keys()).some(({ url }) => decodeURIComponent(url).includes('plan [')), null, { timeout: PATIENCE });
}

/** Has a photo named, and waits for its answer. */
async function classify(photo, model = EFFICIENTNET) {
  await page.evaluate(() => {
    const main = document.querySelector('main');
    globalThis.sawWork = false;
    new MutationObserver(() => (globalThis.sawWork ||= main.dataset.state !== 'done')).observe(main, { attributes: true });
  });
  await page.setInputFiles('#file', photoPath(photo));
  await page.waitForFunction(() => ['error', globalThis.sawWork && 'done'].includes(document.querySelector('main').dataset.state), null, { timeout: PATIENCE });
  assert.equal(await page.getAttribute('main', 'data-state'), 'done', await text('#error'));
  assertAnswer(await page.evaluate(readAnswers), model, photo);
}

async function setSwitch(on) {
  await page.waitForSelector('#cut:enabled');
  assert.notEqual(await page.isChecked('#cut'), on);
  await page.click('#cut');
  await page.waitForFunction((value) => document.documentElement.hasAttribute('data-cut') === value, on);
  await page.waitForSelector('#cut:enabled');
}

/** The list: [{ path, method, from, size, status }], the latest first. */
async function readList() {
  if (!(await page.evaluate(() => document.querySelector('#requests').open))) await page.click('#requests summary');
  await page.waitForTimeout(300);
  return page.evaluate(() => [...document.querySelectorAll('#request-rows tr')].map((row) => {
    const [path, method, from, size, status] = [...row.children].map((cell) => cell.textContent);
    return { path, method, from, size, status, kind: row.dataset.from };
  }));
}

const byServer = () => site.log.map(({ path }) => path).filter((path) => !OF_THE_BROWSER.includes(path));

/** In the page: what becomes of a request. */
const attempt = (path) => fetch(path).then(({ status }) => status, (error) => error.name);

describe('after the first visit', () => {
  beforeEach(async () => {
    await openSiteAndPage();
    await firstVisit();
  });

  test('photos are named with the browser offline', async () => {
    await quiet(site);
    site.log.length = 0;
    await context.setOffline(true);
    assert.equal(await page.evaluate(() => navigator.onLine), false);
    await page.reload();
    await state('ready');
    await classify(PHOTO);
    await page.click('.sample[data-file="coffee.jpg"]');
    await page.waitForSelector('.sample[data-file="coffee.jpg"][aria-current="true"]');
    await state('done');
    await classify(OTHER_PHOTO);
    await quiet(site);
    assert.deepEqual(byServer(), []);
    assert.match(await text('#request-network'), /^0 used/);
  });

  test('photos are named with the server gone, by any address of the page', async () => {
    await site.close();
    for (const path of ['/', '/www/', '/www/index.html']) {
      await page.goto(site.origin + path);
      await state('ready');
      await classify(PHOTO);
    }
    // What was not used is not there, and that is a sentence, not a blank page.
    await page.selectOption('#model', { index: 1 });
    await state('error');
    assert.match(await text('.error-message'), /^\S.{10,}[.!?]$/);
    assert.equal(await text('.error-code'), 'NETWORK_ERROR');
    const response = await page.goto(`${site.origin}/www/other.html`);
    assert.equal(response.status(), 504);
    assert.match(await text('body'), /There is no network, and this address is not kept/);
    site = undefined;
  });

  test('a second model that was used is there as well', async () => {
    await page.selectOption('#model', { index: 1 });
    await classify(PHOTO, SQUEEZENET);
    await page.waitForFunction(async () => (await (await caches.open('tractlet')).keys()).filter(({ url }) => decodeURIComponent(url).includes('plan [')).length > 1, null, { timeout: PATIENCE });
    await context.setOffline(true);
    await page.reload();
    await state('ready');
    await classify(PHOTO);
    await page.selectOption('#model', { index: 1 });
    await state('done');
    assertAnswer(await page.evaluate(readAnswers), SQUEEZENET, PHOTO);
  });
});

describe('the switch', () => {
  beforeEach(async () => {
    await openSiteAndPage();
    await firstVisit();
  });

  const elsewhere = '/models/README.md';

  test('refuses what is not kept; pictures are named all the same', async () => {
    assert.equal(await page.evaluate(attempt, elsewhere), 200);
    assert.equal(await page.isVisible('#cut-badge'), false);
    await setSwitch(true);
    assert.ok(await page.isVisible('#cut-badge'));
    assert.match(await text('#cut-status'), /The network is cut/);
    await quiet(site);
    site.log.length = 0;
    assert.equal(await page.evaluate(attempt, elsewhere), 'TypeError');
    for (const worker of page.workers()) assert.equal(await worker.evaluate(attempt, elsewhere), 'TypeError', worker.url());
    await classify(PHOTO);
    await page.reload();
    await state('ready');
    await page.waitForSelector('html[data-cut] #cut:checked');
    await classify(OTHER_PHOTO);
    assert.equal(await page.evaluate(attempt, elsewhere), 'TypeError');
    const rows = await readList();
    const ofIt = rows.filter(({ path }) => path === elsewhere);
    assert.ok(ofIt.length > 0 && ofIt.every(({ kind, from }) => kind === 'refused' && from === 'refused'), JSON.stringify(ofIt));
    assert.match(await text('#request-network'), /^0 used/);
    assert.deepEqual(byServer(), []);

    await setSwitch(false);
    assert.equal(await page.isVisible('#cut-badge'), false);
    assert.match(await text('#cut-status'), /The network is connected/);
    assert.equal(await page.evaluate(attempt, elsewhere), 200);
    assert.deepEqual(byServer(), [elsewhere]);
  });

  test('stays on when the browser ends the service worker, and in other tabs', async () => {
    await setSwitch(true);
    const devtools = await context.newCDPSession(page);
    await devtools.send('ServiceWorker.enable');
    await devtools.send('ServiceWorker.stopAllWorkers');
    await page.waitForTimeout(200);
    assert.equal(await page.evaluate(attempt, elsewhere), 'TypeError');
    const first = page;
    page = await context.newPage();
    await visit();
    await page.waitForSelector('html[data-cut] #cut:checked:enabled');
    await setSwitch(false);
    assert.equal(await first.evaluate(attempt, elsewhere), 200);
  });

  test('a model that is not there is an error that names the switch; it comes when that is off', async () => {
    await setSwitch(true);
    await page.selectOption('#model', { index: 1 });
    await state('error');
    assert.equal(await text('.error-code'), 'NETWORK_ERROR');
    assert.match(await text('.error-message'), /^\S.{10,}[.!?]$/);
    assert.match(await text('.error-hint'), /switch/);
    const response = await page.evaluate((path) => new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.src = path;
      frame.onload = () => resolve(frame.contentDocument?.body.textContent ?? '');
      document.body.append(frame);
    }), '/www/other.html');
    assert.doesNotMatch(response, /Not found/);
    await setSwitch(false);
    await page.click('#retry');
    await state('ready');
    await classify(PHOTO, SQUEEZENET);
  });

  test('by keyboard', async () => {
    await page.waitForSelector('#cut:enabled');
    await page.focus('#cut');
    await page.keyboard.press('Space');
    await page.waitForSelector('html[data-cut] #cut:enabled');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'cut');
    assert.equal(await page.getAttribute('#cut', 'role'), 'switch');
    await page.keyboard.press('Space');
    await page.waitForFunction(() => !document.documentElement.hasAttribute('data-cut'));
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'SUMMARY');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#request-rows tr', { state: 'visible' });
  });
});

describe('the list', () => {
  test('has every request that the server has seen, of the page and of its workers, and no other origin', async () => {
    await openSiteAndPage();
    await firstVisit();
    await classify(PHOTO);
    await quiet(site);
    const rows = await readList();
    const listed = rows.filter(({ kind }) => kind === 'network' || kind === 'page').map(({ path }) => path);
    for (const path of byServer()) assert.ok(listed.includes(path) || path === '/', `${path} is not in the list`);
    // Of the engine the one build that is used.
    assert.equal(new Set(byServer().filter((path) => /engine.*\.wasm$/.test(path))).size, 1);
    // Those of the worker above all.
    for (const name of ['engine', 'compiler', EFFICIENTNET]) assert.ok(listed.some((path) => path.includes(name)), name);
    assert.equal(await text('#request-elsewhere'), '0 went to another origin');
    assert.equal(await text('#request-count'), `${rows.length} requests`);
    assert.equal(await text('#request-network'), `${listed.length} used the network`);
    for (const row of rows) assert.match(row.method, /^GET$/);
    assert.ok(rows.some(({ size }) => /\d (B|kB|MB)$/.test(size)));

    // A second visit: from this device, and the list begins anew.
    await page.reload();
    await state('ready');
    const again = await readList();
    for (const { path, kind } of again.filter(({ path }) => /\.(js|css|wasm|woff2)$|\/$/.test(path))) assert.equal(kind, 'device', path);
    assert.ok(!again.some(({ path }) => path.includes('compiler.wasm')), 'the plan was kept');
    // A picture of one's own adds nothing.
    const { length } = again;
    await classify(OTHER_PHOTO);
    assert.equal((await readList()).length, length);
  });

  test('says it when a request goes elsewhere', async () => {
    await openSiteAndPage();
    await firstVisit();
    await page.evaluate(() => new BroadcastChannel('tractlet-demo-requests').postMessage({ id: 'x', method: 'GET', url: 'https://example.org/x', from: 'network', time: Date.now() }));
    await page.waitForSelector('#requests[data-elsewhere]', { state: 'attached' });
    assert.equal(await text('#request-elsewhere'), '1 went to another origin');
    assert.equal((await readList())[0].path, 'https://example.org/x');
  });
});

describe('keeping files', () => {
  /** A copy of what is served, with models that need no compiler unless asked for more. */
  function makeCopy(name) {
    const root = join(scratch, name);
    for (const folder of ['www', 'dist', 'models']) {
      cpSync(join(ROOT, folder), join(root, folder), { recursive: true, filter: (path) => !/[\\/](rebuild|bench\S*)$/.test(path) });
    }
    return root;
  }

  test('a plan is classified with, its compiler deleted from the server, with and without a network', async () => {
    const root = makeCopy('plan');
    const models = join(root, 'models');
    const plan = join(models, 'lite0.plan');
    const { status, stderr } = spawnSync(process.execPath, [join(DIST, 'cli.js'), 'compile', join(models, `${EFFICIENTNET}.onnx`), '-o', plan], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const card = JSON.parse(readFileSync(join(models, `${EFFICIENTNET}.json`), 'utf8'));
    const sha256 = createHash('sha256').update(readFileSync(plan)).digest('hex');
    writeFileSync(join(models, 'lite0.json'), JSON.stringify({ ...card, model: 'lite0.plan', bytes: statSync(plan).size, sha256 }));
    writeFileSync(join(models, 'models.json'), JSON.stringify({ default: 'lite0.json', models: ['lite0.json'] }));
    writePrecache(root);
    rmSync(join(root, 'dist', 'compiler.wasm'));
    for (const name of readdirSync(models)) if (name.endsWith('.onnx')) rmSync(join(models, name));
    await openSiteAndPage({ root });
    await visit();
    await classify(PHOTO);
    await page.waitForFunction(() => /works without a network/.test(document.querySelector('#offline-status').textContent), null, { timeout: PATIENCE });
    assert.ok(site.log.every(({ path }) => !path.includes('compiler.wasm')), site.log.map(({ path }) => path).join(' '));
    await context.setOffline(true);
    await page.reload();
    await state('ready');
    await classify(OTHER_PHOTO);
  });

  test('a new version takes the place of the old one when it is asked for, and not before', async () => {
    const root = makeCopy('update');
    await openSiteAndPage({ root });
    await firstVisit();
    const style = join(root, 'www', 'styles', 'modes.css');
    appendFileSync(style, '\n.of-the-new-version { color: red; }\n');
    writePrecache(root);
    site.log.length = 0;
    await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
    await page.waitForSelector('#update', { state: 'visible' });
    // What has not changed is not fetched again.
    assert.deepEqual(byServer(), ['/www/styles/modes.css']);
    const read = () => page.evaluate(async () => (await fetch('/www/styles/modes.css')).text());
    assert.doesNotMatch(await read(), /of-the-new-version/);
    const reloaded = page.waitForEvent('load');
    await page.click('#update-now');
    await reloaded;
    await state('ready');
    assert.match(await read(), /of-the-new-version/);
    const names = await page.evaluate(async () => (await caches.keys()).filter((name) => name.includes('files')));
    assert.equal(names.length, 1);
    await context.setOffline(true);
    await page.reload();
    await state('ready');
    await classify(PHOTO);
  });

  test('a file that is not the listed one is not kept, which is said; everything works', async () => {
    const path = '/www/camera.js';
    const other = Buffer.concat([readFileSync(join(ROOT, path)), Buffer.from('\n// of another version\n')]);
    await openSiteAndPage({ answers: { [path]: (request, response) => response.setHeader('content-type', 'text/javascript').end(other) } });
    await visit();
    await page.waitForFunction(() => document.querySelector('#offline-status').textContent !== '', null, { timeout: PATIENCE });
    assert.match(await text('#offline-status'), /may not work: a file could not be kept/);
    await classify(PHOTO);
    delete site.answers[path];
    await page.reload();
    await state('ready');
    await page.waitForFunction(() => /works without/.test(document.querySelector('#offline-status').textContent), null, { timeout: PATIENCE });
  });

  test('where the server does not allow the worker, that is said, and pictures are named', async () => {
    await openSiteAndPage({ answers: { '/www/sw.js': (request, response) => {
      response.removeHeader('service-worker-allowed');
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(ROOT, 'www', 'sw.js')));
    } } });
    await visit();
    assert.match(await text('#cut-status'), /Service-Worker-Allowed/);
    assert.ok(await page.isDisabled('#cut'));
    await classify(PHOTO);
    const rows = await readList();
    assert.ok(rows.some(({ path, kind }) => path === '/www/app.js' && kind === 'page'));
  });

  test('a worker that comes late holds nothing up, and says so; the next visit has it', async () => {
    await openSiteAndPage({ answers: { '/www/precache.js': (request, response) => setTimeout(() => {
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(ROOT, 'www', 'precache.js')));
    }, 6000) } });
    await visit();
    assert.ok(await page.evaluate(() => navigator.serviceWorker.controller === null));
    await page.waitForFunction(() => /came late/.test(document.querySelector('#cut-status').textContent), null, { timeout: PATIENCE });
    assert.ok(await page.isDisabled('#cut'));
    await page.waitForFunction(() => /works without/.test(document.querySelector('#offline-status').textContent), null, { timeout: PATIENCE });
    await page.reload();
    await state('ready');
    await page.waitForSelector('#cut:enabled');
    await classify(PHOTO);
  });

  test('a page that cannot have a worker says so', async () => {
    await openSiteAndPage();
    await page.addInitScript(() => delete Navigator.prototype.serviceWorker);
    await visit();
    assert.match(await text('#cut-status'), /^Not here: service workers need/);
    await classify(PHOTO);
  });

  test('the list names the files of the page, and not what is not part of it', () => {
    const files = Object.keys(precacheFiles());
    for (const path of ['www/index.html', 'www/manifest.webmanifest', 'www/icons/512.png', 'dist/index.js', 'dist/worker.js', 'dist/engine.wasm', 'models/models.json']) assert.ok(files.includes(path), path);
    for (const path of files) assert.doesNotMatch(path, /\/(cli|inline|ort|sw|bench)\b|\.onnx$|\.d\.ts$/);
  });
});

test('the page can be installed', async () => {
  await openSiteAndPage();
  await firstVisit();
  const devtools = await context.newCDPSession(page);
  const { errors, manifest } = await devtools.send('Page.getAppManifest');
  assert.deepEqual(errors, []);
  assert.equal(manifest.startUrl, `${site.origin}/www/`);
  const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
  // Contexts of tests are private windows.
  assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
  for (const { src } of JSON.parse(readFileSync(join(ROOT, 'www', 'manifest.webmanifest'), 'utf8')).icons) {
    assert.equal(await page.evaluate(attempt, `/www/${src}`), 200, src);
  }
});
