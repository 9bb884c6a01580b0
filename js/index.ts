/**
 * The package's interface. Importing it has no side effect: workers and wasm start with the first session.
 *
 * @module tractlet
 */

export type { CacheLike } from './cache.js';
export {
  compileModel,
  type CompileOptions,
  type Fallback,
  type FallbackNode,
  inspectModel,
  type ModelInspection,
  type PlanStep,
  type PlanVariant,
} from './compile.js';
export {
  type ErrorCode,
  type ErrorDetails,
  ImageError,
  InferenceError,
  InputError,
  LoadError,
  ModelError,
  OutOfMemoryError,
  RuntimeCrashError,
  SessionReleasedError,
  type UnknownOperator,
} from './errors.js';
export { type Classification, type ClassificationResult, ImageClassifier, type ImageStream, type StreamResult } from './image-classifier.js';
export type { ImageSource } from './image.js';
export { InferenceSession } from './session.js';
export type { FileSource } from './source.js';
export { Tensor, type TensorConstructor } from './tensor.js';
export type {
  ClassifierOutput,
  ClassSelection,
  ImageInput,
  ImageView,
  Labels,
  ModelCard,
  Pixels,
  ProgressInfo,
  Region,
  RuntimeInfo,
  SessionMemory,
  Timings,
} from './types.js';
