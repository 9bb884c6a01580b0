// Where files are kept between visits: the browser's Cache API, or what the caller gives in its place. Nothing that goes
// wrong here is an error of the caller's: storage may be blocked, full or absent, and everything works without it.

import { tagOf } from './errors.js';
import { more } from './load-more.js';

/**
 * A place to keep files in. A `Cache` is one, and so is what transformers.js takes as its custom cache.
 */
export interface CacheLike {
  /** The answer kept under an address, if there is one. */
  match(request: string): Promise<Response | undefined>;
  /** Keeps an answer. */
  put(request: string, response: Response): Promise<unknown>;
  /** Forgets an answer. */
  delete?(request: string): Promise<unknown>;
}

/** The option `cache`: true, the default, is the browser's own; false keeps nothing. */
export type CacheOption = boolean | CacheLike | undefined;

/** An open place. Never throws: what cannot be read is not there, what cannot be written is left out. */
export interface Store {
  /** What is kept under a key: an http address, or any other text. */
  get(key: string): Promise<Response | undefined>;
  /** Keeps a body, in place of what was there. Says whether that worked. */
  put(key: string, body: Uint8Array | Response, headers?: Record<string, string>): Promise<boolean>;
  delete(key: string): Promise<void>;
}

/** Name of the `Cache` in the browser's storage. */
export const CACHE_NAME = 'tractlet';

/** The store, or undefined where there is none: the option is false, Node, pages without https, blocked storage. */
export async function openStore(option: CacheOption | MessagePort): Promise<Store | undefined> {
  if (option === false) return undefined;
  if (typeof option === 'object') return storeOf('match' in option ? option : (await more()).cacheBehind(option));
  try {
    // Absent, or a getter that throws, where storage is not to be had.
    const cache = await (globalThis.caches as CacheStorage | undefined)?.open(CACHE_NAME);
    return cache && storeOf(cache, cache);
  } catch {
    return undefined;
  }
}

/** @param own the browser's cache, in which room may be made */
function storeOf(cache: CacheLike, own?: Cache): Store {
  return {
    get: async (key) => {
      try {
        const found: unknown = await cache.match(addressOf(key));
        return tagOf(found) === 'Response' ? (found as Response) : undefined;
      } catch {
        return undefined;
      }
    },
    put: async (key, body, headers = {}) => {
      const address = addressOf(key);
      // A blob: its bytes are the browser's from here on, whatever this thread is busy with.
      const contents = body instanceof Response ? await body.blob().catch(() => undefined) : new Blob([body as Uint8Array<ArrayBuffer>]);
      if (!contents) return false;
      const all = { ...(body instanceof Response && Object.fromEntries(body.headers)), ...headers, 'content-length': String(contents.size) };
      const write = (): Promise<unknown> => cache.put(address, new Response(contents, { headers: all }));
      try {
        await write();
        return true;
      } catch (error) {
        if (!own || (error as Error).name !== 'QuotaExceededError') return false;
      }
      try {
        // Most likely full of models that are not used any more.
        for (const request of await own.keys()) await own.delete(request);
        await write();
        return true;
      } catch {
        return false;
      }
    },
    delete: async (key) => {
      try {
        await cache.delete?.(addressOf(key));
      } catch {
        // It is not used either way.
      }
    },
  };
}

/** A `Cache` wants addresses, so that is what other keys become; `.invalid` is nobody's. */
function addressOf(key: string): string {
  return /^https?:/.test(key) ? key : `https://tractlet.invalid/${encodeURIComponent(key)}`;
}
