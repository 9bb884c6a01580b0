// Streams of pictures: what is taken, what is dropped, and that nothing is left behind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildModule, buildPackage } from './lib/bundle.mjs';
import { imagePlan, INPUT, pixels } from './lib/models.mjs';

const dist = await buildPackage();
const { ImageClassifier, ImageError } = await import(new URL('index.js', dist));
const { videoFrames } = await buildModule('frames.ts');

const classifier = await ImageClassifier.create(imagePlan(), { input: INPUT });
const level = (value) => pixels([value, 0, 0]);
/** A picture like a VideoFrame, so far as Node has any. */
const frame = (value, milliseconds = 0, closed = []) => ({ ...level(value), timestamp: milliseconds * 1000, close: () => closed.push(value) });
const red = (result) => result.find(({ index }) => index === 0).score;
const until = async (condition) => {
  for (let i = 0; i < 400 && !condition(); i++) await sleep(5);
  assert.ok(condition());
};

async function all(source, options) {
  const results = [];
  for await (const result of classifier.classifyStream(source, options)) results.push(result);
  return results;
}

test('pictures of an iterable are pulled one by one', async () => {
  let pulled = 0;
  let ended = false;
  const generate = async function* () {
    try {
      for (const value of [10, 20, 30]) {
        pulled++;
        yield level(value);
      }
    } finally {
      ended = true;
    }
  };
  const seen = [];
  for await (const result of classifier.classifyStream(generate(), { topK: 4 })) {
    seen.push(red(result));
    await sleep(10);
    assert.equal(pulled, seen.length, 'not one picture ahead');
    assert.equal(result.dropped, 0);
    assert.ok(result.timestamp > 0 && result.timings.inference >= 0);
  }
  assert.deepEqual(seen, [10, 20, 30]);
  assert.ok(ended);
  assert.deepEqual((await all([level(5), level(6)], { topK: 4 })).map(red), [5, 6], 'lists will do');
});

test('leaving the loop ends the iterable', async () => {
  let ended = false;
  const generate = async function* () {
    try {
      for (;;) yield level(1);
    } finally {
      ended = true;
    }
  };
  for await (const result of classifier.classifyStream(generate())) {
    assert.equal(result.length, 4);
    break;
  }
  assert.ok(ended);
});

test('of a stream the newest picture is taken, and all are closed', async () => {
  const closed = [];
  let controller;
  const stream = new ReadableStream({ start: (c) => { controller = c; } });
  const results = classifier.classifyStream(stream, { topK: 4 });
  controller.enqueue(frame(1, 100, closed));
  const first = (await results.next()).value;
  assert.deepEqual([red(first), first.timestamp, first.dropped], [1, 100, 0]);
  for (const value of [2, 3, 4]) controller.enqueue(frame(value, 100 + value, closed));
  await until(() => closed.length === 3);
  const second = (await results.next()).value;
  assert.deepEqual([red(second), second.timestamp, second.dropped], [4, 104, 2]);
  assert.deepEqual(closed, [1, 2, 3, 4]);
  // Waits for one that has not come yet.
  const waiting = results.next();
  await sleep(5);
  controller.enqueue(frame(5, 200, closed));
  assert.equal(red((await waiting).value), 5);
  // The last one counts, though the stream has ended meanwhile.
  controller.enqueue(frame(6, 300, closed));
  controller.close();
  await sleep(5);
  assert.equal(red((await results.next()).value), 6);
  assert.deepEqual(await results.next(), { value: undefined, done: true });
  assert.deepEqual(closed, [1, 2, 3, 4, 5, 6]);
});

test('leaving the loop cancels the stream', async () => {
  const closed = [];
  let cancelled = false;
  let value = 0;
  const stream = new ReadableStream({
    pull: async (controller) => {
      await sleep(1);
      controller.enqueue(frame(++value, value, closed));
    },
    cancel: () => { cancelled = true; },
  });
  for await (const result of classifier.classifyStream(stream)) {
    assert.equal(result.length, 4);
    break;
  }
  await until(() => cancelled);
  await until(() => closed.length === value);
});

test('a stream that fails is an error, after the picture that is there', async () => {
  const broken = new Error('unplugged');
  const stream = new ReadableStream({ start: (controller) => controller.enqueue(level(7)), pull: (controller) => controller.error(broken) });
  const results = classifier.classifyStream(stream);
  // An error empties a stream's queue, so the picture may or may not be seen.
  await assert.rejects(async () => { for await (const result of results) assert.equal(result.length, 4); }, broken);
});

