// The declarations of `tractlet/ort` against those of onnxruntime-common: a program (ort.test-d.ts) that holds the two
// together, and the names that they export.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const COMMON = resolve(root, 'node_modules/onnxruntime-common/dist/esm/index.d.ts');
const PROGRAM = resolve(root, 'tests/js/ort.test-d.ts');
const GUIDE = resolve(root, 'docs/migration-onnxruntime-web.md');
let folder;

before(async () => {
  await mkdir(resolve(root, '.cache'), { recursive: true });
  folder = await mkdtemp(resolve(root, '.cache/tests-js-ort-types-'));
  const { config } = ts.readConfigFile(resolve(root, 'pkg-config/tsconfig.json'), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, resolve(root, 'pkg-config'));
  ts.createProgram([resolve(root, 'js/ort.ts')], { ...options, outDir: folder }).emit();
});
after(() => rm(folder, { recursive: true, force: true }));

/** A program on top of the emitted declarations. */
function compile(...files) {
  return ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: [],
    strict: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    paths: { 'tractlet/ort': [join(folder, 'ort.d.ts')], 'onnxruntime-common': [COMMON] },
  });
}

/** What the compiler has to say. */
function complaints(...files) {
  return ts.getPreEmitDiagnostics(compile(...files)).map((diagnostic) => ts.formatDiagnostic(diagnostic, ts.createCompilerHost({})));
}

test('the two go together, in both directions', () => {
  assert.deepEqual(complaints(PROGRAM), []);
});

test('the code of the guide compiles, against onnxruntime-common too', async () => {
  const guide = await readFile(GUIDE, 'utf8');
  const blocks = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.ok(blocks.length >= 2);
  const files = [];
  for (const [i, code] of blocks.entries()) {
    const versions = { own: code };
    // tractlet's options are of no type there.
    if (!code.includes('extra:')) versions.theirs = code.replaceAll("'tractlet/ort'", "'onnxruntime-common'");
    for (const [name, text] of Object.entries(versions)) {
      files.push(join(folder, `guide-${i}-${name}.ts`));
      await writeFile(files.at(-1), text);
    }
  }
  assert.deepEqual(complaints(...files), []);
  // And a mistake in it would be found.
  await writeFile(files[0], blocks[0].replace('session.run(', 'session.runn('));
  assert.match(complaints(files[0]).join(''), /'runn'/);
});

test('what onnxruntime-common exports is exported, types too', () => {
  const own = join(folder, 'ort.d.ts');
  const program = compile(own, COMMON);
  const checker = program.getTypeChecker();
  /** Names, of what can be used as a value and of what can be used as a type. */
  const names = (file) => {
    const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)));
    const has = (symbol, flag) => ((symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol).flags & flag) !== 0;
    const list = (flag) => symbols.filter((symbol) => has(symbol, flag)).map((symbol) => symbol.name).sort();
    return { values: list(ts.SymbolFlags.Value), types: list(ts.SymbolFlags.Type | ts.SymbolFlags.Namespace) };
  };
  const [ours, theirs] = [names(own), names(COMMON)];
  assert.ok(theirs.values.includes('InferenceSession') && theirs.types.includes('ImageFormat'));
  assert.deepEqual(theirs.values.filter((name) => !ours.values.includes(name)), []);
  assert.deepEqual(theirs.types.filter((name) => !ours.types.includes(name)), []);
  // Beyond them: the default export of onnxruntime-web, and a function of onnxruntime-node.
  assert.deepEqual(ours.values.filter((name) => !theirs.values.includes(name)), ['default', 'listSupportedBackends']);
});
