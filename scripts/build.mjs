// `npm run build`: Rust and TypeScript to dist/.
//
//   node scripts/build.mjs [--fast] [--only engine|compiler|js] [--verbose]
//
// --fast leaves out link-time optimisation and wasm-opt: larger and slower wasm, for development. Its compiler says on
// the console what it panicked about.
//
// cargo decides itself what has to be compiled again (it knows which sources each module is made of); the steps after
// it are keyed on the wasm file that cargo made, so that an unchanged tree does nothing.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withLock } from './lib/lock.mjs';
import { entries, reachable } from './lib/package-files.mjs';
import { CONFIG, DIST, ROOT, WASM } from './lib/paths.mjs';
import { writePrecache } from './lib/precache.mjs';
import { formatBytes, heading, upToDate } from './lib/report.mjs';
import { Stop, main, task } from './lib/run.mjs';
import { WASM_TARGET, rustEnvironment, sourceToolchain, stdSourceFolder, toolchain } from './lib/rust.mjs';
import { inputKey, isFresh, removeStamp, writeStamp } from './lib/stamps.mjs';
import { TOOL_VERSIONS, findCargoTool } from './lib/tools.mjs';
import { nameBySimilarity } from './lib/wasm-order.mjs';
import { trapInPlaceOf } from './lib/wasm-stubs.mjs';
import { FOR_BUILD, setup } from './setup.mjs';

const RELAXED = { rustflags: ['-C', 'target-feature=+relaxed-simd'], wasmFeatures: ['relaxed-simd'] };

// The most that there can be; js/threads.ts asks for less where it is not to be had.
const SHARED_MEMORY_BYTES = 2 ** 32;

const linkArgument = (argument) => ['-C', `link-arg=${argument}`];

// A memory that several workers share; the standard library has to be compiled for it.
const THREADS = {
  features: ['threads'],
  buildStd: true,
  rustflags: [
    '-C', 'target-feature=+atomics,+bulk-memory,+mutable-globals',
    // Both sizes are in the glue, which serves builds of different sizes.
    ...['--shared-memory', '--import-memory', '--export-memory', `--initial-memory=${2 << 20}`, `--max-memory=${SHARED_MEMORY_BYTES}`].flatMap(linkArgument),
    // wasm-bindgen gives each worker a stack and thread-local memory of its own.
    ...['__heap_base', '__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base'].flatMap((name) => linkArgument(`--export=${name}`)),
  ],
  wasmFeatures: ['threads'],
};

const ENGINE = { feature: 'engine', fast: {}, wasmOpt: ['-O3'] };

const MODULES = {
  engine: ENGINE,
  // The same code, for browsers with relaxed SIMD, and the same glue.
  'engine-relaxed': { ...ENGINE, ...RELAXED, glueOf: 'engine' },
  // Both again, for pages that are cross-origin isolated.
  'engine-threads': { ...ENGINE, ...THREADS },
  'engine-relaxed-threads': {
    ...ENGINE,
    ...THREADS,
    rustflags: [...RELAXED.rustflags, ...THREADS.rustflags],
    wasmFeatures: [...RELAXED.wasmFeatures, ...THREADS.wasmFeatures],
    glueOf: 'engine-threads',
  },
  // docs/size.md says what each of these gives.
  compiler: {
    feature: 'compiler',
    // The kernels in it only serve what has no step in the engine.
    environment: { CARGO_PROFILE_RELEASE_OPT_LEVEL: 'z' },
    fast: { CARGO_PROFILE_RELEASE_OPT_LEVEL: '1' },
    shipped: {
      buildStd: true,
      stdFeatures: 'optimize_for_size',
      // What panics traps either way: without a message there is no code that makes one, nor a table of places.
      rustflags: ['-Zunstable-options', '-Cpanic=immediate-abort', '-Zlocation-detail=none'],
      // Of ours the names of variants; what tract shows of its structures means little to anyone else.
      profile: {
        release: ['-Zfmt-debug=shallow'],
        ...Object.fromEntries(['core', 'data', 'extra', 'hir', 'linalg', 'nnef', 'onnx', 'onnx-opl'].map((name) => [`release.package.tract-${name}`, ['-Zfmt-debug=none']])),
      },
    },
    unused: [
      // Nobody asks tract what a model costs, to describe its operators, or to put numbers in place of symbols: plans are made
      // for shapes that are known.
      /^<.* as tract_core::ops::TypedOp>::(cost|set_symbols)$/,
      /^<.* as tract_core::ops::Op>::info$/,
      // Operators that src/compiler/registry.rs puts others in place of, and what only they lead to.
      /^<tract_onnx::ops::logic::If as .*>::(eval|infer|infer_facts|to_typed)$/,
      /^<tract_core::ops::logic::ite::IfThenElse as .*>::(eval|output_facts|declutter)$/,
      /^<tract_onnx::ops::quant::(QuantizeLinear|DequantizeLinear|DynamicQuantizeLinear)\w* as .*>::(wire|rules|eval)$/,
      /^<?tract_core::ops::cnn::conv::conv::Conv>?::wire_as_quant_im2col$/,
    ],
    // Nothing lies below address 1024 but the end of the stack.
    wasmOpt: ['-Oz', '--low-memory-unused'],
    bySimilarity: true,
  },
};

