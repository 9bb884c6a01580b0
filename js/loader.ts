// Downloads with progress, and notices when what arrives is not what was wanted. diagnose.ts says
// what is wrong with an answer, resume.ts goes on where a download broke off.

import { builtin, headOf, isNode, networkError } from './fetching.js';
import { verify } from './integrity.js';
import { explaining, more } from './load-more.js';
import type { Emit, Source } from './protocol.js';
import { resume } from './resume.js';

/** What a file should be; `data` is anything. */
export type Kind = 'model' | 'wasm' | 'card' | 'labels' | 'data';

/** Options of {@link load}. */
export interface LoadOptions {
  /** Default: `model`. */
  readonly kind?: Kind | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly emit?: Emit | undefined;
  /** Called with the first bytes (16 or more, when there are as many); may throw to stop the download. */
  readonly onHead?: ((head: Uint8Array) => void | Promise<void>) | undefined;
  /** Called as soon as it is known how many bytes there are; may throw to stop the download. */
  readonly onSize?: ((bytes: number) => void | Promise<void>) | undefined;
  /** Called with the headers of a server's answer. */
  readonly onHeaders?: ((headers: Headers) => void) | undefined;
  /** Bytes to expect when the server does not say. */
  readonly size?: number | undefined;
  /** `sha256-<base64>`, as in the integrity attribute of HTML; sha384 and sha512 too. */
  readonly integrity?: string | undefined;
  /** How addresses are loaded; directly when left out. */
  readonly via?: Via | undefined;
}

/** A way to load addresses: through a cache. */
export type Via = (source: Source & { url: string }, options: LoadOptions) => Promise<Uint8Array>;

/** A source whose body is there. */
export interface Opened extends Source {
  /** Those of the answer, when the body was fetched from `url` just now: then it can be fetched again. */
  readonly headers?: Headers | undefined;
}

/** Browsers have no longer buffers. */
const MAX_BUFFER = 2e9;
/** Largest buffer that is set aside on the word of a server alone. */
const MAX_TRUSTED_LENGTH = 1 << 28;
/** Shortest time between two progress events, in milliseconds. */
const PROGRESS_INTERVAL = 40;
/** How many bytes have to be there before they are looked at. */
const HEAD = 16;
/** And how many of them are. */
const SAMPLE = 64;
/** How often one download may break off and be taken up again. */
const MAX_RESUMES = 3;

/**
 * The bytes of a source.
 *
 * @throws LoadError `HTTP_ERROR`, `HTML_RESPONSE`, `NETWORK_ERROR` or `INTEGRITY`; what {@link LoadOptions.kind} calls for
 * when the file is something else
 */
export async function load(source: Source, options: LoadOptions = {}): Promise<Uint8Array> {
  const { file, url } = source;
  const all = { ...options, integrity: options.integrity ?? source.integrity };
  options.emit?.({ status: 'initiate', file });
  const bytes =
    options.via && !source.body && url !== undefined && /^https?:/.test(url)
      ? await options.via({ ...source, url }, all)
      : await receive(source.body ? source : await open(source, all), all);
  options.emit?.({ status: 'done', file });
  return bytes;
}

/** Head and body of an address. `headers` are sent along. */
export async function open(source: Source, { signal }: LoadOptions, headers?: HeadersInit): Promise<Opened> {
  const { file, url = file } = source;
  if (url.startsWith('file:') && isNode()) {
    try {
      // Node's fetch does not read files.
      const fs = builtin('fs/promises') as { readFile(path: URL): Promise<Uint8Array> };
      return { file, body: await fs.readFile(new URL(url)) };
    } catch (cause) {
      throw networkError(`${url} could not be read`, cause, 'Check that the file exists.');
    }
  }
  try {
    const response = await fetch(url, { signal: signal ?? null, ...(headers && { headers }) });
    return { ...source, body: response.body ?? new Uint8Array(), head: headOf(response), headers: response.headers };
  } catch (cause) {
    signal?.throwIfAborted();
    throw networkError(`${url} could not be fetched`, cause);
  }
}

