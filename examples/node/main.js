import { readFile } from 'node:fs/promises';
import jpeg from 'jpeg-js';
import { ImageClassifier } from 'tractlet';

const classifier = await ImageClassifier.create(new URL('assets/squeezenet1.1-int8.json', import.meta.url));
const photo = jpeg.decode(await readFile(new URL('assets/coffee.jpg', import.meta.url)), { useTArray: true });
const [best] = await classifier.classify(photo);
console.log(best.label, best.score.toFixed(3));
await classifier.release();
