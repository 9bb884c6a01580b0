// `tractlet/ort` and onnxruntime-web in one page: pictures to tensors and back, and a model that both run.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openChromium } from './lib/chromium.mjs';

const ORT_DIST = 'node_modules/onnxruntime-web/dist';
const MODEL = '/models/squeezenet1.1-int8.onnx';
const PHOTO = '/.cache/fixtures/photos/foolbox-10.png';

let chromium;
let page;

before(async () => {
  chromium = await openChromium({ folders: [ORT_DIST] });
  page = await chromium.openPage();
  await page.evaluate(
    async ({ dist }) => {
      const [ours, theirs] = await Promise.all([import('/dist/ort.js'), import(`${dist}/ort.wasm.bundle.min.mjs`)]);
      theirs.env.wasm.wasmPaths = { wasm: `${dist}/ort-wasm-simd-threaded.wasm` };
      theirs.env.wasm.numThreads = 1;
      const portable = (tensor) => ({ type: tensor.type, dims: [...tensor.dims], data: Array.from(tensor.data, Number) });
      /** A picture of 5 x 3 pixels that are all different, some of them translucent. */
      const picture = () => new ImageData(Uint8ClampedArray.from({ length: 60 }, (_, i) => (i % 4 === 3 ? (i < 12 ? 128 : 255) : (i * 37) % 256)), 5, 3);
      const opaque = () => new ImageData(picture().data.map((value, i) => (i % 4 === 3 ? 255 : value)), 5, 3);
      Object.assign(globalThis, { ours, theirs, portable, picture, opaque });
    },
    { dist: `/${ORT_DIST}` },
  );
});
after(() => chromium?.close());

/** Evaluates a function of the two runtimes and an argument; what it gives for each. */
async function both(work, argument) {
  return page.evaluate(`(async () => {
    const work = ${work};
    const results = [];
    for (const o of [ours, theirs]) results.push(await work(o, ${JSON.stringify(argument)}));
    return results;
  })()`);
}

/** Expects the same of both; numbers may differ by a rounding. */
async function same(work, argument) {
  const [mine, reference] = await both(work, argument);
  assert.deepEqual({ ...mine, data: [] }, { ...reference, data: [] });
  assert.equal(mine.data.length, reference.data.length);
  assert.ok(mine.data.length > 0);
  mine.data.forEach((value, i) => assert.ok(Math.abs(value - reference.data[i]) <= 1e-6 * Math.max(1, Math.abs(value)), `element ${i}: ${value}, ${reference.data[i]}`));
}

/** What a call ends with in the page. */
const attempt = (work, argument) =>
  page.evaluate(`(async () => { try { return { value: await (${work})(ours, ${JSON.stringify(argument)}) }; } catch ({ name, code }) { return { name, code }; } })()`);

describe('Tensor.fromImage', () => {
  const norms = [undefined, { mean: 1, bias: 0 }, { mean: [58, 57, 57], bias: [-123, -116, -103] }, { mean: [2, 4, 8, 16], bias: [1, 2, 3, 4] }];
  for (const tensorFormat of ['RGB', 'RGBA', 'BGR', 'RBG']) {
    for (const norm of norms) {
      test(`ImageData as ${tensorFormat}, norm ${JSON.stringify(norm) ?? 'left out'}`, () =>
        same(async (o, options) => portable(await o.Tensor.fromImage(opaque(), options)), { tensorFormat, ...(norm && { norm }) }));
    }
  }
  test('ImageData without options', () => same(async (o) => portable(await o.Tensor.fromImage(picture()))));
  test('an ImageBitmap', () => same(async (o) => portable(await o.Tensor.fromImage(await createImageBitmap(opaque()), { tensorFormat: 'BGR' }))));
  test('an address', () => same(async (o, url) => portable(await o.Tensor.fromImage(url, { tensorFormat: 'RGB' })), PHOTO));

  test('an image element: as documented, RGB', async () => {
    const { value } = await attempt(async (o, url) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      const size = [image.naturalHeight, image.naturalWidth];
      // What a page makes of its size does not matter.
      image.width = 7;
      const [element, address] = [portable(await o.Tensor.fromImage(image)), portable(await o.Tensor.fromImage(url))];
      return { size, dims: element.dims, same: element.data.every((value, i) => value === address.data[i]) };
    }, PHOTO);
    assert.deepEqual(value, { size: value.size, dims: [1, 3, ...value.size], same: true });
  });

  test('NHWC and uint8, which onnxruntime declares and does not have', async () => {
    const { value } = await attempt(async (o) => {
      const pixels = await o.Tensor.fromImage(opaque(), { tensorLayout: 'NHWC', tensorFormat: 'RGBA', dataType: 'uint8' });
      return { ...portable(pixels), want: Array.from(opaque().data) };
    });
    assert.deepEqual([value.type, value.dims], ['uint8', [1, 3, 5, 4]]);
    assert.deepEqual(value.data, value.want);
  });

  test('scaled to a size, not cropped', async () => {
    const { value } = await attempt(async (o) => {
      const image = new ImageData(4, 2);
      // White on the left, black on the right.
      image.data.forEach((_, i) => { image.data[i] = i % 4 === 3 || i % 16 < 8 ? 255 : 0; });
      return portable(await o.Tensor.fromImage(image, { resizedWidth: 2, resizedHeight: 1 }));
    });
    assert.deepEqual(value.dims, [1, 3, 1, 2]);
    assert.deepEqual(value.data, [1, 0, 1, 0, 1, 0]);
  });

  test('what is no picture, or no option', async () => {
    const cases = [
      [(o) => o.Tensor.fromImage({}), 'INVALID_IMAGE'],
      [(o) => o.Tensor.fromImage(new Image()), 'INVALID_IMAGE'],
      [(o) => o.Tensor.fromImage('/nothing-here.png'), 'IMAGE_DECODE'],
      [(o) => o.Tensor.fromImage('/dist/ort.js'), 'IMAGE_DECODE'],
      [(o) => o.Tensor.fromImage(picture(), { tensorFormat: 'XYZ' }), 'INVALID_OPTION'],
      [(o) => o.Tensor.fromImage(picture(), { tensorLayout: 'CHWN' }), 'INVALID_OPTION'],
      [(o) => o.Tensor.fromImage(picture(), { dataType: 'int8' }), 'INVALID_OPTION'],
      [(o) => o.Tensor.fromImage(picture(), { norm: { mean: 'high' } }), 'INVALID_OPTION'],
      [(o) => o.Tensor.fromImage(picture(), { resizedWidth: -1 }), 'INVALID_IMAGE'],
      [(o) => o.Tensor.fromImage(picture(), { resizedWidth: 0.5, resizedHeight: 1 }), 'INVALID_IMAGE'],
    ];
    for (const [work, code] of cases) assert.equal((await attempt(work)).code, code, String(work));
  });
});

