// @ts-check
// The demo page: which picture, which model, what came out. This file connects the parts; each part has its own.
//
// Stable hooks for tests, changed only together with them:
//   main[data-state]           loading | ready | working | done | error
//   #file                      the file input; #stage, where pictures are dropped; #picture, the canvas that shows one
//   #frame                     around #picture: hidden while there is none
//   .sample[data-file]         a sample photo's button; the one in use has aria-current="true"
//   #camera-start #camera-take #camera-stop   the webcam; #paste reads the clipboard
//   #model                     the <select> of models; an option's value is the URL of its card
//   #progress, #progress-bar   shown while a model loads; the bar's value goes from 0 to 1
//   #results li .label, #results li .score    the answers, best first; #results has aria-busy="true" while they are old
//   #error, .error-message, .error-hint, .error-code, #retry
//   #figures [data-figure]     decode | preprocess | first | later | size | input | build | place; aria-busy="true" while
//                              the picture is run again, unasked or by #repeat
//   #repeat                    "Run 20 more times", then "Stop"
//   #announcer                 what a screen reader is told
//   #cut                       the switch that cuts the network, html[data-cut] while it is on; #cut-status says so
//   #requests, #request-rows tr[data-from]   the list of requests: network | page | device | refused | failed
//   #request-count #request-network #request-elsewhere   how many there are; #offline-status, #update

import { Camera } from './camera.js';
import { byId, make } from './dom.js';
import { explain, isAbort } from './errors.js';
import { Figures } from './figures.js';
import { listModels, loadModel } from './models.js';
import { ask, enableSwitch, isCut, keepFiles, startWorker } from './offline.js';
import { checkPicture, Frame, Previews } from './picture.js';
import { Progress } from './progress.js';
import { RequestList } from './requests.js';
import { showResults, spokenResults } from './results.js';
import { listenToDrops, listenToFileInput, listenToPaste, showSamples } from './sources.js';

/**
 * @typedef {import('./models.js').ImageClassifier} ImageClassifier
 * @typedef {import('./models.js').ModelEntry} ModelEntry
 * @typedef {{ image: Blob | ImageBitmap, preview: ImageBitmap | undefined }} Picture
 */

const REPEATS = 20;
/** How long a first visit waits for the service worker, in milliseconds. */
const WORKER_PATIENCE = 1500;
/** Runs without being asked after the first picture, because the first run of a model says little about the next ones. */
const WARM_RUNS = 4;
/** After these the loaded model is of no use any more and has to be loaded again. */
const FATAL = ['RUNTIME_CRASH', 'SESSION_RELEASED'];

const main = byId('main', HTMLElement);
const stage = byId('stage', HTMLLabelElement);
const select = byId('model', HTMLSelectElement);
const retryButton = byId('retry', HTMLButtonElement);
const repeatButton = byId('repeat', HTMLButtonElement);
const cameraTools = byId('camera-tools', HTMLElement);
const cameraStart = byId('camera-start', HTMLButtonElement);
const cameraTake = byId('camera-take', HTMLButtonElement);
const cameraStop = byId('camera-stop', HTMLButtonElement);

const figures = new Figures();
const progress = new Progress();
const frame = new Frame();
const previews = new Previews();
const requestList = new RequestList();
const camera = new Camera(byId('video', HTMLVideoElement), showCameraOff);

/** @type {ModelEntry[]} */
let models = [];
/** @type {ImageClassifier | undefined} */
let classifier;
/** @type {Picture | undefined} */
let picture;
let hasResults = false;
let hasError = false;

/**
 * One task of each kind at a time. Starting one aborts the one before, and whoever comes back from an `await` looks at
 * its signal: that is what keeps an old result from overwriting a newer one.
 *
 * - load: a model on its way in
 * - intake: a picture being fetched, checked and decoded
 * - run: a classification, or the repeated runs
 *
 * @type {Partial<Record<'load' | 'intake' | 'run', AbortController>>}
 */
const tasks = {};

/** @param {keyof typeof tasks} kind */
function begin(kind) {
  tasks[kind]?.abort();
  const controller = new AbortController();
  tasks[kind] = controller;
  render();
  return controller.signal;
}

/**
 * @param {keyof typeof tasks} kind
 * @param {AbortSignal} [signal]  ends the task only if it is still the current one; without: aborts whichever it is
 */
function end(kind, signal) {
  if (signal && tasks[kind]?.signal !== signal) return;
  tasks[kind]?.abort();
  delete tasks[kind];
  render();
}

/** Brings the page in line with the state. */
function render() {
  const loading = tasks.load !== undefined;
  const working = tasks.intake !== undefined || (tasks.run !== undefined && !isRepeating());
  main.dataset.state = hasError
    ? 'error'
    : loading
      ? 'loading'
      : working
        ? 'working'
        : hasResults
          ? 'done'
          : classifier
            ? 'ready'
            : 'loading';
  byId('invitation', HTMLElement).hidden = main.dataset.state !== 'ready';
  byId('results', HTMLElement).setAttribute('aria-busy', String(working));
  retryButton.hidden = loading || classifier !== undefined;
  repeatButton.disabled = !classifier || !picture || !hasResults || working;
}

