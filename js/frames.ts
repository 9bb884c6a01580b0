// Where the pictures of a stream come from: always the newest, where they come by themselves.

import { failure } from './errors.js';
import { imageError } from './load-more.js';
import type { ImageSource } from './image.js';

/** A picture of a stream. */
export interface Frame {
  readonly image: ImageSource;
  /** Milliseconds. */
  readonly timestamp: number;
  /** Pictures that came between the one before and this. */
  readonly dropped: number;
  /** To be called when it is not needed any more. */
  close(): void;
}

/** Pictures, one at a time. */
export interface Frames {
  /** The newest one that has not been given yet; waits for it. Undefined at the end and once it is closed. */
  next(): Promise<Frame | undefined>;
  /** Leaves nothing behind that runs. May be called at any time, and more than once. */
  close(): void;
}

const nothing = (): void => undefined;

/** Something to wait for, once or again and again. */
class Signal {
  #wake = nothing;

  readonly notify = (): void => {
    this.#wake();
  };

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** What a video shows, as it plays. The picture that is there already is the first. */
export function videoFrames(video: HTMLVideoElement): Frames {
  const changed = new Signal();
  let closed = false;
  // HAVE_CURRENT_DATA
  let fresh = video.readyState >= 2 ? 1 : 0;
  let time = video.currentTime;
  const onFrame = (mediaTime: number): void => {
    time = mediaTime;
    fresh++;
    changed.notify();
  };
  const stop = watch(video, onFrame);
  // A video of a stream whose tracks are stopped does not end everywhere: in Chromium it waits, for ever.
  const stream = video.srcObject instanceof Object && 'active' in video.srcObject ? video.srcObject : undefined;
  const targets: readonly (EventTarget | undefined)[] = [video, stream];
  const listen = (method: 'addEventListener' | 'removeEventListener'): void => {
    for (const target of targets) for (const type of ['ended', 'error', 'waiting', 'inactive']) target?.[method](type, changed.notify);
  };
  listen('addEventListener');
  return {
    async next() {
      for (;;) {
        if (closed) return undefined;
        if (video.error) {
          throw failure('IMAGE_DECODE', `The video cannot be played (${video.error.message || `code ${video.error.code}`})`, {
            hint: 'It is damaged, of a format that this browser lacks, or could not be loaded: check its address.',
          });
        }
        if (fresh > 0 && video.readyState >= 2) {
          const dropped = fresh - 1;
          fresh = 0;
          return { image: video, timestamp: time * 1000, dropped, close: nothing };
        }
        if (video.ended || stream?.active === false) return undefined;
        await changed.wait();
      }
    },
    close() {
      closed = true;
      stop();
      listen('removeEventListener');
      changed.notify();
    },
  };
}

/** Calls back for each picture that a video shows. Gives what ends it. */
function watch(video: HTMLVideoElement, onFrame: (time: number) => void): () => void {
  let handle = 0;
  if ('requestVideoFrameCallback' in video) {
    let presented: number | undefined;
    const request = (): void => {
      handle = video.requestVideoFrameCallback((_, metadata) => {
        request();
        // The browser's count tells of pictures that there was no call for.
        const count = presented === undefined ? 1 : metadata.presentedFrames - presented;
        presented = metadata.presentedFrames;
        for (let i = 0; i < count; i++) onFrame(metadata.mediaTime);
      });
    };
    request();
    return () => {
      video.cancelVideoFrameCallback(handle);
    };
  }
  // Whether its time has changed is looked up as often as the page is painted.
  const old: HTMLVideoElement = video;
  let seen = old.readyState >= 2 ? old.currentTime : undefined;
  const look = (): void => {
    handle = requestAnimationFrame(look);
    if (old.readyState < 2 || old.currentTime === seen) return;
    seen = old.currentTime;
    onFrame(seen);
  };
  handle = requestAnimationFrame(look);
  return () => {
    cancelAnimationFrame(handle);
  };
}

/** The part of MediaStreamTrackProcessor that is used. Chromium has it in windows. */
type TrackProcessor = new (options: { track: MediaStreamTrack }) => { readonly readable: ReadableStream<VideoFrame> };

/** The pictures of a camera, a screen or a canvas. The track goes on. */
export async function trackFrames(track: MediaStreamTrack): Promise<Frames> {
  const { MediaStreamTrackProcessor: Processor } = globalThis as { MediaStreamTrackProcessor?: TrackProcessor };
  if (Processor) return streamedFrames(new Processor({ track }).readable);
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  try {
    await video.play();
  } catch (cause) {
    throw await imageError('IMAGE_DECODE', 'unreadable', cause);
  }
  const frames = videoFrames(video);
  return {
    next: () => frames.next(),
    close() {
      frames.close();
      video.srcObject = null;
    },
  };
}

/** The pictures of a stream, which are closed when they have been looked at or dropped. Reads on while they are. */
export function streamedFrames(stream: ReadableStream<ImageSource>): Frames {
  if (stream.locked) {
    throw failure('INVALID_OPTION', 'The stream is being read by someone else', { hint: 'Pass one branch of stream.tee().' });
  }
  const changed = new Signal();
  const reader = stream.getReader();
  let newest: ImageSource | undefined;
  let dropped = 0;
  let ended = false;
  let failed: { readonly error: unknown } | undefined;
  const read = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || ended) {
        closePicture(value);
        break;
      }
      if (newest) {
        closePicture(newest);
        dropped++;
      }
      newest = value;
      changed.notify();
    }
  };
  void read()
    .catch((error: unknown) => {
      failed = { error };
    })
    .finally(() => {
      ended = true;
      changed.notify();
    });
  return {
    async next() {
      while (!newest && !ended) await changed.wait();
      if (newest) {
        const frame = toFrame(newest, dropped);
        newest = undefined;
        dropped = 0;
        return frame;
      }
      if (failed) throw failed.error;
      return undefined;
    },
    close() {
      ended = true;
      closePicture(newest);
      newest = undefined;
      // That it cannot be cancelled is no news: it has failed, or it has ended.
      reader.cancel().catch(nothing);
      changed.notify();
    },
  };
}

