// Files that are there already, or are fetched in a way of the caller's own, in the form in which they are posted to the
// runtime. Loaded with the first.

import { asBytes, copyBytes } from './bytes.js';
import { failure, fromObject, tagOf } from './errors.js';
import { headOf, networkError } from './fetching.js';
import type { Source } from './protocol.js';
import { fileName, type FileSource } from './source.js';

/**
 * The source for `input`, which is no address. Contents are copied: they are read for as long as there is the session.
 *
 * @param what what the file is, for messages and for files without a name
 * @throws InputError `INVALID_OPTION`
 */
export async function toContents(input: Exclude<FileSource, string | URL>, what: string, worker: boolean, signal?: AbortSignal): Promise<Source> {
  const tag = tagOf(input);
  switch (tag) {
    case 'Request':
      return answer(await fetchRequest(input as Request, signal), what, worker);
    case 'Response':
      return answer(input as Response, what, worker);
    case 'ReadableStream':
      return { file: what, body: await portableStream(input as ReadableStream<Uint8Array>, worker) };
    case 'Blob':
    case 'File':
      return { file: (input as { name?: string }).name ?? what, body: input as Blob };
    default:
      if (ArrayBuffer.isView(input) || tag === 'ArrayBuffer' || tag === 'SharedArrayBuffer') {
        const contents = input as ArrayBufferView | ArrayBufferLike;
        return { file: what, body: copyBytes(contents) };
      }
      throw failure('INVALID_OPTION', `The ${what} cannot be loaded from ${input as unknown === null ? 'null' : tag}`, {
        expected: 'URL, string, Request, Response, Blob, ArrayBuffer, typed array or ReadableStream',
        actual: tag,
        hint: 'Pass its address, or its contents as bytes, a Blob or a stream.',
      });
  }
}

async function fetchRequest(request: Request, signal: AbortSignal | undefined): Promise<Response> {
  try {
    return await fetch(request, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw fromObject(networkError(`${request.url} could not be fetched`, cause));
  }
}

async function answer(response: Response, what: string, worker: boolean): Promise<Source> {
  if (response.bodyUsed) {
    throw failure('INVALID_OPTION', `The answer for the ${what} has been read already`, { hint: 'Pass response.clone(), or fetch it again.' });
  }
  const url = response.url === '' ? undefined : response.url;
  const body = response.body ? await portableStream(response.body, worker) : new Uint8Array();
  return { file: (url === undefined ? '' : fileName(url)) || what, url, body, head: headOf(response) };
}

/** A stream that can be posted; its contents where streams cannot. */
async function portableStream(stream: ReadableStream<Uint8Array>, worker: boolean): Promise<ReadableStream<Uint8Array> | Uint8Array> {
  if (stream.locked) {
    throw failure('INVALID_OPTION', 'The stream is being read by someone else', { hint: 'Pass one branch of stream.tee().' });
  }
  if (!worker || canTransferStreams()) return stream;
  return asBytes(await new Response(stream).arrayBuffer());
}

/** Safari cannot give streams away. */
function canTransferStreams(): boolean {
  try {
    const probe = new ReadableStream();
    structuredClone(probe, { transfer: [probe] });
    return true;
  } catch {
    return false;
  }
}
