// `npm test`: installs what is missing and runs every test. Goes on after a failure, and ends with a table and one line:
// `N passed, N failed`.
//
//   npm test -- --only rust,js      these stages, and those that they build on
//   npm test -- --verbose           everything the commands print
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { build } from './build.mjs';
import { runExamples, selectExamples } from './examples.mjs';
import { BROWSER_NAMES, browserEnvironment, findBrowser, webdriverCapabilities } from './lib/browsers.mjs';
import { measureBudgets } from './lib/budgets.mjs';
import { cargoCounts, cargoFailure, nodeCounts, outcome } from './lib/counts.mjs';
import { CACHE, CONFIG, ROOT } from './lib/paths.mjs';
import { VENV_PYTHON } from './lib/python.mjs';
import { formatBytes, formatSeconds, heading, print } from './lib/report.mjs';
import { CommandFailed, Stop, main, task } from './lib/run.mjs';
import { WASM_TARGET, rustEnvironment, toolchain } from './lib/rust.mjs';
import { TOOL_VERSIONS, atLeast, findCargoTool } from './lib/tools.mjs';
import { trySetup } from './setup.mjs';

const MINUTE = 60;
const ENGINE = ['--no-default-features', '--features', 'engine'];
const COMPILER = ['--no-default-features', '--features', 'compiler'];
const FOR_WASM = ['--target', WASM_TARGET];

/** The builds of the engine, with kernels of their own, which have to give the same bytes. */
const BUILDS = [
  { suffix: '', config: [] },
  // Joined to the flags of .cargo/config.toml.
  { suffix: ', relaxed SIMD', config: ['--config', `target.${WASM_TARGET}.rustflags=["-C", "target-feature=+relaxed-simd"]`] },
];

const filesIn = (folder, pattern) => {
  const path = join(ROOT, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => pattern.test(name)).sort().map((name) => join(folder, name)) : [];
};

/** Runs a check that passes or fails as a whole. */
async function check(result, title, work) {
  try {
    await task(title, work);
    result.passed += 1;
  } catch (error) {
    fail(result, error);
  }
}

/** Runs a command that runs tests; `count` reads from its output how many, `failure` which part of it to show. */
async function tests(result, title, command, args, { env, count, failure, minutes = 30 }) {
  try {
    await task(title, async ({ exec, note }) => {
      let output;
      let problem;
      try {
        output = await exec(command, args, { env, timeoutSeconds: minutes * MINUTE });
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        output = error.output;
        problem = error;
        problem.tail = failure(output);
      }
      const { passed, failed, skipped } = outcome(count(output), !problem);
      result.passed += passed;
      result.failed += failed;
      result.skipped += skipped;
      note([`${passed} passed`, failed && `${failed} failed`, skipped && `${skipped} skipped`].filter(Boolean).join(', '));
      if (problem) throw problem;
      if (failed) throw new Stop(`${title}: no test was run`);
    });
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    result.broken = true;
  }
}

/** Counts something that is no test, but has failed. */
function fail(result, error) {
  if (!(error instanceof Stop)) console.error(error);
  else if (!error.shown) print(`✗ ${error.message}`);
  result.failed += 1;
  result.broken = true;
}

const cargo = (args, env) => ['cargo', args, { env: rustEnvironment(env), count: cargoCounts, failure: cargoFailure }];
const nodeBin = (path) => join(ROOT, 'node_modules', path);

/** `1.96` of `1.96.0`. */
const minor = (version) => version.split('.', 2).join('.');

/** The test programs for WebAssembly that a feature has: tests/web_<feature>*.rs. */
function webTests(feature) {
  return filesIn('tests', new RegExp(`^web_${feature}.*\\.rs$`)).flatMap((path) => ['--test', path.slice('tests/'.length, -'.rs'.length)]);
}

