// `npm run bench:cold`: how long a first visitor waits for the first label, and a second one. See docs/benchmarks.md.
//
//   node benches/cold.mjs [--visits 5] [--json PATH]
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { findBrowser, webdriverCapabilities } from '../scripts/lib/browsers.mjs';
import { CACHE, DIST, ROOT } from '../scripts/lib/paths.mjs';
import { heading, print } from '../scripts/lib/report.mjs';
import { Stop, main, task } from '../scripts/lib/run.mjs';
import { serve } from '../scripts/serve.mjs';
import { describeEnvironment, watchProcessors } from './lib/environment.mjs';
import { foldersFor } from './lib/models.mjs';
import { PAGE_FOLDER } from './lib/page-data.mjs';
import { loadPeers } from './lib/peers.mjs';
import { waitUntilCompressed } from './lib/sizes.mjs';
import { openSlowLine } from './lib/slow-line.mjs';
import { median } from './lib/statistics.mjs';

const MODEL = 'models/efficientnet-lite0-int8';
const PLAN = `${PAGE_FOLDER}/efficientnet-lite0-int8.plan`;
const TFLITE = '.cache/bench-nets/efficientnet-lite0-qdq-s8s8-pc.tflite';
const PHOTO = 'www/photos/coffee.jpg';
const LABEL = 'espresso';
/** One core works for the page, and the server and the browser do something beside it. */
const BUSY_CORES_LIMIT = 1.6;
const NAMES = { inputName: 'input', outputName: 'logits' };

const ENTRIES = [
  { title: 'tractlet, saved plan', peer: 'tractlet', file: PLAN },
  { title: 'tractlet, .onnx', peer: 'tractlet', file: `${MODEL}.onnx` },
  { title: 'onnxruntime-web', peer: 'onnxruntime-web', file: `${MODEL}.onnx` },
  { title: 'LiteRT.js', peer: 'litert', file: TFLITE },
];
const LINES = [
  { title: '10 Mbit/s, 40 ms', bitsPerSecond: 10e6, roundTrip: 40 },
  { title: 'unthrottled', bitsPerSecond: Infinity, roundTrip: 0 },
];

async function visit(context, url) {
  const page = await context.newPage();
  try {
    await page.goto(url, { waitUntil: 'commit' });
    await page.waitForFunction(() => globalThis.result);
    const { error, label, milliseconds } = await page.evaluate(() => globalThis.result);
    if (error !== undefined) throw new Stop(`${url.split('#')[0]}: ${error}`);
    if (label !== LABEL) throw new Stop(`the photo is called '${label}', not '${LABEL}'`);
    // What is kept for the next visit is kept once the page is at rest.
    await page.waitForTimeout(1500);
    return milliseconds;
  } finally {
    await page.close();
  }
}

/** A page's address: what to do is in its hash, so that the server's answer is the same for all. */
function address(origin, peer, file) {
  const job = {
    peer: `${origin}/${peer.path}`, base: `${origin}/${peer.folder}/`, photo: `${origin}/${PHOTO}`,
    labels: `${origin}/models/imagenet-labels.json`, model: { url: `${origin}/${file}`, ...NAMES },
  };
  return `${origin}/benches/cold/#${encodeURIComponent(JSON.stringify(job))}`;
}

/** Times in milliseconds by entry: { cold: [], warm: [] }. */
async function measureLine(browser, server, line, peers, visits, note) {
  const slow = await openSlowLine(server.port, line);
  const origin = `http://localhost:${slow.port}`;
  const times = ENTRIES.map(() => ({ cold: [], warm: [] }));
  try {
    for (let round = 0; round < visits; round += 1) {
      const order = [...ENTRIES.keys()];
      if (round % 2) order.reverse();
      for (const i of order) {
        note(`${line.title}, ${round + 1} of ${visits}, ${ENTRIES[i].title}`);
        const url = address(origin, peers.get(ENTRIES[i].peer), ENTRIES[i].file);
        // A new context has an empty cache.
        const context = await browser.newContext();
        try {
          times[i].cold.push(await visit(context, url));
          times[i].warm.push(await visit(context, url));
        } finally {
          await context.close();
        }
      }
    }
  } finally {
    await slow.close();
  }
  return times;
}

