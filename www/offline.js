// @ts-check
// The page's side of the service worker (sw.js): gets it to work, keeps the page's files for later, cuts the network when
// asked to, and takes over a new version. Works without one, too: then it says why there is none.

import { byId } from './dom.js';

const ANSWER_PATIENCE = 20_000;

/** @type {ServiceWorkerContainer | undefined} */
const container = 'serviceWorker' in navigator ? navigator.serviceWorker : undefined;
const cutSwitch = byId('cut', HTMLInputElement);

/** @param {string} text */
function say(text) {
  byId('cut-status', HTMLElement).textContent = text;
}

/**
 * Asks the worker that is in charge of this page.
 *
 * @param {string} method
 * @param {object} [request]
 * @param {ServiceWorker | null | undefined} [worker]
 * @returns {Promise<any>}
 */
export function ask(method, request = {}, worker = container?.controller) {
  return new Promise((resolve, reject) => {
    if (!worker) return reject(new Error('no service worker is in charge of this page'));
    const { port1, port2 } = new MessageChannel();
    const timer = setTimeout(() => reject(new Error('the service worker does not answer')), method === 'fill' ? 600_000 : ANSWER_PATIENCE);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      port1.close();
      if ('error' in data) reject(new Error(data.error));
      else resolve(data.result);
    };
    worker.postMessage({ method, ...request }, [port2]);
  });
}

/**
 * Starts the worker.
 *
 * @returns {Promise<boolean>}  true once it is in charge of this page, false if it will not be
 */
export async function startWorker() {
  if (!container) {
    say('Not here: service workers need a current browser, https or localhost, and no private window in some browsers.');
    return false;
  }
  // A page that was loaded past the worker (Shift and the reload button) has none until it is loaded again.
  const before = await container.getRegistration().catch(() => undefined);
  const bypassed = !container.controller && before?.active?.state === 'activated';
  const controlled = container.controller
    ? Promise.resolve(true)
    : new Promise((resolve) => {
        container.addEventListener('controllerchange', () => resolve(true), { once: true });
      });
  try {
    // Registering asks the server for a newer one. Where one is in charge that is left to the browser.
    const registration = (container.controller && before) || (await container.register(new URL('sw.js', import.meta.url), {
      scope: new URL('../', import.meta.url).pathname,
      updateViaCache: 'none',
    }));
    watchForUpdates(registration);
  } catch (error) {
    console.warn(error);
    // An older one may be in charge, and the server out of reach.
    if (container.controller) return true;
    say('Not here: the service worker could not be started. The server needs www/precache.js, which “npm run build” makes, and has to allow the worker the folder above its own (Service-Worker-Allowed: /).');
    return false;
  }
  if (bypassed) {
    say('This page was loaded past its service worker. Load it again to use the switch.');
    return false;
  }
  return /** @type {Promise<boolean>} */ (controlled);
}

/** @param {ServiceWorkerRegistration} registration */
function watchForUpdates(registration) {
  const notice = byId('update', HTMLElement);
  const show = () => {
    notice.hidden = !(registration.waiting && container?.controller);
  };
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', show));
  show();
  byId('update-now', HTMLButtonElement).addEventListener('click', () => {
    container?.addEventListener('controllerchange', () => location.reload(), { once: true });
    void ask('activate', {}, registration.waiting).catch(() => location.reload());
  });
}

/**
 * Makes the switch work. To be called when a worker is in charge.
 *
 * @param {{ late: boolean }} how  whether the model's own worker was there before, so that its requests go past
 */
export async function enableSwitch({ late }) {
  if (late) {
    say('The service worker came late: some requests of this first visit are not in the list. Load the page again to use the switch.');
    return;
  }
  try {
    const { cut } = await ask('state');
    showCut(cut);
    cutSwitch.disabled = false;
  } catch (error) {
    say(`The switch does not work: ${reason(error)}.`);
    return;
  }
  cutSwitch.addEventListener('change', async () => {
    const on = cutSwitch.checked;
    cutSwitch.disabled = true;
    try {
      const { cut } = await ask('cut', { on });
      showCut(cut);
    } catch (error) {
      cutSwitch.checked = !on;
      say(`The network could not be ${on ? 'cut' : 'connected again'}: ${reason(error)}.`);
    } finally {
      cutSwitch.disabled = false;
      cutSwitch.focus();
    }
  });
}

/** @param {boolean} cut */
function showCut(cut) {
  cutSwitch.checked = cut;
  document.documentElement.toggleAttribute('data-cut', cut);
  byId('cut-badge', HTMLElement).hidden = !cut;
  say(
    cut
      ? 'The network is cut. The service worker refuses every request of this page and of its workers, and answers from this device or not at all. Choose a picture: it is still named.'
      : 'The network is connected. Cut it, then choose a picture.',
  );
}

export function isCut() {
  return document.documentElement.hasAttribute('data-cut');
}

/** Has everything kept that the page needs without a network, and says so. To be called when the page is not busy. */
export async function keepFiles() {
  const status = byId('offline-status', HTMLElement);
  try {
    const { missing, skipped } = await ask('fill');
    if (skipped) return;
    status.textContent = missing.length === 0
      ? 'This page and the models you have used are kept on this device: it works without a network.'
      : `Without a network this page may not work: ${missing.length === 1 ? 'a file' : `${missing.length} files`} could not be kept. Load it again to try once more.`;
  } catch (error) {
    status.textContent = `Without a network this page may not work: ${reason(error)}.`;
  }
}

/** @param {unknown} error */
function reason(error) {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}