/** Prepares the runner of the wasm tests. */
async function wasmTestEnvironment(extra) {
  const tools = await findCargoTool('wasm-bindgen-cli');
  if (!tools) throw new Stop('wasm-bindgen-test-runner is missing');
  return {
    // First on the PATH: wasm-pack looks there.
    PATH: [tools, rustEnvironment().PATH].join(delimiter),
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: join(tools, 'wasm-bindgen-test-runner'),
    WASM_BINDGEN_TEST_TIMEOUT: '600',
    WASM_BINDGEN_TEST_DRIVER_TIMEOUT: '60',
    ...extra,
  };
}

async function lint(result) {
  const env = rustEnvironment();
  // Every release of clippy warns of other things: only the pinned one's warnings are errors.
  const { version } = toolchain();
  const pinned = TOOL_VERSIONS.rust.install;
  const same = minor(version) === minor(pinned);
  const clippy = (title, args) => check(result, title, async ({ exec, note }) => {
    await exec('cargo', ['clippy', '--locked', ...args, ...(same ? ['--', '-D', 'warnings'] : [])], { env });
    if (!same) note(`warnings allowed, as this is Rust ${version} and not ${pinned}`);
  });
  await check(result, 'rustfmt', ({ exec }) => exec('cargo', ['fmt', '--all', '--check'], { env }));
  await clippy('clippy, native', ['--workspace', '--all-targets']);
  await clippy('clippy, engine for WebAssembly', [...FOR_WASM, ...ENGINE, '--all-targets']);
  await clippy('clippy, compiler for WebAssembly', [...FOR_WASM, ...COMPILER, '--lib']);
  const folders = ['js', 'scripts', 'tests', 'www', 'pkg-config', 'benches', 'examples'].filter((name) => existsSync(join(ROOT, name)));
  await check(result, 'eslint', ({ exec }) =>
    exec(process.execPath, [nodeBin('eslint/bin/eslint.js'), '--config', join(CONFIG, 'eslint.config.js'), '--max-warnings', '0', '--no-error-on-unmatched-pattern', ...folders]));
  for (const config of ['tsconfig.json', 'tsconfig.cli.json']) {
    await check(result, `tsc -p ${config}`, ({ exec }) => exec(process.execPath, [nodeBin('typescript/bin/tsc'), '-p', join(CONFIG, config), '--noEmit']));
  }
}

/** Writes the fixtures that are missing or out of date: what other implementations compute, for the tests to compare with. */
async function fixtures(result) {
  for (const script of filesIn('tests/fixtures', /^make_.*\.py$/)) {
    try {
      await task(relative('tests/fixtures', script), ({ exec }) => exec(VENV_PYTHON, [script], { timeoutSeconds: 20 * MINUTE }));
    } catch (error) {
      fail(result, error);
    }
  }
}

async function rust(result) {
  await tests(result, 'cargo test', ...cargo(['test', '--workspace', '--locked', '--no-fail-fast']));
}

async function wasm(result) {
  const env = await wasmTestEnvironment({ WASM_BINDGEN_TEST_ONLY_NODE: '1' });
  // Without the relaxed build: Node 20 has relaxed SIMD behind a flag only, and not without faults. Browsers run it.
  await tests(result, 'engine, in Node', ...cargo(['test', '--locked', '--no-fail-fast', ...FOR_WASM, ...ENGINE, '--lib', ...webTests('engine')], env));
  const compilerTests = webTests('compiler');
  if (compilerTests.length > 0) {
    await tests(result, 'compiler, in Node', ...cargo(['test', '--locked', '--no-fail-fast', ...FOR_WASM, ...COMPILER, ...compilerTests], env));
  }
}

