// Classifiers: which classes, which part of the picture, several pictures, labels that come with the model.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPackage } from './lib/bundle.mjs';
import { encodePlan } from './fake-glue/format.js';
import { image, imagePlan, INPUT, pixels } from './lib/models.mjs';

const dist = await buildPackage();
const { ImageClassifier, ImageError, InputError } = await import(new URL('index.js', dist));

const LABELS = ['red', 'green', 'blue', 'green'];
const PICTURE = pixels([10, 200, 30]);
const create = (options) => ImageClassifier.create(imagePlan(), { input: INPUT, labels: LABELS, ...options });
const indices = (result) => result.map(({ index }) => index);

test('lists of classes, by label and by index', async () => {
  const classifier = await create();
  const classify = async (options) => indices(await classifier.classify(PICTURE, options));
  assert.deepEqual(await classify({}), [1, 2, 0, 3]);
  assert.deepEqual(await classify({ allow: ['blue', 'red'] }), [2, 0]);
  assert.deepEqual(await classify({ allow: ['green'] }), [1, 3], 'all classes of that name');
  assert.deepEqual(await classify({ allow: [0, 'blue'], topK: 1 }), [2]);
  assert.deepEqual(await classify({ deny: ['green'] }), [2, 0]);
  assert.deepEqual(await classify({ allow: ['red', 'green'], deny: [1] }), [0, 3]);
  assert.deepEqual(await classify({ allow: [] }), []);
  assert.deepEqual(await classify({ allow: undefined, deny: undefined }), [1, 2, 0, 3]);
});

test('what is in no list of labels is refused', async () => {
  const classifier = await create();
  for (const [options, message, hint] of [
    [{ allow: ['gree'] }, /allow has "gree"/, /mean "green"/],
    [{ deny: ['Blue'] }, /deny has "Blue"/, /mean "blue"/],
    [{ deny: ['purple'] }, /deny has "purple"/, /classifier\.labels/],
    [{ allow: [4] }, /allow has 4/, /labels/],
    [{ allow: 'green' }, /allow is "green"/, /list/],
    [{ allow: [-1] }, /allow is Array/, /list/],
    [{ deny: [null] }, /deny is Array/, /list/],
    [{ categoryAllowlist: ['green'] }, /categoryAllowlist/, /allow, deny/],
  ]) {
    await assert.rejects(classifier.classify(PICTURE, options), (error) => {
      assert.ok(error instanceof InputError, error.stack);
      assert.equal(error.code, 'INVALID_OPTION');
      assert.match(error.message, message);
      assert.match(error.hint, hint);
      return true;
    });
  }
  const nameless = await create({ labels: undefined });
  await assert.rejects(nameless.classify(PICTURE, { allow: ['red'] }), { code: 'INVALID_OPTION', hint: /no labels/ });
  assert.deepEqual(indices(await nameless.classify(PICTURE, { allow: [3] })), [3]);
});

test("a call's options come before the classifier's, and those before the card's", async () => {
  const card = new Blob([JSON.stringify({
    model: `data:application/octet-stream;base64,${Buffer.from(imagePlan()).toString('base64')}`,
    input: INPUT,
    output: { activation: 'sigmoid', topK: 2, threshold: 20, deny: [1] },
  })]);
  const plain = await ImageClassifier.create(card);
  assert.deepEqual(indices(await plain.classify(PICTURE)), [2]);
  assert.deepEqual(indices(await plain.classify(PICTURE, { threshold: 5 })), [2, 0]);
  assert.deepEqual(indices(await plain.classify(PICTURE, { threshold: undefined, deny: [] })), [1, 2]);
  const own = await ImageClassifier.create(card, { threshold: -5, topK: 3 });
  assert.deepEqual(indices(await own.classify(PICTURE)), [2, 0, 3]);
  assert.deepEqual(indices(await own.classify(PICTURE, { topK: 1 })), [2]);
});

test('lists and settings with mistakes are found when the classifier is made', async () => {
  await assert.rejects(create({ allow: ['purple'] }), { code: 'INVALID_OPTION', message: /purple/ });
  await assert.rejects(create({ rotation: 45 }), { code: 'INVALID_OPTION', message: /rotation/ });
  for (const [output, message] of [
    [{ topK: 0 }, /output\.topK is 0/],
    [{ threshold: '1' }, /output\.threshold/],
    [{ allow: 'cat' }, /output\.allow/],
    [{ deny: [{}] }, /output\.deny/],
  ]) {
    const card = new Blob([JSON.stringify({ model: 'http://localhost/m', input: INPUT, output })]);
    await assert.rejects(ImageClassifier.create(card), (error) => error.code === 'INVALID_CARD' && message.test(error.message), String(message));
  }
});

test('region and rotation are handed to the engine, as is the orientation of pixels', async () => {
  globalThis.fakeViews = [];
  const region = { x: 1, y: 0, width: 1, height: 1 };
  const classifier = await create({ rotation: 90 });
  await classifier.classify(PICTURE);
  await classifier.classify(PICTURE, { region, rotation: 180 });
  await classifier.classify({ ...PICTURE, orientation: 6 }, { rotation: 0 });
  assert.deepEqual(JSON.parse(JSON.stringify(globalThis.fakeViews)), [{ rotation: 90 }, { region, rotation: 180 }, { rotation: 0, orientation: 6 }]);
  for (const options of [{ region: [0, 0, 1, 1] }, { region: 5 }, { rotation: 45 }, { rotation: '90' }, { region: { ...region, x: -1 } }]) {
    await assert.rejects(classifier.classify(PICTURE, options), { code: 'INVALID_OPTION', name: 'InputError' }, JSON.stringify(options));
  }
});

