// The benchmark page: measures, compares, shows; what fails is a sentence. Figures are not judged.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { foldersFor } from '../../benches/lib/models.mjs';
import { loadPeers } from '../../benches/lib/peers.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { openChromium, readJson } from './lib/chromium.mjs';
import { openSite } from './lib/site.mjs';

const DATA = '/.cache/bench-page/bench.json';
const CARD = 'squeezenet1.1-qdq-s8s8-pc';

let site;
let chromium;
let page;
let data;

before(async () => {
  const peers = await loadPeers(['tractlet', 'onnxruntime-web']);
  const entry = readJson('.cache/fixtures/models/index.json').find(({ name }) => name === CARD);
  const { name, net, format, inputName, outputName, quantum, photos } = entry;
  data = {
    peers: peers.map(({ name, version, path, folder, worker, format }) => ({ name, version, path, folder, worker, format, threaded: false })),
    models: [{ name, title: 'SqueezeNet', net, format, inputName, outputName, quantum, files: { onnx: entry.file }, photos: photos.slice(0, 2).map(({ input, label }) => ({ input, label })) }],
  };
  site = await openSite({ folders: ['www', ...foldersFor(peers)] });
  chromium = await openChromium({ site });
});

after(async () => {
  await chromium?.close();
  await site?.close();
});

beforeEach(async () => {
  await page?.close();
  site.answers[DATA] = (request, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(data));
  page = await chromium.context.newPage();
});

async function open() {
  await page.goto(`${site.origin}/www/bench.html`);
  await page.waitForSelector('main[data-state="ready"]');
  await page.check('input[name="rounds"][value="2"]');
}

const finish = () => page.waitForSelector('main[data-state="done"], main[data-state="error"]');

describe('the benchmark page', () => {
  test('measures, compares the answers, and gives the same figures as table, chart and JSON', async () => {
    await open();
    await page.click('#start');
    await finish();
    assert.equal(await page.getAttribute('main', 'data-state'), 'done', await page.textContent('#error'));
    const [heads, ...rows] = await page.evaluate(() => [...document.querySelectorAll('#table tr')].map((row) => [...row.children].map((cell) => cell.textContent)));
    assert.deepEqual(rows.map(([name]) => name.split(' ')[0]), ['tractlet', 'onnxruntime-web']);
    for (const row of rows) assert.equal(row.length, heads.length);
    const at = (name) => heads.indexOf(name);
    assert.match(rows[0][at('Download')], /^\d.* MB$/);
    assert.match(rows[0][at('Memory')], /^\d.* MB$/);
    assert.match(rows[1][at('Of ours')], /^× \d/);
    // Both are right, so they agree.
    assert.equal(rows[1][at('Same best')], '2 of 2');
    assert.equal(await page.locator('#chart .bar').count(), 2);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
    const { libraries, net } = JSON.parse(readFileSync(await download.path(), 'utf8'));
    assert.equal(net, 'SqueezeNet');
    assert.equal(libraries.length, 2);
    for (const { run, rounds } of libraries) {
      assert.equal(run.count, 10);
      assert.equal(rounds.length, 2);
      assert.ok(run.median > 0 && run.median <= run.p95);
    }
    assert.equal(rows[0][at('Median')], libraries[0].run.median.toFixed(libraries[0].run.median < 100 ? 1 : 0));
  });

  test('a library that fails has its reason in the table; the others go on', async () => {
    const broken = { ...data.peers[1], name: 'onnxruntime-web', folder: 'node_modules/onnxruntime-web/missing' };
    const kept = data;
    data = { ...data, peers: [data.peers[0], broken] };
    try {
      await open();
      await page.click('#start');
      await finish();
      assert.match(await page.textContent('#rows .failed'), /^Did not run: \S.{5,}/);
      assert.equal(await page.locator('#chart .bar').count(), 1);
    } finally {
      data = kept;
    }
  });

  test('stops when it is told to', async () => {
    await open();
    await page.check('input[name="rounds"][value="24"]');
    await page.click('#start');
    await page.waitForFunction(() => /warming|round/.test(document.querySelector('#status').textContent));
    await page.click('#stop');
    await page.waitForSelector('main[data-state="ready"]');
    assert.equal(await page.textContent('#status'), 'Stopped.');
    for (let i = 0; i < 50 && page.workers().length > 0; i += 1) await page.waitForTimeout(100);
    assert.equal(page.workers().length, 0);
    assert.ok(await page.isEnabled('#start'));
  });

  test('without its data, and without a library, it says what to do', async () => {
    await open();
    for (const box of await page.locator('#peers input').all()) await box.uncheck();
    await page.click('#start');
    assert.equal(await page.textContent('#error'), 'Tick at least one library.');
    site.answers[DATA] = (request, response) => response.writeHead(404).end();
    await page.goto(`${site.origin}/www/bench.html`);
    await page.waitForSelector('main[data-state="error"]');
    assert.match(await page.textContent('#error'), /npm run bench -- --page/);
  });

  test('states the policy of the demo', () => {
    const policy = (file) => /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(readFileSync(join(ROOT, 'www', file), 'utf8'))[1];
    assert.equal(policy('bench.html'), policy('index.html'));
  });
});
