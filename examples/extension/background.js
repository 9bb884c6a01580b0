import { ImageClassifier } from './tractlet.js';

let classifier;

/** Answers a message `{ photo: address }` with what is on the photo. */
chrome.runtime.onMessage.addListener(({ photo }, sender, answer) => {
  classify(photo).then(answer, (error) => answer(String(error)));
  // The answer comes later.
  return true;
});

async function classify(photo) {
  classifier ??= ImageClassifier.create(chrome.runtime.getURL('assets/squeezenet1.1-int8.json'));
  const response = await fetch(photo);
  const [best] = await (await classifier).classify(await response.blob());
  return `${best.label} ${best.score.toFixed(3)}`;
}