const BATCH = [[200, 10, 20], [10, 200, 20], [10, 20, 200], [90, 80, 70], [70, 80, 90]].map((color) => pixels(color));
const BEST = [0, 1, 2, 0, 2];

test('several pictures: one run where any number will do, groups where the number is fixed', async () => {
  for (const [batch, runs] of [['n', [5]], [1, [1, 1, 1, 1, 1]], [2, [2, 2, 2]], [5, [5]], [8, [8]]]) {
    const plan = imagePlan({ inputs: [{ name: 'pixels', type: 'float32', shape: [batch, 3, 2, 2] }], outputs: [{ name: 'scores', type: 'float32', shape: [batch, 4] }] });
    const classifier = await ImageClassifier.create(plan, { input: INPUT, labels: LABELS });
    globalThis.fakeDims = [];
    const results = await classifier.classify(BATCH, { topK: 2 });
    assert.deepEqual(globalThis.fakeDims.map(([[size]]) => size), runs, `batch ${batch}`);
    assert.deepEqual(results.map(([{ index }]) => index), BEST);
    assert.ok(results.every((result) => result.length === 2 && result.timings === classifier.timings));
    assert.equal(results[1][0].score, 200);
    assert.equal(results[1][0].label, 'green');
    // One picture is one result, whatever the model takes.
    assert.deepEqual(indices(await classifier.classify(BATCH[2], { topK: 1 })), [2]);
    assert.deepEqual(await classifier.classify([]), []);
    await classifier.release();
  }
  delete globalThis.fakeDims;
});

test('an error of one of several pictures says which', async () => {
  const classifier = await create();
  for (const [bad, code, Class] of [
    [{ ...PICTURE, width: 7 }, 'INVALID_IMAGE', ImageError],
    [null, 'INVALID_IMAGE', ImageError],
    // Found by the runtime.
    [new Blob(['x']), 'UNSUPPORTED_ENVIRONMENT'],
  ]) {
    await assert.rejects(classifier.classify([PICTURE, bad, PICTURE]), (error) => {
      assert.deepEqual([error.code, error.index], [code, 1], error.stack);
      assert.match(error.message, /^Picture 1: /);
      if (Class) assert.ok(error instanceof Class);
      return true;
    });
  }
  await assert.rejects(classifier.classify([PICTURE, PICTURE], { region: { x: -1, y: 0, width: 1, height: 1 } }), { code: 'INVALID_OPTION', index: 0 });
  await assert.rejects(classifier.classify(null), (error) => error.index === undefined && error.code === 'INVALID_IMAGE');
  assert.equal((await classifier.classify([PICTURE])).length, 1, 'usable after errors');
  // A trap is no error of a picture.
  await assert.rejects(classifier.classify([pixels([99, 0, 0])]), { code: 'RUNTIME_CRASH' });
});

test('a model whose batch is fixed inside', async () => {
  const classifier = await ImageClassifier.create(imagePlan({ op: 'first' }), { input: INPUT });
  assert.equal((await classifier.classify(PICTURE)).length, 4);
  await assert.rejects(classifier.classify([PICTURE, PICTURE]), { code: 'UNSUPPORTED_MODEL', hint: /one by one/ });
});

test('aborting several', async () => {
  const classifier = await create();
  await assert.rejects(classifier.classify(BATCH, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const promise = classifier.classify(BATCH, { signal: controller.signal });
  controller.abort();
  await assert.rejects(promise, { name: 'AbortError' });
  assert.equal((await classifier.classify(BATCH)).length, 5);
});

test('labels that come with the model', async () => {
  const open = (metadata, options) => ImageClassifier.create(encodePlan(image({ metadata })), { input: INPUT, ...options });
  for (const [metadata, labels] of [
    [{ names: "{0: 'tench', 1: \"mother's \\\"own\\\"\", 2: 'it\\'s', 3: 'a \"b\": 5'}" }, ['tench', 'mother\'s "own"', "it's", 'a "b": 5']],
    [{ names: "['a', 'b', 'c', 'd']" }, ['a', 'b', 'c', 'd']],
    [{ names: "{0: 'caf\\xe9', 1: 'ä', 2: 'tab\\t', 3: '\\u20ac'}" }, ['café', 'ä', 'tab\t', '€']],
    [{ labels: '["a", "b", "c", "d"]' }, ['a', 'b', 'c', 'd']],
    [{ classes: '["a", "b", "c", "d"]' }, ['a', 'b', 'c', 'd']],
    [{ id2label: '{"0": "a", "1": "b", "2": "c", "3": "d"}' }, ['a', 'b', 'c', 'd']],
    [{ id2label: '{"2": "c"}' }, { 2: 'c' }],
    // Something else: passed over, and the next one tried.
    [{ names: '["a"]', labels: '["a", "b", "c", "d"]' }, ['a', 'b', 'c', 'd']],
    [{ names: '80' }, undefined],
    [{ names: '[1, 2, 3, 4]' }, undefined],
    [{ names: '{"7": "a"}' }, undefined],
    [{ names: '{"a": "b"}' }, undefined],
    [{ names: '{}' }, undefined],
    [{ names: '' }, undefined],
    [{ names: "{0: 'tench" }, undefined],
    [{ names: '__import__("os")' }, undefined],
    [{ other: '["a", "b", "c", "d"]' }, undefined],
  ]) {
    const classifier = await open(metadata);
    assert.deepEqual(classifier.labels, labels, JSON.stringify(metadata));
    const [{ label }] = await classifier.classify(PICTURE);
    assert.equal(label, labels?.[1] ?? 'class 1');
    await classifier.release();
  }
  const classifier = await open({ names: '["a", "b", "c", "d"]' }, { labels: LABELS });
  assert.deepEqual(classifier.labels, LABELS, 'given ones come first');
});
