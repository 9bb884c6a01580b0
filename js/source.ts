// Whatever names or holds a file, in the form in which it is posted to the runtime.

import { describe, failure, tagOf } from './errors.js';
import { builtin, isNode } from './fetching.js';
import type { Source } from './protocol.js';

/** Where a file comes from: an address (in Node also a path), an HTTP request or answer, or its contents. */
export type FileSource = URL | string | Request | Response | Blob | ArrayBufferView | ArrayBufferLike | ReadableStream<Uint8Array>;

/**
 * The source for `input`. Contents are copied: they are read for as long as there is the session.
 *
 * @param what what the file is, for messages and for files without a name
 * @throws InputError `INVALID_OPTION`
 */
export async function toSource(input: FileSource, what: string, worker: boolean, signal?: AbortSignal): Promise<Source> {
  const tag = tagOf(input);
  if (typeof input === 'string' || tag === 'URL') {
    const url = resolve(typeof input === 'string' ? input : (input as URL).href, what);
    return { file: fileName(url) || what, url };
  }
  return (await import('./contents.js')).toContents(input as Exclude<FileSource, string | URL>, what, worker, signal);
}

/** What has to be given away when the source is posted. */
export function transferOf({ body }: Source): Transferable[] {
  if (body instanceof Uint8Array) return [body.buffer as ArrayBuffer];
  return body instanceof ReadableStream ? [body] : [];
}

/** The absolute address of a string. */
function resolve(address: string, what: string): string {
  try {
    // One letter and a colon is a drive.
    if (/^[a-z][a-z\d+.-]+:/i.test(address)) return new URL(address).href;
    if (typeof document === 'undefined' && isNode()) {
      return (builtin('url') as { pathToFileURL(path: string): URL }).pathToFileURL(address).href;
    }
    return new URL(address, typeof document === 'undefined' ? location.href : document.baseURI).href;
  } catch (cause) {
    throw failure('INVALID_OPTION', `The address of the ${what}, ${JSON.stringify(address)}, cannot be resolved (${describe(cause)})`, {
      hint: 'Pass an absolute address.',
      cause,
    });
  }
}

/** The last part of an address's path. */
export function fileName(url: string): string {
  if (/^(data|blob):/.test(url)) return '';
  return url.split(/[?#]/)[0]?.split('/').pop() ?? '';
}
