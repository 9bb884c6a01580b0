import { ImageClassifier } from 'tractlet';

// In a worker sessions run in the worker's own thread.
const classifier = ImageClassifier.create(new URL('/squeezenet1.1-int8.json', location.origin));

addEventListener('message', async ({ data: photo }) => {
  const [best] = await (await classifier).classify(photo);
  postMessage(`${best.label} ${best.score.toFixed(3)}`);
});
