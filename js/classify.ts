// The calls of a classifier: pictures are taken, posted, and what comes back is named.

import type { Client } from './client.js';
import { failure, specific, toObject } from './errors.js';
import type { Classification, ClassificationResult, ImageClassifier } from './image-classifier.js';
import { closeImage, type ImageSource, toPortable, transferOfImage } from './image.js';
import { imageError } from './load-more.js';
import { abortable } from './options.js';
import type { ClassifierInfo, PortableImage, Smoothing } from './protocol.js';
import type { ClassSelection, ImageView, Timings } from './types.js';
import type { ClassifySpec } from './wasm-modules.js';

interface Selected {
  readonly view: ImageView;
  readonly spec: ClassifySpec;
}

/** What a call of {@link Calls.classify} gives. */
interface Results {
  /** For each picture. */
  readonly results: ClassificationResult[];
  /** For the next picture of a stream. */
  readonly average: Float32Array | undefined;
}

export class Calls {
  readonly #client: Client;
  readonly #info: ClassifierInfo;
  readonly #defaults: ImageClassifier.Defaults;
  /** Of the last call that has finished. */
  timings: Timings | undefined;

  /** @param defaults what calls do that do not say otherwise; what it does not say either, the card does */
  constructor(client: Client, info: ClassifierInfo, defaults: ImageClassifier.Defaults) {
    this.#client = client;
    this.#info = info;
    this.#defaults = { ...info.output, ...given(defaults) };
  }

  /** @throws InputError `INVALID_OPTION` for default lists with classes that the model does not have */
  async check(): Promise<void> {
    await this.#select({});
  }

  /**
   * Classifies pictures as they are now.
   *
   * @param numbered whether errors say which of them they are about
   */
  async classify(
    images: readonly ImageSource[],
    options: ImageClassifier.ClassifyOptions,
    numbered: boolean,
    smoothing?: Smoothing,
  ): Promise<Results> {
    const { signal } = options;
    const { input, labels } = this.#info;
    try {
      // Both at once: the pictures are wanted as they are now.
      const [{ view, spec }, taken] = await this.#both(this.#select(options), abortable(this.#take(images, numbered, signal), signal));
      const request = { images: taken, numbered, input, view, spec, smoothing };
      const { best, timings, average } = await this.#client.call('classify', request, { signal, transfer: taken.flatMap(transferOfImage) });
      this.timings = timings;
      const name = ({ index, score }: { index: number; score: number }): Classification => ({ label: labels?.[index] ?? `class ${index}`, score, index });
      return { results: best.map((classes) => Object.assign(classes.map(name), { timings })), average };
    } catch (error) {
      // Bitmaps of another origin cannot even be posted.
      throw specific(error instanceof DOMException && error.name === 'DataCloneError' ? await imageError('IMAGE_DECODE', 'unreadable', error) : error);
    }
  }

  /** Both, or neither: pictures that are not going to be posted are closed. */
  async #both(selecting: Promise<Selected>, taking: Promise<PortableImage[]>): Promise<[Selected, PortableImage[]]> {
    try {
      return await Promise.all([selecting, taking]);
    } catch (error) {
      taking.then((taken) => { taken.forEach(closeImage); }, () => undefined);
      throw error;
    }
  }

  /** The settings of a call, with lists as indices. */
  async #select(options: ImageClassifier.ClassifyOptions): Promise<Selected> {
    const { topK = 5, threshold, allow, deny, region, rotation } = { ...this.#defaults, ...given(options) };
    const { labels, classes, output } = this.#info;
    const indices = async (name: string, list: ClassSelection['allow']): Promise<number[] | undefined> =>
      list && (await import('./class-lists.js')).toIndices(name, list, labels, classes);
    return {
      view: { region, rotation },
      spec: { topK, threshold, activation: output?.activation, allow: await indices('allow', allow), deny: await indices('deny', deny) },
    };
  }

  /** The pictures in a form that can be posted: all of them, or none is kept. */
  async #take(images: readonly ImageSource[], numbered: boolean, signal: AbortSignal | undefined): Promise<PortableImage[]> {
    const settled = await Promise.allSettled(images.map((image) => this.#portable(image)));
    const taken = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    try {
      settled.forEach((one, index) => {
        if (one.status === 'rejected') throw numbered ? at(one.reason, index) : one.reason;
      });
      signal?.throwIfAborted();
    } catch (error) {
      taken.forEach(closeImage);
      throw error;
    }
    return taken;
  }

  async #portable(image: ImageSource): Promise<PortableImage> {
    const portable = await toPortable(image);
    if (this.#info.canDecode || 'data' in portable) return portable;
    // The worker has nothing to draw on.
    const { decode } = await import('./pixels.js');
    return decode(portable);
  }
}

/** Options that are not left out: `undefined` counts as such. */
function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** The error of one picture of several. */
function at(thrown: unknown, index: number): Error {
  const object = toObject(thrown);
  return failure(object.code, `Picture ${index}: ${object.message}`, { ...object, index });
}
