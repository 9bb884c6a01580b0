// What an example has to say: the label that onnxruntime gives the photo, with about its score.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, ROOT } from '../paths.mjs';
import { Stop } from '../run.mjs';

const MODEL = 'models/squeezenet1.1-int8.json';
const PHOTO = 'sample-coffee.png';
/** The examples decode a JPEG of the photo, and each decoder does so in its own way. */
const TOLERANCE = 0.05;

/** onnxruntime's answer: { label, score }. */
export function expectedAnswer() {
  const models = JSON.parse(readFileSync(join(CACHE, 'fixtures/models/index.json'), 'utf8'));
  const { top5, probabilities } = models.find(({ card }) => card === MODEL).photos.find(({ photo }) => photo === PHOTO);
  const labels = JSON.parse(readFileSync(join(ROOT, 'models/imagenet-labels.json'), 'utf8'));
  return { label: labels[top5[0]], score: probabilities[0] };
}

/** Throws a Stop unless `text` is the expected answer: `label score`. */
export function checkAnswer(text, { label, score }) {
  const [, said, number] = /^(.*) (\d\.\d{3})$/.exec(text.trim()) ?? [];
  if (said !== label || !(Math.abs(Number(number) - score) <= TOLERANCE)) {
    throw new Stop(`the answer is ${JSON.stringify(text)}, onnxruntime's ${label} ${score.toFixed(3)}`);
  }
}