describe('back to pictures', () => {
  test('toImageData', async () => {
    for (const options of [undefined, { format: 'RGB' }, { format: 'RGB', norm: { mean: [1, 2, 3], bias: [0.5, 0, 0] } }]) {
      await same((o, options) => {
        const tensor = new o.Tensor('float32', Float32Array.from({ length: 18 }, (_, i) => i / 17), [1, 3, 2, 3]);
        const { data, width, height } = tensor.toImageData(options);
        return { data: Array.from(data), width, height };
      }, options);
    }
  });

  test('there and back', async () => {
    const { value } = await attempt(async (o) => {
      const results = [];
      for (const tensorFormat of ['RGB', 'BGR', 'RBG', 'RGBA']) {
        for (const tensorLayout of ['NCHW', 'NHWC']) {
          for (const dataType of ['float32', 'uint8']) {
            const tensor = await o.Tensor.fromImage(opaque(), { tensorFormat, tensorLayout, dataType });
            results.push(Array.from(tensor.toImageData({ format: tensorFormat, tensorLayout }).data));
          }
        }
      }
      return { results, want: Array.from(opaque().data) };
    });
    assert.equal(value.results.length, 16);
    for (const result of value.results) assert.deepEqual(result, value.want);
  });

  test('toDataURL', async () => {
    const { value } = await attempt(async (o) => {
      const url = (await o.Tensor.fromImage(opaque())).toDataURL();
      // Nothing on this page may fetch a data: address.
      const bytes = Uint8Array.from(atob(url.split(',')[1]), (c) => c.charCodeAt(0));
      const back = await o.Tensor.fromImage(await createImageBitmap(new Blob([bytes])), { dataType: 'uint8', tensorFormat: 'RGBA', tensorLayout: 'NHWC' });
      return { url, data: Array.from(back.data), want: Array.from(opaque().data) };
    });
    assert.match(value.url, /^data:image\/png;base64,/);
    assert.deepEqual(value.data, value.want);
  });

  test('what is no picture', async () => {
    const cases = [
      (o) => new o.Tensor('float32', new Float32Array(6), [1, 1, 2, 3]).toImageData(),
      (o) => new o.Tensor('float32', new Float32Array(18), [3, 2, 3]).toImageData(),
      (o) => new o.Tensor('float32', new Float32Array(36), [2, 3, 2, 3]).toDataURL(),
      (o) => new o.Tensor('int64', new BigInt64Array(18), [1, 3, 2, 3]).toImageData(),
    ];
    for (const work of cases) assert.equal((await attempt(work)).code, 'INPUT_SHAPE', String(work));
  });
});

describe('a model', () => {
  test('the same program gives the same class, the same names and the same metadata', async () => {
    const program = async (o, { model, photo }) => {
      const session = await o.InferenceSession.create(model, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
      const side = 227;
      const bitmap = await createImageBitmap(await (await fetch(photo)).blob(), { resizeWidth: side, resizeHeight: side });
      const image = await o.Tensor.fromImage(bitmap, { tensorFormat: 'BGR', norm: { mean: 1, bias: [-123.68, -116.779, -103.939] } });
      const [input] = session.inputNames;
      const [output] = session.outputNames;
      const place = new o.Tensor('float32', new Float32Array(1000), session.outputMetadata[0].shape);
      const { [output]: scores } = await session.run({ [input]: image }, { [output]: null });
      const { [output]: filled } = await session.run({ [input]: image }, { [output]: place });
      await session.release();
      const values = Array.from(scores.data);
      return {
        input,
        output,
        inputMetadata: session.inputMetadata,
        outputMetadata: session.outputMetadata,
        dims: [...scores.dims],
        best: values.indexOf(Math.max(...values)),
        filled: filled.data.every((value, i) => value === values[i]),
        values,
      };
    };
    const [mine, reference] = await both(program, { model: MODEL, photo: PHOTO });
    // onnxruntime-web 1.30 leaves a tensor on the CPU that it is given for an output as it is.
    const { values, filled, ...facts } = mine;
    const { values: others, ...otherFacts } = reference;
    assert.deepEqual({ ...facts, filled: otherFacts.filled }, otherFacts);
    assert.equal(filled, true);
    const spread = Math.max(...others) - Math.min(...others);
    values.forEach((value, i) => assert.ok(Math.abs(value - others[i]) <= 0.05 * spread, `class ${i}: ${value}, ${others[i]}`));
  });
});
