// @ts-check
// The picture on the stage: checked, decoded small in a worker, drawn into the canvas. No blob: or data: URL is
// involved, because the page's policy forbids them.

import { visibleShare } from './crop.js';
import { byId } from './dom.js';
import { PageError } from './errors.js';
import { readImageSize } from './image-size.js';

/** @typedef {import('./preview-worker.js').PreviewReply} PreviewReply */

/** Enough for the stage on a screen with two pixels to the point. */
const MAX_SIDE = 1400;
/** 100 megapixels are 400 MB once decoded: the most that a phone's browser bears. */
const MAX_PIXELS = 100e6;
const MAX_FILE_BYTES = 200e6;

/**
 * Refuses what would exhaust the memory of the tab.
 *
 * @param {Blob} blob
 */
export async function checkPicture(blob) {
  if (blob.size === 0) {
    throw new PageError('EMPTY_FILE', 'This file is empty.', 'Choose another picture.');
  }
  if (blob.size > MAX_FILE_BYTES) {
    throw new PageError(
      'FILE_TOO_LARGE',
      `This file has ${(blob.size / 1e6).toFixed(0)} MB, which is too much to open here.`,
      `Choose a picture of at most ${MAX_FILE_BYTES / 1e6} MB.`,
    );
  }
  /** @type {import('./image-size.js').Size | undefined} */
  let size;
  try {
    size = await readImageSize(blob);
  } catch {
    throw new PageError(
      'FILE_UNREADABLE',
      'The browser could not read this file.',
      'A folder cannot be read, nor a file that was moved or changed after it was chosen.',
    );
  }
  if (size && size.width * size.height > MAX_PIXELS) {
    throw new PageError(
      'IMAGE_TOO_LARGE',
      `This picture has ${size.width} × ${size.height} pixels, which is too much to decode in a page.`,
      `Make it smaller: up to ${MAX_PIXELS / 1e6} megapixels work, and the model looks at far fewer.`,
    );
  }
}

/**
 * Makes previews in a worker. It starts at once, not with the first picture: from then on a picture causes no request at
 * all, which is what the page promises.
 */
export class Previews {
  #next = 0;
  /** @type {Worker | undefined} */
  #worker = this.#start();
  /** @type {Map<number, (bitmap: ImageBitmap | undefined) => void>} */
  #waiting = new Map();

  /**
   * @param {Blob} blob
   * @returns {Promise<ImageBitmap | undefined>} undefined when there can be no preview
   */
  make(blob) {
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#next;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ id, blob, maxSide: MAX_SIDE });
    });
  }

  #start() {
    const worker = new Worker(new URL('./preview-worker.js', import.meta.url), { type: 'module' });
    worker.addEventListener('message', (/** @type {MessageEvent<PreviewReply>} */ event) => {
      const { id, bitmap } = event.data;
      this.#waiting.get(id)?.(bitmap);
      this.#waiting.delete(id);
    });
    worker.addEventListener('error', () => {
      // Without previews the page still classifies.
      worker.terminate();
      this.#worker = undefined;
      for (const resolve of this.#waiting.values()) resolve(undefined);
      this.#waiting.clear();
    });
    return worker;
  }
}

/** The picture on the stage, with marks around the part that the model sees. */
export class Frame {
  #frame = byId('frame', HTMLElement);
  #canvas = byId('picture', HTMLCanvasElement);

  /**
   * @param {ImageBitmap} bitmap
   * @param {string} description
   */
  show(bitmap, description) {
    this.#canvas.width = bitmap.width;
    this.#canvas.height = bitmap.height;
    this.#canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
    this.#canvas.setAttribute('aria-label', description);
    this.#frame.style.setProperty('--ratio', String(bitmap.width / bitmap.height));
    this.#frame.hidden = false;
  }

  hide() {
    this.#frame.hidden = true;
  }

  /** @param {import('./crop.js').ImageInput | undefined} input  of the model in use */
  mark(input) {
    const { x, y } = visibleShare(input, this.#canvas.width, this.#canvas.height);
    this.#frame.style.setProperty('--crop-x', `${50 * (1 - x)}%`);
    this.#frame.style.setProperty('--crop-y', `${50 * (1 - y)}%`);
  }
}
