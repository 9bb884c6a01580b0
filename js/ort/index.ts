// Everything that `tractlet/ort` exports by name.

export { type Backend, type InferenceSessionHandler, listSupportedBackends, registerBackend, type SessionHandler } from './backend.js';
export { type Env, env } from './env.js';
export {
  type ExternalDataFileDescription,
  type ExternalDataFileType,
  type FileBlob,
  type FileData,
  type FileType,
  type FileUrlOrPath,
  InferenceSession,
  type InferenceSessionFactory,
  type NonTensorType,
  type OnnxModelOptions,
  type OnnxValue,
  type OnnxValueDataLocation,
} from './session.js';
export {
  type ConversionUtils,
  type CpuPinnedConstructorParameters,
  type GpuBufferConstructorParameters,
  type ImageFormat,
  type ImageTensorLayout,
  type MLTensorConstructorParameters,
  type OptionResizedDimensions,
  type OptionsDimensions,
  type OptionsFormat,
  type OptionsNormalizationParameters,
  type OptionsTensorDataType,
  type OptionsTensorFormat,
  type OptionsTensorLayout,
  Tensor,
  type TensorConstructor,
  type TensorFactory,
  type TensorFromGpuBufferOptions,
  type TensorFromImageBitmapOptions,
  type TensorFromImageDataOptions,
  type TensorFromImageElementOptions,
  type TensorFromMLTensorOptions,
  type TensorFromTextureOptions,
  type TensorFromUrlOptions,
  type TensorToDataUrlOptions,
  type TensorToImageDataOptions,
  type TextureConstructorParameters,
  type TypedTensor,
} from './tensor.js';
export { TRACE, TRACE_EVENT_BEGIN, TRACE_EVENT_END, TRACE_FUNC_BEGIN, TRACE_FUNC_END } from './trace.js';
