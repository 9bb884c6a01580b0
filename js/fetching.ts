// What page and runtime both need to load files.

import { describe, InferenceError } from './errors.js';
import type { ResponseHead } from './protocol.js';

/** What matters of an answer's head. */
export function headOf({ status, statusText, headers }: Response): ResponseHead {
  // The announced length of a compressed answer is not that of the contents.
  const length = headers.has('content-encoding') ? 0 : Number(headers.get('content-length'));
  const etag = headers.get('etag') ?? '';
  return {
    status,
    statusText,
    type: headers.get('content-type') ?? '',
    length,
    // A weak tag stands for the same contents in other bytes.
    validator: (etag.startsWith('"') ? etag : headers.get('last-modified')) ?? '',
  };
}

/** The error of a download that failed. */
export function networkError(message: string, cause: unknown, hint?: string): InferenceError {
  return new InferenceError('NETWORK_ERROR', `${message} (${describe(cause)})`, {
    hint: hint ?? 'Check the connection; files of another origin need CORS headers, and the Content-Security-Policy must allow them.',
    cause,
  });
}

/** Whether this is Node, Deno or Bun. */
export function isNode(): boolean {
  return nodeProcess()?.versions?.node !== undefined;
}

/** A built-in module of Node. An `import()` of it would make bundlers look for one. */
export function builtin(name: string): unknown {
  const module = nodeProcess()?.getBuiltinModule?.(name);
  if (module === undefined) throw new Error('files need Node 20.16, Deno 2.1 or Bun 1.2');
  return module;
}

function nodeProcess(): { versions?: { node?: string }; getBuiltinModule?(name: string): unknown } | undefined {
  return (globalThis as { process?: ReturnType<typeof nodeProcess> }).process;
}
