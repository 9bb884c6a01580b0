// Tensors of pictures. Loaded with the first one.

import { Client } from './client.js';
import { InferenceError, specific } from './errors.js';
import { closeImage, type ImageSource, toPortable, transferOfImage } from './image.js';
import { imageError } from './load-more.js';
import { abortable, checkOptions, invalid } from './options.js';
import type { Source } from './protocol.js';
import { toSource, transferOf } from './source.js';
import { fromTensorObject, type Tensor } from './tensor.js';

/** How long an idle worker waits for the next picture, in milliseconds. */
const IDLE = 10_000;

type Engine = NonNullable<Tensor.FromImageOptions['wasm']>['engine'];

interface Started {
  readonly client: Client;
  readonly canDecode: boolean;
}

/** A runtime with an engine and no model. Pages need one of them. */
class Maker {
  readonly worker: boolean | undefined;
  readonly engine: Engine;
  readonly #started: Promise<Started>;
  #users = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(worker: boolean | undefined, engine: Engine) {
    this.worker = worker;
    this.engine = engine;
    this.#started = start(worker, engine);
  }

  async use<T>(work: (started: Started) => Promise<T>): Promise<T> {
    clearTimeout(this.#timer);
    this.#users++;
    try {
      return await work(await this.#started);
    } catch (error) {
      // One that did not start, or has crashed, makes place for another.
      if (maker === this && !(error instanceof InferenceError && /^(IMAGE_|INVALID_|OUT_)/.test(error.code))) maker = undefined;
      throw error;
    } finally {
      if (--this.#users === 0) void this.#rest();
    }
  }

  async #rest(): Promise<void> {
    const client = await this.#started.then((started) => started.client, () => undefined);
    const release = (): void => {
      if (this.#users > 0) return;
      if (maker === this) maker = undefined;
      client?.release();
    };
    if (maker !== this) {
      release();
    } else if (client?.worker) {
      this.#timer = setTimeout(release, IDLE);
    }
  }
}

let maker: Maker | undefined;

async function start(worker: boolean | undefined, engine: Engine): Promise<Started> {
  const client = await Client.start(worker);
  try {
    let from: Source | WebAssembly.Module | undefined;
    let transfer: Transferable[] = [];
    if (engine instanceof WebAssembly.Module) {
      from = engine;
    } else if (engine !== undefined) {
      const source = await toSource(engine, 'engine.wasm', client.worker);
      if (client.worker) transfer = transferOf(source);
      from = source;
    }
    return { client, ...(await client.call('engine', { wasm: { engine: from } }, { transfer })) };
  } catch (error) {
    client.release();
    throw error;
  }
}

/** What {@link Tensor.fromImage} does. */
export async function fromImage(image: ImageSource, options: Tensor.FromImageOptions): Promise<Tensor> {
  if (typeof options !== 'object' || (options as unknown) === null) invalid('object', options, 'an object');
  const { region, rotation, signal, worker, wasm, ...input } = options;
  // The engine checks what is in `input`, and says what is missing or unknown.
  checkOptions({ region, rotation, signal, worker, wasm }, ['region', 'rotation', 'signal', 'worker', 'wasm']);
  signal?.throwIfAborted();
  const make = async (): Promise<Tensor> => {
    const taken = await toPortable(image);
    if (maker?.worker !== worker || maker?.engine !== wasm?.engine) maker = undefined;
    maker ??= new Maker(worker, wasm?.engine);
    return maker.use(async ({ client, canDecode }) => {
      if (signal?.aborted) closeImage(taken);
      signal?.throwIfAborted();
      // A worker may have nothing to draw on.
      const posted = canDecode || 'data' in taken ? taken : await (await import('./pixels.js')).decode(taken);
      const request = { image: posted, input, view: { region, rotation } };
      const { outputs } = await client.call('preprocess', request, { signal, transfer: transferOfImage(posted) });
      return fromTensorObject(outputs[0]);
    });
  };
  try {
    return await abortable(make(), signal);
  } catch (error) {
    // Bitmaps of another origin cannot even be posted.
    throw specific(error instanceof DOMException && error.name === 'DataCloneError' ? await imageError('IMAGE_DECODE', 'unreadable', error) : error);
  }
}
