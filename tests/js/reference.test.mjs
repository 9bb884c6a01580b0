// docs/reference says what the declarations say, and all of them say something.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CACHE, ROOT } from '../../scripts/lib/paths.mjs';
import { readReference, undocumented, writeReference } from '../../scripts/lib/reference.mjs';

let reference;
let folder;

before(async () => {
  await mkdir(CACHE, { recursive: true });
  folder = await mkdtemp(join(CACHE, 'tests-js-reference-'));
  reference = await readReference();
});
after(() => rm(folder, { recursive: true, force: true }));

/** Text by name. */
async function pages(path) {
  const names = (await readdir(path)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(path, name), 'utf8')])));
}

test('whatever is exported has a comment', () => {
  assert.deepEqual(undocumented(reference), []);
  // And one that is missing would be found.
  const [run] = reference.project.getChildByName('tractlet.InferenceSession.run').signatures;
  const { comment } = run;
  run.comment = undefined;
  const found = undocumented(reference);
  run.comment = comment;
  assert.deepEqual(found, ['tractlet.InferenceSession.run']);
});

test('docs/reference is up to date', async () => {
  await writeReference(reference, folder);
  assert.equal(reference.app.logger.hasErrors() || reference.app.logger.hasWarnings(), false, 'TypeDoc complains');
  const [fresh, kept] = await Promise.all([pages(folder), pages(join(ROOT, 'docs/reference'))]);
  assert.deepEqual(Object.keys(kept), Object.keys(fresh));
  assert.ok(Object.keys(fresh).length >= 4);
  for (const [name, text] of Object.entries(fresh)) assert.equal(kept[name], text, `${name} is out of date: npm run docs writes it`);
});
