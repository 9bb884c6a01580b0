// Pictures as they come, one at a time: whoever iterates sets the pace. Loaded with the first stream.

import type { Calls } from './classify.js';
import { failure, tagOf } from './errors.js';
import type { ImageClassifier, ImageStream, StreamResult } from './image-classifier.js';
import { type Frames, iteratedFrames, streamedFrames, trackFrames, videoFrames } from './frames.js';
import type { ImageSource } from './image.js';

/** What {@link ImageClassifier.classifyStream} does. */
export async function* classifyStream(
  calls: Calls,
  source: ImageStream,
  { smoothing = 0, signal, ...options }: ImageClassifier.StreamOptions,
): AsyncGenerator<StreamResult, void, void> {
  // In a function: it may become true while others are awaited.
  const aborted = (): boolean => signal?.aborted ?? false;
  if (aborted()) return;
  const frames = await open(source);
  const close = (): void => {
    frames.close();
  };
  signal?.addEventListener('abort', close);
  let average: Float32Array | undefined;
  let before = 0;
  try {
    for (;;) {
      const frame = aborted() ? undefined : await frames.next();
      if (!frame) return;
      const { timestamp, dropped } = frame;
      // A jump back is another scene.
      if (timestamp < before) average = undefined;
      const state = smoothing > 0 ? { average, keep: Math.exp(Math.min(0, before - timestamp) / smoothing) } : undefined;
      before = timestamp;
      let result;
      try {
        const { results, average: next } = await calls.classify([frame.image], { ...options, signal }, false, state);
        average = next;
        [result] = results;
      } finally {
        frame.close();
      }
      yield Object.assign(result as StreamResult, { timestamp, dropped });
    }
  } catch (error) {
    if (!aborted()) throw error;
  } finally {
    signal?.removeEventListener('abort', close);
    close();
  }
}

async function open(source: ImageStream): Promise<Frames> {
  const tag = tagOf(source);
  if (tag === 'HTMLVideoElement') return videoFrames(source as HTMLVideoElement);
  if (tag === 'MediaStream') {
    const [track] = (source as MediaStream).getVideoTracks();
    if (track) return trackFrames(track);
  } else if (tag.endsWith('MediaStreamTrack')) {
    if ((source as MediaStreamTrack).kind === 'video') return trackFrames(source as MediaStreamTrack);
  } else if (tag === 'ReadableStream') {
    return streamedFrames(source as ReadableStream<ImageSource>);
  } else if (typeof source === 'object' && (source as unknown) !== null && (Symbol.asyncIterator in source || Symbol.iterator in source)) {
    return iteratedFrames(source as AsyncIterable<ImageSource> | Iterable<ImageSource>);
  }
  throw failure('INVALID_IMAGE', tag.includes('Media') ? `The ${tag} has no video` : `${tag} is no stream of pictures`, {
    expected: '<video>, MediaStream, MediaStreamTrack, ReadableStream or an iterable',
    actual: tag,
    hint: 'Pass one of those; if it comes from the page, check that the element was found.',
  });
}