// wasm-bindgen reads from a section that full stripping removes which features the module uses; wasm-opt strips the rest.
const ALWAYS = { CARGO_PROFILE_RELEASE_STRIP: 'debuginfo' };
const FAST = { CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' };

// LLVM's schedulers spread a kernel's loads out until its accumulators no longer fit the sixteen vector registers that
// browsers compile to; in source order they do.
const KERNELS = ['-C', 'llvm-args=-pre-RA-sched=source', '-C', 'llvm-args=-enable-misched=false', '-C', 'llvm-args=-disable-lsr'];

// Protobuf messages nest, and so do the functions that read them: deep enough for every model that is not refused.
// The engine reads none, and every session has its own stack.
const stack = (feature) => ['-C', `link-arg=-zstack-size=${feature === 'compiler' ? 4194304 : 1048576}`];

/** Panic messages name source files: without the folders of this machine. */
function withoutPaths({ sysroot }) {
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src');
  const sources = existsSync(registry) ? readdirSync(registry).map((name) => join(registry, name)) : [];
  // Where the standard library's sources are installed, its messages name them.
  return [...sources, ROOT, stdSourceFolder(sysroot)].map((folder) => `--remap-path-prefix=${folder}/=`);
}

/** What every browser with WebAssembly SIMD has, and nothing newer: wasm-opt may use it all. */
const WASM_FEATURES = ['simd', 'bulk-memory', 'nontrapping-float-to-int', 'sign-ext', 'mutable-globals', 'multivalue', 'reference-types'];

/** The script's own text is an input of its steps. */
const SELF = fileURLToPath(import.meta.url);

async function compile(name, fast) {
  const module = fast ? MODULES[name] : { ...MODULES[name], ...MODULES[name].shipped };
  const { feature, features = [], buildStd = false, stdFeatures, rustflags: own = [], profile = {}, environment = {}, fast: fastEnvironment } = module;
  const paths = withoutPaths(buildStd ? sourceToolchain() : toolchain());
  const rustflags = [...own, ...(feature === 'engine' ? KERNELS : []), ...stack(feature), ...paths];
  const targetDir = join(ROOT, 'target', name);
  const args = [
    'rustc', '--locked', '--release', '--target', WASM_TARGET, '--lib', '--crate-type', 'cdylib',
    '--no-default-features', '--features', [feature, ...features].join(),
    ...(buildStd ? ['-Zbuild-std=std,panic_abort'] : []),
    ...(stdFeatures ? [`-Zbuild-std-features=${stdFeatures}`] : []),
    ...Object.entries(profile).flatMap(([name, flags]) => ['--config', `profile.${name}.rustflags=${JSON.stringify(flags)}`]),
    ...(Object.keys(profile).length > 0 ? ['-Zprofile-rustflags'] : []),
    // Joined to the flags of .cargo/config.toml; the variable RUSTFLAGS would replace them.
    '--config', `target.${WASM_TARGET}.rustflags=${JSON.stringify(rustflags)}`,
  ];
  await task(`${name}: cargo`, async ({ exec, note }) => {
    const output = await exec('cargo', args, {
      env: rustEnvironment({
        ...ALWAYS,
        ...environment,
        ...(fast ? { ...FAST, ...fastEnvironment } : {}),
        // -Zbuild-std is not a stable option.
        ...(buildStd ? { RUSTC_BOOTSTRAP: '1' } : {}),
        CARGO_TARGET_DIR: targetDir,
      }, { source: buildStd }),
    });
    if (!/Compiling/.test(output)) note('up to date');
  }, { log: `build-${name}-cargo` });
  return join(targetDir, WASM_TARGET, 'release', 'tractlet.wasm');
}

async function buildModule(name, fast) {
  const compiled = await compile(name, fast);
  const { feature, wasmOpt, unused, bySimilarity = false, wasmFeatures = [] } = MODULES[name];
  const glue = join(WASM, name);
  const shipped = join(DIST, `${name}.wasm`);
  // The name is part of what the module imports.
  const outName = feature;
  const bound = join(glue, `${outName}_bg.wasm`);
  const stamp = `wasm-${name}`;
  const key = inputKey([compiled, SELF, ...['wasm-file', 'wasm-order', 'wasm-stubs'].map((file) => join(ROOT, `scripts/lib/${file}.mjs`)), join(CONFIG, 'tools.json'), join(ROOT, 'package-lock.json')], { fast });
  if (isFresh(stamp, key, [shipped, bound, join(glue, `${outName}.js`)])) return upToDate(`dist/${name}.wasm`, 'up to date');
  removeStamp(stamp);

  const tools = await findCargoTool('wasm-bindgen-cli');
  if (!tools) throw new Stop(`wasm-bindgen ${TOOL_VERSIONS.cargo['wasm-bindgen-cli'].version} is missing; please run: npm run setup`);
  mkdirSync(DIST, { recursive: true });
  await task(`${name}: wasm-bindgen`, ({ exec }) =>
    exec(join(tools, 'wasm-bindgen'), [compiled, '--target', 'web', '--omit-default-module-path', '--no-typescript', '--out-dir', glue, '--out-name', outName]),
    { log: `build-${name}-bindgen` });

  const partial = `${shipped}.partial`;
  if (fast) {
    copyFileSync(bound, partial);
  } else {
    await task(`${name}: wasm-opt ${wasmOpt.join(' ')}`, async ({ exec, note }) => {
      const features = ['--mvp-features', ...[...WASM_FEATURES, ...wasmFeatures].map((feature) => `--enable-${feature}`)];
      const optimise = (input, passes) =>
        exec(process.execPath, [join(ROOT, 'node_modules/binaryen/bin/wasm-opt'), input, ...passes, ...features, '--strip-producers', '-o', partial]);
      let input = bound;
      if (unused) {
        input = join(glue, 'trapping.wasm');
        writeFileSync(input, trapInPlaceOf(readFileSync(bound), unused));
      }
      await optimise(input, wasmOpt);
      if (bySimilarity) {
        const named = join(glue, 'named.wasm');
        writeFileSync(named, nameBySimilarity(readFileSync(partial)));
        await optimise(named, [...wasmOpt, '--reorder-functions-by-name']);
      }
      note(`${formatBytes(statSync(bound).size)} to ${formatBytes(statSync(partial).size)}`);
    }, { log: `build-${name}-opt` });
  }
  // Renamed last: a page that is open meanwhile gets the old file or the new one.
  renameSync(partial, shipped);
  writeStamp(stamp, key);
}

/** What a module imports from its glue, and what the glue exports, each with its text. */
function parseGlue(folder, name) {
  const text = readFileSync(join(folder, name, `${MODULES[name].feature}.js`), 'utf8');
  const parts = text.matchAll(/^export (?:async )?(?:class|function) (\w+)[^]*?^}|^ {8}(?:"([^"]+)"|(\w+)): function[^]*?^ {8}},?$/gm);
  return { text, parts: new Map([...parts].map(([part, ...names]) => [names.find(Boolean), part])) };
}

