// Pictures through the real wasm modules in Node: what tests with the fake glue cannot tell.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { meansInput, meansModel } from './lib/means-model.mjs';

const root = new URL('../../', import.meta.url);
const { ImageClassifier, InferenceSession, Tensor } = await import(new URL('dist/index.js', root).href);

/** Compiled once for all sessions. */
const wasm = {
  engine: await WebAssembly.compile(await readFile(new URL('dist/engine.wasm', root))),
  compiler: await WebAssembly.compile(await readFile(new URL('dist/compiler.wasm', root))),
};
const LABELS = ['red', 'green', 'blue'];
const RAW = meansInput();

/** A picture of `width` x `height` from a function of the position. */
function draw(width, height, color) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set([...color(i % width, Math.floor(i / width)), 255], 4 * i);
  return { data, width, height };
}

// Left half red, right half: green above, blue below.
const QUARTERS = draw(8, 8, (x, y) => (x < 4 ? [200, 0, 0] : y < 4 ? [0, 100, 0] : [0, 0, 150]));
const scores = (result) => Object.fromEntries(result.map(({ label, score }) => [label, Math.round(score * 1000) / 1000]));

for (const type of ['float32', 'float16']) {
  test(`a ${type} model, from picture to labels`, async () => {
    const input = { ...meansInput({ type }), scale: 1 / 255 };
    const metadata = { names: "{0: 'red', 1: 'green', 2: 'blue'}" };
    const classifier = await ImageClassifier.create(meansModel({ type, metadata }), { input, output: { activation: 'none' }, wasm });
    assert.deepEqual(classifier.labels, LABELS, 'from the metadata');
    const close = (got, want) => LABELS.forEach((label) => assert.ok(Math.abs(got[label] - want[label] / 255) < 1e-3, `${JSON.stringify(got)}, not ${JSON.stringify(want)}`));
    close(scores(await classifier.classify(QUARTERS)), { red: 100, green: 25, blue: 37.5 });
    const right = { x: 0.5, y: 0, width: 0.5, height: 1, unit: 'relative' };
    close(scores(await classifier.classify(QUARTERS, { region: right })), { red: 0, green: 50, blue: 75 });

    // The same by hand.
    const tensor = await Tensor.fromImage(QUARTERS, { ...input, region: right, wasm });
    assert.deepEqual([tensor.type, tensor.dims], [type, [1, 3, 4, 4]]);
    const { scores: output } = await classifier.session.run({ pixels: tensor });
    assert.equal(output.type, type);
    assert.equal(output.data.constructor, tensor.data.constructor);
    assert.deepEqual(output.dims, [1, 3]);

    // Several in one run.
    const results = await classifier.classify([QUARTERS, draw(3, 3, () => [0, 255, 0])], { topK: 1 });
    assert.deepEqual(results.map(([{ label }]) => label), ['red', 'green']);
    await classifier.release();
  });
}

test('scores of a multi-label model are independent, and lists do not change them', async () => {
  const classifier = await ImageClassifier.create(meansModel(), { input: { ...RAW, scale: 1 / 255 }, output: { activation: 'sigmoid', threshold: 0.55 }, labels: LABELS, wasm });
  const sigmoid = (x) => Math.round(1000 / (1 + Math.exp(-x))) / 1000;
  const white = draw(2, 2, () => [255, 255, 0]);
  assert.deepEqual(scores(await classifier.classify(white)), { red: sigmoid(1), green: sigmoid(1) });
  assert.deepEqual(scores(await classifier.classify(white, { threshold: 0, deny: ['red'] })), { green: sigmoid(1), blue: 0.5 });
  await classifier.release();
});

test('settings that do not exist are refused, wherever they are', async () => {
  const classifier = await ImageClassifier.create(meansModel(), { input: RAW, labels: LABELS, wasm });
  const region = { x: 0, y: 0, width: 4, height: 4 };
  for (const [options, message] of [
    [{ region: { ...region, left: 1 } }, /left/],
    [{ region: { x: 0, y: 0, width: 4 } }, /height/],
    [{ region: { ...region, unit: 'percent' } }, /percent/],
    [{ region: { ...region, x: 5 } }, /not within the picture/],
    [{ region: { ...region, x: NaN } }, /NaN/],
    [{ region: { ...region, x: '0' } }, /string/],
    [{ region: { ...region, width: 0 } }, /region\.width is 0/],
    [{ region: { ...region, unit: 'relative' } }, /not within/],
    [{ rotations: 90 }, /rotations/],
  ]) {
    await assert.rejects(classifier.classify(QUARTERS, options), (error) => error.code === 'INVALID_OPTION' && message.test(error.message) && Boolean(error.hint), String(message));
  }
  await assert.rejects(classifier.classify({ ...QUARTERS, orientation: 9 }), { code: 'INVALID_OPTION', message: /9/ });
  await assert.rejects(Tensor.fromImage(QUARTERS, { ...RAW, sise: 1, wasm }), { code: 'INVALID_OPTION', message: /sise/ });
  await assert.rejects(Tensor.fromImage(QUARTERS, { ...RAW, crop: undefined, wasm }), { code: 'INVALID_OPTION', message: /crop/i });
  await assert.rejects(Tensor.fromImage(QUARTERS, { ...RAW, rotation: 1, wasm }), { code: 'INVALID_OPTION', message: /rotation/ });
  await assert.rejects(Tensor.fromImage(QUARTERS), { code: 'INVALID_OPTION' });
  await assert.rejects(Tensor.fromImage(null, { ...RAW, wasm }), { code: 'INVALID_IMAGE', name: 'ImageError' });
  await assert.rejects(Tensor.fromImage(new Blob(['x']), { ...RAW, wasm }), { code: 'UNSUPPORTED_ENVIRONMENT' });
  assert.equal((await classifier.classify(QUARTERS))[0].label, 'red', 'usable after errors');
  await classifier.release();
});

