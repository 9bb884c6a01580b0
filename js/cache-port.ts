// A caller's own cache for a worker: the page has the object, and the worker asks it by a message port. Loaded when a
// session has such a cache.

import type { CacheLike } from './cache.js';

interface Question {
  readonly id: number;
  readonly method: 'match' | 'put' | 'delete';
  readonly request: string;
  readonly response?: PortableResponse | undefined;
}

interface Answer {
  readonly id: number;
  readonly response?: PortableResponse | undefined;
  /** Why it failed. */
  readonly error?: string | undefined;
}

/** An answer of a server as it can be posted. */
interface PortableResponse {
  readonly body: Blob;
  readonly headers: [string, string][];
}

const toPortable = async (response: Response): Promise<PortableResponse> => ({ body: await response.blob(), headers: [...response.headers] });
const fromPortable = ({ body, headers }: PortableResponse): Response => new Response(body, { headers });

/** The page's side: answers what comes by the port that it gives. */
export function portTo(cache: CacheLike): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data: { id, method, request, response } }: MessageEvent<Question>) => {
    const carryOut = async (): Promise<PortableResponse | undefined> => {
      if (method === 'put') await cache.put(request, response ? fromPortable(response) : new Response());
      if (method === 'delete') await cache.delete?.(request);
      const found = method === 'match' ? await cache.match(request) : undefined;
      return found && toPortable(found);
    };
    carryOut().then(
      (found) => {
        port1.postMessage({ id, response: found } satisfies Answer);
      },
      (error: unknown) => {
        port1.postMessage({ id, error: String(error) } satisfies Answer);
      },
    );
  };
  // In Node an open port keeps the process.
  (port1 as MessagePort & { unref?(): void }).unref?.();
  return port2;
}

/** By port: one alone may listen to it. */
const known = new WeakMap<MessagePort, CacheLike>();

/** The worker's side. */
export function cacheBehind(port: MessagePort): CacheLike {
  let cache = known.get(port);
  if (!cache) known.set(port, (cache = connect(port)));
  return cache;
}

function connect(port: MessagePort): CacheLike {
  const waiting = new Map<number, { resolve(response: Response | undefined): void; reject(error: Error): void }>();
  let last = 0;
  port.onmessage = ({ data: { id, response, error } }: MessageEvent<Answer>) => {
    const question = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) question?.resolve(response && fromPortable(response));
    else question?.reject(new Error(error));
  };
  const ask = (method: Question['method'], request: string, response?: PortableResponse): Promise<Response | undefined> =>
    new Promise((resolve, reject) => {
      const id = ++last;
      waiting.set(id, { resolve, reject });
      port.postMessage({ id, method, request, response } satisfies Question);
    });
  return {
    match: (request) => ask('match', request),
    put: async (request, response) => ask('put', request, await toPortable(response)),
    delete: (request) => ask('delete', request),
  };
}
