// The labelled photos through both committed models in Chromium, against onnxruntime's results. The photos are PNG: browsers
// do not decode JPEG alike.
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readTensor } from '../js/lib/tensor-proto.mjs';
import { openChromium, readBytes, readJson } from './lib/chromium.mjs';

const TOP = 5;
const LABELLED = 20;
const models = readJson('.cache/fixtures/models/index.json').filter(({ committed }) => committed);
const labels = readJson('models/imagenet-labels.json');

/**
 * What is wrong with a ranking; undefined when nothing is. A rank may go to another class only if onnxruntime's own scores
 * of the two are no further apart than `tolerance`.
 */
function difference(ranking, reference, scores, tolerance) {
  if (ranking.length !== reference.length || new Set(ranking).size !== ranking.length) return `there are ${ranking.length} classes: ${ranking}`;
  for (const [rank, index] of ranking.entries()) {
    const gap = Math.abs(scores[index] - scores[reference[rank]]);
    if (!(gap <= tolerance)) return `rank ${rank + 1} is ${index}, onnxruntime's ${reference[rank]}, whose score is ${gap} away`;
  }
  return undefined;
}

describe('the labelled photos', () => {
  let browser;
  let page;
  before(async () => {
    browser = await openChromium();
    page = await browser.openPage();
  });
  after(() => browser?.close());

  test('the comparison notices what it should', () => {
    const scores = [9, 8, 7.9, 5, 4, 3];
    assert.equal(difference([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], scores, 0.2), undefined);
    assert.equal(difference([0, 2, 1, 3, 4], [0, 1, 2, 3, 4], scores, 0.2), undefined);
    assert.match(difference([1, 0, 2, 3, 4], [0, 1, 2, 3, 4], scores, 0.2), /rank 1/);
    assert.match(difference([0, 1, 2, 3, 5], [0, 1, 2, 3, 4], scores, 0.2), /rank 5/);
    assert.match(difference([0, 1, 1, 3, 4], [0, 1, 2, 3, 4], scores, 0.2), /classes/);
    assert.match(difference([0, 1], [0, 1, 2, 3, 4], scores, 0.2), /classes/);
  });

  for (const { name, card, spread, quantum, top1, photos } of models) {
    test(name, async (t) => {
      const chosen = photos.filter(({ label }) => label !== null);
      assert.equal(chosen.length, LABELLED);
      const results = await page.evaluate(async ({ card, urls }) => {
        const classifier = await tractlet.ImageClassifier.create(card);
        const all = [];
        for (const url of urls) all.push(await classifier.classify(new Blob([await fetchBytes(url)])));
        await classifier.release();
        return all;
      }, { card: `/${card}`, urls: chosen.map(({ photo }) => `/.cache/fixtures/photos/${photo}`) });

      // How far onnxruntime is from itself without its optimisations, and one step of the last quantization.
      const tolerance = spread + quantum;
      let [exactTop1, exactTop5, correct] = [0, 0, 0];
      for (const [i, { photo, label, output, top5, probabilities }] of chosen.entries()) {
        const result = results[i];
        const { data: scores } = readTensor(readBytes(output));
        const ranking = result.map(({ index }) => index);
        assert.equal(ranking.length, TOP);
        assert.equal(difference(ranking, top5, scores, tolerance), undefined, photo);
        for (const [rank, { label: text, index, score }] of result.entries()) {
          assert.equal(text, labels[index], photo);
          // A score that is off by t, and a sum that is off by a factor of e^t.
          const expected = probabilities[0] * Math.exp(scores[index] - scores[top5[0]]);
          assert.ok(Math.abs(Math.log(score / expected)) <= 2 * tolerance, `${photo}, rank ${rank + 1}: ${score}, onnxruntime ${expected}`);
        }
        exactTop1 += ranking[0] === top5[0];
        exactTop5 += ranking.every((index, rank) => index === top5[rank]);
        correct += ranking[0] === label;
      }
      t.diagnostic(`${basename(card)}: top-1 as onnxruntime's ${exactTop1} of ${LABELLED}, all top-5 in the same order ${exactTop5} of ${LABELLED}, top-1 correct ${correct} (onnxruntime ${top1})`);
      assert.ok(correct >= top1 - (LABELLED - exactTop1), 'the labels of the index are not those that were counted');
    });
  }
});
