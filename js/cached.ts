// Downloads by way of the cache (cache.ts): never stale, and never twice at the same time.
//
// * What has a known hash is kept under that, and comes from the cache without a question to anyone.
// * Everything else is kept under its address, and the server is asked each time whether it is still the same. Where no
//   server can be reached, the copy has to do.
// * Whoever wants what another session, worker or tab is downloading waits for its copy.

import { type CacheOption, openStore, type Store } from './cache.js';
import { codeOf } from './errors.js';
import { headOf, isNode } from './fetching.js';
import { type LoadOptions, open, type Opened, receive, type Via } from './loader.js';
import type { Source } from './protocol.js';

/** When a copy was kept, in milliseconds since 1970. */
const KEPT_AT = 'x-tractlet-kept';

type Addressed = Source & { readonly url: string };

/** Downloads of this thread that are under way, by key. */
const running = new Map<string, Promise<Uint8Array>>();

/** A way to load by the cache that the option asks for. Where there is none, downloads are shared all the same. */
export async function openCached(option: CacheOption | MessagePort): Promise<Via> {
  const store = await openStore(option);
  return async (source, options) => {
    const key = options.integrity ?? source.url;
    for (let other; (other = running.get(key)); ) {
      // Should it fail, or be stopped, this session tries itself.
      const bytes = await other.catch(() => undefined);
      options.signal?.throwIfAborted();
      if (!bytes) continue;
      await options.onSize?.(bytes.length);
      await options.onHead?.(bytes);
      return bytes;
    }
    const work = store ? throughStore(key, source, options, store) : open(source, options).then((opened) => receive(opened, options));
    running.set(key, work);
    try {
      return await work;
    } finally {
      running.delete(key);
    }
  };
}

async function throughStore(key: string, source: Addressed, options: LoadOptions, store: Store): Promise<Uint8Array> {
  const hashed = options.integrity !== undefined;
  const began = Date.now();
  const kept = async (): Promise<Uint8Array | undefined> => {
    const copy = await store.get(key);
    return copy && (await readCopy(copy, key, source, options, store));
  };
  if (hashed) {
    const bytes = await kept();
    if (bytes) return bytes;
  }
  return exclusively(key, options.signal, async () => {
    const copy = await store.get(key);
    // A copy that has come while this one waited is as good as a download.
    const usable = copy && (hashed || Number(copy.headers.get(KEPT_AT)) > began);
    const found = usable ? await readCopy(copy, key, source, options, store) : undefined;
    if (found) return [found];

    const old = hashed || usable ? undefined : copy;
    let opened: Opened;
    try {
      opened = await open(source, options, old && conditions(source.url, old));
      if (old && isSame(opened, old)) {
        cancel(opened);
        const bytes = await readCopy(old, key, source, options, store);
        if (bytes) return [bytes];
        opened = await open(source, options);
      }
      const bytes = await receive(opened, options);
      const headers = headersToKeep(opened);
      return headers ? [bytes, store.put(key, bytes, headers)] : [bytes];
    } catch (error) {
      if (codeOf(error) !== 'NETWORK_ERROR' || !old || old.bodyUsed) throw error;
      const bytes = await readCopy(old, key, source, options, store);
      if (!bytes) throw error;
      return [bytes];
    }
  });
}

/** The bytes of a copy; undefined, and the copy is dropped, when they are not what they should be. */
async function readCopy(copy: Response, key: string, source: Addressed, options: LoadOptions, store: Store): Promise<Uint8Array | undefined> {
  const head = headOf(copy);
  try {
    const bytes = await receive({ ...source, body: copy.body ?? new Uint8Array(), head }, options);
    if (head.length === 0 || bytes.length === head.length) return bytes;
  } catch (error) {
    options.signal?.throwIfAborted();
    // What is wrong with a copy is no reason not to fetch the file.
    if ([undefined, 'INVALID_OPTION', 'MODEL_TOO_LARGE'].includes(codeOf(error))) throw error;
  }
  await store.delete(key);
  return undefined;
}

/** What the request says about the copy that is there. */
function conditions(url: string, copy: Response): Record<string, string> | undefined {
  // To another origin these would need permission; there the browser's own cache has to do.
  if (!isNode() && new URL(url).origin !== globalThis.origin) return undefined;
  const etag = copy.headers.get('etag');
  const modified = copy.headers.get('last-modified');
  const headers = { ...(etag && { 'if-none-match': etag }), ...(modified && { 'if-modified-since': modified }) };
  return Object.keys(headers).length > 0 ? headers : undefined;
}

/** Whether the server's answer stands for the copy. */
function isSame({ head }: Source, copy: Response): boolean {
  if (head?.status === 304) return true;
  const kept = headOf(copy);
  return head?.status === 200 && head.validator !== '' && head.validator === kept.validator && (head.length === 0 || head.length === kept.length);
}

/** What is kept of an answer besides its body; nothing when it must not be kept. */
function headersToKeep({ head, headers }: Opened): Record<string, string> | undefined {
  if (head?.status !== 200 || /\bno-store\b/i.test(headers?.get('cache-control') ?? '')) return undefined;
  const names = ['content-type', 'etag', 'last-modified'];
  const kept = names.flatMap((name) => {
    const value = headers?.get(name);
    return value ? [[name, value] as const] : [];
  });
  return { ...Object.fromEntries(kept), [KEPT_AT]: String(Date.now()) };
}

function cancel({ body }: Source): void {
  if (body instanceof ReadableStream) body.cancel().catch(() => undefined);
}

/** Runs `work` while no one else of this origin does the same; until what it gives second has settled. */
function exclusively(
  key: string,
  signal: AbortSignal | undefined,
  work: () => Promise<[Uint8Array, Promise<unknown>?]>,
): Promise<Uint8Array> {
  const alone = async (): Promise<Uint8Array> => (await work())[0];
  const locks = (globalThis.navigator as { readonly locks?: LockManager } | undefined)?.locks;
  if (!locks) return alone();
  const name = `tractlet ${key}`;
  return new Promise((resolve, reject) => {
    let started = false;
    locks
      .request(name, { ...(signal && { signal }) }, async () => {
        started = true;
        const [bytes, until] = await work();
        if (until) {
          // The thread is soon busy compiling: someone who waits for the copy would have to wait for that as well.
          const { pending = [] } = await locks.query();
          if (pending.some((lock) => lock.name === name)) await until;
        }
        resolve(bytes);
        await until;
      })
      .catch(async (error: unknown) => {
        // Where locks are not to be had, it goes without.
        if (started || signal?.aborted) throw error;
        resolve(await alone());
      })
      .catch(reject);
  });
}
