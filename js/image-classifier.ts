// Picture in, names of classes out.

import { Calls } from './classify.js';
import type { ImageSource } from './image.js';
import { abortable, checkOptions, invalid, type OptionName } from './options.js';
import type { ClassifierInfo } from './protocol.js';
import { InferenceSession, SESSION_OPTIONS, toLabels } from './session.js';
import type { FileSource } from './source.js';
import type { ClassifierOutput, ClassSelection, ImageInput, ImageView, Labels, ModelCard, Timings } from './types.js';

/** One class that a picture may belong to. */
export interface Classification {
  /** Name of the class; `class 17` when there are no labels. */
  readonly label: string;
  /** Score after the activation: a probability, with softmax. */
  readonly score: number;
  /** Position in the model's output. */
  readonly index: number;
}

/** The best classes, best first, and what the steps took. */
export interface ClassificationResult extends Array<Classification> {
  /** Milliseconds of the steps. */
  readonly timings: Timings;
}

/** The result for a picture of a stream. */
export interface StreamResult extends ClassificationResult {
  /** When the picture is from, in milliseconds: on the time line of the video where there is one. */
  readonly timestamp: number;
  /** Pictures since the one before that came too fast to be looked at. */
  readonly dropped: number;
}

/** What {@link ImageClassifier.classifyStream} takes. */
export type ImageStream =
  | HTMLVideoElement
  | MediaStream
  | MediaStreamTrack
  | ReadableStream<ImageSource>
  | AsyncIterable<ImageSource>
  | Iterable<ImageSource>;

/** Options of {@link ImageClassifier}. */
export declare namespace ImageClassifier {
  /** What a classifier without a card needs. */
  interface Parts {
    /** How pictures become the model's input. */
    readonly input: ImageInput;
    /** What is done with the scores. */
    readonly output?: ClassifierOutput | undefined;
    /** Names of the classes, or where a JSON file of them is. */
    readonly labels?: Labels | FileSource | undefined;
  }
  /** What {@link ImageClassifier.classify} does unless its own options say otherwise. */
  type Defaults = ClassSelection & ImageView;
  /** Options of {@link ImageClassifier.create} with a card. */
  type CardOptions = InferenceSession.SessionOptions & Defaults;
  /** Options of {@link ImageClassifier.create} with a model. */
  type ModelOptions = InferenceSession.SessionOptions & Parts & Defaults;
  /** Options of {@link ImageClassifier.create} with a session. The signal stops the loading of labels. */
  type OnSessionOptions = Parts & Defaults & { readonly signal?: AbortSignal | undefined };
  /** Options of {@link ImageClassifier.classify}. */
  interface ClassifyOptions extends ClassSelection, ImageView {
    /** Gives up waiting: `classify` rejects with the signal's reason at once. */
    readonly signal?: AbortSignal | undefined;
  }
  /** Options of {@link ImageClassifier.classifyStream}. */
  interface StreamOptions extends ClassSelection, ImageView {
    /** Ends the iteration, without an error. */
    readonly signal?: AbortSignal | undefined;
    /**
     * Time constant in milliseconds over which scores are averaged: after time `t` the scores so far weigh
     * `exp(-t / smoothing)`, the new ones the rest. 0, the default: not at all.
     */
    readonly smoothing?: number | undefined;
  }
}

const DEFAULTS = ['topK', 'threshold', 'allow', 'deny', 'region', 'rotation'] as const satisfies readonly OptionName[];

/**
 * Classifies pictures.
 *
 * @example
 * ```ts
 * const classifier = await ImageClassifier.create('/models/efficientnet-lite0-int8.json');
 * const [best] = await classifier.classify(document.querySelector('img'));
 * console.log(best.label, best.score);
 * ```
 */
export class ImageClassifier {
  /** The session underneath. */
  readonly session: InferenceSession;
  /** The model card, where there is one. */
  readonly card: ModelCard | undefined;
  /** Names of the classes. */
  readonly labels: Labels | undefined;
  readonly #calls: Calls;
  readonly #ownsSession: boolean;

  private constructor(session: InferenceSession, { card, labels }: ClassifierInfo, calls: Calls, ownsSession: boolean) {
    this.session = session;
    this.card = card;
    this.labels = labels;
    this.#calls = calls;
    this.#ownsSession = ownsSession;
  }

