// Sizes from the headers of picture files.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildModule } from './lib/bundle.mjs';

const { readSize } = await buildModule('image-size.ts');

/** Pictures of 37 x 21 pixels, as PIL writes them; their first bytes. */
const FILES = {
  'png': 'iVBORw0KGgoAAAANSUhEUgAAACUAAAAVCAIAAABOhrD5AAAAJklEQQ==',
  'baseline JPEG': '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////2wBDAf//////////////////////////////////////////////////////////////////////////////////////wAARCAAVACUDASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIh',
  'progressive JPEG with Exif': '/9j/4AAQSkZJRgABAQAAAQABAAD/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////2wBDAf//////////////////////////////////////////////////////////////////////////////////////wgARCAAVACUDASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABYB',
  'lossy WebP': 'UklGRkAAAABXRUJQVlA4IDQAAAAwAwCdASolABUAP83m7nA/uDKrJQ==',
  'lossless WebP': 'UklGRh4AAABXRUJQVlA4TBEAAAAvJAAFAAdQ5CrUo/+BiOh/AAA=',
  'WebP with Exif': 'UklGRnQAAABXRUJQVlA4WAoAAAAIAAAAJAAAFAAAVlA4IDQAAAAwAw==',
  'GIF': 'R0lGODdhJQAVAIEAAArIHgAAAAAAAAAAACwAAAAAJQAVAEAILwABCA==',
  'BMP': 'Qk3mAAAAAAAAAD4AAAAoAAAAJQAAABUAAAABAAEAAAAAAKgAAADEDg==',
};

const bytesOf = (name) => new Uint8Array(Buffer.from(FILES[name], 'base64'));
const sizeOf = (bytes) => readSize(new Blob([bytes]));

for (const name of Object.keys(FILES)) {
  test(name, async () => {
    assert.deepEqual(await sizeOf(bytesOf(name)), { width: 37, height: 21 });
  });
}

test('BMP: rows from the top, and the oldest header', async () => {
  const bytes = bytesOf('BMP');
  const view = new DataView(bytes.buffer);
  view.setInt32(22, -21, true);
  assert.deepEqual(await sizeOf(bytes), { width: 37, height: 21 });
  view.setUint32(14, 12, true);
  view.setUint16(18, 300, true);
  view.setUint16(20, 7, true);
  assert.deepEqual(await sizeOf(bytes), { width: 300, height: 7 });
});

test('JPEG: a frame header behind much metadata, and padding', async () => {
  const jpeg = bytesOf('baseline JPEG');
  const metadata = Buffer.concat(Array.from({ length: 40 }, () => [Uint8Array.of(0xff, 0xe2, 0xff, 0xff), new Uint8Array(0xfffd)]).flat());
  const padded = Buffer.concat([jpeg.subarray(0, 2), metadata, Uint8Array.of(0xff, 0xff), jpeg.subarray(2)]);
  assert.deepEqual(await sizeOf(padded), { width: 37, height: 21 });
});

test('large sizes are not clipped', async () => {
  const bytes = bytesOf('png');
  new DataView(bytes.buffer).setUint32(16, 0xffffffff);
  assert.deepEqual(await sizeOf(bytes), { width: 0xffffffff, height: 21 });
});

test('what is cut off or unknown has no size, and no header makes it hang or throw', async () => {
  for (const name of Object.keys(FILES)) {
    const bytes = bytesOf(name);
    for (let length = 0; length <= bytes.length; length++) {
      const size = await sizeOf(bytes.subarray(0, length));
      assert.ok(size === undefined || (size.width === 37 && size.height === 21), `${name}, ${length} bytes`);
    }
  }
  for (const text of ['', 'x'.repeat(100), '<svg xmlns="http://www.w3.org/2000/svg"/>']) assert.equal(await sizeOf(text), undefined);
  // A JPEG of segments without end, each of length 0.
  const endless = new Uint8Array(1e6);
  for (let i = 0; i < endless.length; i += 2) endless.set([0xff, 0xd8], i);
  assert.equal(await sizeOf(endless), undefined);
});
