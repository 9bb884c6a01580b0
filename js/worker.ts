// The worker's entry: a runtime behind messages, or a helper of one.

import type { Call } from './protocol.js';
import type { HelpRequest } from './threads.js';
import { Runtime } from './runtime.js';

const scope = globalThis as unknown as DedicatedWorkerGlobalScopeLike;

/** The part of the scope that is used; the compiler knows the page's types only. */
interface DedicatedWorkerGlobalScopeLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message' | 'messageerror', listener: (event: MessageEvent<Call | HelpRequest | undefined>) => void): void;
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
  if (data?.tractlet === 'help') {
    const ready = (): void => {
      scope.postMessage({ tractlet: 'helping' }, []);
    };
    import('./helper.js').then(({ help }) => help(data, ready)).catch(fail);
  }
});
scope.addEventListener('messageerror', () => {
  throw new Error('a message could not be read');
});
scope.postMessage({ tractlet: 'hello' }, []);
