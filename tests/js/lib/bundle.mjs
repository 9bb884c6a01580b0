// The package as it is published, but with the fake glue: built into a folder of its own for each test file.

import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { after } from 'node:test';
import * as esbuild from 'esbuild';
import { esbuildOptions, runtimeOptions, workerMoreOptions, workerOptions } from '../../../pkg-config/esbuild.mjs';
import { wasmModule } from './wasm.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const fakes = fileURLToPath(new URL('../fake-glue', import.meta.url));

/** Builds the package; it is deleted after the tests of the file. Gives its folder's address, with a slash at the end. */
export async function buildPackage() {
  await mkdir(resolve(root, '.cache'), { recursive: true });
  const outdir = await mkdtemp(resolve(root, '.cache/tests-js-'));
  after(() => rm(outdir, { recursive: true, force: true }));
  const glue = { engine: resolve(fakes, 'engine.js'), compiler: resolve(fakes, 'compiler.js') };
  for (const options of [esbuildOptions, runtimeOptions, workerOptions, workerMoreOptions]) await esbuild.build(options(esbuild, { outdir, glue }));
  await writeFile(resolve(outdir, 'engine.wasm'), wasmModule(1));
  await writeFile(resolve(outdir, 'engine-relaxed.wasm'), wasmModule(3));
  await writeFile(resolve(outdir, 'compiler.wasm'), wasmModule(2));
  return new URL(`${pathToFileURL(outdir).href}/`);
}

/** Copies a built package, for tests that break it. */
export async function copyPackage(from, name) {
  const to = new URL(`${name}/`, from);
  await mkdir(to);
  for (const file of await readdir(from)) if (/\.(js|wasm)$/.test(file)) await cp(new URL(file, from), new URL(file, to));
  return to;
}

/** One file of js/ by itself, without what it would load later. */
export async function buildModule(file) {
  const later = { name: 'later', setup: (build) => build.onResolve({ filter: /^\./ }, ({ kind, path }) => (kind === 'dynamic-import' && !path.endsWith('-errors.js') ? { path, external: true } : undefined)) };
  const entryPoints = [resolve(root, 'js', file)];
  const { outputFiles } = await esbuild.build({ entryPoints, bundle: true, format: 'esm', platform: 'neutral', write: false, define: { INLINE: 'false', WORKER: 'false' }, plugins: [later] });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}
