import { ImageClassifier } from 'tractlet';

const classifier = await ImageClassifier.create('assets/squeezenet1.1-int8.json');
const [best] = await classifier.classify(document.querySelector('img'));
document.querySelector('output').textContent = `${best.label} ${best.score.toFixed(3)}`;