/** `wasm-pack test --headless`: the engine's unit tests and tests/web_engine*.rs in a browser, of both builds. */
async function browser(result, name, flag, driverFlag) {
  const found = await findBrowser(name);
  const missing = [!found.binary && 'the browser', !found.driver && 'its WebDriver server'].filter(Boolean);
  if (missing.length > 0) throw new Stop(`${name}: ${missing.join(' and ')} is missing`);
  const capabilities = join(CACHE, `webdriver.${name}.json`);
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(capabilities, JSON.stringify(webdriverCapabilities(name, found), null, 2));
  const env = await wasmTestEnvironment({
    WASM_BINDGEN_TEST_WEBDRIVER_JSON: capabilities,
    // The unit tests do not name a place to run, so that they run everywhere.
    WASM_BINDGEN_USE_BROWSER: '1',
  });
  const packer = await findCargoTool('wasm-pack');
  if (!packer) throw new Stop('wasm-pack is missing');
  const options = { env: rustEnvironment(env), count: cargoCounts, failure: cargoFailure };
  for (const { suffix, config } of BUILDS) {
    const args = ['test', '--headless', flag, driverFlag, found.driver, '--mode', 'no-install', '.', '--locked', ...config, ...ENGINE, '--lib', ...webTests('engine')];
    await tests(result, `wasm-pack test --headless ${flag}${suffix}`, join(packer, 'wasm-pack'), args, options);
  }
}

async function buildAll(result) {
  try {
    await build();
  } catch (error) {
    fail(result, error);
  }
}

/** Each file in a process of its own; `serial` for tests that need the whole machine. */
async function nodeTests(result, folder, { serial, minutes }) {
  const files = filesIn(folder, /\.test\.mjs$/);
  if (files.length === 0) throw new Stop(`${folder} has no test`);
  const concurrency = serial && atLeast(process.versions.node, '20.10.0') ? ['--test-concurrency=1'] : [];
  const env = { ...process.env, ...(await browserEnvironment()), PYTHON: VENV_PYTHON };
  await tests(result, `node --test ${folder}`, process.execPath, ['--test', ...concurrency, '--test-reporter=spec', ...files], {
    env, count: nodeCounts, minutes, failure: (output) => output.split(/^✖ failing tests:$/m).at(-1).trim().split('\n').slice(0, 150).join('\n'),
  });
}

/** From the packed package; those that take long are left to `npm run test:examples`. */
async function examples(result) {
  const quick = selectExamples([]).filter(({ slow }) => !slow);
  await runExamples(quick, (title, work) => check(result, title, work));
}

async function budgets(result) {
  for (const { name, bytes, limit } of await measureBudgets()) {
    const good = bytes !== undefined && bytes <= limit;
    const size = bytes === undefined ? 'missing' : `${formatBytes(bytes)} compressed`;
    print(`${good ? '✓' : '✗'} dist/${name}: ${size}, limit ${formatBytes(limit)}`);
    if (good) result.passed += 1;
    else result.failed += 1;
  }
}

/** In the order they run: the quick ones that fail often first. `after` names stages that have to run before. */
const STAGES = [
  { name: 'lint', title: 'Lint', needs: { cargoTools: [], lints: true }, run: lint },
  { name: 'fixtures', title: 'Fixtures', needs: { python: true }, run: fixtures },
  { name: 'rust', title: 'Rust, native', needs: { cargoTools: [] }, after: ['fixtures'], run: rust },
  { name: 'wasm', title: 'WebAssembly in Node', needs: { cargoTools: ['wasm-bindgen-cli'] }, run: wasm },
  {
    name: 'chromium',
    title: 'WebAssembly in Chromium',
    needs: { cargoTools: ['wasm-bindgen-cli', 'wasm-pack'], browsers: ['chromium'] },
    run: (result) => browser(result, 'chromium', '--chrome', '--chromedriver'),
  },
  {
    name: 'firefox',
    title: 'WebAssembly in Firefox',
    needs: { cargoTools: ['wasm-bindgen-cli', 'wasm-pack', 'geckodriver'], browsers: ['firefox'] },
    run: (result) => browser(result, 'firefox', '--firefox', '--geckodriver'),
  },
  { name: 'build', title: 'Build', needs: { cargoTools: ['wasm-bindgen-cli'] }, run: buildAll },
  { name: 'js', title: 'JavaScript', needs: {}, after: ['build', 'fixtures'], run: (result) => nodeTests(result, 'tests/js', { minutes: 20 }) },
  {
    name: 'e2e',
    title: 'End to end in browsers',
    needs: { cargoTools: ['geckodriver'], browsers: BROWSER_NAMES, python: true },
    after: ['build', 'fixtures'],
    useless: ['build'],
    run: (result) => nodeTests(result, 'tests/e2e', { serial: true, minutes: 40 }),
  },
  {
    name: 'examples',
    title: 'Examples, from the packed package',
    needs: { browsers: ['chromium'] },
    after: ['build', 'fixtures'],
    useless: ['build'],
    run: examples,
  },
  { name: 'budgets', title: 'Size budgets', needs: {}, after: ['build'], useless: ['build'], run: budgets },
];

