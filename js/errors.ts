// The error family. Every failure has a stable `code`; errors cross the worker border as plain objects, because a
// structured clone keeps neither class nor extra fields.

/** Stable, machine-readable error codes. New ones may be added; existing ones keep their meaning. */
export type ErrorCode =
  | 'NOT_ONNX'
  | 'INVALID_MODEL'
  | 'UNSUPPORTED_OPERATOR'
  | 'UNSUPPORTED_MODEL'
  | 'MODEL_TOO_LARGE'
  | 'EXTERNAL_DATA_MISSING'
  | 'INVALID_PLAN'
  | 'PLAN_VERSION'
  | 'UNKNOWN_INPUT'
  | 'MISSING_INPUT'
  | 'UNKNOWN_OUTPUT'
  | 'INPUT_TYPE'
  | 'INPUT_SHAPE'
  | 'INPUT_VALUE'
  | 'OUTPUT_TYPE'
  | 'OUTPUT_SHAPE'
  | 'INVALID_OPTION'
  | 'INVALID_IMAGE'
  | 'IMAGE_TOO_LARGE'
  | 'IMAGE_DECODE'
  | 'EXECUTION_FAILED'
  | 'OUT_OF_MEMORY'
  | 'INTERNAL'
  | 'HTML_RESPONSE'
  | 'HTTP_ERROR'
  | 'NETWORK_ERROR'
  | 'INTEGRITY'
  | 'WASM_LOAD'
  | 'INVALID_CARD'
  | 'SESSION_RELEASED'
  | 'RUNTIME_CRASH'
  | 'UNSUPPORTED_ENVIRONMENT';

/** An operator that the model uses and this version does not know. */
export interface UnknownOperator {
  /** Operator set, empty for the standard one (`ai.onnx`). */
  readonly domain: string;
  /** Operator name. */
  readonly opType: string;
  /** How many nodes use it. */
  readonly count: number;
}

/** What an {@link InferenceError} says besides its code and message. */
export interface ErrorDetails {
  /** The graph node concerned, by name. */
  readonly node?: string | undefined;
  /** The operator concerned. */
  readonly opType?: string | undefined;
  /** The model input concerned, by name. */
  readonly input?: string | undefined;
  /** What was expected. */
  readonly expected?: string | undefined;
  /** What was found instead. */
  readonly actual?: string | undefined;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** For `UNSUPPORTED_OPERATOR`: all of them. */
  readonly operators?: readonly UnknownOperator[] | undefined;
  /** Of several pictures, the position of the one concerned. */
  readonly index?: number | undefined;
  /** The error underneath, where there is one. */
  readonly cause?: unknown;
}

/** An error as a plain object: what the wasm modules throw and what a worker posts. */
export interface ErrorObject extends ErrorDetails {
  readonly code: ErrorCode;
  readonly message: string;
}

const DETAILS = ['node', 'opType', 'input', 'expected', 'actual', 'hint', 'operators', 'index'] as const;

/** The details of an error, but for its cause; undefined for those that it does not have. */
function pick(details: ErrorDetails): ErrorDetails {
  return Object.fromEntries(DETAILS.map((name) => [name, details[name]]));
}

/** Any failure of tractlet. `code` says which, `hint` what to do about it. */
export class InferenceError extends Error {
  /** Stable code, see {@link ErrorCode}. */
  declare readonly code: ErrorCode;
  /** The graph node concerned, by name. */
  declare readonly node: string | undefined;
  /** The operator concerned. */
  declare readonly opType: string | undefined;
  /** The model input concerned, by name. */
  declare readonly input: string | undefined;
  /** What was expected. */
  declare readonly expected: string | undefined;
  /** What was found instead. */
  declare readonly actual: string | undefined;
  /** What to do about it. */
  declare readonly hint: string | undefined;
  /** For `UNSUPPORTED_OPERATOR`: all of them. */
  declare readonly operators: readonly UnknownOperator[] | undefined;
  /** Of several pictures, the position of the one concerned. */
  declare readonly index: number | undefined;

  /**
   * Errors come from tractlet; apps have no need to make any.
   *
   * @param code which failure it is
   * @param message a sentence for people
   * @param details where it happened and what to do about it
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    Object.assign(this, { code }, pick(details));
    // What consoles print of an error is its stack: there the hint is seen.
    const { hint, stack } = this;
    if (hint && stack) this.stack = stack.replace(message, () => `${message}\n  ${hint}`);
  }

  // A getter on the prototype, so that the first line of `stack` already has the name.
  /** Name of the class. */
  override get name(): string {
    return 'InferenceError';
  }
}

