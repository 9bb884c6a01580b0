// Downloads with progress, and says what is wrong with the answer when something is.

import { describe, InferenceError } from './errors.js';
import type { Source } from './protocol.js';
import { asBytes } from './tensor.js';
import type { ProgressInfo } from './types.js';

/** Options of {@link load}. */
export interface LoadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly emit?: ((event: ProgressInfo) => void) | undefined;
  /** Called once with the first bytes (8 or more, when there are as many); may throw to stop the download. */
  readonly onHead?: ((head: Uint8Array) => void) | undefined;
  /** Bytes to expect when the server does not say. */
  readonly size?: number | undefined;
  /** `sha256-<base64>`, as in the integrity attribute of HTML; sha384 and sha512 too. */
  readonly integrity?: string | undefined;
}

/** Largest buffer that is set aside on the word of a server alone. */
const MAX_TRUSTED_LENGTH = 1 << 28;
/** Shortest time between two progress events, in milliseconds. */
const PROGRESS_INTERVAL = 40;

/**
 * The bytes of a source.
 *
 * @throws LoadError `HTTP_ERROR`, `HTML_RESPONSE`, `NETWORK_ERROR` or `INTEGRITY`
 */
export async function load(source: Source, options: LoadOptions = {}): Promise<Uint8Array> {
  const { file, url } = source;
  const emit = options.emit ?? (() => undefined);
  emit({ status: 'initiate', file });
  const { body, head } = source.body ? source : await open(source, options.signal);
  if (head && (head.status < 200 || head.status > 299)) {
    throw new InferenceError('HTTP_ERROR', `The server answered ${`${head.status} ${head.statusText}`.trim()} for ${url ?? file}`, {
      actual: String(head.status),
      hint: head.status === 0 ? 'The answer is opaque: fetch it with CORS.' : 'Check the address; relative ones resolve against the page.',
    });
  }
  emit({ status: 'download', file });
  const check = (start: Uint8Array): void => {
    if (looksLikeHtml(start, head?.type)) {
      throw new InferenceError('HTML_RESPONSE', `The server answered with an HTML page for ${url ?? file}`, {
        actual: head?.type,
        hint: 'The address is probably wrong and the server sends its start or error page instead of the file.',
      });
    }
    options.onHead?.(start);
  };
  let bytes: Uint8Array;
  if (body instanceof Uint8Array || body instanceof Blob) {
    try {
      bytes = body instanceof Blob ? asBytes(await body.arrayBuffer()) : body;
    } catch (cause) {
      throw networkError(`${file} could not be read`, cause);
    }
    check(bytes);
  } else {
    bytes = await readAll(body, source, head?.length || options.size, emit, check, options.signal);
  }
  await verify(bytes, file, options.integrity);
  emit({ status: 'done', file });
  return bytes;
}

/** Head and body of a fetched address. */
async function open({ file, url = file }: Source, signal: AbortSignal | undefined): Promise<Source & { body: NonNullable<Source['body']> }> {
  if (url.startsWith('file:') && isNode()) {
    try {
      // Node's fetch does not read files.
      const fs = builtin('fs/promises') as { readFile(path: URL): Promise<Uint8Array> };
      return { file, body: await fs.readFile(new URL(url)) };
    } catch (cause) {
      throw networkError(`${url} could not be read`, cause, 'Check that the file exists.');
    }
  }
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (cause) {
    throw networkError(`${url} could not be fetched`, cause);
  }
  return { file, body: response.body ?? new Uint8Array(), head: headOf(response) };
}

/** What matters of an answer's head. */
export function headOf({ status, statusText, headers }: Response): NonNullable<Source['head']> {
  // The announced length of a compressed answer is not that of the contents.
  const length = headers.has('content-encoding') ? 0 : Number(headers.get('content-length'));
  return { status, statusText, type: headers.get('content-type') ?? '', length };
}

/** The error of a download that failed. */
export function networkError(message: string, cause: unknown, hint?: string): InferenceError {
  return new InferenceError('NETWORK_ERROR', `${message} (${describe(cause)})`, {
    hint: hint ?? 'Check the connection; files of another origin need CORS headers, and the Content-Security-Policy must allow them.',
    cause,
  });
}

