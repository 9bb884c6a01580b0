// What the tests of the demo page share: the right answers and the servers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { CACHE, ROOT } from '../../../scripts/lib/paths.mjs';
import { openSite } from './site.mjs';

/** Loading takes a second or two; the rest is for a machine with other work to do. */
export const PATIENCE = 120_000;

export const EFFICIENTNET = 'efficientnet-lite0-int8';
export const SQUEEZENET = 'squeezenet1.1-int8';

/** onnxruntime and the page need not agree on the last step of an 8-bit value. */
const SCORE_TOLERANCE = 0.1;

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const labels = json(join(ROOT, 'models', 'imagenet-labels.json'));

let truth;

/** What onnxruntime makes of a photo: { label, score }. tests/fixtures/make_models.py wrote it down. */
export function answerOf(model, photo) {
  try {
    truth ??= json(join(CACHE, 'fixtures', 'models', 'index.json'));
  } catch (cause) {
    throw new Error('the fixtures are missing: `npm test -- --only e2e` makes them', { cause });
  }
  const { photos } = truth.find(({ file }) => file === `models/${model}.onnx`);
  const { top5, probabilities } = photos.find((entry) => entry.photo === photo);
  return { label: labels[top5[0]], score: probabilities[0] };
}

export const photoPath = (photo) => join(CACHE, 'fixtures', 'photos', photo);

/** `answers` as the page shows them: [{ label, score }], the score like `95.1%`. */
export function assertAnswer(answers, model, photo) {
  const { label, score } = answerOf(model, photo);
  assert.equal(answers.length, 5, `the page shows ${answers.length} answers`);
  assert.equal(answers[0].label, label);
  const shown = Number.parseFloat(answers[0].score) / 100;
  assert.ok(Math.abs(shown - score) < SCORE_TOLERANCE, `${label}: the page says ${answers[0].score}, onnxruntime ${(100 * score).toFixed(1)}%`);
  for (const { label: name } of answers) assert.ok(labels.includes(name), `'${name}' is none of the labels`);
}

/** Runs in the page. */
export const readAnswers = () =>
  [...document.querySelectorAll('#results li')].map((item) => ({
    label: item.querySelector('.label').textContent,
    score: item.querySelector('.score').textContent,
  }));

/** Runs in the page. */
export const readFigures = () =>
  Object.fromEntries([...document.querySelectorAll('#figures [data-figure]')].map((cell) => [cell.dataset.figure, cell.textContent]));

/**
 * Serves the demo, and beside it another origin that would answer whoever asks.
 *
 * @returns what openSite does, and other: { url, log }
 */
export async function serveDemo() {
  const [site, other] = await Promise.all([openSite(), listen()]);
  return { ...site, url: `${site.origin}/`, other, close: () => Promise.all([site.close(), other.close()]) };
}

async function listen() {
  const log = [];
  const server = createServer((request, response) => {
    log.push(`${request.method} ${request.url}`);
    response.writeHead(200, { 'access-control-allow-origin': '*' }).end('reached');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}/`,
    log,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

/** Only what the page says it asks for: its own files, and nothing is sent along. */
export function assertOwnFilesOnly({ log, other }) {
  assert.ok(log.length > 0, 'the server saw no request at all');
  for (const { method, path, body } of log) {
    assert.match(`${method} ${path}`, /^GET \/((www|dist|models)\/[\w./-]*)?$/);
    assert.equal(body, 0, `${path} was sent ${body} bytes`);
  }
  assert.deepEqual(other.log, []);
}
