import { ImageClassifier } from './node_modules/tractlet/dist/index.js';

const classifier = await ImageClassifier.create('assets/squeezenet1.1-int8.json');
const [best] = await classifier.classify(document.querySelector('img'));
document.querySelector('output').textContent = `${best.label} ${best.score.toFixed(3)}`;
