// @ts-check
// Timings, sizes and the build in use.

import { byId, megabytes } from './dom.js';

/**
 * @typedef {{ decode: number, preprocess: number, inference: number }} Timings
 * @typedef {import('../dist/index.js').RuntimeInfo} RuntimeInfo
 */

export class Figures {
  #list = byId('figures', HTMLElement);
  /** Milliseconds of every inference of the loaded model; the first one pays for warming up. @type {number[]} */
  #inferences = [];

  clear() {
    this.#inferences = [];
    for (const cell of this.#list.querySelectorAll('[data-figure]')) cell.textContent = '–';
  }

  /**
   * @param {RuntimeInfo} runtime
   * @param {import('./models.js').ModelEntry} model
   */
  showModel({ build, threads, worker }, { bytes, input }) {
    this.#set('size', bytes ? megabytes(bytes) : 'unknown');
    if (input) this.#set('input', `${input.size[1]} × ${input.size[0]} pixels`, 'inside the marks');
    this.#set('build', build);
    this.#set('place', worker ? 'a worker' : 'the page', threads === 1 ? '1 thread' : `${threads} threads`);
  }

  /** How many inferences of the loaded model there are so far. */
  get runs() {
    return this.#inferences.length;
  }

  /** @param {Timings} timings  of a new picture */
  addPicture(timings) {
    this.#set('decode', milliseconds(timings.decode));
    this.#set('preprocess', milliseconds(timings.preprocess));
    this.addInference(timings.inference);
  }

  /** @param {number} time */
  addInference(time) {
    this.#inferences.push(time);
    const [first = NaN, ...later] = this.#inferences;
    this.#set('first', milliseconds(first));
    if (later.length === 0) return;
    this.#set('later', milliseconds(median(later)), later.length === 1 ? 'one run' : `median of ${later.length}`);
  }

  /** @param {boolean} busy */
  setBusy(busy) {
    this.#list.setAttribute('aria-busy', String(busy));
  }

  /**
   * @param {string} name
   * @param {string} text
   * @param {string} [note]
   */
  #set(name, text, note) {
    const cell = this.#list.querySelector(`[data-figure="${name}"]`);
    if (!cell) return;
    cell.textContent = text;
    if (!note) return;
    const small = document.createElement('small');
    small.textContent = note;
    cell.append(' ', small);
  }
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** @param {number} time */
function milliseconds(time) {
  if (!Number.isFinite(time)) return '–';
  return `${time < 100 ? time.toFixed(1) : time.toFixed(0)} ms`;
}
