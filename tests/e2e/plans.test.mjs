// Plans in Chromium: saved ones, and those that are kept of .onnx files between visits.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { cli } from '../js/lib/cli.mjs';
import { readTensor } from '../js/lib/tensor-proto.mjs';
import { openChromium, readBytes, readJson } from './lib/chromium.mjs';

const PHOTO = '/.cache/fixtures/photos/foolbox-10.png';
const CARD = '/models/efficientnet-lite0-int8.json';
const MODEL = '/models/efficientnet-lite0-int8.onnx';
const OPERATORS = '.cache/fixtures/operators';
const SYMBOLIC = `${OPERATORS}/symbolic/batch_u8s8_channel`;
const EXTERNAL = `${OPERATORS}/external/one_file`;

describe('plans', () => {
  let browser;
  let folder;
  before(async () => {
    browser = await openChromium();
    folder = mkdtempSync(join(tmpdir(), 'tractlet-plans-'));
  });
  after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true });
  });

  /** Does something in a page of its own; gives what comes out, and the names of the files that were asked for. */
  async function visit(work, argument) {
    browser.requests.length = 0;
    const page = await browser.openPage();
    try {
      const value = await page.evaluate(work, argument);
      const files = browser.requests.map((url) => basename(new URL(url).pathname));
      return { value, files, compiler: files.includes('compiler.wasm') };
    } finally {
      await page.close();
    }
  }

  /** Waits until so many plans are kept; gives their keys. In the page. */
  const waitForPlans = async (count) => {
    const page = await browser.openPage();
    try {
      return await page.evaluate(async (count) => {
        const keys = async () => {
          const cache = await caches.open('tractlet');
          const all = (await cache.keys()).map(({ url }) => decodeURIComponent(new URL(url).pathname.slice(1)));
          return all.filter((key) => key.startsWith('plan '));
        };
        for (let i = 0; i < 400; i++) {
          const plans = (await keys()).filter((key) => !key.startsWith('plan of'));
          if (plans.length === count) break;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        // What is more would come soon.
        await new Promise((resolve) => setTimeout(resolve, 200));
        return (await keys()).sort();
      }, count);
    } finally {
      await page.close();
    }
  };

  /** Changes the plans that are kept, by a function of their bytes and headers. In the page. */
  const changePlans = (change) => visit(`(${async (change) => {
    const cache = await caches.open('tractlet');
    for (const request of await cache.keys()) {
      if (!decodeURIComponent(request.url).includes('/plan [')) continue;
      const kept = await cache.match(request);
      const bytes = new Uint8Array(await kept.arrayBuffer());
      const headers = Object.fromEntries(kept.headers);
      await change(bytes, headers);
      await cache.put(request, new Response(bytes, { headers }));
    }
  }})(${change})`);

  const forget = () => visit(() => caches.delete('tractlet'));

  const classifyByCard = async ([card, options, wait = 0]) => {
    const classifier = await tractlet.ImageClassifier.create(card, options);
    const { compiler } = classifier.session.runtime;
    const classes = [...(await classifier.classify(new Blob([await fetchBytes('/.cache/fixtures/photos/foolbox-10.png')])))];
    // A worker that is ended keeps nothing any more.
    await new Promise((resolve) => setTimeout(resolve, wait));
    await classifier.release();
    return { classes, compiler };
  };

  describe('saved', () => {
    test('a plan classifies without the compiler, even if that is deleted from the server', async () => {
      const file = join(folder, 'lite0.plan');
      const compiled = await cli(['compile', join(ROOT, MODEL), '-o', file, '--quiet']);
      assert.equal(compiled.code, 0, compiled.stderr);
      const ran = await cli(['run', file, '--card', join(ROOT, CARD), '--image', join(ROOT, PHOTO), '--json', '--quiet']);
      assert.equal(ran.code, 0, ran.stderr);

      const plan = readFileSync(file);
      await browser.context.route('**/saved.plan', (route) => route.fulfill({ body: plan, contentType: 'application/octet-stream' }));
      const { sha256, bytes, ...card } = readJson(CARD);
      assert.ok(sha256 && bytes);
      const body = JSON.stringify({ ...card, model: '/saved.plan', labels: '/models/imagenet-labels.json' });
      await browser.context.route('**/saved.json', (route) => route.fulfill({ body, contentType: 'application/json' }));
      let asked = 0;
      await browser.context.route('**/compiler.wasm', (route) => {
        asked++;
        return route.fulfill({ status: 404, body: 'Not found' });
      });
      try {
        for (const worker of [undefined, false]) {
          const { value, compiler } = await visit(classifyByCard, ['/saved.json', { worker, cache: false }]);
          assert.equal(compiler, false);
          assert.equal(value.compiler, false);
          // The same pixels, the same integers: to the last digit what the terminal prints.
          assert.deepEqual(value.classes, JSON.parse(ran.stdout).classes);
        }
        assert.equal(asked, 0);
        const { value } = await visit((model) => attempt(() => tractlet.InferenceSession.create(model, { cache: false })), MODEL);
        assert.equal(value.error.code, 'WASM_LOAD');
        assert.ok(asked > 0, 'the file is gone, and an .onnx file needs it');
      } finally {
        await browser.context.unroute('**/compiler.wasm');
      }
    });

    test('a page compiles plans, the same as the command does', async () => {
      const file = join(folder, 'same.plan');
      const samples = [0, 1, 2].map((k) => readTensor(readBytes(`${SYMBOLIC}/sample_${k}/input_0.pb`)));
      const sets = [...new Set(samples.map(({ dims }) => String(dims)))];
      assert.ok(sets.length > 1);
      const compiled = await cli(['compile', join(ROOT, SYMBOLIC, 'model.onnx'), '-o', file, ...sets.flatMap((dims) => ['--shape', dims])]);
      assert.equal(compiled.code, 0, compiled.stderr);
      const { value } = await visit(async ({ model, name, sets, inputs }) => {
        const events = [];
        const shapes = sets.map((dims) => ({ [name]: dims.split(',').map(Number) }));
        const plan = await tractlet.compileModel(model, { shapes, onProgress: ({ status, progress }) => status === 'compile' && events.push(progress) });
        const session = await tractlet.InferenceSession.create(plan);
        const outputs = [];
        for (const input of inputs) outputs.push(portable(await session.run(await loadFeeds([input]))));
        await session.release();
        const raw = await runCase({ model, samples: inputs.map((input) => [input]) }, { cache: false });
        const aborted = new AbortController();
        aborted.abort();
        const wrong = [
          await attempt(() => tractlet.compileModel(model)),
          await attempt(() => tractlet.compileModel(model, { shapes: [{ [name]: [1] }] })),
          await attempt(() => tractlet.compileModel(model, { shapes: [{ [name]: 'x' }] })),
          await attempt(() => tractlet.compileModel(plan)),
          await attempt(() => tractlet.inspectModel(model, { shape: [] })),
        ];
        const reason = await tractlet.compileModel(model, { signal: aborted.signal }).catch((error) => error.name);
        const found = await tractlet.inspectModel(plan);
        return { plan: Array.from(plan), events, outputs, raw, wrong, reason, found };
      }, { model: `/${SYMBOLIC}/model.onnx`, name: samples[0].name, sets, inputs: [0, 1, 2].map((k) => `/${SYMBOLIC}/sample_${k}/input_0.pb`) });
      assert.deepEqual(Buffer.from(value.plan), readFileSync(file));
      assert.deepEqual(value.outputs, value.raw);
      assert.equal(value.events.at(-1), 100);
      assert.deepEqual(value.wrong.map(({ error }) => error?.code), ['MISSING_INPUT', 'INPUT_SHAPE', 'INVALID_OPTION', 'INVALID_OPTION', 'INVALID_OPTION']);
      for (const { error } of value.wrong) assert.ok(error.typed && error.hint, error.message);
      assert.equal(value.reason, 'AbortError');
      assert.equal(value.found.format, 'plan');
      assert.equal(value.found.variants.length, sets.length);
    });
  });

  describe('kept', () => {
    beforeEach(forget);

    test('a model whose hash is known is compiled once, and never downloaded again', async () => {
      const first = await visit(classifyByCard, [CARD, {}, 1000]);
      assert.equal(first.compiler, true);
      assert.ok(first.files.includes(basename(MODEL)));
      const keys = await waitForPlans(1);
      assert.equal(keys.length, 2, `a plan, and a note of its address: ${keys}`);
      for (const options of [{}, { worker: false }]) {
        const second = await visit(classifyByCard, [CARD, options]);
        assert.equal(second.compiler, false, second.files.join(' '));
        assert.ok(!second.files.includes(basename(MODEL)), second.files.join(' '));
        assert.deepEqual(second.value, first.value);
      }
    });

    const runModel = async ({ model, input, options, wrap, wait = 0 }) => {
      const bytes = wrap && (await fetchBytes(model));
      const session = await tractlet.InferenceSession.create(wrap ? (wrap === 'stream' ? new Blob([bytes]).stream() : new globalThis[wrap]([bytes].flat())) : model, options);
      const outputs = portable(await session.run(await loadFeeds([input])));
      const { runtime: { compiler }, inputMetadata } = session;
      // A worker that is ended keeps nothing any more.
      await new Promise((resolve) => setTimeout(resolve, wait));
      await session.release();
      return { outputs, compiler, shape: inputMetadata[0].shape };
    };

    /** A small model with fixed sizes. */
    const small = `${OPERATORS}/qlinear_conv/3x3_pad1_u8s8`;
    const smallCase = { model: `/${small}/model.onnx`, input: `/${small}/sample_0/input_0.pb` };

    test('a model whose hash is not known is looked up by its contents', async () => {
      const first = await visit(runModel, { ...smallCase, wait: 1000 });
      assert.equal(first.compiler, true);
      await waitForPlans(1);
      for (const wrap of [undefined, 'Blob', 'stream']) {
        const again = await visit(runModel, { ...smallCase, wrap });
        assert.equal(again.compiler, false, String(wrap));
        assert.deepEqual(again.value, first.value);
      }
      await waitForPlans(1);
    });

    test('another model at the same address is noticed, and takes the place', async () => {
      const first = await visit(runModel, { ...smallCase, wait: 1000 });
      const [plan] = await waitForPlans(1);
      const other = readBytes(`${OPERATORS}/qlinear_conv/3x3_pad1_u8u8/model.onnx`);
      const pattern = `**/${small}/model.onnx`;
      await browser.context.route(pattern, (route) => route.fulfill({ body: Buffer.from(other), contentType: 'application/octet-stream' }));
      try {
        const second = await visit(runModel, { ...smallCase, wait: 1000 });
        assert.equal(second.compiler, true);
        assert.notDeepEqual(second.value.outputs, first.value.outputs);
        const want = await visit(runModel, { ...smallCase, model: `/${OPERATORS}/qlinear_conv/3x3_pad1_u8u8/model.onnx`, options: { cache: false } });
        assert.deepEqual(second.value.outputs, want.value.outputs);
        const keys = await waitForPlans(1);
        assert.ok(!keys.includes(plan), 'the old one is gone');
      } finally {
        await browser.context.unroute(pattern);
      }
    });

    test('what is damaged, or of another version, is dropped and made again', async () => {
      const first = await visit(classifyByCard, [CARD, {}, 1000]);
      await waitForPlans(1);
      const hashed = async (bytes, headers) => {
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        headers['x-tractlet-sha256'] = `sha256-${btoa(String.fromCharCode(...digest))}`;
      };
      for (const [what, change] of Object.entries({
        'one bit of a weight': (bytes) => { bytes[bytes.length - 1000] ^= 1; },
        'no contents': (bytes) => bytes.fill(0),
        'another version of the package': (_, headers) => { headers['x-tractlet-version'] = '0.0.0'; },
        'another version of plans': `async (bytes, headers) => { bytes[8] += 1; await (${hashed})(bytes, headers); }`,
        'steps that make no sense': `async (bytes, headers) => { bytes.fill(255, 16, 4000); await (${hashed})(bytes, headers); }`,
      })) {
        await changePlans(change);
        const { value, compiler } = await visit(classifyByCard, [CARD, {}, 1000]);
        assert.equal(compiler, true, what);
        assert.deepEqual(value, first.value, what);
        await waitForPlans(1);
        const again = await visit(classifyByCard, [CARD]);
        assert.equal(again.compiler, false, `${what}: made again`);
        assert.deepEqual(again.value, first.value, what);
      }
    });

    test('nothing is kept where that is not wanted', async () => {
      const first = await visit(runModel, { ...smallCase, options: { cache: false } });
      const second = await visit(async (argument) => {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        return [await caches.keys(), argument];
      });
      assert.deepEqual(second.value[0], []);
      const third = await visit(runModel, { ...smallCase, options: { cache: false } });
      assert.equal(third.compiler, true);
      assert.deepEqual(third.value, first.value);
    });

    test('nor where the server does not want it', async () => {
      const pattern = `**/${small}/model.onnx`;
      const body = Buffer.from(readBytes(`${small}/model.onnx`));
      await browser.context.route(pattern, (route) => route.fulfill({ body, headers: { 'cache-control': 'private, no-store' }, contentType: 'application/octet-stream' }));
      try {
        const first = await visit(runModel, { ...smallCase, wait: 1000 });
        assert.deepEqual(await waitForPlans(0), []);
        const second = await visit(runModel, smallCase);
        assert.equal(second.compiler, true);
        assert.deepEqual(second.value, first.value);
      } finally {
        await browser.context.unroute(pattern);
      }
    });

    test('in a place of the caller\'s own', async () => {
      const { value } = await visit(async ({ model, input }) => {
        const kept = new Map();
        const asked = [];
        const cache = {
          match: async (key) => { asked.push(key); return kept.get(key)?.clone(); },
          put: async (key, response) => { kept.set(key, new Response(await response.arrayBuffer(), { headers: response.headers })); },
          delete: async (key) => kept.delete(key),
        };
        const results = [];
        for (const worker of [true, false, true]) {
          const session = await tractlet.InferenceSession.create(model, { cache, worker });
          results.push(portable(await session.run(await loadFeeds([input]))));
          for (let i = 0; i < 200 && ![...kept.keys()].some((key) => decodeURIComponent(key).includes('plan of')); i++) await new Promise((resolve) => setTimeout(resolve, 50));
          await session.release();
        }
        return { results, keys: [...kept.keys()].map((key) => decodeURIComponent(key)), own: await caches.keys() };
      }, smallCase);
      assert.equal(value.keys.filter((key) => /plan (of )?\[/.test(key)).length, 2);
      assert.deepEqual(value.own, []);
      assert.deepEqual(value.results[1], value.results[0]);
      assert.deepEqual(value.results[2], value.results[0]);
    });

    test('options and external data tell plans apart', async () => {
      const dims = readTensor(readBytes(`${SYMBOLIC}/sample_0/input_0.pb`)).dims;
      const model = `/${SYMBOLIC}/model.onnx`;
      const input = `/${SYMBOLIC}/sample_0/input_0.pb`;
      const free = (await visit(async (model) => (await tractlet.inspectModel(model, { cache: false })).inputs[0].shape, model)).value;
      const at = free.findIndex((size) => typeof size === 'string');
      await visit(runModel, { model, input, options: { freeDimensionOverrides: { [free[at]]: dims[at] } }, wait: 1000 });
      await waitForPlans(1);
      const other = await visit(async ({ model, options }) => {
        const session = await tractlet.InferenceSession.create(model, options);
        await session.release();
        return session.inputMetadata[0].shape;
      }, { model, options: { freeDimensionOverrides: { [free[at]]: dims[at] + 1 } } });
      assert.equal(other.compiler, true);
      assert.equal(other.value[at], dims[at] + 1);

      await forget();
      const files = { model: `/${EXTERNAL}/model.onnx`, input: `/${EXTERNAL}/sample_0/input_0.pb`, options: { externalData: [{ path: 'weights.bin', data: `/${EXTERNAL}/weights.bin` }] } };
      const first = await visit(runModel, { ...files, wait: 1000 });
      await waitForPlans(1);
      const second = await visit(runModel, files);
      assert.equal(second.compiler, false);
      assert.deepEqual(second.value, first.value);
      const weights = readBytes(`${EXTERNAL}/weights.bin`);
      weights.reverse();
      await browser.context.route('**/weights.bin', (route) => route.fulfill({ body: Buffer.from(weights), contentType: 'application/octet-stream' }));
      try {
        const third = await visit(runModel, files);
        assert.equal(third.compiler, true);
        assert.notDeepEqual(third.value.outputs, first.value.outputs);
      } finally {
        await browser.context.unroute('**/weights.bin');
      }
    });

    test('sizes that are open: a plan grows with the sizes that were used', async () => {
      const inputs = [0, 1, 2].map((k) => `/${SYMBOLIC}/sample_${k}/input_0.pb`);
      const dims = inputs.map((_, k) => String(readTensor(readBytes(`${SYMBOLIC}/sample_${k}/input_0.pb`)).dims));
      const different = inputs.filter((_, i) => dims.indexOf(dims[i]) === i);
      assert.ok(different.length > 1);
      const run = async ({ model, inputs }) => {
        const session = await tractlet.InferenceSession.create(model);
        const before = performance.getEntriesByType('resource').length;
        const outputs = [];
        for (const input of inputs) outputs.push(portable(await session.run(await loadFeeds([input]))));
        const memory = await session.memory();
        // Plans are kept once a session rests.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await session.release();
        return { outputs, compiler: memory.compiler > 0, before };
      };
      const model = `/${SYMBOLIC}/model.onnx`;
      const want = (await visit(runCaseOf, { model, inputs: different })).value;
      await forget();

      const first = await visit(run, { model, inputs: different.slice(0, 1) });
      assert.equal(first.compiler, true);
      await waitForPlans(1);
      const second = await visit(run, { model, inputs: different.slice(0, 1) });
      assert.equal(second.compiler, false);
      assert.equal(second.value.compiler, false);
      // A size that is not kept has the compiler loaded after all.
      const third = await visit(run, { model, inputs: [different[0], different[1], different[0]] });
      assert.equal(third.compiler, true);
      assert.equal(third.value.compiler, true);
      assert.deepEqual(third.value.outputs, [want[0], want[1], want[0]]);
      // From now on both are kept.
      const fourth = await visit(run, { model, inputs: [different[1], different[0]] });
      assert.equal(fourth.compiler, false);
      assert.deepEqual(fourth.value.outputs, [want[1], want[0]]);
      await waitForPlans(1);
    });

    test('inputs that are wrong stay errors, and do not load the compiler', async () => {
      const model = `/${SYMBOLIC}/model.onnx`;
      const input = `/${SYMBOLIC}/sample_0/input_0.pb`;
      const run = async ({ model, input, wrong }) => {
        const session = await tractlet.InferenceSession.create(model);
        const feeds = await loadFeeds([input]);
        const [[name, tensor]] = Object.entries(feeds);
        const results = wrong && [
          await attempt(() => session.run({})),
          await attempt(() => session.run({ [name]: new tractlet.Tensor(tensor.type, tensor.data.slice(0, 1), [1]) })),
          await attempt(() => session.run({ ...feeds, other: tensor })),
        ];
        await session.run(feeds);
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await session.release();
        return results;
      };
      await visit(run, { model, input });
      await waitForPlans(1);
      const { value, compiler } = await visit(run, { model, input, wrong: true });
      assert.deepEqual(value.map(({ error }) => error?.code), ['MISSING_INPUT', 'INPUT_SHAPE', 'UNKNOWN_INPUT']);
      assert.equal(compiler, false);
    });

    test('models that need the compiler while they run are not kept', async () => {
      const open = (model) => tractlet.InferenceSession.create(model).then(async (session) => {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await session.release();
        return session.runtime.subgraphs;
      });
      // An If, which the engine has no step for.
      const model = `/${OPERATORS}/interface/if_fed/model.onnx`;
      const first = await visit(open, model);
      assert.ok(first.value > 0);
      assert.deepEqual(await waitForPlans(0), []);
      assert.equal((await visit(open, model)).compiler, true);
    });
  });
});

/** In the page: the outputs of a model for each input, without what is kept. */
function runCaseOf({ model, inputs }) {
  return runCase({ model, samples: inputs.map((input) => [input]) }, { cache: false });
}
