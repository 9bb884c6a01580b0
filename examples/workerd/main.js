import jpeg from 'jpeg-js';
import { ImageClassifier } from 'tractlet';
import compiler from 'tractlet/compiler.wasm';
import engine from 'tractlet/engine.wasm';
import labels from './assets/imagenet-labels.json';
import model from './assets/squeezenet1.1-int8.onnx';
import card from './assets/squeezenet1.1-int8.json';

let classifier;

export default {
  /** Answers a POST of a JPEG with what is on it. */
  async fetch(request) {
    // Workers may not compile WebAssembly, so the modules are handed over as they were deployed.
    classifier ??= ImageClassifier.create(model, { input: card.input, output: card.output, labels, wasm: { engine, compiler } });
    const photo = jpeg.decode(await request.arrayBuffer(), { useTArray: true });
    const [best] = await (await classifier).classify(photo);
    return new Response(`${best.label} ${best.score.toFixed(3)}\n`);
  },
};
