// Starts a runtime, in a worker or in this thread, and hands out the line to it.

import { describe, failure } from './errors.js';
import type { Call, Reply } from './protocol.js';

/** A line to a runtime. */
export interface Port {
  /** Whether the runtime is in a worker. */
  readonly worker: boolean;
  /** May throw a DataCloneError. */
  post(call: Call, transfer: Transferable[]): void;
  onReply: (reply: Reply) => void;
  /** The runtime is lost. */
  onCrash: (message: string) => void;
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
    const attempts = [startWorker, startWorkerFromBlob];
    let cause: unknown;
    for (const start of attempts) {
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

function startWorker(): Worker {
  // In one expression, or bundlers do not see it.
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}

/** Workers must be of the page's origin: from a CDN, one of the page's own imports the real one. */
function startWorkerFromBlob(): Worker {
  const url = resolve('./worker.js', import.meta.url);
  if (url.origin === location.origin) throw new Error(`${url.href} is no module worker`);
  const blob = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)}`], { type: 'text/javascript' }));
  const worker = new Worker(blob, { type: 'module' });
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
      onReply: () => undefined,
      onCrash: () => undefined,
      close: () => {
        worker.terminate();
      },
    };
    const fail = (message: string): void => {
      if (alive) {
        port.onCrash(message);
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
        port.onReply(data);
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
    onReply: () => undefined,
    onCrash: () => undefined,
    close: () => {
      closed = true;
      runtime.dispose();
    },
  };
  const runtime = new Runtime((reply) => {
    if (!closed) port.onReply(reply);
  }, startWorker);
  return port;
}
