// The worker's entry: a runtime behind messages, or a helper of one.

import createEngine from '#engine';
import type { Call, Cancel } from './protocol.js';
import { Runtime } from './runtime.js';
import { help, type HelpRequest } from './threads.js';

const scope = globalThis as unknown as DedicatedWorkerGlobalScopeLike;

/** The part of the scope that is used; the compiler knows the page's types only. */
interface DedicatedWorkerGlobalScopeLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message' | 'messageerror', listener: (event: MessageEvent<Call | Cancel | HelpRequest | undefined>) => void): void;
}

/** As an error event of this worker. */
function fail(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

const runtime = new Runtime((reply, transfer) => {
  scope.postMessage(reply, transfer);
});
scope.addEventListener('message', ({ data }) => {
  if (data?.tractlet === 'call') void runtime.handle(data);
  if (data?.tractlet === 'cancel') runtime.cancel(data.id);
  if (!INLINE && data?.tractlet === 'help') {
    const ready = (): void => {
      scope.postMessage({ tractlet: 'helping' }, []);
    };
    help(createEngine(), data, ready).catch(fail);
  }
});
scope.addEventListener('messageerror', () => {
  throw new Error('a message could not be read');
});
scope.postMessage({ tractlet: 'hello' }, []);