/** The model (or plan) is damaged, unsupported or incomplete. */
export class ModelError extends InferenceError {
  override get name(): string {
    return 'ModelError';
  }
}

/** An input tensor, an output name or an option is wrong. */
export class InputError extends InferenceError {
  override get name(): string {
    return 'InputError';
  }
}

/** The picture cannot be used. */
export class ImageError extends InferenceError {
  override get name(): string {
    return 'ImageError';
  }
}

/** Something could not be fetched, or is not what it should be. */
export class LoadError extends InferenceError {
  override get name(): string {
    return 'LoadError';
  }
}

/** The session was used after (or while) it was released. */
export class SessionReleasedError extends InferenceError {
  override get name(): string {
    return 'SessionReleasedError';
  }
}

/** The WebAssembly module of this session crashed. The session is unusable; a new one can be created. */
export class RuntimeCrashError extends InferenceError {
  override get name(): string {
    return 'RuntimeCrashError';
  }
}

/** Memory ran out. */
export class OutOfMemoryError extends InferenceError {
  override get name(): string {
    return 'OutOfMemoryError';
  }
}

/** The class that stands for a code. */
function classOf(code: ErrorCode): typeof InferenceError {
  switch (code) {
    case 'NOT_ONNX':
    case 'INVALID_MODEL':
    case 'UNSUPPORTED_OPERATOR':
    case 'UNSUPPORTED_MODEL':
    case 'MODEL_TOO_LARGE':
    case 'EXTERNAL_DATA_MISSING':
    case 'INVALID_PLAN':
    case 'PLAN_VERSION':
      return ModelError;
    case 'UNKNOWN_INPUT':
    case 'MISSING_INPUT':
    case 'UNKNOWN_OUTPUT':
    case 'INPUT_TYPE':
    case 'INPUT_SHAPE':
    case 'INPUT_VALUE':
    case 'OUTPUT_TYPE':
    case 'OUTPUT_SHAPE':
    case 'INVALID_OPTION':
      return InputError;
    case 'INVALID_IMAGE':
    case 'IMAGE_TOO_LARGE':
    case 'IMAGE_DECODE':
      return ImageError;
    case 'HTML_RESPONSE':
    case 'HTTP_ERROR':
    case 'NETWORK_ERROR':
    case 'INTEGRITY':
    case 'WASM_LOAD':
    case 'INVALID_CARD':
      return LoadError;
    case 'SESSION_RELEASED':
      return SessionReleasedError;
    case 'RUNTIME_CRASH':
      return RuntimeCrashError;
    case 'OUT_OF_MEMORY':
      return OutOfMemoryError;
    case 'EXECUTION_FAILED':
    case 'INTERNAL':
    case 'UNSUPPORTED_ENVIRONMENT':
      return InferenceError;
  }
}

/** The error with that code, in the class that stands for it. */
export function failure(code: ErrorCode, message: string, details?: ErrorDetails): InferenceError {
  // A code of a newer worker than this file has no class here.
  const Class = (classOf(code) as typeof InferenceError | undefined) ?? InferenceError;
  return new Class(code, message, details);
}

/** The error that a plain object stands for. */
export function fromObject(object: ErrorObject): InferenceError {
  return failure(object.code, object.message, object);
}

/** An error of another bundle, or of a file that does without the classes, in its own class. */
export function specific(thrown: unknown): unknown {
  return isErrorObject(thrown) ? fromObject(thrown) : thrown;
}

/** The code of an error of any bundle; undefined where it is none of ours. */
export function codeOf(thrown: unknown): ErrorCode | undefined {
  return isErrorObject(thrown) ? thrown.code : undefined;
}

function isErrorObject(thrown: unknown): thrown is ErrorObject {
  // A DOMException has a number.
  return typeof thrown === 'object' && thrown !== null && typeof (thrown as ErrorObject).code === 'string';
}

/**
 * Any thrown value as a plain object that survives a structured clone. Plain objects with a code (from the wasm
 * modules) pass through; what is not ours becomes `INTERNAL`, with the original as text in `cause`.
 */
export function toObject(thrown: unknown): ErrorObject {
  if (isErrorObject(thrown)) {
    const { code, message, cause } = thrown;
    return { code, message, ...pick(thrown), cause: cause === undefined ? cause : describe(cause) };
  }
  return { code: 'INTERNAL', message: describe(thrown), cause: (thrown as Error | undefined)?.stack };
}

/** Name of a value's class, whatever realm it is from. */
export function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** A thrown value as one line of text. */
export function describe(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'message' in thrown
    ? `${(thrown as Error).name}: ${(thrown as Error).message}`
    : String(thrown);
}
