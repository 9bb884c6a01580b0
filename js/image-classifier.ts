// Picture in, names of classes out.

import { specific } from './errors.js';
import { unreadable } from './image-checks.js';
import { type ImageSource, toPortable, transferOfImage } from './image.js';
import { abortable, checkOptions, invalid } from './options.js';
import type { ClassifierInfo, PortableImage } from './protocol.js';
import { InferenceSession, SESSION_OPTIONS, toLabels } from './session.js';
import type { FileSource } from './source.js';
import type { ClassifierOutput, ImageInput, Labels, ModelCard, Timings } from './types.js';

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
  /** Options of {@link ImageClassifier.create} with a model. */
  type ModelOptions = InferenceSession.SessionOptions & Parts;
  /** Options of {@link ImageClassifier.classify}. */
  interface ClassifyOptions {
    /** How many classes at most. Default 5. */
    readonly topK?: number | undefined;
    /** Leaves out classes with a lower score. */
    readonly threshold?: number | undefined;
    /** Gives up waiting: `classify` rejects with the signal's reason at once. */
    readonly signal?: AbortSignal | undefined;
  }
}

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
  readonly #info: ClassifierInfo;
  readonly #ownsSession: boolean;
  #timings: Timings | undefined;

  private constructor(session: InferenceSession, info: ClassifierInfo, ownsSession: boolean) {
    this.session = session;
    this.card = info.card;
    this.labels = info.labels;
    this.#info = info;
    this.#ownsSession = ownsSession;
  }

  /**
   * Loads what a model card names.
   *
   * @param card address of the card (a JSON file), or the card itself as a file
   * @throws LoadError `INVALID_CARD` and what {@link InferenceSession.create} throws
   */
  static create(card: FileSource, options?: InferenceSession.SessionOptions): Promise<ImageClassifier>;
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
  static create(session: InferenceSession, options: ImageClassifier.Parts & { readonly signal?: AbortSignal | undefined }): Promise<ImageClassifier>;
  static async create(
    source: FileSource | InferenceSession,
    options: InferenceSession.SessionOptions & Partial<ImageClassifier.Parts> = {},
  ): Promise<ImageClassifier> {
    const { input, output, labels, ...sessionOptions } = options;
    if (source instanceof InferenceSession) {
      checkOptions(options, ['input', 'output', 'labels', 'signal']);
      if (!input) invalid('input', input, 'how pictures become the input of the model');
      const { client } = source;
      const { signal } = options;
      const loaded = await abortable(toLabels(labels, client.worker, signal), signal);
      return new ImageClassifier(source, await client.call('classifier', { input, output, labels: loaded }, { signal }), false);
    }
    checkOptions(options, input ? [...SESSION_OPTIONS, 'input', 'output', 'labels'] : SESSION_OPTIONS);
    const parts = input ? { model: source, classifier: { input, output, labels } } : { card: source };
    const [session, { classifier }] = await InferenceSession.open(parts, sessionOptions);
    if (!classifier) throw new Error('no classifier');
    return new ImageClassifier(session, classifier, true);
  }

  /** Milliseconds of the steps of the last classification that has finished. */
  get timings(): Timings | undefined {
    return this.#timings;
  }

  /**
   * Classifies a picture as it is at the time of the call.
   *
   * @param image pictures from other origins need CORS
   * @returns the best classes, best first
   * @throws ImageError when the picture cannot be used, SessionReleasedError, RuntimeCrashError
   */
  async classify(image: ImageSource, options: ImageClassifier.ClassifyOptions = {}): Promise<ClassificationResult> {
    checkOptions(options, ['topK', 'threshold', 'signal']);
    const { topK = 5, threshold, signal } = options;
    signal?.throwIfAborted();
    const { input, output, labels } = this.#info;
    const { best, timings } = await abortable(this.#prepare(image), signal)
      .then((portable) => {
        const request = { image: portable, input, activation: output?.activation, topK, threshold };
        return this.session.client.call('classify', request, { signal, transfer: transferOfImage(portable) });
      })
      .catch((error: unknown) => {
        // Bitmaps of another origin cannot even be posted.
        throw specific(error instanceof DOMException && error.name === 'DataCloneError' ? unreadable(error) : error);
      });
    this.#timings = timings;
    const named = best.map(({ index, score }) => ({ label: labels?.[index] ?? `class ${index}`, score, index }));
    return Object.assign(named, { timings });
  }

  async #prepare(image: ImageSource): Promise<PortableImage> {
    const portable = await toPortable(image);
    if (this.session.canDecode || 'data' in portable) return portable;
    // The worker has nothing to draw on.
    const { decode } = await import('./runtime.js');
    return decode(portable);
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