/** The bytes of an opened source, checked. */
export async function receive(source: Opened, options: LoadOptions): Promise<Uint8Array> {
  const { file, body, head } = source;
  if (head && (head.status < 200 || head.status > 299)) {
    const { httpError } = await explaining('HTTP_ERROR', `The server answered ${head.status} for ${source.url ?? file}`);
    throw await httpError(source);
  }
  if (source.headers) options.onHeaders?.(source.headers);
  options.emit?.({ status: 'download', file });
  let bytes: Uint8Array;
  if (body instanceof Uint8Array) {
    bytes = body;
    await options.onSize?.(bytes.length);
    await check(bytes, source, options);
  } else if (body instanceof Blob) {
    bytes = await readAll({ ...source, body: body.stream() }, { ...options, size: body.size });
  } else {
    bytes = await readAll(source, options);
  }
  if (options.integrity !== undefined) await verify(bytes, file, options.integrity);
  return bytes;
}

/** Reads a stream into one buffer. */
async function readAll(source: Opened, options: LoadOptions): Promise<Uint8Array> {
  const { file, url } = source;
  const { signal, emit, onSize } = options;
  let { head } = source;
  // Only sizes the first buffer, and says what part has arrived.
  let total = head?.length || options.size || undefined;
  if (total !== undefined) await onSize?.(total);
  let buffer: Uint8Array = new Uint8Array(Math.min(total ?? 1 << 16, MAX_TRUSTED_LENGTH));
  let loaded = 0;
  let checked = false;
  let reported = 0;
  let resumes = 0;
  let reader = (source.body as ReadableStream<Uint8Array> | undefined)?.getReader();
  // What is left of the body is of no use; that it cannot be cancelled either is no news.
  const cancel = (): void => void reader?.cancel().catch(() => undefined);
  signal?.addEventListener('abort', cancel);
  try {
    for (;;) {
      let done = true;
      let chunk: Uint8Array | undefined;
      try {
        if (reader) ({ done, value: chunk } = await reader.read());
      } catch (cause) {
        signal?.throwIfAborted();
        const again = source.headers && url !== undefined && ++resumes <= MAX_RESUMES;
        const next = again ? await resume(url, head, loaded, resumes, signal) : undefined;
        if (!next) throw networkError(`The download of ${url ?? file} broke off after ${loaded} bytes`, cause);
        if (next.body) {
          reader = next.body.getReader();
          if (next.head) {
            // From the beginning.
            head = next.head;
            total = head.length || options.size || undefined;
            loaded = 0;
            checked = false;
          }
        }
        continue;
      }
      signal?.throwIfAborted();
      if (chunk) {
        const end = loaded + chunk.length;
        if (end > buffer.length) {
          const wanted = Math.max(end, Math.min(total ?? 0, buffer.length * 4), buffer.length * 2);
          const larger = wanted > MAX_BUFFER ? (await more()).hugeBuffer(wanted) : new Uint8Array(wanted);
          larger.set(buffer.subarray(0, loaded));
          buffer = larger;
        }
        buffer.set(chunk, loaded);
        loaded = end;
      }
      if (!checked && (done || loaded >= HEAD)) {
        checked = true;
        await check(buffer.subarray(0, loaded), { ...source, head }, options);
      }
      if (total !== undefined && (loaded > total || done)) total = done ? loaded : undefined;
      const now = performance.now();
      if (done || now - reported >= PROGRESS_INTERVAL) {
        reported = now;
        emit?.({ status: 'progress', file, loaded, ...(total && { total, progress: (100 * loaded) / total }) });
      }
      if (done) {
        await onSize?.(loaded);
        return buffer.subarray(0, loaded);
      }
    }
  } catch (error) {
    cancel();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Looks at the first bytes. */
async function check(start: Uint8Array, source: Source, { kind = 'model', onHead }: LoadOptions): Promise<void> {
  const text = String.fromCharCode(...start.subarray(0, SAMPLE));
  // Cheap, and true of some files that are in order: data may start with anything.
  const odd =
    kind === 'card' || kind === 'labels'
      ? !/^\s*[{[]/.test(text)
      : text.startsWith('\x1f\x8b') || /^\s*(<|[{[]|\xef\xbb\xbf)|^(PK|(?!TRACTLET)[ -~]{8})/.test(text);
  if (odd) {
    const error = (await explaining()).wrongFile(text, source, kind);
    if (error) throw error;
  }
  await onHead?.(start);
}

/** Whether the bytes are a plan of the engine rather than an ONNX model. */
export function isPlan(start: Uint8Array): boolean {
  return String.fromCharCode(...start.subarray(0, 8)) === 'TRACTLET';
}