/** The stages that `--only` asks for and those before them; all without it. */
export function selectStages(names) {
  if (!names) return STAGES;
  const selected = new Set();
  const add = (name) => {
    const stage = STAGES.find((candidate) => candidate.name === name);
    if (!stage) throw new Stop(`there is no stage '${name}'; there are ${STAGES.map((candidate) => candidate.name).join(', ')}`);
    selected.add(name);
    stage.after?.forEach(add);
  };
  names.forEach(add);
  return STAGES.filter(({ name }) => selected.has(name));
}

function combineNeeds(stages) {
  const union = (key) => [...new Set(stages.flatMap(({ needs }) => needs[key] ?? []))];
  const some = (key) => stages.some(({ needs }) => needs[key]);
  return {
    ...(some('cargoTools') ? { cargoTools: union('cargoTools') } : {}),
    lints: some('lints'),
    python: some('python'),
    browsers: union('browsers'),
  };
}

async function runStage(title, run) {
  const started = performance.now();
  const result = { title, passed: 0, failed: 0, skipped: 0, broken: false };
  print();
  heading(title);
  try {
    await run(result);
  } catch (error) {
    fail(result, error);
  }
  return { ...result, seconds: (performance.now() - started) / 1000 };
}

function printTable(results) {
  const rows = [['', 'passed', 'failed', 'skipped', 'time'], ...results.map(({ title, passed, failed, skipped, seconds, note }) =>
    note ? [title, note] : [title, String(passed), String(failed), String(skipped), formatSeconds(seconds)])];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.filter(({ length }) => length === 5).map((row) => row[column].length)));
  const first = Math.max(...rows.map(([title]) => title.length));
  print();
  for (const [title, ...cells] of rows) {
    const text = cells.length === 4 ? cells.map((cell, i) => cell.padStart(widths[i + 1])).join('  ') : cells[0];
    print(`${title.padEnd(first)}  ${text}`.trimEnd());
  }
}

await main(import.meta.url, async () => {
  const { argv } = process;
  const stages = selectStages(argv.includes('--only') ? (argv[argv.indexOf('--only') + 1] ?? '').split(',') : undefined);
  const results = [await runStage('Set-up', async (result) => {
    for (const error of await trySetup(combineNeeds(stages))) {
      fail(result, error);
      result.fatal ||= error.fatal;
    }
  })];
  const broken = new Set();
  for (const { name, title, run, useless = [] } of stages) {
    const reason = results[0].fatal ? 'the set-up' : useless.find((before) => broken.has(before));
    if (reason) {
      results.push({ title, passed: 0, failed: 1, skipped: 0, seconds: 0, note: `not run, because ${reason} failed` });
      continue;
    }
    const result = await runStage(title, run);
    if (result.broken) broken.add(name);
    results.push(result);
  }
  printTable(results);
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  if (sum('skipped') > 0) print(`\n${sum('skipped')} skipped: each says why in its log, .cache/logs`);
  print();
  if (sum('failed') > 0) process.exitCode = 1;
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
});
