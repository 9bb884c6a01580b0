// @ts-check
// The loading bar: several files arrive at once and the bar shows the sum of their bytes.

import { byId, megabytes } from './dom.js';

/** @typedef {import('./models.js').ProgressEvent} ProgressEvent */

export class Progress {
  #box = byId('progress', HTMLElement);
  #what = byId('progress-what', HTMLElement);
  #bar = byId('progress-bar', HTMLProgressElement);
  #numbers = byId('progress-numbers', HTMLElement);
  /** @type {Map<string, { loaded: number, total: number }>} */
  #files = new Map();
  #modelBytes = 0;
  /** The bar never goes back when another file joins the sum. */
  #fraction = 0;

  /**
   * @param {string} name
   * @param {number} modelBytes  from the card, so that the sum is right from the first byte
   */
  start(name, modelBytes) {
    this.#files.clear();
    this.#modelBytes = modelBytes;
    this.#fraction = 0;
    this.#what.textContent = `Loading ${name}`;
    this.#numbers.textContent = '\u00a0';
    this.#bar.removeAttribute('value');
    this.#box.hidden = false;
  }

  /** @param {ProgressEvent} event */
  update(event) {
    if (event.status === 'compile') {
      this.#numbers.textContent = 'Downloaded. Getting it ready to run';
      this.#bar.removeAttribute('value');
      return;
    }
    if (event.loaded === undefined || !event.file) return;
    this.#files.set(event.file, { loaded: event.loaded, total: event.total || event.loaded });
    let loaded = 0;
    let total = 0;
    for (const file of this.#files.values()) {
      loaded += file.loaded;
      total += file.total;
    }
    total = Math.max(total, this.#modelBytes);
    this.#fraction = Math.max(this.#fraction, loaded / total);
    this.#bar.value = this.#fraction;
    this.#numbers.textContent = `${megabytes(loaded)} of ${megabytes(total)}`;
  }

  stop() {
    this.#box.hidden = true;
  }
}
