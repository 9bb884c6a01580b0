// transformers.js on tractlet/ort, by nothing but a bundler's alias, beside transformers.js on onnxruntime-web, in the same
// browser.
//
// Only the build for browsers is used of transformers.js. So package.json keeps npm from installing what its Node build
// needs, onnxruntime-node (300 MB) and sharp, by an override that puts a small package in their places, and gives it the
// onnxruntime-web that the benchmarks use.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as esbuild from 'esbuild';
import { CACHE, DIST, ROOT } from '../../scripts/lib/paths.mjs';
import { openChromium } from './lib/chromium.mjs';

const PHOTOS = [1, 4, 10].map((i) => `/.cache/fixtures/photos/foolbox-${String(i).padStart(2, '0')}.png`);
const TEXTS = ['The cat sat on the mat.', 'A quick brown fox jumps over the lazy dog!', 'unknown words, running'];
const ORT_WASM = '/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm';

/** Probabilities of an int8 net: a few quanta of the scores. */
const SCORE_TOLERANCE = 0.03;
/** Dynamic quantization rounds activations at run time; a value at the border between two quanta may go either way. */
const EMBEDDING_TOLERANCE = 0.02;

let folder;
let chromium;
let ours;
let theirs;

/** The alias for esbuild that the guide tells people to write. */
function documentedAlias() {
  const guide = readFileSync(join(ROOT, 'docs/migration-onnxruntime-web.md'), 'utf8');
  const [, alias] = /esbuild\.build\(\{ alias: (\{.*\}) \}\)/.exec(guide);
  return JSON.parse(alias.replaceAll("'", '"'));
}

/** Bundles the app; gives the address of the module. */
async function bundle(name, alias) {
  const outdir = join(folder, name);
  const { metafile } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: { app: 'tests/e2e/pages/transformers.js' },
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    metafile: true,
    alias,
    logLevel: 'error',
  });
  return { url: `/${relative(ROOT, outdir)}/app.js`, outdir, inputs: Object.keys(metafile.inputs) };
}

before(async () => {
  await mkdir(CACHE, { recursive: true });
  folder = await mkdtemp(join(CACHE, 'tests-e2e-transformers-'));
  ours = await bundle('tractlet', documentedAlias());
  // What the package finds beside its JavaScript.
  for (const file of await readdir(DIST)) {
    if (/\.(js|wasm)$/.test(file)) await cp(join(DIST, file), join(ours.outdir, file), { force: false });
  }
  theirs = await bundle('onnxruntime', { 'onnxruntime-web/webgpu': 'onnxruntime-web/wasm' });
  chromium = await openChromium({ folders: [relative(ROOT, folder), 'node_modules/onnxruntime-web/dist'] });
});

after(async () => {
  await chromium?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Runs one of the app's functions on both runtimes, in a fresh page. */
async function both(name, argument) {
  const page = await chromium.openPage();
  const run = ({ url, settings }) =>
    page.evaluate(
      async ({ url, settings, name, argument }) => {
        const app = await import(url);
        Object.assign(app.env.backends.onnx.wasm, settings);
        return app[name](argument);
      },
      { url, settings, name, argument },
    );
  const before = chromium.requests.length;
  const mine = await run({ url: ours.url, settings: {} });
  const requests = chromium.requests.slice(before);
  // Sent no later than the last answer, and none of it to another server, or for files of onnxruntime.
  assert.deepEqual(requests.filter((url) => !url.startsWith(chromium.origin) && !/^(blob|data):/.test(url)), []);
  assert.deepEqual(requests.filter((url) => url.includes('ort-wasm')), []);
  assert.ok(requests.some((url) => /engine.*\.wasm$/.test(url)));
  const reference = await run({ url: theirs.url, settings: { wasmPaths: { wasm: ORT_WASM } } });
  assert.ok(chromium.requests.some((url) => url.endsWith(ORT_WASM)));
  await page.close();
  return [mine, reference];
}

describe('transformers.js', () => {
  test('is bundled without onnxruntime', () => {
    assert.ok(ours.inputs.some((file) => file.endsWith('transformers.web.js')));
    assert.ok(ours.inputs.includes('dist/ort.js'));
    assert.deepEqual(ours.inputs.filter((file) => /onnxruntime/.test(file)), []);
    assert.ok(theirs.inputs.some((file) => file.includes('onnxruntime-web/dist/ort.wasm')));
    assert.ok(!theirs.inputs.includes('dist/ort.js'));
  });

  test('image-classification: the same labels, in the same order', async () => {
    const [mine, reference] = await both('classify', PHOTOS);
    assert.equal(mine.length, PHOTOS.length);
    for (const [i, results] of mine.entries()) {
      assert.equal(results.length, 3);
      assert.equal(results[0].label, reference[i][0].label, PHOTOS[i]);
      for (const { label, score } of results) {
        const same = reference[i].find((other) => other.label === label);
        if (same) assert.ok(Math.abs(score - same.score) <= SCORE_TOLERANCE, `${PHOTOS[i]}, ${label}: ${score}, ${same.score}`);
      }
    }
    // Different photographs give different answers.
    assert.equal(new Set(mine.map(([{ label }]) => label)).size, PHOTOS.length);
  });

  test('feature-extraction: the same embeddings', async () => {
    const [mine, reference] = await both('embed', TEXTS);
    assert.deepEqual(mine.map(({ dims }) => dims), reference.map(({ dims }) => dims));
    assert.deepEqual(mine[0].dims, [1, 64]);
    assert.equal(mine[1].dims[0], TEXTS.length);
    mine.forEach(({ data }, k) => {
      const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - reference[k].data[i])), 0);
      assert.ok(worst <= EMBEDDING_TOLERANCE, `output ${k}: ${worst}`);
      assert.ok(Math.max(...data) - Math.min(...data) > 0.2, `output ${k} is nearly constant`);
    });
  });
});
