// What is wrong with an input is said by a typed error with a code and a hint, while a second session goes on working.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { readTensor } from '../js/lib/tensor-proto.mjs';
import { openChromium, readBytes, readJson } from './lib/chromium.mjs';

const OPERATORS = '.cache/fixtures/operators';
const WITNESS = `${OPERATORS}/qlinear_conv`;
const MODEL = 'models/squeezenet1.1-int8.onnx';
const CARD = '/models/squeezenet1.1-int8.json';
const SEEDS = 20;

const index = readJson(`${OPERATORS}/index.json`);
const invalid = index.filter((entry) => entry.group === 'invalid');
const startsWith = (prefix) => invalid.filter((entry) => entry.case.startsWith(prefix));
const witnessCase = index.find((entry) => entry.group === 'qlinear_conv' && entry.tolerance.kind === 'exact').case;

/** What an error has to be. */
function checkError(error, codes, Class, what) {
  const text = `${what}: ${JSON.stringify(error)}`;
  assert.ok(error, `${what}: there was no error`);
  assert.equal(error.typed, true, text);
  assert.ok(codes.includes(error.code), `${text}, not ${codes}`);
  if (Class) {
    assert.equal(error.name, Class, text);
    assert.ok(error.classes.includes(Class), text);
  }
  assert.ok(error.message.length > 10 && !/undefined|\[object|panicked|unreachable/.test(error.message), text);
  assert.ok(error.hint?.length > 10, `no hint in ${text}`);
}

describe('errors in Chromium', () => {
  let browser;
  let page;
  let want;
  before(async () => {
    browser = await openChromium();
    page = await browser.openPage();
    const folder = `${WITNESS}/${witnessCase}`;
    const { data } = readTensor(readBytes(`${folder}/sample_0/output_0.pb`));
    want = Array.from(new Uint8Array(data.buffer));
    await page.evaluate(async ({ model, input }) => {
      globalThis.witness = await tractlet.InferenceSession.create(model);
      globalThis.witnessFeeds = await loadFeeds([input]);
    }, { model: `/${folder}/model.onnx`, input: `/${folder}/sample_0/input_0.pb` });
  });
  after(() => browser?.close());

  /** The page's outcome of `work`, while and after which the second session still works. */
  const attemptBeside = async (work, argument) => {
    const outcome = await page.evaluate(async ([source, argument]) => {
      const call = globalThis.works[source];
      const [outcome, during] = await Promise.all([attempt(() => call(argument)), attempt(() => witness.run(witnessFeeds).then(portable))]);
      const later = await attempt(() => witness.run(witnessFeeds).then(portable));
      return { outcome, during, later };
    }, [work, argument]);
    for (const when of ['during', 'later']) {
      assert.equal(outcome[when].error, undefined, `${work}: the second session ${when}`);
      assert.deepEqual(outcome[when].value[0].data, want, `${work}: the second session ${when}`);
    }
    return outcome.outcome;
  };

  /** Hands `works` to the page, where attemptBeside finds them by name. */
  const define = async (works) => {
    // As functions of the page: its policy forbids making them from text there.
    for (const [name, work] of Object.entries(works)) {
      const handle = await page.evaluateHandle(`(${work})`);
      await page.evaluate(([name, work]) => { (globalThis.works ??= {})[name] = work; }, [name, handle]);
    }
  };

  before(async () => {
    await define({
      create: async ({ source, base64, run, external, options }) => {
        const bytes = base64 === undefined ? undefined : Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        const session = await tractlet.InferenceSession.create(bytes ?? source, { ...options, ...(external && { externalData: external }) });
        try {
          if (!run) return 'loaded';
          const size = (dimension) => (typeof dimension === 'number' ? dimension : 1);
          const feeds = Object.fromEntries(session.inputMetadata.map(({ name, type, shape }) => {
            const dims = shape.map(size);
            const count = dims.reduce((product, dimension) => product * dimension, 1);
            const zero = type === 'string' ? '' : type.endsWith('64') && type !== 'float64' ? 0n : 0;
            return [name, new tractlet.Tensor(type, Array.from({ length: count }, () => zero), dims)];
          }));
          await session.run(feeds);
          return 'ran';
        } finally {
          await session.release();
        }
      },
      run: async (kind) => {
        const { InferenceSession, Tensor } = tractlet;
        const session = await InferenceSession.create('/models/squeezenet1.1-int8.onnx');
        const [input] = session.inputNames;
        const dims = session.inputMetadata[0].shape.map((size) => (typeof size === 'number' ? size : 1));
        const count = dims.reduce((product, size) => product * size, 1);
        const good = new Tensor('float32', new Float32Array(count), dims);
        const withValue = (value) => {
          const data = new Float32Array(count);
          data[count - 1] = value;
          return { [input]: new Tensor('float32', data, dims) };
        };
        const calls = {
          good: () => session.run({ [input]: good }),
          name: () => session.run({ nothing: good, [input]: good }),
          missing: () => session.run({}),
          type: () => session.run({ [input]: new Tensor('uint8', new Uint8Array(count), dims) }),
          array: () => session.run({ [input]: new Float32Array(count) }),
          rank: () => session.run({ [input]: new Tensor('float32', new Float32Array(count), dims.slice(1)) }),
          shape: () => session.run({ [input]: new Tensor('float32', new Float32Array(count), [dims[0], dims[1], dims[2] * dims[3], 1]) }),
          nan: () => session.run(withValue(NaN)),
          output: () => session.run({ [input]: good }, ['nothing']),
          option: () => session.run({ [input]: good }, { signals: 1 }),
        };
        try {
          await calls[kind]();
        } catch (error) {
          // The session itself is as good as before.
          await calls.good();
          throw error;
        } finally {
          await session.release();
        }
      },
      allowNaN: async () => {
        const { InferenceSession, Tensor } = tractlet;
        const session = await InferenceSession.create('/models/squeezenet1.1-int8.onnx', { allowNaN: true });
        const dims = session.inputMetadata[0].shape.map((size) => (typeof size === 'number' ? size : 1));
        const data = new Float32Array(dims.reduce((product, size) => product * size, 1)).fill(NaN);
        await session.run({ [session.inputNames[0]]: new Tensor('float32', data, dims) });
        await session.release();
      },
      gather: async ({ model, input, value }) => {
        const { InferenceSession, Tensor } = tractlet;
        const session = await InferenceSession.create(model);
        const feeds = await loadFeeds([input]);
        try {
          const [name] = session.inputNames;
          const { type, dims, data } = feeds[name];
          const bad = data.slice();
          bad[bad.length - 1] = typeof bad[0] === 'bigint' ? BigInt(value) : value;
          const before = JSON.stringify(portable(await session.run(feeds)));
          const outcome = await session.run({ [name]: new Tensor(type, bad, dims) }).then(() => undefined, (error) => error);
          if (JSON.stringify(portable(await session.run(feeds))) !== before) throw new Error('the session computes something else');
          if (outcome) throw outcome;
        } finally {
          await session.release();
        }
      },
      classify: async ({ kind, worker }) => {
        const classifier = await tractlet.ImageClassifier.create('/models/squeezenet1.1-int8.json', { worker });
        const canvas = (width, height) => Object.assign(document.createElement('canvas'), { width, height });
        const images = {
          empty: () => ({ data: new Uint8ClampedArray(0), width: 0, height: 0 }),
          emptyCanvas: () => canvas(0, 0),
          notLoaded: () => new Image(),
          emptyVideo: () => document.createElement('video'),
          closed: async () => {
            const bitmap = await createImageBitmap(canvas(4, 4));
            bitmap.close();
            return bitmap;
          },
          broken: () => Object.assign(new Image(), { src: '/tests/e2e/pages/index.html' }),
          short: () => ({ data: new Uint8Array(4 * 9 - 1), width: 3, height: 3 }),
          rgb: () => ({ data: new Uint8Array(3 * 9), width: 3, height: 3 }),
          floats: () => ({ data: new Float32Array(4 * 9), width: 3, height: 3 }),
          fraction: () => ({ data: new Uint8Array(4 * 9), width: 1.5, height: 6 }),
          huge: () => ({ data: new Uint8Array(4), width: 20000, height: 20000 }),
          long: () => ({ data: new Uint8Array(4 * 40000), width: 40000, height: 1 }),
          hugePng: () => new Blob([globalThis.hugePng], { type: 'image/png' }),
          text: () => new Blob(['this is no picture'], { type: 'image/png' }),
          emptyBlob: () => new Blob([]),
          html: async () => (await fetch('/tests/e2e/pages/index.html')).blob(),
          cutPng: async () => (await (await fetch('/.cache/fixtures/photos/foolbox-10.png')).blob()).slice(0, 40),
          string: () => '/photo.png',
          null: () => null,
        };
        try {
          // 64 by 64 grey pixels: classified before and after the failure.
          const grey = { data: new Uint8Array(4 * 64 * 64).fill(128), width: 64, height: 64 };
          const before = JSON.stringify(await classifier.classify(grey));
          const image = await images[kind]();
          const outcome = await classifier.classify(image).then(() => undefined, (error) => error);
          if (JSON.stringify(await classifier.classify(grey)) !== before) throw new Error('the classifier says something else');
          if (outcome) throw outcome;
        } finally {
          await classifier.release();
        }
      },
      card: ({ card, options }) => tractlet.ImageClassifier.create(typeof card === 'string' ? card : new Blob([JSON.stringify(card)]), options),
      released: async (what) => {
        const { ImageClassifier, Tensor } = tractlet;
        const classifier = await ImageClassifier.create('/models/squeezenet1.1-int8.json');
        const { session } = classifier;
        const feeds = { [session.inputNames[0]]: new Tensor('float32', new Float32Array(3 * 227 * 227), [1, 3, 227, 227]) };
        const grey = { data: new Uint8Array(4), width: 1, height: 1 };
        if (what === 'running') {
          const running = session.run(feeds);
          await session.release();
          return running;
        }
        await classifier.release();
        return { run: () => session.run(feeds), classify: () => classifier.classify(grey), memory: () => session.memory() }[what]();
      },
    });
  });

  const rejects = async (work, argument, codes, Class) => {
    const { error, value } = await attemptBeside(work, argument);
    const what = `${work} ${JSON.stringify(argument)?.slice(0, 100)} (${value})`;
    checkError(error, [codes].flat(), Class, what);
    return error;
  };
  const fixtureOf = (entry) => ({
    source: `/${OPERATORS}/${entry.file}`,
    run: true,
    ...(entry.external && { external: entry.external.map((path) => ({ path, data: `/${OPERATORS}/${entry.file.replace(/model\.onnx$/, path)}` })) }),
  });
  const base64 = (bytes) => Buffer.from(bytes).toString('base64');

  /** A fixture of the group `invalid`: a run where it may be one, otherwise an error of a listed code. */
  const checkInvalid = async (entries) => {
    assert.ok(entries.length > 0);
    for (const entry of entries) {
      const { codes, operators } = entry.expect;
      const { error, value } = await attemptBeside('create', fixtureOf(entry));
      if (!error) {
        assert.ok(codes.includes('OK') || codes.includes('*'), `${entry.case} was ${value}`);
        continue;
      }
      checkError(error, codes.includes('*') ? [error.code] : codes, undefined, entry.case);
      assert.ok(!['INTERNAL', 'RUNTIME_CRASH'].includes(error.code), `${entry.case}: ${error.code}`);
      if (operators) assert.deepEqual(error.operators, operators, entry.case);
    }
  };

  test('the check of errors notices what it should', () => {
    const good = { typed: true, code: 'NOT_ONNX', name: 'ModelError', classes: ['ModelError'], message: 'This is no model', hint: 'Pass another one' };
    checkError(good, ['NOT_ONNX'], 'ModelError', '');
    const worse = [undefined, { typed: false }, { code: 'INTERNAL' }, { classes: [] }, { hint: undefined }, { message: 'panicked at src/lib.rs' }];
    for (const more of worse) assert.throws(() => checkError(more && { ...good, ...more }, ['NOT_ONNX'], 'ModelError', ''));
  });

  describe('models', () => {
    test('files of other kinds', async () => {
      // Web pages are told apart when they are downloaded.
      const isPage = (entry) => /^foreign_(html|xml)/.test(entry.case);
      await checkInvalid(startsWith('foreign_').filter((entry) => !isPage(entry)));
      for (const entry of startsWith('foreign_').filter(isPage)) await rejects('create', fixtureOf(entry), 'HTML_RESPONSE', 'LoadError');
      for (const source of ['/.cache/fixtures/photos/foolbox-00.png', '/dist/engine.wasm', '/models/imagenet-labels.json']) {
        await rejects('create', { source }, 'NOT_ONNX', 'ModelError');
      }
    });

    test('truncated', async () => {
      await checkInvalid(startsWith('truncated_').filter((_, i) => i % 4 === 0));
      const bytes = readBytes(MODEL);
      for (const part of [0.01, 0.25, 0.5, 0.9, 0.999]) {
        const length = Math.floor(bytes.length * part);
        await rejects('create', { base64: base64(bytes.subarray(0, length)) }, 'INVALID_MODEL', 'ModelError');
      }
      await rejects('create', { base64: '' }, 'NOT_ONNX', 'ModelError');
      await rejects('create', { base64: base64(bytes.subarray(0, bytes.length - 1)) }, 'INVALID_MODEL', 'ModelError');
    });

    test(`with flipped bits, ${SEEDS} seeds`, async (t) => {
      await checkInvalid(startsWith('flipped_').slice(0, SEEDS));
      const original = readBytes(MODEL);
      const found = {};
      for (let seed = 0; seed < SEEDS; seed++) {
        const bytes = original.slice();
        const random = createHash('sha512').update(`seed ${seed}`).digest();
        for (let i = 0; i <= seed % 4; i++) {
          // Anywhere, near the start, or near the end, where the structure is rather than the weights.
          const place = random.readUInt32LE(4 * i);
          const at = [place % bytes.length, place % 4096, bytes.length - 1 - (place % 4096)][(seed + i) % 3];
          bytes[at] ^= 1 << (random[32 + i] % 8);
        }
        const { error, value } = await attemptBeside('create', { base64: base64(bytes), run: true });
        if (error) {
          checkError(error, [error.code], undefined, `seed ${seed}`);
          assert.ok(!['INTERNAL', 'RUNTIME_CRASH'].includes(error.code), `seed ${seed}: ${JSON.stringify(error)}`);
        }
        found[error?.code ?? value] = (found[error?.code ?? value] ?? 0) + 1;
      }
      t.diagnostic(JSON.stringify(found));
      assert.ok(found.ran < SEEDS && found.INVALID_MODEL > 0, 'the flipped bits did no harm');
    });

    test('addresses that lead elsewhere', async () => {
      await rejects('create', { source: '/tests/e2e/pages/index.html' }, 'HTML_RESPONSE', 'LoadError');
      await rejects('create', { source: '/tests/e2e/pages/nothing.onnx' }, 'HTTP_ERROR', 'LoadError');
      await rejects('create', { source: 'http://127.0.0.1:1/model.onnx' }, 'NETWORK_ERROR', 'LoadError');
      await rejects('create', { source: 'http://[' }, 'INVALID_OPTION', 'InputError');
      await rejects('create', { source: null }, 'INVALID_OPTION', 'InputError');
      await rejects('create', { source: `/${MODEL}`, options: { integrity: `sha256-${'A'.repeat(43)}=` } }, 'INTEGRITY', 'LoadError');
      await rejects('create', { source: `/${MODEL}`, options: { wasm: { engine: '/dist/nothing.wasm' } } }, ['WASM_LOAD', 'HTTP_ERROR'], 'LoadError');
      await rejects('create', { source: `/${MODEL}`, options: { wasm: { engine: '/tests/e2e/pages/index.html' } } }, ['WASM_LOAD', 'HTML_RESPONSE'], 'LoadError');
      await rejects('create', { source: `/${MODEL}`, options: { executionProviders: ['wasm'] } }, 'INVALID_OPTION', 'InputError');
    });

    test('unknown operators, all of them listed', async () => {
      const entries = startsWith('unknown_').filter(({ expect }) => expect.operators);
      assert.ok(entries.some(({ expect }) => expect.operators.length > 2));
      await checkInvalid(entries);
      const several = entries.find(({ expect }) => expect.operators.length > 2);
      const error = await rejects('create', fixtureOf(several), 'UNSUPPORTED_OPERATOR', 'ModelError');
      for (const { opType } of several.expect.operators) assert.ok(error.message.includes(opType), error.message);
    });

    test('terabytes', () => checkInvalid([...startsWith('terabytes_'), ...startsWith('tensor_terabytes')]));
    test('external data that is missing or wrong', () => checkInvalid(startsWith('external_')));
    test('graphs and attributes that make no sense', () => checkInvalid(invalid.filter((entry, i) => i % 5 === 0 && !/^(flipped|truncated|foreign)/.test(entry.case))));
  });

  describe('inputs', () => {
    const cases = {
      name: ['UNKNOWN_INPUT', 'input'], missing: ['MISSING_INPUT', 'input'], type: ['INPUT_TYPE', 'input'], array: ['INPUT_TYPE', 'input'],
      rank: ['INPUT_SHAPE', 'input'], shape: ['INPUT_SHAPE', 'input'], nan: ['INPUT_VALUE', 'input'], output: ['UNKNOWN_OUTPUT'], option: ['INVALID_OPTION'],
    };
    for (const [kind, [code, field]] of Object.entries(cases)) {
      test(`wrong ${kind}: ${code}`, async () => {
        const error = await rejects('run', kind, code, 'InputError');
        if (field) assert.ok(error.input, 'it says which input');
      });
    }

    test('a good run is none of these', async () => {
      assert.deepEqual(await attemptBeside('run', 'good'), { value: undefined });
      assert.deepEqual(await attemptBeside('allowNaN'), { value: undefined });
    });

    test('an index out of range', async () => {
      await checkInvalid(startsWith('gather_index'));
      const folder = `/${OPERATORS}/interface/embedding`;
      for (const value of [10, -11, 2 ** 40, -(2 ** 40)]) {
        await rejects('gather', { model: `${folder}/model.onnx`, input: `${folder}/sample_0/input_0.pb`, value }, ['INPUT_VALUE', 'EXECUTION_FAILED']);
      }
      assert.equal((await attemptBeside('gather', { model: `${folder}/model.onnx`, input: `${folder}/sample_0/input_0.pb`, value: 9 })).error, undefined);
    });
  });

  describe('pictures', () => {
    /** A PNG file of that size in its header, with no pixels behind it. */
    function pngHeader(width, height) {
      const chunk = (type, data) => {
        const body = Buffer.concat([Buffer.from(type), data]);
        const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
        length.writeUInt32BE(data.length);
        sum.writeUInt32BE(crc32(body));
        return Buffer.concat([length, body, sum]);
      };
      const header = Buffer.alloc(13);
      header.writeUInt32BE(width, 0);
      header.writeUInt32BE(height, 4);
      header.set([8, 6], 8);
      return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IEND', Buffer.alloc(0))]);
    }
    before(() => page.evaluate((bytes) => { globalThis.hugePng = new Uint8Array(bytes); }, Array.from(pngHeader(20000, 20000))));

    const cases = {
      empty: 'INVALID_IMAGE', emptyCanvas: 'INVALID_IMAGE', notLoaded: ['INVALID_IMAGE', 'IMAGE_DECODE'], emptyVideo: 'INVALID_IMAGE',
      closed: 'INVALID_IMAGE', broken: 'IMAGE_DECODE', short: 'INVALID_IMAGE', rgb: 'INVALID_IMAGE', floats: 'INVALID_IMAGE', fraction: 'INVALID_IMAGE',
      huge: 'IMAGE_TOO_LARGE', long: 'IMAGE_TOO_LARGE', hugePng: 'IMAGE_TOO_LARGE', text: 'IMAGE_DECODE', emptyBlob: 'IMAGE_DECODE', html: 'IMAGE_DECODE',
      cutPng: 'IMAGE_DECODE', string: 'INVALID_IMAGE', null: 'INVALID_IMAGE',
    };
    for (const worker of [true, false]) {
      test(`that cannot be used, worker: ${worker}`, async () => {
        for (const [kind, codes] of Object.entries(cases)) await rejects('classify', { kind, worker }, codes, 'ImageError');
      });
    }
  });

  test('cards', async () => {
    const card = { ...readJson(CARD.slice(1)), model: `${browser.origin}/${MODEL}`, labels: `${browser.origin}/models/imagenet-labels.json` };
    const input = (more) => ({ ...card, input: { ...card.input, ...more } });
    const wrong = [
      `/${MODEL}`, '/models/imagenet-labels.json', {}, { ...card, model: 5 }, { ...card, input: undefined }, { ...card, sha256: 'abc' },
      { ...card, task: 'translation' }, input({ size: [224] }), input({ size: [300, 300] }), input({ layout: 'NHWC' }), input({ resample: 'magic' }), input({ std: [0, 1, 1] }),
    ];
    for (const entry of wrong) await rejects('card', { card: entry }, 'INVALID_CARD', 'LoadError');
    await rejects('card', { card: { ...card, sha256: '0'.repeat(64) } }, 'INTEGRITY', 'LoadError');
    await rejects('card', { card: '/models/nothing.json' }, 'HTTP_ERROR', 'LoadError');
  });

  test('a released session', async () => {
    for (const what of ['run', 'classify', 'memory', 'running']) await rejects('released', what, 'SESSION_RELEASED', 'SessionReleasedError');
  });
});
