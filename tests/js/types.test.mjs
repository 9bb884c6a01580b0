// The declarations that are published, and a user's program (types.test-d.ts) on top of them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
await mkdir(resolve(root, '.cache'), { recursive: true });
const folder = await mkdtemp(resolve(root, '.cache/tests-js-types-'));
after(() => rm(folder, { recursive: true, force: true }));

/** Runs the TypeScript compiler; gives what it complains about. */
async function tsc(...options) {
  const compiler = resolve(root, 'node_modules/typescript/bin/tsc');
  return promisify(execFile)(process.execPath, [compiler, ...options], { cwd: root }).then(
    () => '',
    ({ stdout, message }) => stdout || message,
  );
}

test('declarations are emitted', async () => {
  assert.equal(await tsc('-p', 'pkg-config/tsconfig.json', '--outDir', folder), '');
});

test("a user's program compiles against them", async () => {
  const config = {
    compilerOptions: {
      target: 'ES2022',
      module: 'ESNext',
      moduleResolution: 'bundler',
      // The least that a page has. No newer types: the declarations have to bring along what they use.
      lib: ['ES2022', 'DOM', 'DOM.Iterable'],
      types: [],
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      paths: { tractlet: [join(folder, 'index.d.ts')] },
    },
    files: [resolve(root, 'tests/js/types.test-d.ts')],
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  assert.equal(await tsc('-p', folder), '');
  // And a mistake in it would be found.
  config.compilerOptions.paths.tractlet = [join(folder, 'errors.d.ts')];
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  assert.match(await tsc('-p', folder), /has no exported member 'InferenceSession'/);
});
