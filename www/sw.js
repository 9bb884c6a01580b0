// The service worker of the demo. It keeps the page's files for when there is no network, says what was asked for, and
// refuses the network altogether while the page's switch is on. A classic script: not every browser has module ones.
//
// Models are not kept here: the package keeps those that were used, and the plans made of them.
'use strict';

importScripts('precache.js');

/** @typedef {{ bytes: number, sha256: string, whenUsed?: boolean, build?: boolean }} ListedFile */

const { version, files } = self.PRECACHE;
const PREFIX = 'tractlet-demo-files-';
const FILES = `${PREFIX}${version}`;
/** Another cache: the switch stays as it is when the files are replaced. */
const SETTINGS = 'tractlet-demo-settings';
const CUT = 'network-cut';
const REMEMBERED = 300;

const root = new URL(self.registration.scope);
const channel = new BroadcastChannel('tractlet-demo-requests');

/** The last requests, for a page that has only just begun to listen. */
const recent = [];
const boot = Math.random().toString(36).slice(2);
let count = 0;

// --- the record -----------------------------------------------------------------------------------------------------

/**
 * @param {{ method: string, url: string, from: 'network' | 'device' | 'refused' | 'failed', status?: number, bytes?: number, time: number }} entry
 */
function report(entry) {
  const numbered = { ...entry, id: `${boot}-${(count += 1)}` };
  recent.push(numbered);
  if (recent.length > REMEMBERED) recent.shift();
  channel.postMessage(numbered);
}

/** How many bytes an answer of the network has, as far as the server says: compressed ones, if it compresses. */
function lengthOf(response) {
  const length = response.headers.get('content-length');
  return length === null ? undefined : Number(length);
}

// --- the switch -----------------------------------------------------------------------------------------------------

/** Whether the network is cut. Read again whenever the browser starts this worker anew. */
let cut = readCut();

function readCut() {
  // Where storage cannot be read, the answer that sends nothing is the right one only if someone asked for it.
  return caches.open(SETTINGS).then((cache) => cache.match(new URL(CUT, root))).then(Boolean, () => false);
}

async function setCut(on) {
  const cache = await caches.open(SETTINGS);
  const key = new URL(CUT, root);
  if (on) await cache.put(key, new Response(''));
  else await cache.delete(key);
  cut = Promise.resolve(on);
}

/** The only way to the network. */
async function fromNetwork(request, options) {
  const time = Date.now();
  const { method, url } = request;
  if (await cut) {
    report({ method, url, from: 'refused', time });
    throw new TypeError('The network is cut by the switch of this page.');
  }
  try {
    const response = await fetch(request, options);
    report({ method, url, from: 'network', status: response.status, bytes: lengthOf(response), time });
    return response;
  } catch (error) {
    // Whoever asked has changed his mind: that is a request, too, but no failure.
    report({ method, url, from: request.signal.aborted ? 'network' : 'failed', time });
    throw error;
  }
}

// --- files ----------------------------------------------------------------------------------------------------------

/** The path of a listed file; undefined for any other address. */
function listedPath(address) {
  const url = new URL(address);
  if (url.origin !== root.origin || !url.pathname.startsWith(root.pathname)) return undefined;
  let path = url.pathname.slice(root.pathname.length);
  if (path.endsWith('/')) path += 'index.html';
  return Object.hasOwn(files, path) ? path : undefined;
}

const keyOf = (path) => new URL(path, root).href;

async function isListed(bytes, path) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return btoa(String.fromCharCode(...digest)) === files[path].sha256;
}

/** Keeps an answer if it is the file that the list means. Says whether it is. */
async function keep(path, response) {
  if (response.status !== 200 || response.redirected) return false;
  const { headers } = response;
  const bytes = await response.arrayBuffer();
  if (!(await isListed(bytes, path))) return false;
  const kept = new Headers(headers);
  // The body is no longer compressed.
  kept.delete('content-encoding');
  kept.set('content-length', String(bytes.byteLength));
  const cache = await caches.open(FILES);
  await cache.put(keyOf(path), new Response(bytes, { headers: kept }));
  return true;
}

/** What is being kept while the page has its answer already. */
const keeping = new Set();

function keepAside(path, response) {
  const work = keep(path, response).catch(() => false).finally(() => keeping.delete(work));
  keeping.add(work);
  return work;
}

/** The file as an earlier version of this worker has kept it, if it is still the same. */
async function keepOlder(path, names) {
  for (const name of names) {
    const response = await (await caches.open(name)).match(keyOf(path));
    if (response && (await keep(path, response))) return true;
  }
  return false;
}

