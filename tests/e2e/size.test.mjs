// What JavaScript a classifier page loads, and that the size budgets count just that.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { budgetFiles } from '../../scripts/lib/budgets.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { DEMO_FOLDERS } from '../../scripts/serve.mjs';
import { cli } from '../js/lib/cli.mjs';
import { openChromium, readJson } from './lib/chromium.mjs';
import { openSite } from './lib/site.mjs';

const PHOTO = '/.cache/fixtures/photos/foolbox-10.png';
const CARD = '/models/efficientnet-lite0-int8.json';
const PLAN = '/models/of-a-test.plan';
const PLAN_CARD = '/models/of-a-test.json';

describe('the JavaScript of a page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tractlet-size-'));
  let plan;
  before(async () => {
    const file = join(folder, 'model.plan');
    const { code, stderr } = await cli(['compile', join(ROOT, CARD.replace('.json', '.onnx')), '--output', file]);
    assert.equal(code, 0, stderr);
    plan = readFileSync(file);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Does something in a page without a cache, on a site that has a plan; gives what comes out and the scripts that were loaded. */
  async function visit(work, argument, answers = {}) {
    // Its hash and size are those of the .onnx file.
    const card = { ...readJson(CARD), model: PLAN, sha256: undefined, bytes: undefined };
    const send = (type, body) => (request, response) => response.setHeader('content-type', type).end(body);
    const site = await openSite({
      folders: [...DEMO_FOLDERS, 'tests/e2e', 'tests/js/lib', '.cache/fixtures'],
      answers: {
        ...answers,
        [PLAN]: send('application/octet-stream', plan),
        [PLAN_CARD]: send('application/json', JSON.stringify(card)),
      },
    });
    const browser = await openChromium({ site });
    try {
      const page = await browser.openPage();
      const value = await page.evaluate(work, argument);
      const scripts = site.log.filter(({ path }) => /^\/dist\/.*\.js$/.test(path)).map(({ path }) => path.slice('/dist/'.length));
      return { value, scripts: [...new Set(scripts)].sort() };
    } finally {
      await browser.close();
      await site.close();
    }
  }

  const classify = async ({ card, photo }) => {
    const image = new Image();
    image.src = photo;
    const classifier = await tractlet.ImageClassifier.create(card);
    const [{ label }] = await classifier.classify(image);
    const { worker, compiler } = classifier.session.runtime;
    await classifier.release();
    return { label, worker, compiler };
  };

  for (const [budget, card] of [['JavaScript of a page with a plan', PLAN_CARD], ['JavaScript of a page with an .onnx file', CARD]]) {
    test(`${budget} is what the budget counts`, async () => {
      const { value, scripts } = await visit(classify, { card, photo: PHOTO });
      assert.deepEqual(value, { label: 'drum', worker: true, compiler: false });
      assert.deepEqual(scripts, budgetFiles()[budget].sort());
    });
  }

  const without = (name) => ({ [`/dist/${name}`]: (request, response) => response.writeHead(404).end() });

  test('a plan does without worker-more.js, and an .onnx file says that it is missing', async () => {
    const { value } = await visit(classify, { card: PLAN_CARD, photo: PHOTO }, without('worker-more.js'));
    assert.equal(value.label, 'drum');
    const { value: failed } = await visit(({ card }) => attempt(() => tractlet.ImageClassifier.create(card)), { card: CARD }, without('worker-more.js'));
    assert.equal(failed.error?.code, 'NETWORK_ERROR');
    assert.deepEqual(failed.error.classes, ['InferenceError', 'LoadError']);
    assert.match(failed.error.message, /\/dist\/worker-more\.js could not be loaded/);
    assert.match(failed.error.hint, /Serve all worker\*\.js of the package next to each other/);
  });

  test('errors keep their code without worker-errors.js', async () => {
    const open = ({ models }) => Promise.all(models.map((model) => attempt(() => tractlet.InferenceSession.create(model))));
    const models = ['/models/absent.plan'];
    const { value: [full] } = await visit(open, { models });
    const { value: [short] } = await visit(open, { models }, without('worker-errors.js'));
    assert.equal(full.error.code, 'HTTP_ERROR');
    assert.match(full.error.hint, /Check the address/);
    assert.deepEqual([short.error.code, short.error.classes], [full.error.code, full.error.classes]);
    assert.match(short.error.message, /404 for .*\/models\/absent\.plan/);
    assert.match(short.error.hint, /worker-errors\.js/);
  });
});
