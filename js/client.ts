// The page's side of a runtime: a queue of calls, of which one at a time is with the runtime.

import { failure, fromObject, type InferenceError } from './errors.js';
import { openPort, type Port } from './port.js';
import type { Call, Method, Methods, Reply } from './protocol.js';
import type { ProgressInfo } from './types.js';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** What is given away with the request. */
  readonly transfer?: Transferable[] | undefined;
  readonly onProgress?: ((event: ProgressInfo) => void) | undefined;
}

interface Pending {
  readonly call: Call;
  readonly transfer: Transferable[];
  readonly onProgress: ((event: ProgressInfo) => void) | undefined;
  /** Settled already when the call was aborted; then these do nothing. */
  readonly resolve: (result: Methods[Method][1]) => void;
  readonly reject: (error: Error) => void;
}

/** A line to one runtime. */
export class Client {
  readonly #port: Port;
  readonly #queue: Pending[] = [];
  #running: Pending | undefined;
  #lastId = 0;
  /** Makes the error of every further call, once there is no runtime any more. */
  #closed: (() => InferenceError) | undefined;
  #whenIdle: (() => void) | undefined;

  private constructor(port: Port) {
    this.#port = port;
    port.onReply = (reply) => {
      this.#receive(reply);
    };
    port.onCrash = (message) => {
      this.#close(() => crashed(message));
    };
  }

  /** Starts a runtime. */
  static async start(worker: boolean | undefined): Promise<Client> {
    return new Client(await openPort(worker));
  }

  /** Whether the runtime is in a worker. */
  get worker(): boolean {
    return this.#port.worker;
  }

  /** Queues a call. Calls are carried out in the order in which they were made. */
  call<M extends Method>(method: M, request: Methods[M][0], options: CallOptions = {}): Promise<Methods[M][1]> {
    const { signal, transfer = [], onProgress } = options;
    return new Promise<Methods[Method][1]>((resolve, reject) => {
      if (this.#closed) throw this.#closed();
      signal?.throwIfAborted();
      const onAbort = (): void => {
        pending.reject(signal?.reason as Error);
        const at = this.#queue.indexOf(pending);
        if (at >= 0) this.#queue.splice(at, 1);
        // The next call begins when this one has stopped, which its reply says.
        else this.#port.cancel(pending.call.id);
      };
      const pending: Pending = {
        call: { tractlet: 'call', id: ++this.#lastId, method, request, stoppable: signal !== undefined } as Call,
        transfer,
        onProgress,
        resolve: (result) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(result);
        },
        reject: (error) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort);
      this.#queue.push(pending);
      this.#next();
    }).catch((error: unknown) => {
      // Bitmaps and frames hold much memory until they are collected.
      for (const item of transfer as Partial<ImageBitmap>[]) item.close?.();
      throw error;
    });
  }

  /** Ends the runtime. Calls that are not finished reject. */
  release(): void {
    this.#close(() => failure('SESSION_RELEASED', 'The session has been released', { hint: 'Create a new one.' }));
  }

  /** Ends the runtime after the calls that are there already. */
  releaseWhenIdle(): void {
    this.#whenIdle = () => {
      this.release();
    };
    this.#next();
  }

  #close(error: () => InferenceError): void {
    // The later reason counts: a crashed session that is released is released.
    const first = !this.#closed;
    this.#closed = error;
    if (!first) return;
    this.#port.close();
    for (const { reject } of [this.#running, ...this.#queue.splice(0)].filter((pending) => pending !== undefined)) reject(error());
    this.#running = undefined;
  }

  #next(): void {
    if (this.#running || this.#closed) return;
    this.#running = this.#queue.shift();
    if (!this.#running) {
      this.#whenIdle?.();
      return;
    }
    const { call, transfer, reject } = this.#running;
    try {
      this.#port.post(call, transfer);
    } catch (error) {
      this.#running = undefined;
      reject(error as Error);
      this.#next();
    }
  }

  #receive(reply: Reply): void {
    if (!this.#running || reply.tractlet === 'hello' || reply.id !== this.#running.call.id) return;
    const { resolve, reject, onProgress } = this.#running;
    if (reply.tractlet === 'progress') {
      try {
        onProgress?.(reply.event);
      } catch (error) {
        // As from an event listener: reported, and of no effect on the loading.
        queueMicrotask(() => {
          throw error;
        });
      }
      return;
    }
    this.#running = undefined;
    if (reply.tractlet === 'result') {
      resolve(reply.result);
    } else {
      reject(fromObject(reply.error));
      if (reply.fatal) this.#close(() => fromObject(reply.error));
    }
    if (this.#port.worker || this.#queue.length === 0) {
      this.#next();
    } else {
      // In the page's own thread, others get a turn between two runs.
      setTimeout(() => {
        this.#next();
      });
    }
  }
}

function crashed(message: string): InferenceError {
  return failure('RUNTIME_CRASH', `The worker of this session crashed (${message})`, {
    hint: 'It may have run out of memory. This session is lost, others are not: create a new one.',
  });
}

