// The types of `tractlet/ort` beside those of onnxruntime-common. Compiled by ort-types.test.mjs, never run.

import * as common from 'onnxruntime-common';
import * as ort from 'tractlet/ort';
import defaultExport from 'tractlet/ort';

declare function accept<T>(value: T): void;

// Wherever an app's code wants what onnxruntime-common declares, tractlet/ort can be passed.
accept<typeof common>(ort);
accept<common.InferenceSessionFactory>(ort.InferenceSession);
accept<common.TensorConstructor>(ort.Tensor);
accept<common.TensorFactory>(ort.Tensor);
accept<common.Env>(ort.env);
accept<common.Env.WebAssemblyFlags>(ort.env.wasm);
accept<typeof common.registerBackend>(ort.registerBackend);
accept<Omit<typeof ort, 'default'>>(defaultExport);

// And the other way round, so that nothing is promised that onnxruntime-common does not have, or in another form. Sessions
// take more sources here.
accept<ort.Env>(common.env);
accept<ort.TensorConstructor>(common.Tensor);

// Values that one makes go where the other is wanted.
declare const session: ort.InferenceSession;
accept<common.InferenceSession>(session);
declare const commonSession: common.InferenceSession;
accept<ort.InferenceSession>(commonSession);
const tensor = new ort.Tensor('float32', [1, 2], [2]);
accept<common.Tensor>(tensor);
accept<common.TypedTensor<'float32'>>(tensor);
accept<ort.TypedTensor<'float32'>>(new common.Tensor('float32', [1, 2]));
accept<ort.Tensor>(new common.Tensor(['a']));
const results: common.InferenceSession.OnnxValueMapType = await session.run({ x: tensor });
accept<ort.InferenceSession.ReturnType>(results);

// Options are the same. tractlet's are declared inside of `extra`, which takes anything in onnxruntime.
declare const theirs: common.InferenceSession.SessionOptions;
accept<Omit<ort.InferenceSession.SessionOptions, 'extra'>>(theirs);
declare const ours: ort.InferenceSession.SessionOptions;
accept<common.InferenceSession.SessionOptions>(ours);
declare const theirRun: common.InferenceSession.RunOptions;
accept<Omit<ort.InferenceSession.RunOptions, 'extra'>>(theirRun);
declare const ourRun: ort.InferenceSession.RunOptions;
accept<common.InferenceSession.RunOptions>(ourRun);

/** An interface may not have lost a member, optional ones included: assignability does not tell. */
type SameKeys<A, B> = [keyof A] extends [keyof B] ? ([keyof B] extends [keyof A] ? true : false) : false;
declare function sameKeys<A, B>(...proof: SameKeys<A, B> extends true ? [] : ['the members differ']): void;
sameKeys<ort.InferenceSession.SessionOptions, common.InferenceSession.SessionOptions>();
sameKeys<ort.InferenceSession.RunOptions, common.InferenceSession.RunOptions>();
sameKeys<ort.InferenceSession.ExecutionProviderOptionMap, common.InferenceSession.ExecutionProviderOptionMap>();
sameKeys<ort.InferenceSession.WebGpuExecutionProviderOption, common.InferenceSession.WebGpuExecutionProviderOption>();
sameKeys<ort.InferenceSession, common.InferenceSession>();
sameKeys<ort.Tensor, common.Tensor>();
sameKeys<ort.TensorFactory, common.TensorFactory>();
sameKeys<ort.Tensor.DataTypeMap, common.Tensor.DataTypeMap>();
sameKeys<ort.Tensor.ElementTypeMap, common.Tensor.ElementTypeMap>();
sameKeys<ort.Env.WebAssemblyFlags, common.Env.WebAssemblyFlags>();
sameKeys<ort.Env.WebGLFlags, common.Env.WebGLFlags>();
sameKeys<ort.Env.WebGpuFlags, common.Env.WebGpuFlags>();
sameKeys<ort.TensorFromUrlOptions, common.TensorFromUrlOptions>();
sameKeys<ort.TensorFromImageDataOptions, common.TensorFromImageDataOptions>();
sameKeys<ort.TensorToImageDataOptions, common.TensorToImageDataOptions>();
// @ts-expect-error they do differ
sameKeys<ort.Tensor, ort.InferenceSession>();

/** A typical app, written for onnxruntime-web, against either of the two. */
async function app(runtime: typeof common): Promise<number[]> {
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { wasm: '/ort/ort-wasm-simd-threaded.wasm' };
  runtime.env.logLevel = 'error';
  const model = await runtime.InferenceSession.create('/model.onnx', {
    executionProviders: [{ name: 'webgpu', preferredLayout: 'NHWC' }, 'wasm'],
    graphOptimizationLevel: 'all',
    externalData: ['model.onnx.data', { path: 'b.data', data: new Uint8Array(3) }],
    freeDimensionOverrides: { batch: 1 },
    preferredOutputLocation: { logits: 'cpu' },
    extra: { session: { disable_prepacking: '1' } },
  });
  const image = await runtime.Tensor.fromImage(new ImageData(2, 2), { tensorLayout: 'NCHW', norm: { mean: [1, 2, 3], bias: 0 } });
  const feeds: Record<string, common.Tensor> = { [model.inputNames[0]!]: image };
  const { logits } = await model.run(feeds, ['logits'], { tag: 'first' });
  const [meta] = model.inputMetadata;
  if (meta?.isTensor) accept<readonly (number | string)[]>(meta.shape);
  await model.release();
  return Array.from(logits!.data as Float32Array);
}
await app(ort);
await app(common);

// What is tractlet's own.
await ort.InferenceSession.create(new URL('https://x/m.onnx'), {
  extra: { tractlet: { signal: AbortSignal.timeout(1), onProgress: ({ status }) => void status, worker: false } },
});
await ort.InferenceSession.create(new ArrayBuffer(8), 4, 4, { extra: { anything: 1 } });
await session.run({ x: tensor }, { y: null }, { extra: { tractlet: { signal: AbortSignal.timeout(1) } } });
// @ts-expect-error no such option
await ort.InferenceSession.create('/m.onnx', { extra: { tractlet: { threadz: 1 } } });
// @ts-expect-error no such option
await ort.InferenceSession.create('/m.onnx', { executionProvider: ['wasm'] });
// @ts-expect-error not a tensor
await session.run({ x: new Float32Array(1) });
// @ts-expect-error a bare array of numbers could be anything
new ort.Tensor([1, 2]);
