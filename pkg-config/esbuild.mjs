// How the TypeScript in js/ becomes dist/*.js. scripts/build.mjs and tests/js/lib/bundle.mjs both call this, so that the
// tests run what is published.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { shrinkGlue } from './glue.mjs';

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

/** What wasm-bindgen has written, made smaller; the tests have glue of another make. */
const wasmBindgen = {
  name: 'wasm-bindgen',
  setup(build) {
    build.onLoad({ filter: /\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      return { contents: text.includes('__wbg_get_imports') ? shrinkGlue(text) : text };
    });
  },
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
          format: 'esm',
          target: 'es2022',
          write: false,
          plugins: [wasmBindgen],
        });
        // But for its exports, which come last, it can stand inside a function.
        const contents = outputFiles[0].text.replace(/^export \{([^}]*)\};\s*$/m, (_, list) => `return {${list.replace(/(\w+) as (\w+)/g, '$2: $1')}};`);
        return { contents: `export default function () {\n${contents}\n}`, watchFiles: [file] };
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
 * What index.js imports lies in one file: it is a quarter smaller, compressed, than many. esbuild makes a file of whatever
 * the same files need; so what is loaded later has to need all of it.
 */
const oneChunk = {
  name: 'one-chunk',
  setup(build) {
    const folder = resolve(root, 'js');
    const sources = readdirSync(folder).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(resolve(folder, name), 'utf8'));
    const later = new Set(sources.flatMap((text) => [...text.matchAll(/\bimport\('\.\/([\w-]+)\.js'\)/g)].map(([, name]) => name)));
    build.onLoad({ filter: /\.ts$/ }, ({ path }) =>
      (dirname(path) === folder && later.has(basename(path, '.ts')) ? { contents: `${readFileSync(path, 'utf8')}\nimport './index.js';`, loader: 'ts' } : undefined));
  },
};

/** Tells bundlers to leave an `import()` of a computed address alone. Minified, the script has no comments. */
const ownImports = {
  name: 'own-imports',
  setup(build) {
    const { write = true } = build.initialOptions;
    build.initialOptions.write = false;
    build.onEnd(({ outputFiles = [] }) => {
      for (const file of outputFiles) {
        const text = file.text.replace(/\bimport\((?=\w)/g, 'import(/*webpackIgnore:true*//*turbopackIgnore:true*//*@vite-ignore*/');
        file.contents = Buffer.from(text);
        if (!write) continue;
        mkdirSync(dirname(file.path), { recursive: true });
        writeFileSync(file.path, file.contents);
      }
    });
  },
};

/** index.js imports runtime.js as it is, see `runtimeOptions`; what js/load-more.ts has for runtimes is left out. */
const runtimeApart = {
  name: 'runtime-apart',
  setup(build) {
    build.onResolve({ filter: /^\.\/(runtime|more|explaining)\.js$/ }, ({ path }) => ({ path, external: true }));
  },
};

/** What all builds of the package have in common. */
function common(esbuild, { outdir = resolve(root, 'dist'), glue = defaultGlue } = {}) {
  return {
    absWorkingDir: root,
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
    define: { INLINE: 'false', WORKER: 'false' },
    plugins: [gluePlugin(glue, esbuild), embeddedPlugin()],
    logLevel: 'warning',
  };
}

/**
 * The options for what pages import.
 *
 * @param esbuild the esbuild module
 * @param options.outdir where the files go (default dist/)
 * @param options.glue paths of the wasm glue, for tests
 */
export function esbuildOptions(esbuild, options) {
  const base = common(esbuild, options);
  return { ...base, entryPoints: ['js/index.ts', 'js/ort.ts'], ignoreAnnotations: true, plugins: [publicInterface, runtimeApart, oneChunk, ...base.plugins] };
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
 * The options for the runtime of the calling thread. It is a build of its own, and so is the worker: what it had in common
 * with index.js would become files that pages with a worker load as well, a few lines of each used.
 */
export function runtimeOptions(esbuild, options) {
  return { ...common(esbuild, options), entryPoints: ['js/runtime.ts'] };
}

/**
 * The options for the worker: one file, without an `import()` that bundlers see (js/load-more.ts). They make a classic script
 * of it, in which some (Vite up to 7, by default) take none; and those that only copy files copy it as it is.
 */
export function workerOptions(esbuild, options) {
  const base = common(esbuild, options);
  return { ...base, entryPoints: ['js/worker.ts'], splitting: false, define: { ...base.define, WORKER: 'true' }, plugins: [...base.plugins, ownImports] };
}

/** The options for what the worker loads when it is needed: files of their own for the same reason. */
export function workerMoreOptions(esbuild, options) {
  return { ...common(esbuild, options), entryPoints: ['js/worker-more.ts', 'js/worker-errors.ts'], splitting: false };
}

/** What is one file, with no other beside it that bundlers would look for. */
const alone = { splitting: false, define: { INLINE: 'true', WORKER: 'false', 'import.meta.url': '"tractlet:inline"' } };

/**
 * The options for `tractlet/inline`: one file with the worker, the engine and the compiler in it.
 *
 * @param esbuild the esbuild module
 * @param options.outdir where the file goes and where the WebAssembly modules are (default dist/)
 * @param options.glue paths of the wasm glue, for tests
 */
export function inlineOptions(esbuild, { outdir = resolve(root, 'dist'), glue = defaultGlue } = {}) {
  const base = { ...common(esbuild, { outdir, glue }), ...alone };
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
    ...common(esbuild, { outdir, glue }),
    entryPoints: ['js/index.ts'],
    format: 'cjs',
    splitting: false,
    define: { INLINE: 'false', WORKER: 'false', 'import.meta.url': 'moduleUrl' },
    banner: { js: 'const moduleUrl = new URL("../index.js", require("node:url").pathToFileURL(__filename)).href;' },
  };
}
