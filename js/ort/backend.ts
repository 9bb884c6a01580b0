// Backends of onnxruntime: there is one, and no other can be added.
/* eslint-disable @typescript-eslint/consistent-type-definitions, @typescript-eslint/consistent-indexed-object-style --
   the forms are those of onnxruntime-common, so that the types go together */

import type { InferenceSession, OnnxValue } from './session.js';

/** @ignore */
export declare namespace SessionHandler {
  type FeedsType = { [name: string]: OnnxValue };
  type FetchesType = { [name: string]: OnnxValue | null };
  type ReturnType = { [name: string]: OnnxValue };
}

/** @ignore */
export interface InferenceSessionHandler {
  dispose(): Promise<void>;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
  startProfiling(): void;
  endProfiling(): void;
  run(feeds: SessionHandler.FeedsType, fetches: SessionHandler.FetchesType, options: InferenceSession.RunOptions): Promise<SessionHandler.ReturnType>;
}

/** @ignore */
export interface Backend {
  init(backendName: string): Promise<void>;
  createInferenceSessionHandler(uriOrBuffer: string | Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSessionHandler>;
}

/**
 * Does nothing: every session runs on tractlet's engine, whatever its `executionProviders` are.
 *
 * @ignore
 */
export const registerBackend: (name: string, backend: Backend, priority: number) => void = () => undefined;

/** The backends, in the form of onnxruntime-node. */
export function listSupportedBackends(): { name: string; bundled: boolean }[] {
  return [{ name: 'wasm', bundled: true }];
}
