// Types of the public interface that both sides of the worker border use.

/**
 * A step of loading, in the shape that transformers.js made known.
 *
 * `initiate`, `download`, `progress` (several times), `done` for each file, the WebAssembly modules included; then
 * `compile` and `ready`, once.
 */
export interface ProgressInfo {
  /** What has happened. */
  readonly status: 'initiate' | 'download' | 'progress' | 'done' | 'compile' | 'ready';
  /** What is being loaded: the address of the model or of its card, or a file name where there is none. */
  readonly name: string;
  /** Name of the file. */
  readonly file: string;
  /** Bytes so far. */
  readonly loaded?: number;
  /** Bytes in all, where known. */
  readonly total?: number;
  /** Percent, where `total` is known. */
  readonly progress?: number;
}

/** How pictures become the model's input. Also the `input` of a model card. */
export interface ImageInput {
  /** Height and width that the model wants, in pixels. */
  readonly size: readonly [height: number, width: number];
  /** Order of the dimensions: [1, 3, height, width] or [1, height, width, 3]. */
  readonly layout: 'NCHW' | 'NHWC';
  /** Order of the colours. */
  readonly channels: 'RGB' | 'BGR';
  /** Element type, float32 when left out. */
  readonly type?: 'float32' | 'float16' | 'uint8' | 'int8' | undefined;
  /** value = (pixel * scale - mean) / std, for pixels of 0 to 255. 1 when left out. */
  readonly scale?: number | undefined;
  /** Per channel, in the order of `channels`. */
  readonly mean: readonly [number, number, number];
  /** Per channel, in the order of `channels`. */
  readonly std: readonly [number, number, number];
  /**
   * What part of the picture is used, and how it gets the model's size:
   *
   * - `center`: a square in the middle, its side `ratio` (0 to 1) of the picture's shorter side, resized
   * - `resize-then-center`: the shorter side resized to `resize` pixels, then `size` cut out of the middle
   * - `stretch`: all of it, whatever its shape
   * - `contain`: all of it in its own shape, the rest filled with `color`
   */
  readonly crop:
    | { readonly mode: 'center'; readonly ratio: number }
    | { readonly mode: 'resize-then-center'; readonly resize: number }
    | { readonly mode: 'stretch' }
    | { readonly mode: 'contain'; readonly color: readonly [number, number, number] };
  /** Filter for resizing, antialiased. */
  readonly resample: 'bilinear' | 'bicubic' | 'nearest' | 'lanczos' | 'box';
  /** Colour under transparent pixels, white when left out. */
  readonly background?: readonly [number, number, number] | undefined;
}

/** A rectangle of a picture as it is seen: upright, and before {@link ImageView.rotation}. */
export interface Region {
  /** Left edge. */
  readonly x: number;
  /** Top edge. */
  readonly y: number;
  /** From the left edge to the right. */
  readonly width: number;
  /** From the top edge to the bottom. */
  readonly height: number;
  /** `pixels`, the default, or `relative`: parts of the picture's width and height, 0 to 1. */
  readonly unit?: 'pixels' | 'relative' | undefined;
}

/** What of a picture is looked at, and which way up. */
export interface ImageView {
  /** The part to look at. All of it when left out. */
  readonly region?: Region | undefined;
  /** Degrees clockwise by which it (or the region) is turned. 0 when left out. */
  readonly rotation?: 0 | 90 | 180 | 270 | undefined;
}

/** Which classes are given. */
export interface ClassSelection {
  /** How many classes at most. 5 when left out. */
  readonly topK?: number | undefined;
  /** Leaves out classes with a lower score. */
  readonly threshold?: number | undefined;
  /** The only classes to give, by label or index. */
  readonly allow?: readonly (string | number)[] | undefined;
  /** Classes to leave out, by label or index. */
  readonly deny?: readonly (string | number)[] | undefined;
}

/** What is done with the scores of the model. */
export interface ClassifierOutput extends ClassSelection {
  /**
   * `softmax` where one class of all is meant, `sigmoid` where each is for itself (multi-label), `none` for outputs that
   * are scores already. `auto`, the default: none when the outputs are probabilities (those of 8 bits are taken for such,
   * in 256ths), otherwise softmax.
   */
  readonly activation?: 'softmax' | 'sigmoid' | 'none' | 'auto' | undefined;
}

/** A model card: what a model is and how to feed it. */
export interface ModelCard {
  /** Name of the model. For people. */
  readonly name?: string;
  /** What the model is for. */
  readonly task?: 'image-classification';
  /** Address of the model; relative ones resolve against the card. */
  readonly model: string;
  /** Address of the labels. */
  readonly labels?: string;
  /** SHA-256 of the model, hexadecimal. */
  readonly sha256?: string;
  /** Size of the model in bytes. */
  readonly bytes?: number;
  /** How pictures become its input. */
  readonly input: ImageInput;
  /** What is done with its scores. */
  readonly output?: ClassifierOutput;
  /** Where the model is from. For people. */
  readonly source?: string;
  /** Under what licence. For people. */
  readonly license?: string;
  /** What it is. For people. */
  readonly description?: string;
}

/** Names of the classes: a list, or an object from index to name. */
export type Labels = readonly string[] | Readonly<Record<number, string>>;

/** RGBA pixels, 8 bits each, row by row. */
export interface Pixels {
  /** Red, green, blue and alpha of each. */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** EXIF's orientation, 1 to 8, of pixels from a decoder that does not apply it. 1 when left out. */
  readonly orientation?: number | undefined;
}

/** What a session runs on. */
export interface RuntimeInfo {
  /** Version of the engine. */
  readonly version: string;
  /**
   * Build of the engine: `simd128`, which runs everywhere, or `relaxed`, picked where there is relaxed SIMD. It is the
   * engine that says so, also when `wasm.engine` named it.
   */
  readonly build: 'simd128' | 'relaxed';
  /**
   * How 8-bit products are added up here, as the engine found when it started: `usdot` or `sdot` where the relaxed dot
   * product is exact, `maddubs` where two products are added up in 16 bits, `pairs` of 16-bit numbers elsewhere. The
   * results are the same.
   */
  readonly dot: 'pairs' | 'usdot' | 'sdot' | 'maddubs';
  /** How many threads share the work. The results are the same for any number. */
  readonly threads: number;
  /** Why there are not more, in a short sentence; absent where there are as many as were asked for, or as are good. */
  readonly threadsReason?: string | undefined;
  /** Whether it runs in a worker. */
  readonly worker: boolean;
  /** Parts of the graph that the engine has no steps for: tract executes them, which is slower. */
  readonly subgraphs: number;
  /** Whether the compiler stays in memory: there are such parts, or input sizes that may change. */
  readonly compiler: boolean;
}

/** WebAssembly memory of a session, in bytes. With fixed input sizes it does not grow after the first run. */
export interface SessionMemory {
  /** All of it. */
  readonly wasmBytes: number;
  /** The engine's: weights and intermediate results. */
  readonly engine: number;
  /** The compiler's; 0 where it is not needed (any more), which {@link RuntimeInfo.compiler} says. */
  readonly compiler: number;
}

/** Milliseconds of the steps of a classification. */
export interface Timings {
  /** From the picture to pixels. */
  readonly decode: number;
  /** From pixels to the input tensor: crop, resize, normalise. */
  readonly preprocess: number;
  /** The model. */
  readonly inference: number;
  /** From scores to the best classes. */
  readonly postprocess: number;
}
