// From pictures to pixels, with a canvas that only copies. What browsers really decode is tested in browsers.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { buildModule } from './lib/bundle.mjs';

/** A picture whose pixels say where they are: red is x, green is y, both modulo 256. */
class FakeBitmap {
  constructor(width, height, size = { width, height }) {
    Object.assign(this, size);
    this.pixelAt = (x, y) => (x < width && y < height ? [x & 255, y & 255, y >> 8, 255] : [0, 0, 0, 0]);
    this.closed = 0;
  }
  close() {
    this.closed++;
  }
}

/** Largest canvas that works; larger ones stay empty, as they do in browsers (which take four times that). */
const MAX_AREA = 1 << 22;
const canvases = [];

class FakeCanvas {
  constructor(width, height) {
    Object.assign(this, { width, height });
    canvases.push(this);
  }
  getContext(type, settings) {
    assert.deepEqual([type, settings], ['2d', { willReadFrequently: true }]);
    const { width, height } = this;
    const works = width * height <= MAX_AREA;
    let data = new Uint8ClampedArray(works ? width * height * 4 : 0);
    return {
      clearRect: (x, y, w, h) => {
        assert.deepEqual([x, y, w, h], [0, 0, width, height]);
        data.fill(0);
      },
      drawImage: (bitmap, left, top) => {
        for (let y = 0; y < height && works; y++) {
          for (let x = 0; x < width; x++) {
            const pixel = bitmap.pixelAt(x - left, y - top);
            // Source over: translucent pixels leave what is there.
            if (pixel[3] === 255) data.set(pixel, (y * width + x) * 4);
          }
        }
      },
      getImageData: (x, y, w, h) => ({ data: works ? data.slice((y * width + x) * 4, (y * width + x + w * h) * 4) : new Uint8ClampedArray(w * h * 4) }),
    };
  }
}

globalThis.OffscreenCanvas = FakeCanvas;
globalThis.createImageBitmap = async () => assert.fail('not expected');
const { decode, canDecode } = await buildModule('pixels.ts');

afterEach(() => void canvases.splice(0));

function expectPixels({ data, width, height }, expected) {
  assert.deepEqual([width, height, data.length], [...expected, width * height * 4]);
  for (let y = 0; y < height; y++) {
    for (const x of [0, 1, width - 1]) {
      const at = (y * width + x) * 4;
      if (data[at] !== (x & 255) || data[at + 1] !== (y & 255) || data[at + 2] !== y >> 8) assert.fail(`wrong pixel at ${x}, ${y}`);
    }
  }
}

test('a small picture is read at once', async () => {
  const bitmap = new FakeBitmap(40, 30);
  expectPixels(await decode(bitmap), [40, 30]);
  assert.equal(bitmap.closed, 1);
  assert.deepEqual(canvases.filter(({ width }) => width === 40).map(({ height }) => height), [30]);
});

test('a large picture is read in strips that every browser can draw', async () => {
  const bitmap = new FakeBitmap(2500, 1800);
  expectPixels(await decode(bitmap), [2500, 1800]);
});

test('no strip shows through the next one', async () => {
  const bitmap = new FakeBitmap(4096, 2048);
  bitmap.pixelAt = (x, y) => (y < 1024 ? [9, 9, 9, 255] : [0, 0, 0, 0]);
  const { data } = await decode(bitmap);
  assert.equal(data[4 * 4096 * 1024], 0);
  assert.equal(data[0], 9);
});

test('a frame has its displayed size', async () => {
  const frame = new FakeBitmap(16, 9, { displayWidth: 16, displayHeight: 9, codedWidth: 32, codedHeight: 16 });
  expectPixels(await decode(frame), [16, 9]);
});

test('pixels pass through', async () => {
  const pixels = { data: new Uint8ClampedArray(4), width: 1, height: 1 };
  assert.equal(await decode(pixels), pixels);
});

test('files are decoded upright, in sRGB, without losing colour under alpha', async (t) => {
  const calls = [];
  t.mock.method(globalThis, 'createImageBitmap', async (...args) => {
    calls.push(args);
    return new FakeBitmap(2, 2);
  });
  const blob = new Blob(['x']);
  expectPixels(await decode(blob), [2, 2]);
  assert.deepEqual(calls, [[blob, { imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'default' }]]);
});

test('an older browser that does not know the options', async (t) => {
  t.mock.method(globalThis, 'createImageBitmap', async (_, options) => {
    if (options) throw new TypeError("'from-image' is not a valid enum value");
    return new FakeBitmap(2, 2);
  });
  expectPixels(await decode(new Blob(['x'])), [2, 2]);
});

test('what cannot be decoded', async (t) => {
  const decoder = t.mock.method(globalThis, 'createImageBitmap', async () => {
    throw new DOMException('The source image could not be decoded.', 'InvalidStateError');
  });
  await assert.rejects(decode(new Blob(['x'], { type: 'image/heic' })), { code: 'IMAGE_DECODE', message: /image\/heic, 1 bytes/, hint: /JPEG, PNG and WebP/ });
  assert.equal(decoder.mock.callCount(), 1);
});

test('sizes are checked before anything is decoded', async (t) => {
  const decoder = t.mock.method(globalThis, 'createImageBitmap', async () => new FakeBitmap(1, 1));
  const gif = (width, height) => {
    const bytes = new Uint8Array(40);
    bytes.set(new TextEncoder().encode('GIF89a'));
    new DataView(bytes.buffer).setUint16(6, width, true);
    new DataView(bytes.buffer).setUint16(8, height, true);
    return new Blob([bytes]);
  };
  await assert.rejects(decode(gif(20000, 20000)), { code: 'IMAGE_TOO_LARGE', actual: '20000 x 20000' });
  await assert.rejects(decode(gif(40000, 1)), { code: 'IMAGE_TOO_LARGE' });
  await assert.rejects(decode(gif(0, 0)), { code: 'INVALID_IMAGE' });
  assert.equal(decoder.mock.callCount(), 0);
  await decode(gif(10000, 10000));
  assert.equal(decoder.mock.callCount(), 1);
});

test('a bitmap is closed whatever happens', async () => {
  const huge = new FakeBitmap(20000, 20000);
  await assert.rejects(decode(huge), { code: 'IMAGE_TOO_LARGE' });
  assert.equal(huge.closed, 1);
  const tainted = new FakeBitmap(1, 1);
  tainted.pixelAt = () => {
    throw new DOMException('The canvas has been tainted by cross-origin data.', 'SecurityError');
  };
  await assert.rejects(decode(tainted), { code: 'IMAGE_DECODE', message: /tainted/, hint: /crossorigin="anonymous"/ });
  assert.equal(tainted.closed, 1);
});

test('without anything to draw on', async () => {
  assert.equal(canDecode(), true);
  delete globalThis.OffscreenCanvas;
  assert.equal(canDecode(), false);
  await assert.rejects(decode(new Blob(['x'])), { code: 'UNSUPPORTED_ENVIRONMENT', hint: /RGBA/ });
  // A page without OffscreenCanvas still has <canvas>.
  globalThis.document = { createElement: (name) => (assert.equal(name, 'canvas'), new FakeCanvas()) };
  assert.equal(canDecode(), true);
  expectPixels(await decode(new FakeBitmap(3, 3)), [3, 3]);
  delete globalThis.document;
  globalThis.OffscreenCanvas = FakeCanvas;
});
