// What the runtime does with pictures.

import { toObject } from './errors.js';
import { more, problem } from './load-more.js';
import { canDecode, decode } from './pixels.js';
import type { ClassifierInfo, ClassifierSpec, ClassifyRequest, ClassifyResult, PreprocessRequest } from './protocol.js';
import type { Labels, ModelCard, Timings } from './types.js';
import type { EngineModule, ModelInfo, RankedClass, TensorObject } from './wasm-modules.js';

export { canDecode } from './pixels.js';

/** The session that classifies. */
export interface Classifying {
  readonly engine: EngineModule;
  readonly info: ModelInfo;
  readonly run: (inputs: TensorObject[], outputs: string[]) => TensorObject[] | Promise<TensorObject[]>;
}

/** A picture as an input of a model. */
export async function preprocess({ image, input, view }: PreprocessRequest, engine: EngineModule): Promise<TensorObject> {
  const { data, width, height, orientation } = await decode(image);
  return engine.preprocess(data, width, height, input, { ...view, orientation });
}

/**
 * The best classes of pictures: all in one run where the model takes any number, in groups of as many as it takes
 * otherwise. Closes bitmaps and frames.
 *
 * @param session gives the session, or throws when it is released
 */
export async function classify(
  { images, numbered, input, view, spec, smoothing }: ClassifyRequest,
  session: () => Classifying,
): Promise<ClassifyResult> {
  const timings: { -readonly [step in keyof Timings]: number } = { decode: 0, preprocess: 0, inference: 0, postprocess: 0 };
  let last = performance.now();
  const lap = (step: keyof Timings): void => {
    const now = performance.now();
    timings[step] += now - last;
    last = now;
  };
  const best: RankedClass[][] = [];
  let average: Float32Array | undefined;
  let next = 0;
  try {
    while (next < images.length) {
      const batch = session().info.inputs[0]?.shape[0];
      const size = typeof batch === 'number' ? batch : images.length - next;
      const group = images.slice(next, next + size);
      let feed: TensorObject = { name: '', type: '', dims: [], data: [] };
      // One after the other: decoded pictures are large.
      for (const [i, image] of group.entries()) {
        next++;
        try {
          const { data, width, height, orientation } = await decode(image);
          lap('decode');
          const tensor = session().engine.preprocess(data, width, height, input, { ...view, orientation });
          feed = size === 1 ? tensor : stack(feed, tensor, i, size);
          lap('preprocess');
        } catch (error) {
          throw numbered ? at(error, next - 1) : error;
        }
      }
      const { engine, info, run } = session();
      const outputs = info.outputs.slice(0, 1).map(({ name }) => name);
      const [scores] = await run([{ ...feed, name: info.inputs[0]?.name ?? '' }], outputs);
      lap('inference');
      if (!scores) throw new Error('no scores');
      let rows: RankedClass[][];
      if (smoothing) {
        const smoothed = engine.classifySmoothed(scores, spec, smoothing.average, smoothing.keep);
        ({ average } = smoothed);
        rows = [smoothed.best];
      } else {
        rows = engine.classify(scores, spec);
      }
      if (rows.length < group.length) throw await problem('UNSUPPORTED_MODEL', 'fixedBatch', group.length, scores.dims);
      best.push(...rows.slice(0, group.length));
      lap('postprocess');
    }
  } finally {
    for (const image of images.slice(next)) if ('close' in image) image.close();
  }
  return { best, timings, average };
}

/** A batch with one more picture in it; what is not filled stays zero. */
function stack(feed: TensorObject, tensor: TensorObject, position: number, size: number): TensorObject {
  const bytes = tensor.data as Uint8Array;
  const batch = position > 0 ? feed : { ...tensor, dims: [size, ...tensor.dims.slice(1)], data: new Uint8Array(size * bytes.length) };
  (batch.data as Uint8Array).set(bytes, position * bytes.length);
  return batch;
}

/** The error of one picture of several. What has no code (a trap) stays what it is. */
function at(error: unknown, index: number): unknown {
  if (!(typeof error === 'object' && error && 'code' in error)) return error;
  const object = toObject(error);
  return { ...object, message: `Picture ${index}: ${object.message}`, index };
}

/**
 * That settings and labels fit the model: found when it is opened rather than with the first picture. Labels that are not
 * given are taken from the model.
 *
 * @throws InputError `INVALID_OPTION`
 */
export async function toClassifier(
  engine: EngineModule,
  info: ModelInfo,
  { input, output, labels: given, card }: Pick<ClassifierSpec, 'input' | 'output'> & { labels: Labels | undefined; card?: ModelCard | undefined },
): Promise<ClassifierInfo> {
  const [wanted] = info.inputs;
  if (!wanted || info.inputs.length > 1) throw await problem('INVALID_OPTION', 'notOneInput', info);
  const { type, dims } = engine.preprocess(new Uint8Array(4), 1, 1, input);
  const [batch] = wanted.shape;
  const fits =
    dims.length === wanted.shape.length && batch !== 0 && wanted.shape.every((size, i) => i === 0 || typeof size === 'string' || size === dims[i]);
  if (type !== wanted.type || !fits) throw await problem('INVALID_OPTION', 'unfit', `${type} [${dims.join(', ')}]`, info);
  // [batch, classes] or [batch, classes, 1, 1]
  const shape = info.outputs[0]?.shape ?? [];
  const size = shape[shape.length > 1 ? 1 : 0];
  const classes = typeof size === 'number' ? size : undefined;
  if (Array.isArray(given) && classes !== undefined && given.length !== classes) {
    throw await problem('INVALID_OPTION', 'otherLabels', given, classes, info);
  }
  const labels = given ?? (Object.keys(info.metadata).length > 0 ? (await more()).metadataLabels(info.metadata, classes) : undefined);
  return { input, output, labels, card, classes, canDecode: canDecode() };
}
