// Classifiers: cards, labels, settings, pictures that need no decoder.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { buildPackage } from './lib/bundle.mjs';
import { imagePlan, INPUT, pixels, plan } from './lib/models.mjs';
import { serve } from './lib/server.mjs';

const dist = await buildPackage();
const { ImageClassifier, InferenceSession, InferenceError, ImageError, InputError, LoadError } = await import(new URL('index.js', dist));

const LABELS = ['red', 'green', 'blue', 'none'];
const MODEL = imagePlan();
const SHA256 = createHash('sha256').update(MODEL).digest('hex');
const CARD = { name: 'means', task: 'image-classification', model: 'means.plan', labels: 'labels.json', input: INPUT, sha256: SHA256, bytes: MODEL.length };

const { origin, requests } = await serve({
  '/m/card.json': JSON.stringify(CARD),
  '/m/means.plan': Buffer.from(MODEL),
  '/m/labels.json': JSON.stringify(LABELS),
  '/m/object.json': JSON.stringify({ 1: 'green' }),
  '/m/broken.json': '[1, 2',
  '/m/numbers.json': '[1, 2]',
  '/m/page.html': '<html>',
});

/** A card at an address beside the good one. */
const cardAt = (card) => {
  const text = typeof card === 'string' ? card : JSON.stringify({ ...CARD, ...card });
  return Object.defineProperty(new Response(text), 'url', { value: `${origin}/m/other.json` });
};

test('a card is all it takes', async () => {
  const classifier = await ImageClassifier.create(`${origin}/m/card.json`);
  assert.equal(classifier.card.name, 'means');
  assert.deepEqual(classifier.labels, LABELS);
  assert.equal(classifier.timings, undefined);
  const result = await classifier.classify(pixels([10, 200, 30]));
  assert.ok(Array.isArray(result));
  assert.deepEqual([...result], [
    { label: 'green', score: 200, index: 1 },
    { label: 'blue', score: 30, index: 2 },
    { label: 'red', score: 10, index: 0 },
    { label: 'none', score: -1, index: 3 },
  ]);
  assert.deepEqual(Object.keys(result.timings), ['decode', 'preprocess', 'inference', 'postprocess']);
  assert.ok(Object.values(result.timings).every((time) => time >= 0));
  assert.deepEqual(classifier.timings, result.timings);
  await classifier.release();
  await assert.rejects(classifier.classify(pixels([0, 0, 0])), { code: 'SESSION_RELEASED' });
});

test('topK and threshold', async () => {
  const classifier = await ImageClassifier.create(`${origin}/m/card.json`);
  const labels = async (options) => (await classifier.classify(pixels([10, 200, 30]), options)).map(({ label }) => label);
  assert.deepEqual(await labels({ topK: 1 }), ['green']);
  assert.deepEqual(await labels({ threshold: 20 }), ['green', 'blue']);
  assert.deepEqual(await labels({ threshold: 1000 }), []);
  for (const options of [{ topK: 0 }, { topK: 1.5 }, { topK: '3' }, { threshold: NaN }, { topk: 3 }, { signal: {} }]) {
    await assert.rejects(labels(options), { code: 'INVALID_OPTION', name: 'InputError' }, JSON.stringify(options));
  }
});

test('without a card', async () => {
  const picture = pixels([10, 200, 30]);
  for (const [labels, expected] of [
    [LABELS, 'green'],
    [{ 1: 'verde' }, 'verde'],
    [{ 0: 'rot' }, 'class 1'],
    [undefined, 'class 1'],
    [`${origin}/m/labels.json`, 'green'],
    [new URL(`${origin}/m/object.json`), 'green'],
    [new Blob([JSON.stringify(LABELS)]), 'green'],
  ]) {
    const classifier = await ImageClassifier.create(MODEL, { input: INPUT, labels });
    assert.equal((await classifier.classify(picture))[0].label, expected);
    await classifier.release();
  }
  const classifier = await ImageClassifier.create(MODEL, { input: { ...INPUT, channels: 'BGR' } });
  assert.equal((await classifier.classify(pixels([200, 10, 30])))[0].index, 2);
});

test('on a session that is there already', async () => {
  const session = await InferenceSession.create(MODEL);
  const classifier = await ImageClassifier.create(session, { input: INPUT, labels: `${origin}/m/labels.json` });
  assert.equal(classifier.session, session);
  assert.equal((await classifier.classify(pixels([10, 200, 30])))[0].label, 'green');
  await classifier.release();
  await session.memory();
  await assert.rejects(ImageClassifier.create(session, {}), { code: 'INVALID_OPTION', message: /input/ });
  await assert.rejects(ImageClassifier.create(session, { input: INPUT, onProgress() {} }), { code: 'INVALID_OPTION', message: /onProgress/ });
  await session.release();
  await assert.rejects(ImageClassifier.create(session, { input: INPUT }), { code: 'SESSION_RELEASED' });
});

