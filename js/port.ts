// Starts a runtime, in a worker or in this thread, and hands out the line to it.

import { embeddedWorker } from './embedded.js';
import { describe, failure } from './errors.js';
import type { Call, Cancel, Reply } from './protocol.js';

/** A line to a runtime. */
export interface Port {
  /** Whether the runtime is in a worker. */
  readonly worker: boolean;
  /** May throw a DataCloneError. */
  post(call: Call, transfer: Transferable[]): void;
  /** Stops a call as soon as possible; its reply still comes. */
  cancel(id: number): void;
  // Absent until they are set: where a function without parameters stands first, Rollup drops the arguments of the calls.
  onReply?: (reply: Reply) => void;
  /** The runtime is lost. */
  onCrash?: (message: string) => void;
  /** Stops it at once and gives its memory back. */
  close(): void;
}

/**
 * Starts a runtime.
 *
 * @param wanted true: in a worker or not at all; undefined: in a worker where there is a window and it works
 */
export async function openPort(wanted: boolean | undefined): Promise<Port> {
  if (wanted ?? (typeof document !== 'undefined' && typeof Worker === 'function')) {
    let cause: unknown;
    for (const start of WAYS) {
      try {
        return await connect(start());
      } catch (error) {
        cause ??= error;
      }
    }
    if (wanted) {
      throw failure('UNSUPPORTED_ENVIRONMENT', `The worker could not be started (${describe(cause)})`, {
        hint:
          'worker.js of the package must be served next to its other files, and the Content-Security-Policy must allow ' +
          "worker-src 'self'. { worker: false } runs without.",
        cause,
      });
    }
  }
  return openLocalPort();
}

/** How to start a worker, the first that works. */
const WAYS = INLINE ? [startEmbedded] : [startWorker, startWorkerElsewhere];

function startWorker(): Worker {
  // In one expression, or bundlers do not see it.
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}

/** Where the script is not where it should be, or is of another origin. */
function startWorkerElsewhere(): Worker {
  const here = import.meta.url;
  const url = resolve('./worker.js', here);
  // Up to version 7, Vite's development server moves the package's scripts to a folder of its own and forgets the worker.
  if (here.includes('/.vite/deps/')) return new Worker(resolve('../../tractlet/dist/worker.js', here), { type: 'module' });
  if (url.origin === location.origin) throw new Error(`${url.href} is no module worker`);
  // Workers must be of the page's origin: from a CDN, one of the page's own imports the real one.
  elsewhere ??= toBlobUrl(`import ${JSON.stringify(url.href)}`);
  return new Worker(elsewhere, { type: 'module' });
}

/** Not revoked, as the worker starts its helpers from it. */
let elsewhere: string | undefined;

function toBlobUrl(script: string): string {
  return URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
}

function startEmbedded(): Worker {
  const blob = toBlobUrl(embeddedWorker);
  const worker = new Worker(blob);
  const revoke = (): void => {
    URL.revokeObjectURL(blob);
  };
  worker.addEventListener('message', revoke, { once: true });
  worker.addEventListener('error', revoke, { once: true });
  return worker;
}

/** In a function, so that bundlers do not see it: they would copy the file a second time. */
function resolve(file: string, base: string): URL {
  return new URL(file, base);
}

/** The line to a worker, once it has said hello. */
function connect(worker: Worker): Promise<Port> {
  return new Promise((resolve, reject) => {
    let alive = false;
    const port: Port = {
      worker: true,
      post: (call, transfer) => {
        worker.postMessage(call, transfer);
      },
      cancel: (id) => {
        worker.postMessage({ tractlet: 'cancel', id } satisfies Cancel);
      },
      close: () => {
        worker.terminate();
      },
    };
    const fail = (message: string): void => {
      if (alive) {
        port.onCrash?.(message);
      } else {
        worker.terminate();
        reject(new Error(message));
      }
    };
    worker.addEventListener('message', ({ data }: MessageEvent<Reply | undefined>) => {
      if (data?.tractlet === 'hello') {
        alive = true;
        resolve(port);
      } else if (data?.tractlet !== undefined) {
        port.onReply?.(data);
      }
    });
    worker.addEventListener('error', (event) => {
      // The failure is reported to whoever asked; the console need not have it as well.
      event.preventDefault();
      fail(event.message || 'the script could not be loaded');
    });
    worker.addEventListener('messageerror', () => {
      fail('a message could not be read');
    });
  });
}

async function openLocalPort(): Promise<Port> {
  const { Runtime } = await import('./runtime.js');
  let closed = false;
  const port: Port = {
    worker: false,
    post: (call) => {
      void runtime.handle(call);
    },
    cancel: (id) => {
      runtime.cancel(id);
    },
    close: () => {
      closed = true;
      runtime.dispose();
    },
  };
  const runtime = new Runtime((reply) => {
    if (!closed) port.onReply?.(reply);
  }, WAYS);
  return port;
}