/**
 * Fetches what is not there yet.
 *
 * @returns the paths that could not be kept: not to be had, or other files than the list means
 */
async function fill() {
  await Promise.all(keeping);
  const older = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== FILES);
  const cache = await caches.open(FILES);
  const present = new Set((await cache.keys()).map(({ url }) => url));
  const wasUsed = async (path) => (await Promise.all(older.map(async (name) => (await caches.open(name)).match(keyOf(path))))).some(Boolean);
  // The builds of the engine that this browser has used. Where that went past this worker: all of them.
  const builds = Object.keys(files).filter((path) => files[path].build);
  const used = [];
  for (const path of builds) if (present.has(keyOf(path)) || (await wasUsed(path))) used.push(path);
  const missing = [];
  for (const [path, { whenUsed, build }] of Object.entries(files)) {
    if (present.has(keyOf(path))) continue;
    if (whenUsed && !(await wasUsed(path))) continue;
    if (build && used.length > 0 && !used.includes(path)) continue;
    if (await keepOlder(path, older)) continue;
    // Past the HTTP cache unless the server says that its copy is the current one.
    const request = new Request(keyOf(path), { cache: 'no-cache' });
    const done = await fromNetwork(request).then((response) => keep(path, response)).catch(() => false);
    if (!done) missing.push(path);
  }
  return missing;
}

/** One at a time. */
let filling;
const fillOnce = () => (filling ??= fill().finally(() => { filling = undefined; }));

// --- answers --------------------------------------------------------------------------------------------------------

function sentence(status, text) {
  return new Response(`${text}\n`, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });
}

/** The benchmark page and its workers get every library's files from the same place. */
async function isBench(clientId) {
  const client = clientId ? await self.clients.get(clientId) : undefined;
  return client !== undefined && /^(benches\/|www\/bench)/.test(client.url.slice(root.href.length));
}

async function answer(event) {
  const { request } = event;
  const time = Date.now();
  const { method, url } = request;
  const navigation = request.mode === 'navigate';
  const path = method === 'GET' && !(await isBench(event.clientId)) ? listedPath(url) : undefined;
  if (path !== undefined) {
    // Storage that cannot be read is as good as empty.
    const kept = await caches.open(FILES).then((cache) => cache.match(keyOf(path))).catch(() => undefined);
    if (kept) {
      report({ method, url, from: 'device', status: kept.status, bytes: files[path].bytes, time });
      return kept;
    }
  }
  let response;
  try {
    response = await fromNetwork(request);
  } catch {
    if (!navigation) return Response.error();
    // The address above the page, which the server would lead on from.
    if (url === root.href) return Response.redirect(new URL('www/', root), 302);
    return (await cut)
      ? sentence(503, 'The network is cut by the switch of the demo page, and this address is not kept on the device.')
      : sentence(504, 'There is no network, and this address is not kept on the device.');
  }
  if (path !== undefined) event.waitUntil(keepAside(path, response.clone()));
  return response;
}

addEventListener('fetch', (event) => event.respondWith(answer(event)));

// --- life -----------------------------------------------------------------------------------------------------------

addEventListener('install', (event) => {
  // On a first visit the page is busy with its model: it asks for the files when it is done. A later version comes with
  // all its files or not at all, and waits until the page asks for it or is closed.
  event.waitUntil(self.registration.active ? fillOnce().then((missing) => {
    if (missing.length > 0) throw new Error(`not to be had as listed: ${missing.join(', ')}`);
  }) : self.skipWaiting());
});

addEventListener('activate', (event) => {
  const takeOver = async () => {
    cut = readCut();
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== FILES) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(takeOver());
});

const methods = {
  /** Requests since a moment, in milliseconds since 1970. */
  requests: ({ since }) => recent.filter(({ time }) => time >= since),
  state: async () => ({ cut: await cut }),
  cut: async ({ on }) => {
    await setCut(on);
    return { cut: on };
  },
  fill: async () => {
    if (await cut) return { missing: [], skipped: true };
    return { missing: await fillOnce() };
  },
  activate: () => self.skipWaiting(),
};

addEventListener('message', (event) => {
  const [port] = event.ports;
  const { method, ...request } = event.data;
  const carryOut = async () => methods[method](request);
  event.waitUntil(carryOut().then(
    (result) => port?.postMessage({ result }),
    (error) => port?.postMessage({ error: String(error?.message ?? error) }),
  ));
});
