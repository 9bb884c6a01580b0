// Goes on with a download that broke off.

import { headOf } from './fetching.js';
import type { ResponseHead } from './protocol.js';

/** Pause before the first attempt, in milliseconds; each further one is three times as long. */
const FIRST_PAUSE = 200;

/** The rest of a body, or the whole of it when there is a head. Without a body: nothing yet. */
interface Next {
  readonly body?: ReadableStream<Uint8Array>;
  readonly head?: ResponseHead;
}

/**
 * The rest of an address of which `loaded` bytes are there, or all of it from the beginning where the server cannot send
 * a part of the same version.
 *
 * @param attempt 1 for the first
 * @returns nothing inside when the server cannot be reached, undefined when it is no use to ask it again
 */
export async function resume(
  url: string,
  head: ResponseHead | undefined,
  loaded: number,
  attempt: number,
  signal: AbortSignal | undefined,
): Promise<Next | undefined> {
  await pause(FIRST_PAUSE * 3 ** (attempt - 1), signal);
  try {
    if (head?.validator && loaded > 0) {
      // To another origin this asks for permission first: its server may not know the header, and says so.
      const headers = { range: `bytes=${loaded}-`, 'if-range': head.validator };
      const response = await fetch(url, { headers, signal: signal ?? null }).catch(() => undefined);
      signal?.throwIfAborted();
      if (response?.status === 206 && response.body && fits(response, head, loaded)) return { body: response.body };
      if (response?.status === 200 && response.body) return { body: response.body, head: headOf(response) };
      response?.body?.cancel().catch(() => undefined);
    }
    // A partial answer that was kept must not come back.
    const response = await fetch(url, { signal: signal ?? null, cache: 'no-cache' });
    if (response.ok && response.body) return { body: response.body, head: headOf(response) };
    // The server is there, and does not have the file (any more).
    return undefined;
  } catch {
    signal?.throwIfAborted();
    return {};
  }
}

/** Whether a part belongs to what is there: the same version, from the right place to the right end. */
function fits(response: Response, head: ResponseHead, loaded: number): boolean {
  const part = headOf(response);
  if (part.validator !== head.validator || response.headers.has('content-encoding')) return false;
  // Servers of other origins may hide this header, but not the length.
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (range && Number(range[1]) !== loaded) return false;
  const total = range && range[2] !== '*' ? Number(range[2]) : part.length && loaded + part.length;
  return head.length === 0 || total === 0 ? range !== null : total === head.length;
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
