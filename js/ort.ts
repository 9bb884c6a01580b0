/**
 * What `onnxruntime-web` exports, on tractlet's sessions. `docs/migration-onnxruntime-web.md` says what differs.
 * The declarations are those of onnxruntime-common. Members that say nothing mean what they mean there, or are accepted and
 * have no effect.
 *
 * @module tractlet/ort
 */

import { env, InferenceSession, listSupportedBackends, registerBackend, Tensor } from './ort/index.js';
import { TRACE, TRACE_EVENT_BEGIN, TRACE_EVENT_END, TRACE_FUNC_BEGIN, TRACE_FUNC_END } from './ort/index.js';

export * from './ort/index.js';

/** The same once more, for `import ort from`. */
export default {
  env,
  InferenceSession,
  listSupportedBackends,
  registerBackend,
  Tensor,
  TRACE,
  TRACE_EVENT_BEGIN,
  TRACE_EVENT_END,
  TRACE_FUNC_BEGIN,
  TRACE_FUNC_END,
};