/** @param {string} text */
function announce(text) {
  byId('announcer', HTMLElement).textContent = text;
}

// --- errors ---------------------------------------------------------------------------------------------------------

/** @param {unknown} error */
function fail(error) {
  if (isAbort(error)) return;
  console.error(error);
  const explained = explain(error);
  const { message, code } = explained;
  const hint = code === 'NETWORK_ERROR' && isCut() ? 'The network is cut: switch it on again under “Prove it”.' : explained.hint;
  if (FATAL.includes(code)) dropModel();
  const box = byId('error', HTMLElement);
  for (const [name, text] of Object.entries({ message, hint, code })) {
    const part = box.querySelector(`.error-${name}`);
    if (part) part.textContent = text;
  }
  retryButton.dataset.code = code;
  box.hidden = false;
  hasError = true;
  render();
  box.scrollIntoView({ block: 'nearest' });
}

function clearError() {
  hasError = false;
  byId('error', HTMLElement).hidden = true;
}

function clearResults() {
  hasResults = false;
  showResults([]);
}

// --- models ---------------------------------------------------------------------------------------------------------

async function start() {
  clearError();
  const signal = begin('load');
  progress.start('the list of models', 0);
  try {
    models = await listModels();
  } catch (error) {
    fail(error);
    return;
  } finally {
    progress.stop();
    end('load', signal);
  }
  select.replaceChildren(
    ...models.map((model) => {
      const option = make('option', undefined, model.name);
      option.value = model.url;
      return option;
    }),
  );
  await useModel();
}

function chosenModel() {
  return models.find((model) => model.url === select.value);
}

/** Loads the chosen model and, when there is a picture, classifies it again. */
async function useModel() {
  const entry = chosenModel();
  if (!entry) return;
  clearError();
  clearResults();
  frame.mark(entry.input);
  figures.clear();
  dropModel();
  byId('model-about', HTMLElement).textContent = entry.about;
  progress.start(entry.name, entry.bytes);
  announce(`Loading ${entry.name}.`);
  const signal = begin('load');
  try {
    // A worker started before the service worker is in charge would go past it.
    await isLate;
    const loaded = await loadModel(entry, (event) => !signal.aborted && progress.update(event), signal);
    if (signal.aborted) {
      await loaded.release();
      return;
    }
    classifier = loaded;
    figures.showModel(loaded.session.runtime, entry);
    progress.stop();
    end('load', signal);
    announce('The model is ready.');
    void inCharge.then((controlled) => controlled && keepFiles());
    if (picture) await classify();
  } catch (error) {
    if (signal.aborted) return;
    progress.stop();
    end('load', signal);
    fail(error);
  }
}

function dropModel() {
  end('run');
  classifier?.release().catch(() => {}); // nothing is left to be done with it
  classifier = undefined;
  render();
}

// --- pictures -------------------------------------------------------------------------------------------------------

/** Makes room for a picture that is about to come. */
function beginIntake() {
  camera.stop();
  clearError();
  end('run');
  picture?.preview?.close();
  picture = undefined;
  for (const sample of document.querySelectorAll('.sample[aria-current]')) sample.removeAttribute('aria-current');
  return begin('intake');
}

/** @param {unknown} error */
function failIntake(error) {
  end('intake');
  forgetPicture();
  fail(error);
}

function forgetPicture() {
  picture = undefined;
  frame.hide();
  clearResults();
}

/**
 * @param {Blob | ImageBitmap} image
 * @param {string} description
 */
async function usePicture(image, description) {
  const signal = beginIntake();
  try {
    if (image instanceof Blob) await checkPicture(image);
    if (signal.aborted) return;
    const preview = image instanceof Blob ? await previews.make(image) : image;
    if (signal.aborted) return;
    picture = { image, preview };
    frame.hide();
    if (preview) {
      frame.show(preview, description);
      frame.mark(chosenModel()?.input);
    }
  } catch (error) {
    if (!signal.aborted) failIntake(error);
    return;
  }
  end('intake', signal);
  if (classifier) await classify();
  else if (!tasks.load) await (models.length ? useModel() : start());
}

async function classify() {
  if (!classifier || !picture) return;
  const signal = begin('run');
  const used = picture;
  try {
    const answers = await classifier.classify(used.image, { topK: 5, signal });
    if (signal.aborted) return;
    showResults(answers);
    hasResults = true;
    figures.addPicture(answers.timings);
    announce(spokenResults(answers));
    // On a phone it may be out of sight. With the next frame, which has to lay out the page anyway.
    requestAnimationFrame(() => byId('answer', HTMLElement).scrollIntoView({ block: 'nearest' }));
  } catch (error) {
    if (signal.aborted) return;
    if (used.preview) clearResults();
    else forgetPicture(); // the browser could not decode it either
    end('run', signal);
    fail(error);
  } finally {
    end('run', signal);
  }
  if (hasResults && figures.runs === 1) await repeat(WARM_RUNS, { quietly: true });
}

