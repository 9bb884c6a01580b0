const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const jpeg = require('jpeg-js');
const { ImageClassifier } = require('tractlet');

async function main() {
  const classifier = await ImageClassifier.create(join(__dirname, 'assets/squeezenet1.1-int8.json'));
  const photo = jpeg.decode(readFileSync(join(__dirname, 'assets/coffee.jpg')), { useTArray: true });
  const [best] = await classifier.classify(photo);
  console.log(best.label, best.score.toFixed(3));
  await classifier.release();
}

main();
