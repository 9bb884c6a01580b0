// How the TypeScript in js/ becomes dist/*.js. scripts/build.mjs and tests/js/lib/bundle.mjs both call this, so that the
// tests run what is published.

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Where wasm-bindgen (`--target web --omit-default-module-path`) leaves the glue of the wasm modules. */
const defaultGlue = {
  // That of the builds with threads serves all: scripts/build.mjs checks it.
  engine: resolve(root, '.cache/wasm/engine-threads/engine.js'),
  compiler: resolve(root, '.cache/wasm/compiler/compiler.js'),
};

/** The exports of the glue that js/ uses; what else it exports is left out of the bundle. */
const glueExports = {
  engine: ['default', 'version', 'EngineSession', 'preprocess', 'classify', 'classifySmoothed', 'setThreads', 'help', 'helperFailed'],
  compiler: ['default', 'CompiledModel'],
};

/**
 * Makes `#engine` and `#compiler` importable, each as a factory of fresh copies of its glue.
 *
 * wasm-bindgen's glue keeps its instance in module variables, so a page gets one instance per module. Wrapped in a
 * function, every session has its own: a trap takes down one session only, and releasing a session gives its
 * memory back.
 */
function gluePlugin(glue, esbuild) {
  return {
    name: 'wasm-glue',
    setup(build) {
      build.onResolve({ filter: /^#(engine|compiler)$/ }, ({ path }) => ({ path: path.slice(1), namespace: 'wasm-glue' }));
      build.onLoad({ filter: /.*/, namespace: 'wasm-glue' }, async ({ path: name }) => {
        const file = glue[name];
        const names = glueExports[name].map((key) => (key === 'default' ? 'default as init' : key));
        const { outputFiles } = await esbuild.build({
          stdin: { contents: `export { ${names.join(', ')} } from ${JSON.stringify(file)};`, resolveDir: root },
          bundle: true,
          format: 'cjs',
          target: 'es2022',
          write: false,
        });
        // CommonJS output is plain statements that assign to `module.exports`: it can stand inside a function.
        const contents = `export default function () { const module = {};\n${outputFiles[0].text}\nreturn module.exports; }`;
        return { contents, watchFiles: [file] };
      });
    },
  };
}

/** Makes `#embedded/*` importable: the files that `tractlet/inline` carries, as js/embedded.ts wants them. */
function embeddedPlugin(textOf = () => '') {
  return {
    name: 'embedded',
    setup(build) {
      build.onResolve({ filter: /^#embedded\// }, ({ path }) => ({ path: path.slice('#embedded/'.length), namespace: 'embedded', sideEffects: false }));
      build.onLoad({ filter: /.*/, namespace: 'embedded' }, async ({ path }) => ({ contents: await textOf(path), loader: 'text' }));
    },
  };
}

/**
 * `tractlet/ort` is written against the package's public interface, and imports index.js as it is: what it shared with
 * index.js otherwise would become a file of its own, for which those would pay who never load ort.js.
 */
const publicInterface = {
  name: 'public-interface',
  setup(build) {
    build.onResolve({ filter: /^\.\.\/index\.js$/ }, ({ path, importer }) => (dirname(importer) === resolve(root, 'js/ort') ? { path: path.slice(1), external: true } : undefined));
  },
};

/**
 * The options for `esbuild.build`.
 *
 * @param esbuild the esbuild module
 * @param options.outdir where the files go (default dist/)
 * @param options.glue paths of the wasm glue, for tests
 */
export function esbuildOptions(esbuild, { outdir = resolve(root, 'dist'), glue = defaultGlue } = {}) {
  return {
    absWorkingDir: root,
    entryPoints: ['js/index.ts', 'js/ort.ts', 'js/runtime.ts'],
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    minify: true,
    charset: 'utf8',
    legalComments: 'none',
    // What two files share, and what is only loaded when it is needed, gets a file of its own.
    splitting: true,
    chunkNames: '[name]-[hash]',
    define: { INLINE: 'false' },
    plugins: [publicInterface, gluePlugin(glue, esbuild), embeddedPlugin()],
    logLevel: 'warning',
  };
}

/** Packages that are part of the command; their licences go into dist/cli-licenses.txt. */
export const CLI_PACKAGES = [
  // Its decoder is someone else's work, and says so at its start.
  { name: 'jpeg-js', files: [{ file: 'LICENSE', part: /[^]*/ }, { file: 'lib/decoder.js', part: /Copyright 2011[^]*?(?=\*\/)/ }] },
  { name: 'pngjs', files: [{ file: 'LICENSE', part: /[^]*/ }] },
];

/** The options for the command line's build. It uses the package as everybody does: dist/index.js stays outside. */
export function cliOptions(_esbuild, { outfile = resolve(root, 'dist/cli.js') } = {}) {
  return {
    absWorkingDir: root,
    entryPoints: ['js/cli/main.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    minify: true,
    charset: 'utf8',
    legalComments: 'none',
    banner: {
      // The decoders are CommonJS and ask for modules of Node.
      js: "#!/usr/bin/env node\nimport { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
    },
    plugins: [{
      name: 'package',
      setup(build) {
        build.onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: './index.js', external: true }));
      },
    }],
    logLevel: 'warning',
  };
}

/**
 * The options for the worker: one file, without `import()`. Bundlers make a classic script of it, in which some (Vite up to
 * 7, by default) take no `import()`; and those that only copy files copy this one alone.
 */
export function workerOptions(esbuild, options) {
  return { ...esbuildOptions(esbuild, options), entryPoints: ['js/worker.ts'], splitting: false };
}

/** What is one file, with no other beside it that bundlers would look for. */
const alone = { splitting: false, define: { INLINE: 'true', 'import.meta.url': '"tractlet:inline"' } };

/**
 * The options for `tractlet/inline`: one file with the worker, the engine and the compiler in it.
 *
 * @param esbuild the esbuild module
 * @param options.outdir where the file goes and where the WebAssembly modules are (default dist/)
 * @param options.glue paths of the wasm glue, for tests
 */
export function inlineOptions(esbuild, { outdir = resolve(root, 'dist'), glue = defaultGlue } = {}) {
  const base = { ...esbuildOptions(esbuild, { outdir, glue }), ...alone };
  const textOf = async (name) => {
    if (name.endsWith('.wasm')) return gzipSync(readFileSync(resolve(outdir, name)), { level: 9 }).toString('base64');
    const { outputFiles } = await esbuild.build({ ...base, entryPoints: ['js/worker.ts'], format: 'iife', write: false });
    return outputFiles[0].text;
  };
  return { ...base, entryPoints: ['js/inline.ts'], plugins: [gluePlugin(glue, esbuild), embeddedPlugin(textOf)] };
}

/**
 * The options for `require('tractlet')` in Node, where older versions cannot require ES modules, nor can test runners.
 * The other files are those of the ES modules, one folder up.
 *
 * @param esbuild the esbuild module
 * @param options.outdir where the file goes (default dist/cjs/)
 * @param options.glue paths of the wasm glue, for tests
 */
export function commonJsOptions(esbuild, { outdir = resolve(root, 'dist/cjs'), glue = defaultGlue } = {}) {
  return {
    ...esbuildOptions(esbuild, { outdir, glue }),
    entryPoints: ['js/index.ts'],
    format: 'cjs',
    splitting: false,
    define: { INLINE: 'false', 'import.meta.url': 'moduleUrl' },
    banner: { js: 'const moduleUrl = new URL("../index.js", require("node:url").pathToFileURL(__filename)).href;' },
  };
}
