// How the TypeScript in js/ becomes dist/*.js. scripts/build.mjs and tests/js/lib/bundle.mjs both call this, so that the
// tests run what is published.

import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Where wasm-bindgen (`--target web --omit-default-module-path`) leaves the glue of the wasm modules. */
const defaultGlue = {
  engine: resolve(root, '.cache/wasm/engine/engine.js'),
  'engine-threads': resolve(root, '.cache/wasm/engine-threads/engine-threads.js'),
  compiler: resolve(root, '.cache/wasm/compiler/compiler.js'),
};

/** The exports of the glue that js/ uses; what else it exports is left out of the bundle. */
const glueExports = {
  engine: ['default', 'version', 'EngineSession', 'preprocess', 'classify'],
  'engine-threads': ['default', 'version', 'EngineSession', 'preprocess', 'classify', 'setThreads', 'help', 'helperFailed'],
  compiler: ['default', 'CompiledModel'],
};

/**
 * Makes `#engine`, `#engine-threads` and `#compiler` importable, each as a factory of fresh copies of its glue.
 *
 * wasm-bindgen's glue keeps its instance in module variables, so a page gets one instance per module. Wrapped in a
 * function, every session has its own: a trap takes down one session only, and releasing a session gives its
 * memory back.
 */
function gluePlugin(glue, esbuild) {
  return {
    name: 'wasm-glue',
    setup(build) {
      build.onResolve({ filter: /^#(engine|engine-threads|compiler)$/ }, ({ path }) => ({ path: path.slice(1), namespace: 'wasm-glue' }));
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
    entryPoints: ['js/index.ts', 'js/runtime.ts', 'js/worker.ts'],
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
    plugins: [gluePlugin(glue, esbuild)],
    logLevel: 'warning',
  };
}
