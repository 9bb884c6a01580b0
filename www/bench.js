// @ts-check
// The benchmark page: chooses, has benches/page measure, shows. `npm run bench -- --page` serves it with what it needs.
//
// Stable hooks for tests: main[data-state] loading | ready | running | done | error; #model, #peers input[value=name], #start,
// #stop, #status, #error, #rows tr, #chart g, #copy, #download.

import { pass } from '../benches/page/page.js';
import { relaxedDot } from '../benches/page/relaxed-dot.js';
import { evaluate, showChart, showTable, summary } from './bench-report.js';
import { byId, make } from './dom.js';

/** As for `npm run bench`. */
const TURN = { runs: 5, milliseconds: 2000 };
const WARM_UP = { runs: 3, milliseconds: 2000 };
const QUICK_WARM_UP = { runs: 2, milliseconds: 500 };
const ROOT = new URL('../', import.meta.url).href;
const TITLE = {
  tractlet: 'tractlet',
  'tractlet-simd128': 'tractlet, simd128 build',
  'tractlet-threads': 'tractlet, threads',
  'onnxruntime-web': 'onnxruntime-web',
  'onnxruntime-web-threads': 'onnxruntime-web, threads',
  litert: 'LiteRT.js',
  'litert-compat': 'LiteRT.js, simd128 build',
  tfjs: 'TensorFlow.js (float)',
};
/** Ticked at first: the best single-threaded build of each. */
const USUAL = ['tractlet', 'onnxruntime-web', 'litert', 'tfjs'];
/** The server compresses a file when it is asked for it the first time. */
const COMPRESSION_PATIENCE = 90_000;

const main = byId('main', HTMLElement);
const select = byId('model', HTMLSelectElement);
const startButton = byId('start', HTMLButtonElement);
const stopButton = byId('stop', HTMLButtonElement);

/** @type {{ peers: any[], models: any[] }} */
let data = { peers: [], models: [] };
/** @type {AbortController | undefined} */
let running;
/** @type {object | undefined} */
let report;
let figures = /** @type {import('./bench-report.js').Figures[]} */ ([]);

/** @param {string} text */
function say(text) {
  byId('status', HTMLElement).textContent = text;
}

/** @param {string} text */
function fail(text) {
  main.dataset.state = 'error';
  const box = byId('error', HTMLElement);
  box.textContent = text;
  box.hidden = false;
  say('');
}

async function start() {
  try {
    const response = await fetch(new URL('.cache/bench-page/bench.json', ROOT));
    if (!response.ok) throw new Error(`the server answered with status ${response.status}`);
    data = await response.json();
  } catch (error) {
    console.error(error);
    return fail('The libraries and nets to compare are not here. This page is to be served by “npm run bench -- --page”.');
  }
  select.replaceChildren(...data.models.map(({ name, title }) => {
    const option = make('option', undefined, title);
    option.value = name;
    return option;
  }));
  const preferred = data.models.find(({ name }) => name === 'efficientnet-lite0-qdq-s8s8-pc');
  if (preferred) select.value = preferred.name;
  byId('isolation', HTMLElement).textContent = crossOriginIsolated
    ? `This page is cross-origin isolated: threads are possible, and the clock has steps of 5 µs. Relaxed 8-bit dot product: ${relaxedDot()}.`
    : `This page is not cross-origin isolated: no threads, and the clock has coarse steps. Relaxed 8-bit dot product: ${relaxedDot()}.`;
  select.addEventListener('change', showPeers);
  showPeers();
  startButton.disabled = false;
  main.dataset.state = 'ready';
  say('');
}

/** @param {any} model @param {any} peer */
const fileFor = (model, { format }) => model.files[format] ?? model.floatFiles?.[format];

function chosenModel() {
  return data.models.find(({ name }) => name === select.value);
}

/** A tick for each library that can read the net. */
function showPeers() {
  const box = byId('peers', HTMLFieldSetElement);
  const before = new Map([...box.querySelectorAll('input')].map((input) => [input.value, input.checked]));
  box.querySelectorAll('label').forEach((label) => label.remove());
  const model = chosenModel();
  for (const peer of data.peers) {
    const { name, threaded } = peer;
    if (threaded && !crossOriginIsolated) continue;
    const label = make('label');
    const input = make('input');
    Object.assign(input, { type: 'checkbox', name: 'peer', value: name });
    input.disabled = fileFor(model, peer) === undefined;
    input.checked = !input.disabled && (before.get(name) ?? USUAL.includes(name));
    label.append(input, TITLE[/** @type {keyof typeof TITLE} */ (name)] ?? name);
    box.append(label);
  }
}