/**
 * One bundle of JavaScript serves all builds of the engine, with the glue of `engine-threads`. So that of the builds
 * without threads must be part of it, and be the same with and without relaxed SIMD. wasm-bindgen numbers what it finds in
 * the module: should this ever fail, each build has to get a bundle of its own.
 */
export function checkGlue(folder = WASM) {
  for (const [name, { glueOf }] of Object.entries(MODULES)) {
    if (glueOf && parseGlue(folder, name).text !== parseGlue(folder, glueOf).text) throw new Stop(`the glue of ${name} is not that of ${glueOf}: compare them in ${folder}`);
  }
  const shared = parseGlue(folder, 'engine-threads').parts;
  for (const [part, text] of parseGlue(folder, 'engine').parts) {
    if (shared.get(part) !== text) throw new Stop(`the glue of engine-threads does not have ${part} of engine's: compare them in ${folder}`);
  }
}

/** Runs esbuild; its complaints become those of the task. */
async function bundle(...optionsOf) {
  // Loaded here: with a fresh clone it is the set-up that installs it.
  const esbuild = await import('esbuild');
  const config = await import(pathToFileURL(join(CONFIG, 'esbuild.mjs')).href);
  try {
    for (const name of optionsOf) await esbuild.build({ ...config[name](esbuild), logLevel: 'silent' });
  } catch (error) {
    if (!error.errors) throw error;
    const messages = await esbuild.formatMessages(error.errors, { kind: 'error' });
    throw Object.assign(new Stop(`esbuild: ${error.errors.length} error(s)`), { tail: messages.join('').trimEnd() });
  }
}

