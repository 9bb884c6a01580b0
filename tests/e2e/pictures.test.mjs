// Pictures and videos in Chromium: parts of them, several at once, streams, and tensors of them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openChromium } from './lib/chromium.mjs';

const LABELS = ['red', 'green', 'blue'];

describe('pictures in Chromium', () => {
  let browser;
  let page;
  before(async () => {
    browser = await openChromium();
    page = await browser.openPage();
    await page.evaluate(async (labels) => {
      const { meansInput, meansModel } = await import('/tests/js/lib/means-model.mjs');
      const create = (options) => tractlet.ImageClassifier.create(meansModel(), { input: meansInput(), output: { activation: 'none' }, labels, ...options });
      /** A canvas of one colour, or of several columns. */
      const paint = (...colors) => {
        const canvas = document.createElement('canvas');
        Object.assign(canvas, { width: 16 * colors.length, height: 32 });
        const context = canvas.getContext('2d');
        colors.forEach((color, i) => {
          context.fillStyle = color;
          context.fillRect(16 * i, 0, 16, 32);
        });
        return canvas;
      };
      const toBlob = (canvas) => new Promise((resolve) => { canvas.toBlob(resolve); });
      const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
      /** How many callbacks of videos are waiting. */
      const waiting = new Set();
      const { requestVideoFrameCallback: request, cancelVideoFrameCallback: cancel } = HTMLVideoElement.prototype;
      HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
        const handle = request.call(this, (...args) => { waiting.delete(handle); callback(...args); });
        waiting.add(handle);
        return handle;
      };
      HTMLVideoElement.prototype.cancelVideoFrameCallback = function (handle) {
        waiting.delete(handle);
        cancel.call(this, handle);
      };
      Object.assign(globalThis, { create, paint, toBlob, sleep, waiting, meansInput, meansModel });
    }, LABELS);
  });
  after(() => browser?.close());

  test('a region and a rotation, of every kind of picture', async () => {
    const outcome = await page.evaluate(async () => {
      const classifier = await create();
      const canvas = paint('#ff0000', '#0000ff');
      const region = { x: 16, y: 0, width: 16, height: 32 };
      const relative = { x: 0.5, y: 0, width: 0.5, height: 1, unit: 'relative' };
      const bitmap = await createImageBitmap(canvas);
      const frame = new VideoFrame(canvas, { timestamp: 0 });
      const results = {};
      for (const [name, image] of Object.entries({
        canvas, bitmap, frame, blob: await toBlob(canvas), data: canvas.getContext('2d').getImageData(0, 0, 32, 32),
      })) {
        results[name] = [];
        for (const options of [{}, { region }, { region: relative, rotation: 90 }]) {
          results[name].push((await classifier.classify(image, options)).map(({ label, score }) => [label, Math.round(score)]));
        }
      }
      frame.close();
      await classifier.release();
      return results;
    });
    assert.equal(Object.keys(outcome).length, 5);
    for (const [name, [whole, pixels, relative]] of Object.entries(outcome)) {
      const near = (score, want) => assert.ok(Math.abs(score - want) <= 2, `${name}: ${score}, not ${want}`);
      near(Object.fromEntries(whole).red, 128);
      near(Object.fromEntries(whole).blue, 128);
      for (const result of [pixels, relative]) {
        assert.equal(result[0][0], 'blue', name);
        near(result[0][1], 255);
        near(Object.fromEntries(result).red, 0);
      }
    }
  });

  test('several pictures in one run; an error says which', async () => {
    const outcome = await page.evaluate(async () => {
      const classifier = await create();
      const images = [paint('#ff0000'), await toBlob(paint('#00ff00')), await createImageBitmap(paint('#0000ff'))];
      const results = await classifier.classify(images, { topK: 1 });
      const errors = [];
      for (const bad of [new Blob(['no picture']), new Image(), document.createElement('video')]) {
        errors.push(await classifier.classify([images[0], images[1], bad]).then(() => undefined, ({ code, index, name }) => ({ code, index, name })));
      }
      const again = await classifier.classify(images);
      await classifier.release();
      return { best: results.map(([{ label }]) => label), errors, again: again.length, intact: images[2].width };
    });
    assert.deepEqual(outcome.best, LABELS);
    assert.deepEqual(outcome.errors.map(({ index, name }) => [index, name]), Array(3).fill([2, 'ImageError']));
    assert.deepEqual(outcome.errors.map(({ code }) => code), ['IMAGE_DECODE', 'INVALID_IMAGE', 'INVALID_IMAGE']);
    assert.deepEqual([outcome.again, outcome.intact], [3, 16]);
  });

  for (const kind of ['video', 'track', 'stream', 'processor']) {
    test(`a canvas as a ${kind}: the newest picture, and nothing left behind`, async () => {
      const outcome = await page.evaluate(async (kind) => {
        const classifier = await create();
        const canvas = paint('#ff0000');
        const context = canvas.getContext('2d');
        const stream = canvas.captureStream();
        const [track] = stream.getVideoTracks();
        let hue = 0;
        const timer = setInterval(() => {
          // Red, green, blue, 300 ms each, and a pixel that always changes.
          context.fillStyle = ['#ff0000', '#00ff00', '#0000ff'][Math.floor(performance.now() / 300) % 3];
          context.fillRect(0, 0, 16, 32);
          context.fillStyle = `rgb(${hue++ % 256}, 0, 0)`;
          context.fillRect(0, 0, 1, 1);
        }, 15);
        const video = document.createElement('video');
        let source = { stream, track }[kind];
        if (kind === 'video') {
          Object.assign(video, { srcObject: stream, muted: true });
          await video.play();
          source = video;
        } else if (kind === 'processor') {
          source = new MediaStreamTrackProcessor({ track }).readable;
        }
        const controller = new AbortController();
        const labels = [];
        const late = [];
        let dropped = 0;
        let last = -Infinity;
        let ordered = true;
        for await (const result of classifier.classifyStream(source, { signal: controller.signal, topK: 1 })) {
          labels.push(result[0].label);
          dropped += result.dropped;
          ordered &&= result.timestamp > last;
          last = result.timestamp;
          // Slower than the pictures come.
          if (labels.length < 12) await sleep(90);
          late.push(result.dropped);
          if (labels.length === 14) controller.abort();
        }
        const live = track.readyState;
        clearInterval(timer);
        track.stop();
        await classifier.release();
        await sleep(50);
        return { labels, dropped, ordered, live, waiting: waiting.size };
      }, kind);
      assert.equal(outcome.labels.length, 14);
      assert.deepEqual([...new Set(outcome.labels)].sort(), [...LABELS].sort());
      assert.ok(outcome.ordered, 'each picture is newer than the one before');
      assert.equal(outcome.live, 'live', 'the track is not the classifier\'s to stop');
      assert.equal(outcome.waiting, 0);
      // What a track's processor cannot hand out it drops itself.
      if (kind === 'video') assert.ok(outcome.dropped > 5, `${outcome.dropped} dropped`);
    });
  }

  test('a stream ends with its track', async () => {
    const outcome = await page.evaluate(async () => {
      const classifier = await create();
      const counts = [];
      for (const asVideo of [true, false]) {
        const canvas = paint('#00ff00');
        const [track] = canvas.captureStream().getVideoTracks();
        const video = document.createElement('video');
        Object.assign(video, { srcObject: new MediaStream([track]), muted: true });
        if (asVideo) await video.play();
        const timer = setInterval(() => canvas.getContext('2d').fillRect(0, 0, 1, 1), 15);
        let count = 0;
        for await (const [{ label }] of classifier.classifyStream(asVideo ? video : track)) {
          if (label === 'green' && ++count === 3) track.stop();
        }
        clearInterval(timer);
        counts.push(count);
      }
      await classifier.release();
      return { counts, waiting: waiting.size };
    });
    assert.ok(outcome.counts.every((count) => count >= 3), String(outcome.counts));
    assert.equal(outcome.waiting, 0);
  });

  test('a file: recorded, played to its end, smoothed', async () => {
    const recorded = await page.evaluate(async () => {
      const canvas = paint('#ff0000');
      const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: 'video/webm;codecs=vp8' });
      const parts = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
      const context = canvas.getContext('2d');
      recorder.start();
      const began = performance.now();
      while (performance.now() - began < 1200) {
        context.fillStyle = performance.now() - began < 600 ? '#ff0000' : '#0000ff';
        context.fillRect(0, 0, 16, 32);
        await sleep(20);
      }
      recorder.stop();
      await stopped;
      return Array.from(new Uint8Array(await new Blob(parts).arrayBuffer()));
    });
    assert.ok(recorded.length > 500, 'there is a recording');
    await page.route('**/recorded.webm', (route) => route.fulfill({ contentType: 'video/webm', body: Buffer.from(recorded) }));
    const outcome = await page.evaluate(async () => {
      const classifier = await create();
      const play = async (options) => {
        const video = document.createElement('video');
        Object.assign(video, { src: '/recorded.webm', muted: true });
        await video.play();
        const results = [];
        for await (const result of classifier.classifyStream(video, options)) {
          results.push({ red: result.find(({ label }) => label === 'red').score, blue: result.find(({ label }) => label === 'blue').score, timestamp: result.timestamp });
        }
        return { results, ended: video.ended };
      };
      const plain = await play({});
      const smooth = await play({ smoothing: 10_000 });
      const broken = document.createElement('video');
      broken.src = '/tests/e2e/pages/page.js';
      const error = await classifier.classifyStream(broken).next().then(() => undefined, ({ code, name }) => ({ code, name }));
      await classifier.release();
      return { plain, smooth, error, waiting: waiting.size };
    });
    const { plain, smooth } = outcome;
    assert.ok(plain.ended && smooth.ended);
    assert.ok(plain.results.length > 4 && smooth.results.length > 4, `${plain.results.length} and ${smooth.results.length} pictures`);
    assert.ok(plain.results[0].red > 200 && plain.results.at(-1).blue > 200);
    // Over ten seconds: the second colour has not arrived yet.
    assert.ok(smooth.results.at(-1).red > 200 && smooth.results.at(-1).blue < 50, JSON.stringify(smooth.results.at(-1)));
    assert.deepEqual(outcome.error, { code: 'IMAGE_DECODE', name: 'ImageError' });
    assert.equal(outcome.waiting, 0);
  });

  test('without requestVideoFrameCallback and MediaStreamTrackProcessor', async () => {
    const bare = await browser.openPage();
    const outcome = await bare.evaluate(async (labels) => {
      delete HTMLVideoElement.prototype.requestVideoFrameCallback;
      delete globalThis.MediaStreamTrackProcessor;
      const { meansInput, meansModel } = await import('/tests/js/lib/means-model.mjs');
      const classifier = await tractlet.ImageClassifier.create(meansModel(), { input: meansInput(), labels });
      const canvas = document.createElement('canvas');
      Object.assign(canvas, { width: 16, height: 16 });
      const context = canvas.getContext('2d');
      context.fillStyle = '#00ff00';
      const timer = setInterval(() => context.fillRect(0, 0, 16, 16), 15);
      const [track] = canvas.captureStream().getVideoTracks();
      const seen = [];
      let frames = 0;
      const request = globalThis.requestAnimationFrame;
      globalThis.requestAnimationFrame = (callback) => { frames++; return request(callback); };
      for await (const [{ label }] of classifier.classifyStream(track)) if (seen.push(label) === 3) break;
      const before = frames;
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      clearInterval(timer);
      await classifier.release();
      return { seen, live: track.readyState, looked: before, after: frames - before };
    }, LABELS);
    await bare.close();
    assert.deepEqual(outcome.seen, ['green', 'green', 'green']);
    assert.equal(outcome.live, 'live');
    assert.ok(outcome.looked > 0);
    assert.equal(outcome.after, 0, 'nobody looks any more');
  });

  test('a tensor of a picture, in a worker of its own, and back', async () => {
    const before = browser.requests.length;
    const outcome = await page.evaluate(async () => {
      const { ImageClassifier, InferenceSession, Tensor } = tractlet;
      const card = await (await fetch('/models/squeezenet1.1-int8.json')).json();
      const photo = new Blob([await fetchBytes('/.cache/fixtures/photos/foolbox-10.png')]);
      const region = { x: 0.1, y: 0.1, width: 0.8, height: 0.8, unit: 'relative' };
      const tensor = await Tensor.fromImage(photo, { ...card.input, region, rotation: 180 });
      const session = await InferenceSession.create('/models/squeezenet1.1-int8.onnx');
      const output = await session.run({ [session.inputNames[0]]: tensor });
      const { data } = output[session.outputNames[0]];
      const best = data.indexOf(Math.max(...data));
      const classifier = await ImageClassifier.create(session, { input: card.input });
      const [{ index }] = await classifier.classify(photo, { region, rotation: 180, topK: 1 });
      const local = await Tensor.fromImage(photo, { ...card.input, region, rotation: 180, worker: false });
      await session.release();

      const canvas = paint('#ff0000', '#00ff00');
      const settings = { ...meansInput({ height: 32, width: 32 }), scale: 1 / 255 };
      const picture = await Tensor.fromImage(canvas, settings);
      const image = await picture.toImageData();
      // The page's policy has no place for data: addresses.
      const [head, base64] = (await picture.toDataURL()).split(',');
      const shown = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]));
      const corner = (source) => Array.from(toCanvas(source, 32, 32).getContext('2d').getImageData(15, 0, 2, 1).data);
      const errors = [];
      for (const [bad, options] of [[new Blob(['x']), settings], [canvas, { ...settings, region: { x: 30, y: 0, width: 9, height: 9 } }]]) {
        errors.push(await Tensor.fromImage(bad, options).then(() => undefined, ({ code, name }) => `${name} ${code}`));
      }
      return {
        dims: tensor.dims, best, index, same: local.data.every((value, i) => value === tensor.data[i]) && local.size === tensor.size,
        image: [image.constructor.name, image.width, image.height, Array.from(image.data.slice(60, 68))], head, shown: corner(shown), errors,
      };
    });
    assert.deepEqual(outcome.dims, [1, 3, 227, 227]);
    assert.equal(outcome.best, outcome.index, 'the classifier has the same');
    assert.ok(outcome.same, 'in a worker and in the page');
    const pixels = [255, 0, 0, 255, 0, 255, 0, 255];
    assert.deepEqual(outcome.image, ['ImageData', 32, 32, pixels]);
    assert.equal(outcome.head, 'data:image/png;base64');
    assert.deepEqual(outcome.shown, pixels);
    assert.deepEqual(outcome.errors, ['ImageError IMAGE_DECODE', 'InputError INVALID_OPTION']);
    assert.ok(browser.requests.slice(before).some((url) => url.endsWith('/worker.js')));
  });

  test('nothing was complained about', () => {
    // The one recording that is none.
    const unexpected = browser.complaints.filter((text) => !/page\.js/.test(text));
    assert.deepEqual(unexpected, []);
  });
});
