// What makes Node look like a window to the package: a document, and workers on top of worker_threads.

import { after } from 'node:test';
import { Worker as NodeWorker } from 'node:worker_threads';

const BOOTSTRAP = `
  import { parentPort, workerData } from 'node:worker_threads';
  globalThis.postMessage = (message, transfer) => parentPort.postMessage(message, transfer);
  globalThis.addEventListener = (type, listener) => {
    if (type === 'message') parentPort.on('message', (data) => listener({ data }));
  };
  await import(workerData);
`;

/** All workers that were made, for tests to look at. */
export const workers = [];

class FakeWorker extends EventTarget {
  constructor(url, { type }) {
    super();
    if (type !== 'module') throw new TypeError('a module worker was expected');
    this.url = String(url);
    this.terminated = false;
    this.worker = new NodeWorker(new URL(`data:text/javascript,${encodeURIComponent(BOOTSTRAP)}`), { workerData: this.url });
    this.worker.on('message', (data) => this.dispatchEvent(Object.assign(new Event('message'), { data })));
    this.worker.on('error', ({ message }) => this.dispatchEvent(Object.assign(new Event('error', { cancelable: true }), { message })));
    workers.push(this);
  }

  postMessage(message, transfer) {
    this.worker.postMessage(message, transfer);
  }

  terminate() {
    this.terminated = true;
    this.exited = this.worker.terminate();
  }
}

/** Makes a window of this process. */
export function installWindow(baseURI = 'http://localhost/') {
  globalThis.document = { baseURI };
  globalThis.location = new URL(baseURI);
  globalThis.Worker = FakeWorker;
  after(() => workers.forEach((worker) => worker.terminate()));
}
