// Sessions that were never released: their memory is given back all the same, and the console says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { buildPackage } from './lib/bundle.mjs';
import { plan } from './lib/models.mjs';

const { InferenceSession, Tensor } = await import(new URL('index.js', await buildPackage()));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const frees = () => globalThis.fakeGlueFrees ?? 0;

/** Collects garbage until so many sessions are free, or time is up. */
async function collectUntil(count) {
  const end = performance.now() + 10_000;
  while (frees() < count && performance.now() < end) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // The warning comes with a module of its own.
  await new Promise((resolve) => setTimeout(resolve, 200));
  return frees();
}

test('a session that was forgotten is freed, and the console says once what to do', async (t) => {
  const { mock } = t.mock.method(console, 'warn', () => undefined);
  const open = async () => {
    const session = await InferenceSession.create(plan('double'));
    await session.run({ x: new Tensor('float32', [1]) });
    return session;
  };
  await (await open()).release();
  for (let i = 0; i < 5; i++) collect();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(mock.callCount(), 0, 'a session that was released is none of them');
  for (let i = 0; i < 3; i++) await open();
  assert.equal(await collectUntil(4), 4);
  assert.equal(mock.callCount(), 1);
  assert.match(mock.calls[0].arguments[0], /^tractlet: .*without release\(\).*`await session\.release\(\)`.*`await using`/);
});