test('smoothing keeps every class, not only the best', async () => {
  const classifier = await ImageClassifier.create(meansModel(), { input: RAW, output: { activation: 'none' }, labels: LABELS, wasm });
  const colors = [[100, 50, 0], [0, 50, 10], [0, 50, 200]];
  const source = colors.map((color, i) => ({ ...draw(2, 2, () => color), timestamp: i * 100_000 }));
  const keep = Math.exp(-100 / 250);
  let expected = colors[0];
  let i = 0;
  for await (const [best, ...rest] of classifier.classifyStream(source, { smoothing: 250, topK: 1 })) {
    if (i > 0) expected = expected.map((value, c) => keep * value + (1 - keep) * colors[i][c]);
    const index = expected.indexOf(Math.max(...expected));
    assert.equal(best.index, index, `picture ${i}`);
    assert.ok(Math.abs(best.score - expected[index]) < 1e-3);
    assert.equal(rest.length, 0);
    i++;
  }
  assert.equal(i, 3);
  await classifier.release();
});

test('a tensor of a picture, turned every way', async () => {
  // 0 1 2
  // 3 4 5
  const picture = draw(3, 2, (x, y) => [3 * y + x, 10, 20]);
  const turned = {
    0: [2, 3, [0, 1, 2, 3, 4, 5]],
    90: [3, 2, [3, 0, 4, 1, 5, 2]],
    180: [2, 3, [5, 4, 3, 2, 1, 0]],
    270: [3, 2, [2, 5, 1, 4, 0, 3]],
  };
  for (const [rotation, [height, width, reds]] of Object.entries(turned)) {
    const input = { ...meansInput({ type: 'uint8', height, width }), wasm };
    const { data, dims } = await Tensor.fromImage(picture, { ...input, rotation: Number(rotation) });
    assert.deepEqual(dims, [1, 3, height, width]);
    assert.deepEqual([...data.subarray(0, 6)], reds, rotation);
    // EXIF's orientation comes first.
    const exif = { 0: 1, 90: 6, 180: 3, 270: 8 }[rotation];
    assert.deepEqual([...(await Tensor.fromImage({ ...picture, orientation: exif }, input)).data.subarray(0, 6)], reds, `EXIF ${exif}`);
    const back = (360 - Number(rotation)) % 360;
    const upright = { ...meansInput({ type: 'uint8', height: 2, width: 3 }), wasm };
    assert.deepEqual([...(await Tensor.fromImage({ ...picture, orientation: exif }, { ...upright, rotation: back })).data.subarray(0, 6)], turned[0][2]);
  }
  const nhwc = await Tensor.fromImage(picture, { ...meansInput({ type: 'uint8', height: 2, width: 3 }), layout: 'NHWC', channels: 'BGR', wasm });
  assert.deepEqual([nhwc.dims, [...nhwc.data.subarray(0, 6)]], [[1, 2, 3, 3], [20, 10, 0, 20, 10, 1]]);
});

