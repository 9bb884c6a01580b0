// @ts-check
// The list of the requests that this page and its workers have made.
//
// The service worker sees all of them, from the moment it is in charge of the page. What went past it before that, or to
// another origin at any time, is known from the browser's own record (PerformanceObserver).

import { byId, make, megabytes } from './dom.js';

/**
 * @typedef {object} Entry
 * @property {string} [id]
 * @property {string} method
 * @property {string} url
 * @property {'network' | 'device' | 'refused' | 'failed' | 'page'} from
 * @property {number} [status]
 * @property {number} [bytes]
 * @property {number} time     milliseconds since 1970
 */

/** Rows that are shown; all are counted. */
const SHOWN = 200;

const FROM = {
  network: 'network',
  page: 'network',
  device: 'this device',
  refused: 'refused',
  failed: 'no network',
};

export class RequestList {
  #box = byId('requests', HTMLDetailsElement);
  #rows = byId('request-rows', HTMLTableSectionElement);
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Set<string>} */
  #known = new Set();
  #drawn = 0;
  #scheduled = false;
  /** Since when a service worker is in charge of this page, as `performance.now()` has it. */
  #inCharge = navigator.serviceWorker?.controller ? 0 : Infinity;

  constructor() {
    navigator.serviceWorker?.addEventListener('controllerchange', () => {
      this.#inCharge = Math.min(this.#inCharge, performance.now());
    });
    this.#box.addEventListener('toggle', () => this.#draw());
    if (typeof BroadcastChannel === 'function') {
      new BroadcastChannel('tractlet-demo-requests').addEventListener('message', ({ data }) => this.#add(data));
    }
    if (typeof PerformanceObserver !== 'function') return;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach((entry) => this.#addPast(/** @type {PerformanceResourceTiming} */ (entry))));
    for (const type of ['navigation', 'resource']) {
      if (PerformanceObserver.supportedEntryTypes.includes(type)) observer.observe({ type, buffered: true });
    }
  }

  /**
   * What the service worker has seen before this page began to listen.
   *
   * @param {Entry[]} entries
   */
  addEarlier(entries) {
    for (const entry of entries) this.#add(entry);
  }

  /** @param {PerformanceResourceTiming} entry */
  #addPast({ name, workerStart, startTime, encodedBodySize, transferSize, responseStatus }) {
    // No server is asked for it.
    if (!/^https?:/.test(name)) return;
    // The service worker has seen it. (That it started one is missing where it refused the request.)
    if (new URL(name).origin === location.origin && (workerStart > 0 || startTime > this.#inCharge)) return;
    const local = transferSize === 0 && encodedBodySize > 0;
    this.#add({
      method: 'GET',
      url: name,
      from: local ? 'device' : 'page',
      ...(responseStatus ? { status: responseStatus } : {}),
      ...(encodedBodySize ? { bytes: encodedBodySize } : {}),
      time: performance.timeOrigin + startTime,
    });
  }

  /** @param {Entry} entry */
  #add(entry) {
    if (entry.id !== undefined) {
      if (this.#known.has(entry.id)) return;
      this.#known.add(entry.id);
    }
    this.#entries.push(entry);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Once for many: they come in swarms while the page loads.
    setTimeout(() => {
      this.#scheduled = false;
      this.#draw();
    }, 100);
  }

  #draw() {
    const count = this.#entries.length;
    const elsewhere = this.#entries.filter(({ url }) => new URL(url).origin !== location.origin).length;
    const onNetwork = this.#entries.filter(({ from }) => from === 'network' || from === 'page').length;
    byId('request-count', HTMLElement).textContent = count === 1 ? '1 request' : `${count} requests`;
    byId('request-elsewhere', HTMLElement).textContent = `${elsewhere} went to another origin`;
    byId('request-network', HTMLElement).textContent = `${onNetwork} used the network`;
    this.#box.toggleAttribute('data-elsewhere', elsewhere > 0);
    if (!this.#box.open || this.#drawn === count) return;
    this.#drawn = count;
    const sorted = [...this.#entries].sort((a, b) => b.time - a.time);
    this.#rows.replaceChildren(...sorted.slice(0, SHOWN).map(row));
    byId('request-more', HTMLElement).hidden = count <= SHOWN;
  }
}

/** @param {Entry} entry */
function row({ method, url, from, status, bytes }) {
  const { origin, pathname, search } = new URL(url);
  const line = make('tr');
  line.dataset.from = from;
  const path = make('th', undefined, origin === location.origin ? pathname + search : url);
  path.scope = 'row';
  line.append(
    path,
    make('td', undefined, method),
    make('td', 'from', FROM[from]),
    make('td', 'number', bytes === undefined ? '–' : megabytes(bytes)),
    make('td', 'number', status ? String(status) : '–'),
  );
  return line;
}