/** Engine and plan are in memory: instantiation, the session, and the first result, in milliseconds. */
async function measureFromMemory(browser, server, visits) {
  const times = [];
  for (let i = 0; i < visits; i += 1) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`http://localhost:${server.port}/benches/page/`);
    times.push(await page.evaluate(async ({ plan, inputName, outputName }) => {
      const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
      const { InferenceSession, Tensor } = await import('/dist/index.js');
      const [engine, model] = await Promise.all([bytes('/dist/engine-relaxed.wasm'), bytes(plan)]);
      // The package's own scripts are there already.
      const feeds = { [inputName]: new Tensor('float32', new Float32Array(3 * 224 * 224).fill(0.5), [1, 3, 224, 224]) };
      await import('/dist/runtime.js');
      const start = performance.now();
      const session = await InferenceSession.create(model, { worker: false, cache: false, wasm: { engine } });
      const results = await session.run(feeds);
      const time = performance.now() - start;
      if (results[outputName].data.length !== 1000) throw new Error('not 1000 scores');
      return time;
    }, { plan: `/${PLAN}`, ...NAMES }));
    await context.close();
  }
  return times;
}

await main(import.meta.url, async () => {
  const { values } = parseArgs({ options: { visits: { type: 'string', default: '5' }, json: { type: 'string' } } });
  const visits = Number(values.visits);
  if (!Number.isInteger(visits) || visits < 1) throw new Stop(`--visits is '${values.visits}', which is not a number above 0`);
  heading('Cold start');
  if (!existsSync(join(ROOT, TFLITE))) throw new Stop(`${TFLITE} does not exist; 'npm run bench -- --quick' makes it`);
  const list = await task('Libraries', () => loadPeers([...new Set(ENTRIES.map(({ peer }) => peer))]));
  const peers = new Map(list.map((peer) => [peer.name, peer]));
  mkdirSync(join(ROOT, PAGE_FOLDER), { recursive: true });
  await task('Plan', ({ exec }) => exec(process.execPath, [join(DIST, 'cli.js'), 'compile', join(ROOT, `${MODEL}.onnx`), '-o', join(ROOT, PLAN)]));
  const found = await findBrowser('chromium');
  if (!found.binary) throw new Stop("Chromium is missing; 'npm run setup' installs it, or set CHROME_BIN");
  const { args } = webdriverCapabilities('chromium', found)['goog:chromeOptions'];
  const server = await serve({ port: 0, folders: ['www', PAGE_FOLDER, ...foldersFor(list)] });
  const browser = await chromium.launch({ executablePath: found.binary, args: args.filter((arg) => !arg.startsWith('--headless')) });
  try {
    await task('Compressing', async () => {
      const files = ['dist/engine.wasm', 'dist/engine-relaxed.wasm', 'dist/compiler.wasm', 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm', 'node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs', ...['index.js', 'litert_wasm_internal.js', 'litert_wasm_internal.wasm'].map((name) => `${peers.get('litert').folder}/${name}`)];
      for (const file of files) await waitUntilCompressed(`${server.url}${file}`);
      // The small ones, too: each is compressed when it is first asked for.
      for (const { peer, file } of ENTRIES) {
        const context = await browser.newContext();
        await visit(context, address(`http://localhost:${server.port}`, peers.get(peer), file));
        await context.close();
      }
    });
    const environment = await describeEnvironment(browser);
    const busyCores = watchProcessors();
    const lines = [];
    for (const line of LINES) lines.push({ ...line, times: await task(line.title, ({ note }) => measureLine(browser, server, line, peers, visits, note)) });
    const memory = await task('From memory', () => measureFromMemory(browser, server, visits));
    environment.busyCores = busyCores();

    print();
    print(`${'milliseconds to the first label'.padEnd(34)}${LINES.flatMap(({ title }) => [`${title}, cold`, 'warm']).map((text) => text.padStart(24)).join('')}`);
    for (const [i, { title }] of ENTRIES.entries()) {
      const cells = lines.flatMap(({ times }) => [times[i].cold, times[i].warm]).map((values) => `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)})`);
      print(`${title.padEnd(34)}${cells.map((text) => text.padStart(24)).join('')}`);
    }
    print(`Engine and plan in memory to the first result: ${median(memory).toFixed(1)} ms (${Math.min(...memory).toFixed(1)}–${Math.max(...memory).toFixed(1)})`);
    if (environment.busyCores > BUSY_CORES_LIMIT) print('! Other programs were at work: the times are too long, and not to be quoted.');
    print(`Medians of ${visits} visits (least–most). ${environment.browser} · ${environment.cpu}, ${environment.cores} cores · cores busy meanwhile ${environment.busyCores.toFixed(2)}`);
    const versions = Object.fromEntries([...peers].map(([name, { version }]) => [name, version]));
    const path = values.json ?? join(CACHE, 'bench', `cold-${environment.date.replace(/[:.]/g, '-')}.json`);
    mkdirSync(join(CACHE, 'bench'), { recursive: true });
    writeFileSync(path, `${JSON.stringify({ environment, versions, visits, entries: ENTRIES, lines: lines.map((line) => ({ ...line, bitsPerSecond: String(line.bitsPerSecond) })), memory }, null, 1)}\n`);
    print(`Figures: ${relative(process.cwd(), path)}`);
  } finally {
    await browser.close();
    await server.close();
  }
});
