// @ts-check
// Where pictures come from: the file input, a drop anywhere, a paste anywhere, and the sample photos. (The camera has
// its own file.) Each ends in `onPicture` or `onError`.

import { make } from './dom.js';
import { PageError } from './errors.js';

/**
 * @typedef {object} SourceHandlers
 * @property {(image: Blob, description: string) => void} onPicture
 * @property {(error: unknown) => void} onError
 */

/**
 * @param {HTMLInputElement} input
 * @param {SourceHandlers} handlers
 */
export function listenToFileInput(input, { onPicture }) {
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    if (file) onPicture(file, file.name);
    input.value = ''; // so that choosing the same file again is a change
  });
}

/**
 * Takes drops on the whole page: one that misses the stage would otherwise replace the page by the picture.
 *
 * @param {HTMLElement} stage
 * @param {SourceHandlers} handlers
 */
export function listenToDrops(stage, { onPicture, onError }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @param {boolean} on */
  const highlight = (on) => {
    clearTimeout(timer);
    stage.classList.toggle('drop-target', on);
  };
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy';
    highlight(true);
    // `dragover` repeats as long as the pointer is over the page. That it stops is the one sign of leaving that all
    // browsers give: `dragleave` also comes for every element inside, and Safari does not say where to.
    timer = setTimeout(highlight, 600, false);
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    highlight(false);
    const file = pickFile(event.dataTransfer?.files);
    if (file) return onPicture(file, file.name);
    if (event.dataTransfer?.types.includes('text/uri-list')) {
      return onError(
        new PageError(
          'LINK_DROPPED',
          'That was the address of a picture, and this page may not fetch from other sites.',
          'Save the picture first, or copy it and paste it here.',
        ),
      );
    }
    onError(new PageError('NO_FILE', 'What was dropped is not a file.', 'Drop a picture file.'));
  });
}

/**
 * @param {HTMLButtonElement} button  for devices without a keyboard
 * @param {SourceHandlers} handlers
 */
export function listenToPaste(button, { onPicture, onError }) {
  const nothing = () =>
    new PageError('NO_PICTURE_COPIED', 'The clipboard holds no picture.', 'Copy a picture first, then paste it here.');

  document.addEventListener('paste', (event) => {
    event.preventDefault();
    const file = pickFile(event.clipboardData?.files);
    if (file) onPicture(file, 'Pasted picture');
    else onError(nothing());
  });

  button.hidden = typeof navigator.clipboard?.read !== 'function';
  button.addEventListener('click', async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((name) => name.startsWith('image/'));
        if (type) return onPicture(await item.getType(type), 'Pasted picture');
      }
      onError(nothing());
    } catch (error) {
      const refused = error instanceof DOMException && error.name === 'NotAllowedError';
      onError(
        refused
          ? new PageError(
              'CLIPBOARD_REFUSED',
              'The browser did not let this page read the clipboard.',
              'Press Ctrl+V (on a Mac: ⌘V) instead, or choose a file.',
            )
          : error,
      );
    }
  });
}

/**
 * The first picture among the files, or the first file at all: what a file is shows when it is decoded.
 *
 * @param {FileList | undefined} files
 */
function pickFile(files) {
  const all = [...(files ?? [])];
  return all.find((file) => file.type.startsWith('image/')) ?? all[0];
}

/**
 * @typedef {object} Photo  an entry of photos/photos.json
 * @property {string} file
 * @property {string} [title]
 * @property {string} alt      what it shows; a screen reader's name for it, on the button and on the stage
 * @property {number} width
 * @property {number} height
 * @property {string} credit
 * @property {string} license
 */

/**
 * Fills the gallery. The photo that is on the stage has `aria-current`.
 *
 * @param {HTMLUListElement} list
 * @param {HTMLElement} credits
 * @param {SourceHandlers & { onFetch: (description: string) => AbortSignal }} handlers  `onFetch`: a photo is on its way
 */
export async function showSamples(list, credits, { onPicture, onError, onFetch }) {
  const base = new URL('photos/', import.meta.url);
  /** @type {Photo[]} */
  let photos;
  try {
    photos = await (await fetchFile(new URL('photos.json', base))).json();
  } catch {
    list.replaceChildren(make('li', 'quiet', 'The sample photos could not be loaded. Your own pictures work.'));
    list.classList.add('empty');
    return;
  }
  list.replaceChildren(
    ...photos.map((photo) => {
      const button = make('button', 'sample');
      button.type = 'button';
      button.dataset.file = photo.file;
      const image = make('img');
      image.width = photo.width;
      image.height = photo.height;
      image.alt = photo.alt;
      image.draggable = false;
      image.decoding = 'async';
      image.src = new URL(photo.file, base).href;
      button.append(image);
      button.addEventListener('click', async () => {
        const signal = onFetch(photo.alt);
        try {
          const response = await fetchFile(new URL(photo.file, base), signal);
          const blob = await response.blob();
          signal.throwIfAborted();
          onPicture(blob, photo.alt);
          button.setAttribute('aria-current', 'true');
        } catch (error) {
          if (!signal.aborted) onError(error);
        }
      });
      const item = make('li');
      item.append(button);
      return item;
    }),
  );
  const names = photos.map(({ title, alt, credit, license }) => `${title ?? alt} by ${credit} (${license})`);
  credits.textContent = `Photos: ${names.join('; ')}.`;
}

/**
 * @param {URL} url
 * @param {AbortSignal} [signal]
 */
async function fetchFile(url, signal) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new PageError(
      'NETWORK_ERROR',
      'The photo could not be fetched.',
      'The sample photos need the network. Your own pictures do not.',
    );
  }
  if (!response.ok) {
    throw new PageError('HTTP_ERROR', `The server has no such photo (status ${response.status}).`, 'Try another one.');
  }
  return response;
}