  /**
   * Loads what a model card names.
   *
   * @param card address of the card (a JSON file), or the card itself as a file
   * @throws LoadError `INVALID_CARD` and what {@link InferenceSession.create} throws
   */
  static create(card: FileSource, options?: ImageClassifier.CardOptions): Promise<ImageClassifier>;
  /**
   * A classifier without a card.
   *
   * @param model what {@link InferenceSession.create} takes
   * @param options those of a session, and `input`, `output` and `labels`
   */
  static create(model: InferenceSession.ModelSource, options: ImageClassifier.ModelOptions): Promise<ImageClassifier>;
  /**
   * A classifier on a session that is there already, and which {@link ImageClassifier.release} does not release.
   */
  static create(session: InferenceSession, options: ImageClassifier.OnSessionOptions): Promise<ImageClassifier>;
  static async create(
    source: FileSource | InferenceSession,
    options: InferenceSession.SessionOptions & Partial<ImageClassifier.Parts> & ImageClassifier.Defaults = {},
  ): Promise<ImageClassifier> {
    const { input, output, labels, topK, threshold, allow, deny, region, rotation, ...sessionOptions } = options;
    const onSession = source instanceof InferenceSession;
    checkOptions(options, [
      ...(onSession ? (['signal'] as const) : SESSION_OPTIONS),
      ...(onSession || input ? (['input', 'output', 'labels'] as const) : []),
      ...DEFAULTS,
    ]);
    let session: InferenceSession;
    let info: ClassifierInfo | undefined;
    if (onSession) {
      if (!input) invalid('input', input, 'how pictures become the input of the model');
      session = source;
      const { signal } = options;
      const loaded = await abortable(toLabels(labels, session.client.worker, signal), signal);
      info = await session.client.call('classifier', { input, output, labels: loaded }, { signal });
    } else {
      const parts = input ? { model: source, classifier: { input, output, labels } } : { card: source };
      const [opened, { classifier }] = await InferenceSession.open(parts, sessionOptions);
      session = opened;
      info = classifier;
    }
    try {
      if (!info) throw new Error('no classifier');
      const defaults = { topK, threshold, allow, deny, region, rotation };
      const calls = new Calls(session.client, info, defaults);
      await calls.check();
      return new ImageClassifier(session, info, calls, !onSession);
    } catch (error) {
      if (!onSession) await session.release();
      throw error;
    }
  }

  /** Milliseconds of the steps of the last classification that has finished. */
  get timings(): Timings | undefined {
    return this.#calls.timings;
  }

  /**
   * Classifies a picture as it is at the time of the call.
   *
   * @param image pictures from other origins need CORS
   * @returns the best classes, best first
   * @throws ImageError when the picture cannot be used, InputError, SessionReleasedError, RuntimeCrashError
   */
  classify(image: ImageSource, options?: ImageClassifier.ClassifyOptions): Promise<ClassificationResult>;
  /**
   * Classifies several pictures: in one run where the model takes any number, otherwise in as many as it takes.
   *
   * @returns the best classes of each, all with the timings of the whole
   * @throws as for one picture; the error's `index` says which
   */
  classify(images: readonly ImageSource[], options?: ImageClassifier.ClassifyOptions): Promise<ClassificationResult[]>;
  async classify(
    image: ImageSource | readonly ImageSource[],
    options: ImageClassifier.ClassifyOptions = {},
  ): Promise<ClassificationResult | ClassificationResult[]> {
    checkOptions(options, [...DEFAULTS, 'signal']);
    options.signal?.throwIfAborted();
    const several = Array.isArray(image);
    const { results } = await this.#calls.classify(several ? (image as readonly ImageSource[]) : [image as ImageSource], options, several);
    if (several) return results;
    const [result] = results;
    if (!result) throw new Error('no result');
    return result;
  }

  /**
   * Classifies pictures as they come: an async iterator of results. A picture is taken when the one before has been dealt
   * with, and it is always the newest there is: of a video, a track or a stream, those in between are dropped. Pictures
   * from an iterable are pulled one by one. Ends when the video ends or the signal is aborted.
   *
   * @example
   * ```ts
   * for await (const [best] of classifier.classifyStream(video, { signal, smoothing: 500 })) show(best);
   * ```
   */
  classifyStream(source: ImageStream, options: ImageClassifier.StreamOptions = {}): AsyncGenerator<StreamResult, void, void> {
    checkOptions(options, [...DEFAULTS, 'signal', 'smoothing']);
    return this.#stream(source, options);
  }

  async *#stream(source: ImageStream, options: ImageClassifier.StreamOptions): AsyncGenerator<StreamResult, void, void> {
    const { classifyStream } = await import('./classify-stream.js');
    yield* classifyStream(this.#calls, source, options);
  }

  /** Releases the session, unless it came from outside. */
  async release(): Promise<void> {
    if (this.#ownsSession) await this.session.release();
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
