// The code in the documentation compiles against the published declarations, and what is marked as runnable runs in Node,
// with the models of the project. (That of the guides and recipes is the examples', see excerpts.test.mjs.)
//
// What follows the language in the line that opens a block says what is done with it:
//
//   ts, js          compiled; js without strictness, as a page has it
//   ts run, js run  run as well
//   js before       code for another library: compiled if that library is installed here
//   js config       a bundler's configuration, which is left alone

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import * as esbuild from 'esbuild';
import jpeg from 'jpeg-js';
import ts from 'typescript';
import { CACHE, DIST, ROOT } from '../../scripts/lib/paths.mjs';
import { codeBlocks } from './lib/markdown.mjs';

const PAGES = ['README.md', 'docs/api.md', 'docs/errors.md', 'docs/plans.md', 'docs/migration-litert-tfjs.md', 'docs/migration-onnxruntime-web.md'];
const MARKS = { ts: ['', 'run'], js: ['', 'run', 'before', 'config'] };
const BLOCKS = PAGES.flatMap((page) => codeBlocks(readFileSync(join(ROOT, page), 'utf8'))
  .filter(({ language }) => language in MARKS)
  .map((block) => ({ ...block, page, at: `${page}:${block.line}` })));

let folder;
before(async () => {
  await mkdir(CACHE, { recursive: true });
  folder = await mkdtemp(join(CACHE, 'tests-js-docs-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** The packages that code imports, without `tractlet`. */
function packages(code) {
  return [...code.matchAll(/^import .*?'([^'.]+)'/gm)].map(([, name]) => name).filter((name) => !/^tractlet(\/|$)/.test(name));
}

/** What the compiler has to say about these blocks. */
async function complaints(blocks, { strict }) {
  const files = new Map();
  for (const [i, { at, code, language }] of blocks.entries()) {
    const path = join(folder, `${strict ? 'strict' : 'loose'}-${i}.${language}`);
    // Without an import it is no module, and `await` not allowed.
    await writeFile(path, /^import /m.test(code) ? code : `${code}\nexport {};\n`);
    files.set(path, at);
  }
  const program = ts.createProgram([...files.keys()], {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: [],
    strict,
    noUncheckedIndexedAccess: strict,
    allowJs: true,
    checkJs: true,
    skipLibCheck: true,
    noEmit: true,
    paths: { tractlet: [join(DIST, 'index.d.ts')], 'tractlet/ort': [join(DIST, 'ort.d.ts')] },
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => `${files.get(file?.fileName)}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
}

describe('code that compiles', () => {
  test('every block is marked in a way that is known', () => {
    for (const { at, language, info } of BLOCKS) assert.ok(MARKS[language].includes(info), `${at}: ${language} ${info}`);
  });

  test('TypeScript', async () => {
    const blocks = BLOCKS.filter(({ language }) => language === 'ts');
    assert.ok(blocks.length > 10);
    assert.deepEqual(await complaints(blocks, { strict: true }), []);
  });

  test('JavaScript, that of other libraries too', async () => {
    const installed = ({ code }) => packages(code).every((name) => existsSync(join(ROOT, 'node_modules', name)));
    const blocks = BLOCKS.filter(({ language, info }) => language === 'js' && info !== 'config').filter(installed);
    assert.ok(blocks.some(({ info }) => info === 'before'));
    assert.deepEqual(await complaints(blocks, { strict: false }), []);
  });

  test('mistakes are found', async () => {
    const mistake = { at: 'here', language: 'ts', code: "import { InferenceSession } from 'tractlet';\nInferenceSession.create('/m.onnx', { sginal: undefined });\n" };
    assert.match((await complaints([mistake], { strict: true })).join(), /^here: .*sginal/s);
    assert.match((await complaints([{ ...mistake, language: 'js' }], { strict: false })).join(), /^here: .*sginal/s);
  });
});

describe('code that runs', { concurrency: 2 }, () => {
  let models;

  before(async () => {
    models = join(folder, 'models');
    await cp(join(ROOT, 'models'), models, { recursive: true });
    await cp(join(models, 'efficientnet-lite0-int8.onnx'), join(models, 'model.onnx'));
    const { compileModel } = await import(pathToFileURL(join(DIST, 'index.js')).href);
    await writeFile(join(models, 'model.plan'), await compileModel(join(models, 'model.onnx')));
    // What a page has and Node has not: an image, whose pixels the classifier takes as well.
    const { data, width, height } = jpeg.decode(await readFile(join(ROOT, 'www/photos/coffee.jpg')), { useTArray: true });
    await writeFile(join(folder, 'photo.rgba'), data);
    await writeFile(join(folder, 'page.mjs'), `
      import { readFileSync } from 'node:fs';
      const photo = { data: new Uint8Array(readFileSync(${JSON.stringify(join(folder, 'photo.rgba'))})), width: ${width}, height: ${height} };
      const elements = { img: photo, progress: {} };
      globalThis.document = { baseURI: 'file:///', querySelector: (name) => elements[name] };
    `);
  });

  /** Runs a block; gives what it prints. */
  async function run({ code, language }, name) {
    const { code: script } = await esbuild.transform(code, { loader: language, format: 'esm', target: 'es2022' });
    const here = script.replaceAll(/(["'])\/models\//g, (_, quote) => `${quote}${models}/`)
      .replaceAll(/(["'])tractlet(\/ort)?\1/g, (_, quote, sub) => `${quote}${pathToFileURL(join(DIST, sub ? 'ort.js' : 'index.js')).href}${quote}`);
    const path = join(folder, `${name}.mjs`);
    await writeFile(path, `import './page.mjs';\n${here}`);
    return promisify(execFile)(process.execPath, [path], { cwd: folder, timeout: 120_000 });
  }

  for (const [i, block] of BLOCKS.filter(({ info }) => info === 'run').entries()) {
    test(block.at, async () => {
      const { stdout, stderr } = await run(block, `run-${i}`);
      assert.equal(stderr, '');
      if (/console\.(log|table)/.test(block.code)) assert.notEqual(stdout.trim(), '');
      // The first thing that anybody tries has to be right, too.
      if (block.page === 'README.md' && /label/.test(block.code)) assert.match(stdout, /^espresso 0\.\d+/);
    });
  }

  test('at least those of the first page do, and a failure is one', async () => {
    assert.equal(BLOCKS.filter(({ page, info }) => page === 'README.md' && info !== 'run').length, 0);
    await assert.rejects(run({ language: 'js', code: "import { InferenceSession } from 'tractlet';\nawait InferenceSession.create('/models/nowhere.onnx');" }, 'fails'), /NETWORK_ERROR|could not/);
  });
});
