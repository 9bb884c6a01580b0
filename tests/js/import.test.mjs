// Importing the package does nothing: server-side rendering imports it where there is no page, and bundlers leave out what
// is not used.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import * as esbuild from 'esbuild';
import { entries } from '../../scripts/lib/package-files.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';

/** What a module might reach for while it is evaluated. */
const TEMPTING = [
  'window', 'self', 'document', 'location', 'navigator', 'caches', 'indexedDB', 'localStorage', 'fetch', 'Request', 'Response', 'Worker',
  'SharedWorker', 'BroadcastChannel', 'MessageChannel', 'WebAssembly', 'crypto', 'SharedArrayBuffer', 'Image', 'OffscreenCanvas', 'VideoFrame',
  'setTimeout', 'setInterval', 'queueMicrotask', 'requestAnimationFrame', 'addEventListener', 'crossOriginIsolated',
];

/** Loads a module where touching any of these is an error; prints what has changed since. */
const PROGRAM = String.raw`
import { createRequire } from 'node:module';
const url = process.argv[1];
const load = url.includes('/cjs/') ? (file) => createRequire(file)(new URL(file).pathname) : (file) => import(file);
for (const name of ${JSON.stringify(TEMPTING)}) {
  const value = globalThis[name];
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() {
      // Node itself uses some of them to load a module.
      if (/probe|\/dist\//.test(new Error().stack.split('\n')[2] ?? '')) throw new Error(name + ' is used');
      return value;
    },
  });
}
const state = () => [
  Reflect.ownKeys(globalThis).map(String).sort(),
  process.eventNames().map(String).sort(),
  // But for what reading the module takes.
  process.getActiveResourcesInfo().filter((name) => !/^(CloseReq|FSReq|PipeWrap|TTYWrap)/.test(name)).sort(),
];
const before = state();
const exported = await load(url);
const after = state();
console.log(JSON.stringify({ names: Object.keys(exported), before, after }));
`;

async function load(url) {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', PROGRAM, url], { cwd: ROOT });
  return JSON.parse(stdout);
}

// Not the command.
const scripts = entries({ ...JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')), bin: {} }).filter((path) => /^dist\/.*\.js$/.test(path));

for (const path of scripts) {
  test(`loading ${path} leaves everything as it was`, async () => {
    const { names, before, after } = await load(pathToFileURL(join(ROOT, path)).href);
    assert.ok(names.includes('InferenceSession'), names.join());
    assert.deepEqual(after, before);
  });
}

test('a side effect would be noticed', async () => {
  const module = (code) => load(`data:text/javascript,export const probe = 1;${encodeURIComponent(code)}`);
  await assert.rejects(module('typeof document'), /document is used/);
  for (const code of ['globalThis.leaked = 1', "process.on('SIGUSR2', () => {})", 'setImmediate(() => setImmediate(() => {}))']) {
    const { before, after } = await module(code);
    assert.notDeepEqual(after, before, code);
  }
});

test('a page that uses nothing of the package has nothing of it in its bundle', async () => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: "import { ImageClassifier } from 'tractlet'; console.log(1);", resolveDir: ROOT },
    // Node resolves a package's own name by its exports, and so does esbuild.
    bundle: true, format: 'esm', write: false,
  });
  assert.match(outputFiles[0].text.replaceAll(/^\s*\/\/.*$/gm, '').trim(), /^console\.log\(1\);$/);
});