test('many tensors at once, and one that is given up', async () => {
  const input = { ...meansInput({ type: 'uint8', height: 1, width: 1 }), wasm };
  const tensors = await Promise.all(Array.from({ length: 20 }, (_, i) => Tensor.fromImage(draw(2, 2, () => [i, i, i]), input)));
  assert.deepEqual(tensors.map(({ data }) => data[0]), Array.from({ length: 20 }, (_, i) => i));
  await assert.rejects(Tensor.fromImage(QUARTERS, { ...input, signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const given = Tensor.fromImage(QUARTERS, { ...input, signal: controller.signal });
  controller.abort();
  await assert.rejects(given, { name: 'AbortError' });
  assert.equal((await Tensor.fromImage(QUARTERS, input)).size, 3);
  await assert.rejects(Tensor.fromImage(QUARTERS, { ...input, wasm: { engine: new Uint8Array(8) } }), { code: 'WASM_LOAD' });
  assert.equal((await Tensor.fromImage(QUARTERS, input)).size, 3, 'after one that could not be loaded');
  // The engine beside the package.
  assert.equal((await Tensor.fromImage(QUARTERS, meansInput())).size, 48);
});

test('every type of picture tensor runs through a session of that type', async () => {
  for (const type of ['float32', 'float16']) {
    const session = await InferenceSession.create(meansModel({ type, batch: 1 }), { wasm });
    const pixels = await Tensor.fromImage(QUARTERS, { ...meansInput({ type }), wasm });
    assert.equal((await session.run({ pixels })).scores.type, type);
    // The bits do as well, where there is an array of their own.
    const bits = type === 'float16' ? new Tensor(type, new Uint16Array(pixels.data.buffer.slice(0)), pixels.dims) : pixels;
    assert.deepEqual((await session.run({ pixels: bits })).scores.data, (await session.run({ pixels })).scores.data);
    await session.release();
  }
});

/** As in a browser, so far as it is needed. */
class FakeImageData {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
}

test('pictures of tensors', async (t) => {
  await assert.rejects(new Tensor('float32', [0, 0, 0], [1, 3, 1, 1]).toImageData(), { code: 'UNSUPPORTED_ENVIRONMENT' });
  globalThis.ImageData = FakeImageData;
  t.after(() => delete globalThis.ImageData);
  const picture = draw(3, 2, (x, y) => [40 * x, 90 * y, 7]);
  for (const [type, scale, norm] of [['uint8', 1], ['float32', 1 / 255], ['float16', 1 / 255], ['float32', 1, { mean: 1 }]]) {
    for (const layout of ['NCHW', 'NHWC']) {
      for (const channels of ['RGB', 'BGR']) {
        const tensor = await Tensor.fromImage(picture, { ...meansInput({ type, height: 2, width: 3 }), layout, channels, scale, wasm });
        const image = await tensor.toImageData({ tensorLayout: layout, format: channels, norm });
        assert.deepEqual([image.width, image.height, [...image.data]], [3, 2, [...picture.data]], `${type} ${layout} ${channels}`);
      }
    }
  }
  const pixel = async (type, values, dims, options) => [...(await new Tensor(type, values, dims).toImageData(options)).data];
  assert.deepEqual(await pixel('float32', [-1, 0.5, 2], [1, 3, 1, 1]), [0, 128, 255, 255], 'clamped and rounded');
  assert.deepEqual(await pixel('float32', [NaN, Infinity, 0], [3, 1, 1]), [0, 255, 0, 255], 'without a batch');
  assert.deepEqual(await pixel('float32', [10, 20, 30, 40], [1, 4, 1, 1], { format: 'RGBA', norm: { mean: [1, 2, 3, 4], bias: 5 } }), [5, 30, 75, 140]);
  assert.deepEqual(await pixel('float32', [1, 2, 3, 0.5], [1, 4, 1, 1], { format: 'RGBA', norm: { mean: [1, 1, 1] } }), [1, 2, 3, 128], 'alpha as by default');
  assert.deepEqual(await pixel('int64', [1n, 2n, 3n], [1, 3, 1, 1], { format: 'RBG' }), [1, 3, 2, 255]);
  for (const [type, dims, options, code] of [
    ['float32', [1, 4, 1, 1], {}, 'INPUT_SHAPE'],
    ['float32', [1, 3, 1, 1], { format: 'RGBA' }, 'INPUT_SHAPE'],
    ['float32', [1, 3, 1, 1], { tensorLayout: 'NHWC' }, 'INPUT_SHAPE'],
    ['float32', [2, 3, 1, 1], {}, 'INPUT_SHAPE'],
    ['float32', [3, 1], {}, 'INPUT_SHAPE'],
    ['float32', [], {}, 'INPUT_SHAPE'],
    ['float32', [1, 3, 0, 1], {}, 'INVALID_IMAGE'],
    ['float32', [1, 3, 1, 1], { format: 'GRAY' }, 'INVALID_OPTION'],
    ['float32', [1, 3, 1, 1], { tensorLayout: 'CHW' }, 'INVALID_OPTION'],
    ['float32', [1, 3, 1, 1], { norm: { mean: [1, 2] } }, 'INVALID_OPTION'],
    ['float32', [1, 3, 1, 1], { norm: { bias: NaN } }, 'INVALID_OPTION'],
    ['string', [1, 3, 1, 1], {}, 'INPUT_TYPE'],
  ]) {
    const size = dims.reduce((a, b) => a * b, 1);
    const tensor = new Tensor(type, Array.from({ length: size }, () => (type === 'string' ? 'x' : 0)), dims);
    await assert.rejects(tensor.toImageData(options), { code }, JSON.stringify([type, dims, options]));
  }
  const gone = new Tensor('float32', [0, 0, 0], [1, 3, 1, 1]);
  gone.dispose();
  await assert.rejects(gone.toImageData(), { code: 'INPUT_VALUE' });
});