/** Reads a stream into one buffer. `expected` only sizes the first buffer. */
async function readAll(
  body: ReadableStream<Uint8Array> | undefined,
  { file, url }: Source,
  expected: number | undefined,
  emit: (event: ProgressInfo) => void,
  check: (start: Uint8Array) => void,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  let total = expected !== undefined && expected > 0 ? expected : undefined;
  let buffer = new Uint8Array(Math.min(total ?? 1 << 16, MAX_TRUSTED_LENGTH));
  let loaded = 0;
  let checked = false;
  let reported = 0;
  const reader = body?.getReader();
  // What is left of the body is of no use; that it cannot be cancelled either is no news.
  const cancel = (): void => void reader?.cancel().catch(() => undefined);
  signal?.addEventListener('abort', cancel);
  try {
    for (;;) {
      const { value: chunk, done } = (await reader?.read().catch((cause: unknown) => {
        throw networkError(`The download of ${url ?? file} broke off after ${loaded} bytes`, cause);
      })) ?? { done: true, value: undefined };
      signal?.throwIfAborted();
      if (chunk) {
        if (loaded + chunk.length > buffer.length) {
          const larger = new Uint8Array(Math.max(loaded + chunk.length, Math.min(total ?? 0, buffer.length * 4), buffer.length * 2));
          larger.set(buffer.subarray(0, loaded));
          buffer = larger;
        }
        buffer.set(chunk, loaded);
        loaded += chunk.length;
      }
      if (!checked && (done || loaded >= 8)) {
        checked = true;
        check(buffer.subarray(0, loaded));
      }
      if (total !== undefined && (loaded > total || done)) total = done ? loaded : undefined;
      const now = performance.now();
      if (done || now - reported >= PROGRESS_INTERVAL) {
        reported = now;
        emit({ status: 'progress', file, loaded, ...(total && { total, progress: (100 * loaded) / total }) });
      }
      if (done) return buffer.subarray(0, loaded);
    }
  } catch (error) {
    cancel();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Whether the first bytes are those of a web page. No file that is loaded here starts with `<`. */
function looksLikeHtml(start: Uint8Array, type = ''): boolean {
  const first = start.find((byte, i) => byte > 0x20 && !(i < 3 && [0xef, 0xbb, 0xbf][i] === byte));
  // Some servers call every file they do not know HTML: then only a start that is text counts.
  const text = start[0] === undefined || (start[0] > 0x20 && start[0] < 0x7f && !isPlan(start));
  return first === 0x3c || (/^text\/html/i.test(type) && text);
}

/** Whether the bytes are a plan of the engine rather than an ONNX model. */
export function isPlan(start: Uint8Array): boolean {
  return String.fromCharCode(...start.subarray(0, 8)) === 'TRACTLET';
}

async function verify(bytes: Uint8Array, file: string, integrity: string | undefined): Promise<void> {
  if (integrity === undefined) return;
  const [, bits, expected] = /^sha(256|384|512)-([A-Za-z0-9+/]+=*)$/.exec(integrity.trim()) ?? [];
  if (bits === undefined || expected === undefined) {
    throw new InferenceError('INVALID_OPTION', `The integrity ${JSON.stringify(integrity)} is not understood`, {
      expected: 'sha256-<base64>',
      actual: integrity,
    });
  }
  if (!canVerify()) {
    throw new InferenceError('UNSUPPORTED_ENVIRONMENT', 'Integrity can only be checked in a secure context', {
      hint: 'Serve the page over https (or from localhost), or leave integrity out.',
    });
  }
  const digest = new Uint8Array(await crypto.subtle.digest(`SHA-${bits}`, bytes as Uint8Array<ArrayBuffer>));
  const actual = btoa(String.fromCharCode(...digest));
  if (actual !== expected) {
    throw new InferenceError('INTEGRITY', `${file} is not the file that was expected`, {
      expected: integrity,
      actual: `sha${bits}-${actual}`,
      hint: 'It was changed, or damaged on the way: download it again, or correct the hash.',
    });
  }
}

/** Whether hashes can be computed: browsers do so in secure contexts only. */
export function canVerify(): boolean {
  return (globalThis.crypto as Crypto | undefined)?.subtle !== undefined;
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