test('an abort ends the iteration, wherever it is', async () => {
  assert.deepEqual(await all([level(1)], { signal: AbortSignal.abort() }), []);

  // Between two pictures.
  const between = new AbortController();
  let returned = false;
  const endless = { [Symbol.asyncIterator]: () => ({ next: async () => ({ value: level(1), done: false }), return: async () => { returned = true; return { done: true }; } }) };
  let seen = 0;
  for await (const result of classifier.classifyStream(endless, { signal: between.signal })) {
    assert.equal(result.length, 4);
    if (++seen === 3) between.abort();
  }
  assert.equal(seen, 3);
  assert.ok(returned);

  // While waiting for one.
  const waiting = new AbortController();
  const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
  const pending = classifier.classifyStream(never, { signal: waiting.signal }).next();
  setTimeout(() => waiting.abort(), 5);
  assert.deepEqual(await pending, { value: undefined, done: true });
  let cancelled = false;
  const idle = new AbortController();
  const silent = classifier.classifyStream(new ReadableStream({ cancel: () => { cancelled = true; } }), { signal: idle.signal }).next();
  setTimeout(() => idle.abort(), 5);
  assert.deepEqual(await silent, { value: undefined, done: true });
  assert.ok(cancelled);

  // While one is classified.
  const busy = new AbortController();
  const slowly = async function* () {
    const picture = Object.defineProperty(level(1), 'data', { get: () => { busy.abort(); return level(1).data; } });
    yield picture;
  };
  const last = classifier.classifyStream(slowly(), { signal: busy.signal }).next();
  assert.deepEqual(await last, { value: undefined, done: true });
  assert.equal((await classifier.classify(level(9))).length, 4, 'usable afterwards');
});

test('smoothing follows its formula, over time and not over pictures', async () => {
  const times = [0, 100, 150, 450];
  const values = [100, 0, 40, 40];
  const keep = (ms) => Math.exp(-ms / 200);
  const expected = [100];
  for (let i = 1; i < times.length; i++) {
    const k = keep(times[i] - times[i - 1]);
    expected.push(k * expected[i - 1] + (1 - k) * values[i]);
  }
  const close = (got, want) => got.forEach((value, i) => assert.ok(Math.abs(value - want[i]) < 1e-3, `${got} instead of ${want}`));
  const source = () => values.map((value, i) => frame(value, times[i]));
  close((await all(source(), { smoothing: 200, topK: 4 })).map(red), expected);
  close((await all(source(), { topK: 4 })).map(red), values);
  close((await all(source(), { smoothing: 0, topK: 4 })).map(red), values);
  // Back to the beginning: nothing of the end stays.
  close((await all([frame(100, 500), frame(0, 10), frame(0, 20)], { smoothing: 1000, topK: 4 })).map(red), [100, 0, 0]);
  // A class that is not among the best has an average all the same.
  const [, second] = await all([frame(100, 0), pixels([0, 50, 0])].map((picture, i) => ({ ...picture, timestamp: i * 1e5 })), { smoothing: 200, topK: 1 });
  assert.deepEqual(second.map(({ index }) => index), [0]);
});

test('what is no stream, and what is in it and no picture', async () => {
  for (const [source, message] of [
    [null, /Null/],
    [undefined, /Undefined/],
    ['video.mp4', /String/],
    [level(1), /Object/],
    [{ [Symbol.toStringTag]: 'MediaStreamTrack', kind: 'audio' }, /MediaStreamTrack has no video/],
    [{ [Symbol.toStringTag]: 'MediaStream', getVideoTracks: () => [] }, /MediaStream has no video/],
    [['cat.jpg'], /String is no picture/],
    [[null], /Null is no picture/],
  ]) {
    await assert.rejects(classifier.classifyStream(source).next(), (error) => error instanceof ImageError && error.code === 'INVALID_IMAGE' && message.test(error.message), String(message));
  }
  const locked = new ReadableStream();
  locked.getReader();
  await assert.rejects(classifier.classifyStream(locked).next(), { code: 'INVALID_OPTION', hint: /tee/ });
  for (const options of [{ smoothing: -1 }, { smoothing: NaN }, { interval: 5 }, { topK: 0 }]) {
    assert.throws(() => classifier.classifyStream([], options), { code: 'INVALID_OPTION' }, JSON.stringify(options));
  }
  await assert.rejects(classifier.classifyStream([level(1)], { allow: ['cat'] }).next(), { code: 'INVALID_OPTION' });
});

