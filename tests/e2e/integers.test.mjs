// The same bytes everywhere: both committed models, in all browsers and Node, with all builds of the engine. The inputs are
// tensors, so that no decoder of pictures has a part in it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hashOutputs, readTensor } from '../js/lib/tensor-proto.mjs';
import { openChromium, readBytes, readJson } from './lib/chromium.mjs';
import { openHashPage } from './lib/hash-page.mjs';

const PHOTOS = 5;
const SIMD128 = '/dist/engine.wasm';
const RELAXED = '/dist/engine-relaxed.wasm';
const THREADS = '/dist/engine-threads.wasm';
const RELAXED_THREADS = '/dist/engine-relaxed-threads.wasm';

const models = readJson('.cache/fixtures/models/index.json')
  .filter(({ committed }) => committed)
  .map(({ name, file, photos }) => {
    const chosen = photos.filter(({ label }) => label !== null);
    // From all over the list.
    const inputs = Array.from({ length: PHOTOS }, (_, i) => chosen[Math.floor((i * chosen.length) / PHOTOS)].input);
    return { name, file, inputs };
  });

/** What Node makes of a model, with the build that runs everywhere: the hash of each output. */
async function hashesInNode({ file, inputs }) {
  const { InferenceSession, Tensor } = await import('../../dist/index.js');
  const session = await InferenceSession.create(readBytes(file), { wasm: { engine: readBytes(SIMD128.slice(1)) } });
  assert.equal(session.runtime.build, 'simd128');
  const hashes = [];
  for (const input of inputs) {
    const { name, type, dims, data } = readTensor(readBytes(input));
    hashes.push(await hashOutputs(await session.run({ [name]: new Tensor(type, data, dims) })));
  }
  await session.release();
  return hashes;
}

/** Ways to have the page: each gives { run(job), close() }, where run() calls the page's hashRuns. */
const PLACES = {
  async chromium(isolated) {
    const browser = await openChromium({ isolated });
    const page = await browser.openPage();
    return { run: (job) => page.evaluate((job) => hashRuns(job), job), close: browser.close };
  },
  firefox: (isolated) => openHashPage('firefox', isolated),
  webkit: (isolated) => openHashPage('webkit', isolated),
};

describe('the same bytes everywhere', () => {
  const expected = new Map();
  before(async () => {
    for (const model of models) expected.set(model.name, await hashesInNode(model));
  });

  test('the photos make a difference', () => {
    assert.equal(models.length, 2);
    for (const hashes of expected.values()) {
      assert.equal(new Set(hashes).size, PHOTOS, 'several photos have the same output');
      for (const hash of hashes) assert.match(hash, /^[0-9a-f]{64}$/);
    }
  });

  const testIn = (title, place, engines, counts = []) => describe(title, () => {
    let page;
    before(async () => {
      page = await PLACES[place](counts.length > 0);
    });
    after(() => page?.close());
    const options = [
      ...engines.map(([engine, build]) => ({ build, threads: 1, wasm: { engine } })),
      ...counts.flatMap((threads) => engines.map(([, build, engineThreads]) => ({ build, threads, wasm: { engineThreads } }))),
    ];
    for (const { build, threads, wasm } of options) {
      for (const { name, file, inputs } of models) {
        test(`${name}, ${build}, ${threads} thread${threads > 1 ? 's' : ''}`, async (t) => {
          const result = await page.run({ model: `/${file}`, inputs: inputs.map((path) => `/${path}`), options: { wasm, threads } });
          assert.equal(result.build, build);
          assert.equal(result.threads, threads, result.threadsReason);
          assert.deepEqual(result.hashes, expected.get(name), 'not the bytes that Node computes');
          t.diagnostic(`dot product: ${result.dot}`);
        });
      }
    }
  });

  const both = [[SIMD128, 'simd128', THREADS], [RELAXED, 'relaxed', RELAXED_THREADS]];
  testIn('Chromium', 'chromium', both, [2, 3]);
  testIn('Firefox', 'firefox', both, [2, 3]);
  // WebKitGTK has no relaxed SIMD.
  if (process.platform === 'linux') testIn('WebKitGTK', 'webkit', both.slice(0, 1));
});
