// @ts-check
// The list of models and the loading of one, with its progress in bytes.

import { PageError } from './errors.js';

/**
 * @typedef {import('../dist/index.js').ImageClassifier} ImageClassifier
 * @typedef {import('../dist/index.js').ImageInput} ImageInput
 * @typedef {{ url: string, name: string, bytes: number, about: string, input?: ImageInput }} ModelEntry
 * @typedef {{ status: string, file?: string, loaded?: number, total?: number }} ProgressEvent
 */

const SERVER_HINT = 'Serve the whole project folder, not www alone; “npm run demo” does.';
const LIST_HINT = 'It should look like this: { "default": "a.json", "models": ["a.json", "b.json"] }';
const BASE = new URL('../models/', import.meta.url);

/**
 * The models that models.json lists, the default one first.
 *
 * @returns {Promise<ModelEntry[]>}
 */
export async function listModels() {
  const list = new URL('models.json', BASE);
  const { default: first, models } = await fetchJson(list);
  if (typeof first !== 'string' || !Array.isArray(models)) {
    throw new PageError('INVALID_LIST', `${list.pathname} is not a list of models.`, LIST_HINT);
  }
  const files = [first, ...models.filter((/** @type {string} */ file) => file !== first)];
  return Promise.all(files.map((file) => describeModel(new URL(file, BASE))));
}

/**
 * @param {URL} url
 * @returns {Promise<ModelEntry>}
 */
async function describeModel(url) {
  try {
    const card = await fetchJson(url);
    const { name = fileName(url), bytes = 0, description = '', license, input } = card;
    const about = `${description}${license ? ` License: ${license}.` : ''}`;
    return { url: url.href, name, bytes, about, input };
  } catch {
    // One broken card must not take the others with it; choosing it will say what is wrong.
    return { url: url.href, name: fileName(url), bytes: 0, about: '' };
  }
}

/** @param {URL} url */
function fileName(url) {
  return url.pathname.split('/').pop() || url.href;
}

/**
 * @param {ModelEntry} entry
 * @param {(event: ProgressEvent) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<ImageClassifier>}
 */
export async function loadModel(entry, onProgress, signal) {
  /** @type {typeof import('../dist/index.js')} */
  let tractlet;
  try {
    tractlet = await import('../dist/index.js');
  } catch (cause) {
    console.error(cause);
    throw new PageError(
      'PACKAGE_MISSING',
      'The tractlet package could not be loaded from this server.',
      'Check that dist/index.js is there: “npm run demo” builds it.',
    );
  }
  signal.throwIfAborted();
  return tractlet.ImageClassifier.create(entry.url, { signal, onProgress });
}

/** @param {URL} url */
async function fetchJson(url) {
  const file = url.pathname;
  const response = await fetch(url).catch(() => {
    throw new PageError('NETWORK_ERROR', `${file} could not be fetched.`, 'Check the network, then try again.');
  });
  if (!response.ok) {
    throw new PageError('HTTP_ERROR', `${file} could not be fetched: the server answered with status ${response.status}.`, SERVER_HINT);
  }
  try {
    return await response.json();
  } catch {
    throw new PageError('NOT_JSON', `${file} is not valid JSON.`, 'The server may answer with a web page instead.');
  }
}