test('a released classifier ends its streams with an error', async () => {
  const own = await ImageClassifier.create(imagePlan(), { input: INPUT });
  const results = own.classifyStream([level(1), level(2)]);
  await results.next();
  await own.release();
  await assert.rejects(results.next(), { code: 'SESSION_RELEASED' });
});

/** A <video> so far as frames.ts looks at it. `old` has no requestVideoFrameCallback. */
class Video extends EventTarget {
  readyState = 2;
  currentTime = 0;
  ended = false;
  error = null;
  callbacks = new Map();
  listeners = 0;
  presented = 0;

  constructor({ old = false } = {}) {
    super();
    if (old) return;
    this.requestVideoFrameCallback = (callback) => {
      const handle = this.callbacks.size + Math.random();
      this.callbacks.set(handle, callback);
      return handle;
    };
    this.cancelVideoFrameCallback = (handle) => this.callbacks.delete(handle);
  }

  addEventListener(...args) {
    this.listeners++;
    super.addEventListener(...args);
  }

  removeEventListener(...args) {
    this.listeners--;
    super.removeEventListener(...args);
  }

  /** Shows a picture; `missed` ones were shown before it without a call. */
  show(time, missed = 0) {
    this.currentTime = time;
    this.presented += 1 + missed;
    const due = [...this.callbacks];
    this.callbacks.clear();
    for (const [, callback] of due) callback(0, { mediaTime: time, presentedFrames: this.presented });
  }

  end() {
    this.ended = true;
    this.dispatchEvent(new Event('ended'));
  }
}

test('a video: what it shows, then each new picture, the newest first', async () => {
  const video = new Video();
  const frames = videoFrames(video);
  const next = async () => {
    const { image: shown, timestamp, dropped } = await frames.next();
    assert.equal(shown, video);
    return [timestamp, dropped];
  };
  assert.deepEqual(await next(), [0, 0]);
  const pending = next();
  video.show(0.04);
  assert.deepEqual(await pending, [40, 0]);
  video.show(0.08);
  video.show(0.12);
  video.show(0.2, 1);
  assert.deepEqual(await next(), [200, 3]);
  video.show(0.24);
  const ended = frames.next();
  video.end();
  assert.equal((await ended).timestamp, 240);
  assert.equal(await frames.next(), undefined);
  frames.close();
  assert.deepEqual([video.callbacks.size, video.listeners], [0, 0]);
});

test('a video of a stream ends with that, though it never says so', async () => {
  const video = new Video();
  video.srcObject = Object.assign(new EventTarget(), { active: true });
  const frames = videoFrames(video);
  await frames.next();
  const pending = frames.next();
  video.srcObject.active = false;
  video.srcObject.dispatchEvent(new Event('inactive'));
  assert.equal(await pending, undefined);
  frames.close();
  assert.equal(video.listeners, 0);
});

test('a video: nothing is left when it is closed, not loaded yet or broken', async () => {
  const video = new Video();
  video.readyState = 0;
  const frames = videoFrames(video);
  const pending = frames.next();
  await sleep(5);
  frames.close();
  assert.equal(await pending, undefined);
  assert.deepEqual([video.callbacks.size, video.listeners], [0, 0]);
  frames.close();

  const broken = new Video();
  broken.readyState = 0;
  const failing = videoFrames(broken);
  const failed = failing.next();
  broken.error = { code: 4, message: 'no decoder' };
  broken.dispatchEvent(new Event('error'));
  await assert.rejects(failed, { code: 'IMAGE_DECODE', message: /no decoder/ });
  failing.close();
  assert.deepEqual([broken.callbacks.size, broken.listeners], [0, 0]);
});

test('a video in a browser without requestVideoFrameCallback', async () => {
  const looks = new Map();
  let last = 0;
  globalThis.requestAnimationFrame = (callback) => { looks.set(++last, callback); return last; };
  globalThis.cancelAnimationFrame = (handle) => looks.delete(handle);
  const paint = () => { const due = [...looks.values()]; looks.clear(); due.forEach((callback) => callback(0)); };
  try {
    const video = new Video({ old: true });
    const frames = videoFrames(video);
    assert.equal((await frames.next()).timestamp, 0);
    const pending = frames.next();
    paint();
    video.currentTime = 0.5;
    paint();
    paint();
    assert.deepEqual([(await pending).timestamp, looks.size], [500, 1]);
    frames.close();
    assert.deepEqual([looks.size, video.listeners], [0, 0]);
  } finally {
    delete globalThis.requestAnimationFrame;
    delete globalThis.cancelAnimationFrame;
  }
});