/**
 * How many bytes the server sends for files that a library has loaded.
 *
 * @param {any} peer
 * @param {string[]} names
 */
async function downloadSize({ folder }, names) {
  let sum = 0;
  const end = performance.now() + COMPRESSION_PATIENCE;
  for (const name of names) {
    for (;;) {
      const { ok, headers } = await fetch(new URL(`${folder}/${name}`, ROOT), { method: 'HEAD', cache: 'no-store' });
      if (!ok) return undefined;
      if (headers.get('content-encoding') === 'br') {
        sum += Number(headers.get('content-length'));
        break;
      }
      // Another server, or http to another machine: then no size is better than a wrong one.
      if (performance.now() > end || running?.signal.aborted) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  return sum;
}

async function measure() {
  const model = chosenModel();
  const ticked = new Set([...document.querySelectorAll('#peers input:checked')].map((input) => /** @type {HTMLInputElement} */ (input).value));
  const peers = data.peers.filter(({ name }) => ticked.has(name));
  if (peers.length === 0) return fail('Tick at least one library.');
  const rounds = Number(new FormData(byId('form', HTMLFormElement)).get('rounds'));
  const controller = new AbortController();
  running = controller;
  byId('error', HTMLElement).hidden = true;
  main.dataset.state = 'running';
  startButton.disabled = true;
  stopButton.hidden = false;
  stopButton.focus();
  const date = new Date().toISOString();
  try {
    /** @param {any} peer */
    const describe = (peer) => ({
      name: peer.name,
      url: `${ROOT}${peer.path}`,
      base: `${ROOT}${peer.folder}/`,
      worker: peer.worker,
      model: { url: `${ROOT}${fileFor(model, peer)}`, inputName: model.inputName, outputName: model.outputName },
    });
    const inputs = model.photos.map((/** @type {{ input: string }} */ { input }) => `${ROOT}${input}`);
    const results = await pass(
      { peers: peers.map(describe), input: inputs[0], inputs, rounds, turn: TURN, warmUp: rounds > 2 ? WARM_UP : QUICK_WARM_UP },
      { signal: controller.signal, onStep: (/** @type {string} */ what, /** @type {string} */ name) => say(`${name}: ${what}`) },
    );
    say('Asking for the download sizes. The server compresses each file once, which may take a minute.');
    /** @type {Record<string, number | undefined>} */
    const downloads = {};
    for (const peer of peers) {
      const names = results[peer.name].downloads;
      downloads[peer.name] = names ? await downloadSize(peer, names).catch(() => undefined) : undefined;
    }
    controller.signal.throwIfAborted();
    figures = evaluate(model, peers, results, downloads);
    report = {
      date, net: model.title, files: model.files, rounds, turn: TURN,
      browser: navigator.userAgent, processors: navigator.hardwareConcurrency, isolated: crossOriginIsolated, relaxedDot: relaxedDot(),
      libraries: figures,
    };
    show(model);
    main.dataset.state = 'done';
    say(summary(figures));
  } catch (error) {
    if (controller.signal.aborted) {
      main.dataset.state = 'ready';
      say('Stopped.');
    } else {
      console.error(error);
      fail(`The measurement failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  } finally {
    running = undefined;
    startButton.disabled = false;
    stopButton.hidden = true;
    startButton.focus();
  }
}

/** @param {any} model */
function show(model) {
  byId('report', HTMLElement).hidden = false;
  byId('report-about', HTMLElement).textContent =
    `${model.title}, ${model.photos.length} pictures compared. ${navigator.hardwareConcurrency} logical processors. ${navigator.userAgent}`;
  showTable(byId('rows', HTMLTableSectionElement), figures);
  showChart(byId('chart', SVGSVGElement), figures);
  const link = byId('download', HTMLAnchorElement);
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([json()], { type: 'application/json' }));
}

function json() {
  return `${JSON.stringify(report, null, 1)}\n`;
}

byId('form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  if (!running) void measure();
});
stopButton.addEventListener('click', () => {
  running?.abort();
  say('Stopping after this step.');
});
byId('copy', HTMLButtonElement).addEventListener('click', async () => {
  const note = byId('copied', HTMLElement);
  try {
    await navigator.clipboard.writeText(json());
    note.textContent = 'Copied.';
  } catch {
    note.textContent = 'The browser did not let this page copy. Download the file instead.';
  }
});
window.addEventListener('resize', () => figures.length > 0 && showChart(byId('chart', SVGSVGElement), figures));

void start();
