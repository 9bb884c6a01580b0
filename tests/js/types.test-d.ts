// The public types, as a user's compiler sees them. Compiled by types.test.mjs against the emitted declarations, never run.

import {
  type Classification,
  type ClassificationResult,
  compileModel,
  type ErrorCode,
  ImageClassifier,
  ImageError,
  InferenceError,
  InferenceSession,
  inspectModel,
  LoadError,
  type ImageInput,
  type ModelCard,
  type ProgressInfo,
  type StreamResult,
  Tensor,
  type Timings,
} from 'tractlet';

/** Exactly the same type, not merely assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(...proof: Same<A, B> extends true ? [] : ['the types differ']): void;

// Tensors: the type follows from the arguments.
const floats = new Tensor('float32', new Float32Array(6), [2, 3]);
same<typeof floats, Tensor<'float32'>>();
same<typeof floats.data, Float32Array>();
same<typeof floats.dims, readonly number[]>();
const inferred = new Tensor(new BigInt64Array(2));
same<typeof inferred, Tensor<'int64'>>();
const words = new Tensor(['a', 'b']);
same<typeof words, Tensor<'string'>>();
const flags = new Tensor([true, false], [2]);
same<typeof flags.data, Uint8Array>();
const clamped = new Tensor(new Uint8ClampedArray(4));
same<typeof clamped, Tensor<'uint8'>>();
new Tensor('int64', [1n, 2n]);
new Tensor('int64', [1, 2]);
new Tensor('float16', new Uint16Array(2));
new Tensor('bool', [true]);
// @ts-expect-error no such type
new Tensor('float', [1]);
// @ts-expect-error strings are no numbers
new Tensor('float32', ['1']);
// @ts-expect-error another array
new Tensor('float32', new Float64Array(1));
// @ts-expect-error a bare array of numbers could be anything
new Tensor([1, 2]);
// @ts-expect-error read-only
floats.dims[0] = 1;
// @ts-expect-error read-only
floats.type = 'int8';

const pictureTensor = await Tensor.fromImage(new Blob(), {
  size: [2, 2], layout: 'NCHW', channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1], crop: { mode: 'stretch' }, resample: 'box',
  region: { x: 0, y: 0, width: 0.5, height: 1, unit: 'relative' }, rotation: 90, worker: true, signal: AbortSignal.timeout(5),
});
same<typeof pictureTensor, Tensor<'float32'>>();
declare const settings: Omit<ImageInput, 'type'>;
const half = await Tensor.fromImage({ data: new Uint8Array(4), width: 1, height: 1, orientation: 6 }, { ...settings, type: 'float16' });
same<typeof half, Tensor<'float16'>>();
same<Awaited<ReturnType<typeof floats.toImageData>>, ImageData>();
same<Awaited<ReturnType<typeof floats.toDataURL>>, string>();
await floats.toDataURL({ format: 'BGR', tensorLayout: 'NHWC', norm: { mean: 255, bias: [1, 2, 3] } });
{
  using scoped = new Tensor('float32', [1]);
  same<typeof scoped, Tensor<'float32'>>();
}
// @ts-expect-error no such type of picture
await Tensor.fromImage(new Blob(), { ...settings, type: 'int64' });
// @ts-expect-error pre-processing is said, not guessed
await Tensor.fromImage(new Blob(), {});
// @ts-expect-error no quarter turn
await Tensor.fromImage(new Blob(), { ...settings, rotation: 45 });

// Sessions.
const session = await InferenceSession.create('/m.onnx', {
  signal: new AbortController().signal,
  onProgress: (event) => {
    same<typeof event, ProgressInfo>();
    same<typeof event.name, string>();
    same<typeof event.status, 'initiate' | 'download' | 'progress' | 'done' | 'compile' | 'ready'>();
  },
  externalData: [{ path: 'weights', data: new Uint8Array() }],
  freeDimensionOverrides: { batch: 1 },
  wasm: { engine: new URL('https://x/'), compiler: new Uint8Array() },
  worker: false,
});
same<typeof session, InferenceSession>();
declare const customCache: { match(request: string): Promise<Response | undefined>; put(request: string, response: Response): Promise<void> };
for (const cache of [true, false, undefined, await caches.open('mine'), customCache]) await InferenceSession.create('/m.onnx', { cache });
// @ts-expect-error -- a cache has match and put
await InferenceSession.create('/m.onnx', { cache: {} });
const hash = 'sha256-x';
await InferenceSession.create('/m.onnx', { wasm: { engine: { url: '/e.wasm', integrity: hash } }, externalData: [{ path: 'w', data: '/w', integrity: hash }] });
declare const sources: URL | string | Request | Response | Blob | ArrayBuffer | Uint8Array | DataView | SharedArrayBuffer | ReadableStream<Uint8Array>;
await InferenceSession.create(sources);
const { y } = await session.run({ x: floats });
same<typeof y, Tensor | undefined>();
await session.run({ x: floats, ids: inferred }, ['y']);
await session.run({ x: floats }, { y: null }, { signal: AbortSignal.timeout(5), transfer: true });
await session.run({ x: floats }, { signal: undefined });
same<typeof session.inputNames, readonly string[]>();
same<(typeof session.inputMetadata)[number]['shape'], readonly (number | string)[]>();
same<(typeof session.inputMetadata)[number]['type'], Tensor.Type>();
same<typeof session.modelMetadata.producerName, string>();
same<typeof session.runtime.worker, boolean>();
same<typeof session.runtime.compiler, boolean>();
same<typeof session.runtime.build, 'simd128' | 'relaxed'>();
same<typeof session.runtime.dot, 'pairs' | 'usdot' | 'sdot' | 'maddubs'>();
same<keyof typeof session.runtime, 'version' | 'build' | 'dot' | 'threads' | 'threadsReason' | 'worker' | 'subgraphs' | 'compiler'>();
same<Awaited<ReturnType<typeof session.memory>>['wasmBytes'], number>();
same<Awaited<ReturnType<typeof session.memory>>['engine' | 'compiler'], number>();
await session.run({ x: floats }, { profile: true });
for (const step of session.profile) {
  same<typeof step, InferenceSession.ProfileEntry>();
  same<typeof step.name | typeof step.opType | typeof step.kernel, string>();
  same<typeof step.microseconds | typeof step.macs, number>();
  same<typeof step.shape, readonly number[]>();
}
// @ts-expect-error read-only
session.profile = [];
// @ts-expect-error made by create
new InferenceSession();
// @ts-expect-error not a tensor
await session.run({ x: new Float32Array(1) });
// @ts-expect-error no such option
await InferenceSession.create('/m.onnx', { executionProviders: ['wasm'] });
// @ts-expect-error no source
await InferenceSession.create(5);
// @ts-expect-error internal
session.client;
{
  await using scoped = session;
  same<typeof scoped, InferenceSession>();
}

// Classifiers.
const classifier = await ImageClassifier.create(new URL('https://x/card.json'), { onProgress: () => undefined });
declare const pictures: HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | ImageData | Blob | File | VideoFrame;
const result = await classifier.classify(pictures, { topK: 3, threshold: 0.5 });
same<typeof result, ClassificationResult>();
const [best] = result;
same<typeof best, Classification | undefined>();
same<Classification['label'], string>();
same<typeof result.timings, Timings>();
same<typeof classifier.card, ModelCard | undefined>();
same<typeof classifier.session, InferenceSession>();
await classifier.classify({ data: new Uint8Array(4), width: 1, height: 1 });
await classifier.classify(pictures, { allow: ['cat', 3], deny: [], region: { x: 1, y: 2, width: 3, height: 4 }, rotation: 270 });
const several = await classifier.classify([pictures, new Blob()], { topK: 1 });
same<typeof several, ClassificationResult[]>();
declare const streams: HTMLVideoElement | MediaStream | MediaStreamTrack | ReadableStream<VideoFrame> | AsyncIterable<ImageBitmap> | Blob[];
for await (const update of classifier.classifyStream(streams, { signal: AbortSignal.timeout(5), smoothing: 300, topK: 1, rotation: 90 })) {
  same<typeof update, StreamResult>();
  same<typeof update.timestamp | typeof update.dropped, number>();
  same<(typeof update)[number], Classification>();
}
// @ts-expect-error no such option
await classifier.classify(pictures, { smoothing: 300 });
// @ts-expect-error an address is no stream
classifier.classifyStream('video.mp4');
await ImageClassifier.create('/card.json', { topK: 3, threshold: 0.2, allow: ['cat'], rotation: 90 });
declare const card: ModelCard;
const { input } = card;
await ImageClassifier.create(new Blob(), { input, labels: ['a'], output: { activation: 'softmax' }, worker: true });
await ImageClassifier.create(session, { input, labels: { 3: 'c' } });
await ImageClassifier.create('/m.onnx', {
  input: { size: [1, 1], layout: 'NHWC', channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1], crop: { mode: 'center', ratio: 0.875 }, resample: 'bicubic' },
});
// @ts-expect-error a session has its options already
await ImageClassifier.create(session, { input, worker: true });
// @ts-expect-error no input
await ImageClassifier.create(session, {});
// @ts-expect-error an address has to be fetched first
await classifier.classify('cat.jpg');
// @ts-expect-error no such layout
await ImageClassifier.create('/m.onnx', { input: { ...input, layout: 'CHW' } });

// Errors.
declare const thrown: unknown;
if (thrown instanceof InferenceError) {
  same<typeof thrown.code, ErrorCode>();
  same<typeof thrown.hint, string | undefined>();
  same<typeof thrown.index, number | undefined>();
  switch (thrown.code) {
    case 'INPUT_SHAPE':
      break;
    // @ts-expect-error no such code
    case 'INPUT_SHAPES':
      break;
    default:
  }
}
const errors: InferenceError[] = [new ImageError('IMAGE_DECODE', 'x'), new LoadError('WASM_LOAD', 'x', { hint: 'y' })];
same<(typeof errors)[number], InferenceError>();

// Plans.
const plan = await compileModel('/model.onnx', { shapes: [{ input: [1, 3, 224, 224] }], freeDimensionOverrides: { batch: 1 } });
same<typeof plan, Uint8Array>();
await InferenceSession.create(plan);
const { variants, inputs, format } = await inspectModel(plan, { worker: false });
same<typeof format, 'onnx' | 'plan'>();
same<typeof inputs, readonly InferenceSession.ValueMetadata[]>();
for (const { fallbacks, steps } of variants) {
  console.table(steps);
  for (const { nodes } of fallbacks) for (const { reason } of nodes) same<typeof reason, 'operator' | 'form' | 'size' | 'whole'>();
}
// @ts-expect-error -- sizes are numbers
await compileModel('/model.onnx', { shapes: [{ input: '1,3' }] });
// @ts-expect-error -- an option of sessions
await compileModel('/model.onnx', { allowNaN: true });
