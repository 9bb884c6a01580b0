import { ImageClassifier } from './node_modules/tractlet/dist/inline.js';

let classifier;

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  const { pathname, searchParams } = new URL(event.request.url);
  if (pathname.endsWith('/classify')) event.respondWith(classify(searchParams.get('photo')));
});

/** Answers `classify?photo=address` with what is on the photo. */
async function classify(photo) {
  classifier ??= ImageClassifier.create('assets/squeezenet1.1-int8.json');
  const response = await fetch(photo);
  const [best] = await (await classifier).classify(await response.blob());
  return new Response(`${best.label} ${best.score.toFixed(3)}`);
}