function toFrame(image: ImageSource, dropped: number): Frame {
  return {
    image,
    timestamp: timeOf(image),
    dropped,
    close() {
      closePicture(image);
    },
  };
}

/** A frame's own time, which is in microseconds; otherwise the present. */
function timeOf(image: ImageSource): number {
  return 'timestamp' in image ? image.timestamp / 1000 : performance.now();
}

function closePicture(image: ImageSource | undefined): void {
  if (image && 'close' in image) image.close();
}

/** Pictures that are pulled: there is none but the next. They stay the caller's. */
export function iteratedFrames(images: AsyncIterable<ImageSource> | Iterable<ImageSource>): Frames {
  const iterator = Symbol.asyncIterator in images ? images[Symbol.asyncIterator]() : images[Symbol.iterator]();
  const closing = new Signal();
  let ended = false;
  return {
    async next() {
      if (ended) return undefined;
      const pulled = await Promise.race([iterator.next(), closing.wait()]);
      if (!pulled || pulled.done) {
        ended ||= pulled !== undefined;
        return undefined;
      }
      const image = pulled.value;
      return { image, timestamp: isPicture(image) ? timeOf(image) : performance.now(), dropped: 0, close: nothing };
    },
    close() {
      if (ended) return;
      ended = true;
      closing.notify();
      // A generator that is waiting for something ends once it has that. Nobody is there for its errors any more.
      void (async () => iterator.return?.())().catch(nothing);
    },
  };
}

/** What is none is refused where all are. */
function isPicture(image: unknown): image is ImageSource {
  return typeof image === 'object' && image !== null;
}
