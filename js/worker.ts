// The worker's entry: a runtime behind messages.

import type { Call, Cancel } from './protocol.js';
import { Runtime } from './runtime.js';

const scope = globalThis as unknown as DedicatedWorkerGlobalScopeLike;

/** The part of the scope that is used; the compiler knows the page's types only. */
interface DedicatedWorkerGlobalScopeLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<Call | Cancel | undefined>) => void): void;
}

const runtime = new Runtime((reply, transfer) => {
  scope.postMessage(reply, transfer);
});
scope.addEventListener('message', ({ data }) => {
  if (data?.tractlet === 'call') void runtime.handle(data);
  if (data?.tractlet === 'cancel') runtime.cancel(data.id);
});
scope.postMessage({ tractlet: 'hello' }, []);
// Most sessions want it next: it comes while the page answers. Those that do will say what went wrong.
import('./cached.js').catch(() => undefined);