test('cards with mistakes', async () => {
  for (const [card, message] of [
    [{ model: undefined }, /other\.json: model is missing, should be a string/],
    [{ model: '' }, /model is ""/],
    [{ model: 5 }, /model is 5/],
    [{ task: 'detection' }, /task is "detection"/],
    [{ sha256: 'abc' }, /sha256/],
    [{ bytes: -1.5 }, /bytes/],
    [{ input: undefined }, /input is missing/],
    [{ input: [] }, /input is \[\]/],
    [{ output: { activation: 'relu' } }, /output\.activation is "relu"/],
    [{ model: 'http://' }, /cannot be resolved/],
    [{ input: { ...INPUT, sise: 3 } }, /card .*other\.json: image input settings: unknown field `sise`/],
    [{ input: { ...INPUT, size: [3, 3] } }, /make float32 \[1, 3, 3, 3\], the model takes float32 \[batch, 3, 2, 2\]/],
    [{ input: { ...INPUT, layout: 'NHWC' } }, /\[1, 2, 2, 3\]/],
    [{ input: { ...INPUT, type: 'uint8' } }, /make uint8/],
    ['[1', /is not JSON/],
    ['{"model": ', /is not JSON/],
    ['null', /is not JSON/],
    ['', /is not JSON/],
  ]) {
    await assert.rejects(ImageClassifier.create(cardAt(card)), (error) => {
      assert.ok(error instanceof LoadError, error.stack);
      assert.equal(error.code, 'INVALID_CARD');
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(ImageClassifier.create(cardAt({ model: 'none.plan' })), { code: 'HTTP_ERROR' });
  await assert.rejects(ImageClassifier.create(cardAt({ sha256: '0'.repeat(64) })), { code: 'INTEGRITY' });
  await assert.rejects(ImageClassifier.create(new Blob([JSON.stringify(CARD)])), { code: 'INVALID_CARD', hint: /absolute/ });
  await assert.rejects(ImageClassifier.create(undefined), { code: 'INVALID_OPTION' });
});

test('a model in place of a card is told apart, and not downloaded', async () => {
  await assert.rejects(ImageClassifier.create(`${origin}/m/means.plan`), { code: 'INVALID_CARD', hint: /input, labels/ });
  await assert.rejects(ImageClassifier.create(`${origin}/m/page.html`), { code: 'HTML_RESPONSE' });
});

test('labels with mistakes', async () => {
  for (const [labels, message] of [
    ['broken.json', /not a list of names/],
    ['numbers.json', /not a list of names/],
    ['none.json', /404/],
  ]) {
    await assert.rejects(ImageClassifier.create(cardAt({ labels })), { name: 'LoadError', message });
  }
  await assert.rejects(ImageClassifier.create(MODEL, { input: INPUT, labels: LABELS.slice(1) }), {
    code: 'INVALID_OPTION',
    message: /4 classes and there are 3 labels/,
    hint: /background/,
  });
  await assert.rejects(ImageClassifier.create(MODEL, { input: INPUT, labels: 5 }), { code: 'INVALID_OPTION' });
});

test('models that are no classifiers', async () => {
  await assert.rejects(ImageClassifier.create(plan('double'), { input: INPUT }), { code: 'INVALID_OPTION', message: /takes float32 \[n\]/ });
  const two = imagePlan({ inputs: ['a', 'b'].map((name) => ({ name, type: 'float32', shape: [1, 3, 2, 2] })) });
  await assert.rejects(ImageClassifier.create(two, { input: INPUT }), { code: 'INVALID_OPTION', message: /one input/ });
});

test('settings are checked before the model is there', async () => {
  const before = requests.length;
  const never = new ReadableStream();
  await assert.rejects(ImageClassifier.create(never, { input: { ...INPUT, sise: 3 } }), { code: 'INVALID_OPTION', message: /sise/ });
  assert.equal(requests.length, before);
});

test('pictures that cannot be used', async () => {
  const classifier = await ImageClassifier.create(MODEL, { input: INPUT });
  const good = pixels([1, 2, 3], 4, 4);
  for (const [image, code, message] of [
    [{ ...good, width: 0 }, 'INVALID_IMAGE', /0 x 4/],
    [{ ...good, height: -1 }, 'INVALID_IMAGE', /-1/],
    [{ ...good, width: 1.5 }, 'INVALID_IMAGE', /1\.5/],
    [{ ...good, width: undefined }, 'INVALID_IMAGE', /undefined/],
    [{ ...good, width: 20000, height: 20000 }, 'IMAGE_TOO_LARGE', /20000 x 20000/],
    [{ ...good, width: 40000, height: 1 }, 'IMAGE_TOO_LARGE', /40000/],
    [{ ...good, width: 5 }, 'INVALID_IMAGE', /64 bytes/],
    [{ data: new Uint8Array(48), width: 4, height: 4 }, 'INVALID_IMAGE', /48 bytes/],
    [{ data: new Float32Array(64), width: 4, height: 4 }, 'INVALID_IMAGE', /Float32Array/],
    [{ data: [1, 2, 3, 4], width: 1, height: 1 }, 'INVALID_IMAGE', /Array/],
    ['cat.jpg', 'INVALID_IMAGE', /String/],
    [null, 'INVALID_IMAGE', /Null/],
    [undefined, 'INVALID_IMAGE', /Undefined/],
    [new URL('http://x/'), 'INVALID_IMAGE', /URL/],
  ]) {
    await assert.rejects(classifier.classify(image), (error) => {
      assert.ok(error instanceof ImageError && error instanceof InferenceError, error.stack);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(classifier.classify(new Blob(['x'])), { code: 'UNSUPPORTED_ENVIRONMENT', hint: /RGBA/ });
  assert.equal((await classifier.classify(good))[0].index, 2, 'usable after errors');
  assert.equal((await classifier.classify({ ...good, data: new Uint8Array(good.data) }))[0].index, 2);
  assert.ok(InputError);
});

test('aborting', async () => {
  const classifier = await ImageClassifier.create(MODEL, { input: INPUT });
  await assert.rejects(classifier.classify(pixels([1, 2, 3]), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const promise = classifier.classify(pixels([1, 2, 3]), { signal: controller.signal });
  controller.abort();
  await assert.rejects(promise, { name: 'AbortError' });
  assert.equal((await classifier.classify(pixels([1, 2, 3]))).length, 4);
});
