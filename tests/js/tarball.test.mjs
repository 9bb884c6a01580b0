// What is published: the files that `npm pack` takes, and what package.json says about them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { entries, reachable } from '../../scripts/lib/package-files.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';

const run = promisify(execFile);
const bin = (path) => join(ROOT, 'node_modules', path);

/** What is in the tarball for people, not for programs. */
const FOR_PEOPLE = ['CHANGELOG.md', 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md'];

describe('the tarball', () => {
  let folder;
  let tarball;
  let files;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tractlet-tarball-'));
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT });
    const [packed] = JSON.parse(stdout);
    tarball = join(folder, packed.filename);
    files = packed.files.map(({ path }) => path).sort();
    await run('tar', ['-xzf', tarball, '-C', folder]);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test('holds what the entries lead to, a page for people, and nothing else', () => {
    const installed = join(folder, 'package');
    const wanted = new Set([...reachable(entries(), installed), ...FOR_PEOPLE, 'package.json']);
    // Not named by any file: it tells Node what its neighbours are.
    wanted.add('dist/cjs/package.json');
    // Of the packages that are part of the command.
    wanted.add('dist/cli-licenses.txt');
    assert.deepEqual(files, [...wanted].sort());
  });

  test('would not pass with a file that nothing leads to, or without one that is needed', async () => {
    const copy = join(folder, 'broken');
    await mkdir(copy);
    await writeFile(join(copy, 'a.js'), "import './b.js'; new Worker(new URL('./c.js', import.meta.url));");
    await writeFile(join(copy, 'b.js'), 'export const load = () => import("./d.js");');
    await writeFile(join(copy, 'c.js'), "new URL(`./e.wasm`, import.meta.url)");
    await writeFile(join(copy, 'd.js'), '');
    assert.throws(() => reachable(['a.js'], copy), /e\.wasm does not exist; c\.js needs it/);
    await writeFile(join(copy, 'e.wasm'), '');
    assert.deepEqual([...reachable(['a.js'], copy)].sort(), ['a.js', 'b.js', 'c.js', 'd.js', 'e.wasm']);
  });

  test('names no folder of the machine that it was built on', async () => {
    const paths = [ROOT, homedir()].map((path) => `${path}/`);
    for (const file of files) {
      const text = await readFile(join(folder, 'package', file), 'latin1');
      for (const path of paths) assert.ok(!text.includes(path), `${file} names ${path}`);
    }
  });

  test('publint has nothing to say', async () => {
    const { publint } = await import('publint');
    const { messages } = await publint({ pkgDir: join(folder, 'package'), strict: true, pack: false });
    assert.deepEqual(messages, []);
  });

  const attw = (...options) =>
    run(process.execPath, [bin('@arethetypeswrong/cli/dist/index.js'), tarball, '--format', 'json', ...options]).then(({ stdout }) => JSON.parse(stdout), (error) => JSON.parse(error.stdout));

  test("the types are right however they are resolved: 'tractlet'", async () => {
    const { problems, analysis } = await attw('--entrypoints', '.');
    assert.deepEqual(problems ?? {}, {});
    const resolutions = Object.values(analysis.entrypoints['.'].resolutions);
    assert.deepEqual(resolutions.map(({ resolutionKind }) => resolutionKind).sort(), ['bundler', 'node10', 'node16-cjs', 'node16-esm']);
    for (const { resolution, resolutionKind } of resolutions) assert.ok(resolution?.isTypeScript, resolutionKind);
  });

  test("the types are right for ES modules: 'tractlet/inline'", async () => {
    // For bundlers, which import; Node, which needs nothing embedded, has CommonJS in the entry above. Resolution as
    // before `exports` ends at the package's name.
    const { problems } = await attw('--entrypoints', 'inline', '--profile', 'esm-only');
    const kinds = Object.values(problems ?? {}).flat().filter(({ resolutionKind }) => !['node10', 'node16-cjs'].includes(resolutionKind));
    assert.deepEqual(kinds, []);
  });
});

test('what package.json names exists', () => {
  for (const path of entries()) assert.ok(existsSync(join(ROOT, path)), path);
});