/** The licences of what is part of the command. */
async function writeLicences() {
  const { CLI_PACKAGES } = await import(pathToFileURL(join(CONFIG, 'esbuild.mjs')).href);
  const licence = ({ name, files }) => [`cli.js contains ${name}:`, ...files.map(({ file, part }) => part.exec(readFileSync(join(ROOT, 'node_modules', name, file), 'utf8'))[0].trim())];
  writeFileSync(join(DIST, 'cli-licenses.txt'), `${CLI_PACKAGES.flatMap(licence).join('\n\n')}\n`);
}

const INLINE = join(DIST, 'inline.js');
const COMMON_JS = join(DIST, 'cjs');

async function buildJavaScript() {
  const glue = Object.keys(MODULES).filter((name) => !MODULES[name].glueOf).map((name) => join(WASM, name, `${MODULES[name].feature}.js`));
  const config = ['esbuild.mjs', 'glue.mjs', 'tsconfig.json'].map((name) => join(CONFIG, name));
  const inputs = [join(ROOT, 'js'), ...glue, ...config, SELF, join(ROOT, 'package-lock.json'), join(ROOT, 'scripts/lib/package-files.mjs')];
  const key = inputKey(inputs, { entries: entries() });
  const names = ['index.js', 'ort.js', 'runtime.js', 'worker.js', 'worker-more.js', 'worker-errors.js', 'cli.js', 'cjs/index.js', 'index.d.ts', 'ort.d.ts', 'cjs/index.d.ts'];
  const outputs = names.map((name) => join(DIST, name));
  if (isFresh('js', key, outputs)) {
    upToDate('dist/*.js', 'up to date');
  } else {
    removeStamp('js');
    mkdirSync(DIST, { recursive: true });
    await task('JavaScript: esbuild', async () => {
      for (const name of readdirSync(DIST)) if (name.endsWith('.js')) rmSync(join(DIST, name));
      rmSync(COMMON_JS, { recursive: true, force: true });
      await bundle('esbuildOptions', 'runtimeOptions', 'workerOptions', 'workerMoreOptions', 'commonJsOptions', 'cliOptions');
      chmodSync(join(DIST, 'cli.js'), 0o755);
      await writeLicences();
    });
    await task('JavaScript: type declarations', async ({ exec }) => {
      // Those of CommonJS are copies, made last.
      const declarations = () => readdirSync(DIST, { recursive: true }).map((name) => name.replaceAll('\\', '/')).filter((name) => name.endsWith('.d.ts') && !name.startsWith('cjs/'));
      for (const name of declarations()) rmSync(join(DIST, name));
      await exec(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', join(CONFIG, 'tsconfig.json'), '--emitDeclarationOnly']);
      const used = reachable(entries().filter((path) => path.endsWith('.d.ts') && !path.startsWith('dist/cjs/')));
      for (const name of declarations()) if (!used.has(`dist/${name}`)) rmSync(join(DIST, name));
      // A declaration belongs to a script of one kind: those of CommonJS are the same files in a folder of that kind.
      for (const path of reachable(['dist/index.d.ts'])) copyFileSync(join(ROOT, path), join(COMMON_JS, path.slice('dist/'.length)));
      writeFileSync(join(COMMON_JS, 'package.json'), '{ "type": "commonjs" }\n');
    });
    writeStamp('js', key);
  }

  const inlineKey = inputKey([...inputs, join(DIST, 'engine.wasm'), join(DIST, 'compiler.wasm')]);
  if (isFresh('inline', inlineKey, [INLINE])) return upToDate('dist/inline.js', 'up to date');
  removeStamp('inline');
  await task('JavaScript: inline.js', () => bundle('inlineOptions'));
  writeStamp('inline', inlineKey);
}

/** Builds everything, or only one of 'engine', 'compiler' and 'js'. The set-up has to have run. */
export function build({ fast = false, only } = {}) {
  return withLock('build', async () => {
    const names = Object.keys(MODULES).filter((name) => !only || only === MODULES[name].feature);
    // Side by side: the last steps of each use one processor core only.
    const results = await Promise.allSettled(names.map((name) => buildModule(name, fast)));
    for (const { reason } of results) if (reason) throw reason;
    if (names.includes('engine')) checkGlue();
    if (!only || only === 'js') await buildJavaScript();
    // Its hashes are those of what was built. Where parts were never built there is no page to keep.
    if (existsSync(join(DIST, 'compiler.wasm')) && existsSync(join(DIST, 'index.js')) && !writePrecache()) upToDate('www/precache.js', 'up to date');
  });
}

await main(import.meta.url, async () => {
  const args = process.argv.slice(2);
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined;
  if (args.includes('--only') && !['engine', 'compiler', 'js'].includes(only)) throw new Stop('--only takes engine, compiler or js');
  heading('Build');
  await setup(only === 'js' ? {} : FOR_BUILD);
  await build({ fast: args.includes('--fast'), only });
});