// --- repeated runs --------------------------------------------------------------------------------------------------

/** @type {AbortSignal | undefined} */
let repeatSignal;

function isRepeating() {
  return repeatSignal !== undefined && tasks.run?.signal === repeatSignal;
}

/**
 * Runs the same picture again.
 *
 * @param {number} count
 * @param {{ quietly?: boolean }} [options]  `quietly`: the button and the note stay as they are, nothing is announced
 */
async function repeat(count, { quietly = false } = {}) {
  if (!classifier || !picture) return;
  end('run');
  const note = byId('repeat-note', HTMLElement);
  // The small preview: only the inference is timed here, and decoding a large photo 20 times would only take time.
  const image = picture.preview ?? picture.image;
  const controller = new AbortController();
  const { signal } = controller;
  tasks.run = controller;
  repeatSignal = signal;
  if (!quietly) repeatButton.textContent = 'Stop';
  figures.setBusy(true);
  render();
  try {
    // What is on the page is shown first: handing a picture over takes a while.
    await new Promise((resolve) => setTimeout(resolve));
    for (let run = 1; run <= count && !signal.aborted; run++) {
      if (!quietly) note.textContent = `${run} of ${count}`;
      const { timings } = await classifier.classify(image, { topK: 1, signal });
      if (signal.aborted) return;
      figures.addInference(timings.inference);
    }
    if (!quietly) announce('The repeated runs are done.');
  } catch (error) {
    if (!signal.aborted) fail(error);
  } finally {
    if (repeatSignal === signal) {
      note.textContent = '';
      repeatButton.textContent = `Run ${REPEATS} more times`;
      figures.setBusy(false);
    }
    end('run', signal);
  }
}

// --- camera ---------------------------------------------------------------------------------------------------------

async function startCamera() {
  clearError();
  render();
  byId('source-tools', HTMLElement).hidden = true;
  cameraTools.hidden = false;
  cameraTake.disabled = true;
  cameraStop.focus();
  try {
    if (!(await camera.start())) return;
    cameraTake.disabled = false;
    if (document.activeElement === cameraStop) cameraTake.focus();
    announce('The camera is on.');
  } catch (error) {
    camera.stop();
    fail(error);
  }
}

async function takePicture() {
  try {
    const bitmap = await camera.take();
    // Copying a frame and turning the camera off take a while each: the page may scroll in between.
    await new Promise((resolve) => setTimeout(resolve));
    await usePicture(bitmap, 'Picture from the camera');
  } catch (error) {
    fail(error);
  }
}

function showCameraOff() {
  const hadFocus = cameraTools.contains(document.activeElement);
  cameraTools.hidden = true;
  byId('source-tools', HTMLElement).hidden = false;
  if (hadFocus) cameraStart.focus();
}

// --- wiring ---------------------------------------------------------------------------------------------------------

const handlers = { onPicture: usePicture, onError: fail };

listenToFileInput(byId('file', HTMLInputElement), handlers);
listenToDrops(stage, handlers);
listenToPaste(byId('paste', HTMLButtonElement), handlers);
showSamples(byId('samples', HTMLUListElement), byId('credits', HTMLElement), {
  onPicture: usePicture,
  onError: failIntake,
  onFetch: beginIntake,
});

select.addEventListener('change', useModel);
retryButton.addEventListener('click', () => {
  // Some browsers remember that a module failed to load, until the page is loaded again.
  if (retryButton.dataset.code === 'PACKAGE_MISSING') location.reload();
  else void (models.length ? useModel() : start());
});
repeatButton.addEventListener('click', () => {
  if (repeatButton.textContent === 'Stop') end('run');
  else void repeat(REPEATS);
});
cameraStart.addEventListener('click', startCamera);
cameraTake.addEventListener('click', takePicture);
cameraStop.addEventListener('click', () => camera.stop());
stage.addEventListener('click', (event) => {
  if (cameraTools.hidden) return;
  event.preventDefault(); // a tap on the live picture takes it, instead of asking for a file
  if (!cameraTake.disabled) void takePicture();
});
window.addEventListener('error', (event) => fail(event.error ?? event.message));
window.addEventListener('unhandledrejection', (event) => fail(event.reason));

// The policy as it stands in this document, so that what is shown is what the browser enforces.
const policy = document.querySelector('meta[http-equiv="Content-Security-Policy"]')?.getAttribute('content') ?? '';
byId('policy', HTMLUListElement).replaceChildren(
  ...policy.split(';').map((directive) => make('li', undefined, directive.trim())),
);

/** Whether the service worker is in charge of this page, once it is. */
const inCharge = startWorker();
/** Whether that takes so long that the model is loaded before. */
const isLate = Promise.race([inCharge.then(() => false), new Promise((resolve) => setTimeout(resolve, WORKER_PATIENCE, true))]);
void inCharge.then(async (controlled) => {
  if (!controlled) return;
  await enableSwitch({ late: await isLate });
  requestList.addEarlier(await ask('requests', { since: performance.timeOrigin - 100 }).catch(() => []));
});

void start();
