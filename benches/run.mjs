// `npm run bench`: this package and others, side by side in one browser. See README.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { chromium } from 'playwright-core';
import { findBrowser, webdriverCapabilities } from '../scripts/lib/browsers.mjs';
import { CACHE } from '../scripts/lib/paths.mjs';
import { VENV_PYTHON } from '../scripts/lib/python.mjs';
import { heading, print } from '../scripts/lib/report.mjs';
import { Stop, main, task } from '../scripts/lib/run.mjs';
import { parsePort, serve } from '../scripts/serve.mjs';
import { setup } from '../scripts/setup.mjs';
import { digest } from './lib/answers.mjs';
import { compare, countRight } from './lib/compare.mjs';
import { describeEnvironment, watchProcessors } from './lib/environment.mjs';
import { foldersFor, readersOf, selectModels } from './lib/models.mjs';
import { hasNative, measureNative, nativeFigures } from './lib/native.mjs';
import { TURN, USAGE, readOptions } from './lib/options.mjs';
import { makePageData, PAGE_FOLDER } from './lib/page-data.mjs';
import { loadPeers, pagePeers, usualPeers } from './lib/peers.mjs';
import { environmentLines, sizeTable, speedTable } from './lib/report.mjs';
import { checkUnchanged, measureSizes, waitUntilCompressed } from './lib/sizes.mjs';
import { pairedRatio, summarise } from './lib/statistics.mjs';

/** More than the bench itself needs: one library works at a time, and the browser does a little beside it. */
const BUSY_CORES_LIMIT = 1.3;

async function makeFixtures() {
  await setup({ python: true });
  await task('Model fixtures', ({ exec }) => exec(VENV_PYTHON, ['tests/fixtures/make_models.py']));
  await task('Models of the bench', ({ exec }) => exec(VENV_PYTHON, ['benches/nets/make_nets.py']));
}

/** A browser of the bench's own: playwright's flags, and those of the tests. None changes how wasm is compiled. */
async function launch() {
  const found = await findBrowser('chromium');
  if (!found.binary) throw new Stop("Chromium is missing; 'npm run setup' installs it, or set CHROME_BIN");
  const { args } = webdriverCapabilities('chromium', found)['goog:chromeOptions'];
  return chromium.launch({ executablePath: found.binary, args: args.filter((arg) => !arg.startsWith('--headless')) });
}

/** Opens the bench's page in a browser context of its own: its process has compiled nothing yet, its cache is empty. */
async function withPage(browser, url, isolated, work) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${url}benches/page/`);
    await page.waitForFunction(() => globalThis.bench);
    if ((await page.evaluate(() => globalThis.bench.isolated)) !== isolated) {
      throw new Stop(`the page is ${isolated ? 'not ' : ''}cross-origin isolated`);
    }
    return await work(page);
  } finally {
    await context.close();
  }
}

const runPass = (browser, url, isolated, job) => withPage(browser, url, isolated, (page) => page.evaluate((value) => globalThis.bench.pass(value), job));

/** What the page's bench.pass is asked to do with one model, by libraries that can read it. */
function makeJob({ url }, peers, model, more) {
  const { files, inputName, outputName, tfliteInput, photos } = model;
  return {
    peers: peers.map(({ name, path, folder, worker, format }) => ({
      name,
      url: `${url}${path}`,
      base: `${url}${folder}/`,
      worker,
      model: { url: `${url}${files[format]}`, inputName, outputName, tfliteInput },
    })),
    input: `${url}${photos[0].input}`,
    inputs: [],
    rounds: 0,
    turn: TURN,
    warmUp: { runs: 0, milliseconds: 0 },
    ...more,
  };
}

/** Opens one model in each library without measuring: shows what is downloaded, and has it compressed before anything is timed. */
async function rehearse(browser, server, peers, models, isolated) {
  const sizes = [];
  for (const peer of peers) {
    const model = models.find((candidate) => readersOf(candidate, peers).includes(peer));
    if (!model) throw new Stop(`${peer.name} can read none of the models`);
    const { [peer.name]: result } = await runPass(browser, server.url, isolated, makeJob(server, [peer], model));
    const { error, downloads, about } = result;
    if (error !== undefined && downloads === undefined) throw new Stop(`${peer.name} does not work at all: ${error}`);
    if (downloads.length === 0) throw new Stop(`${peer.name} has downloaded nothing from ${peer.folder}`);
    sizes.push({ name: peer.name, version: peer.version, about, ...(await measureSizes(peer, downloads)) });
    for (const name of downloads) await waitUntilCompressed(`${server.url}${peer.folder}/${name}`);
  }
  return sizes;
}

/** All passes over all models, as { [model]: { [library]: results of its passes } }; libraries that can read it only. */
async function measure(browser, server, peers, models, options, note) {
  const found = Object.fromEntries(models.map((model) => [model.name, Object.fromEntries(readersOf(model, peers).map((peer) => [peer.name, []]))]));
  for (let pass = 0; pass < options.passes; pass += 1) {
    for (const model of models) {
      const readers = readersOf(model, peers);
      // Who comes first changes.
      const order = pass % 2 ? readers.reverse() : readers;
      note(`pass ${pass + 1} of ${options.passes}, ${model.title}`);
      const photos = model.photos.slice(0, options.photos);
      const { rounds, warmUp } = options;
      const inputs = pass === 0 ? photos.map(({ input }) => `${server.url}${input}`) : [];
      const results = await runPass(browser, server.url, options.isolated, makeJob(server, order, model, { inputs, rounds, warmUp }));
      for (const [name, list] of Object.entries(found[model.name])) list.push(results[name]);
    }
  }
  return found;
}

/** The figures of one model from the results of its passes, and of native onnxruntime where it was run. */
function evaluate(model, peers, results, { photos: limit }, native) {
  const photos = model.photos.slice(0, limit);
  const [ours, ...others] = readersOf(model, peers);
  const rounds = ({ name }) => results[name].flatMap((pass) => pass.rounds);
  const works = ({ name }) => results[name].every(({ error }) => error === undefined);
  const [ourScores] = results[ours.name].map(({ scores }) => scores);
  const figures = (peer) => {
    const { name } = peer;
    const passes = results[name];
    const failed = passes.find(({ error }) => error !== undefined);
    if (failed) return { name, error: failed.error };
    const { scores } = passes[0];
    return {
      name,
      load: summarise(passes.map(({ load }) => load)),
      create: summarise(passes.map(({ create }) => create)),
      first: summarise(passes.map(({ first }) => first)),
      run: summarise(rounds(peer).flat()),
      right: countRight(scores, photos),
      scores: digest(scores),
      rounds: rounds(peer),
    };
  };
  /** Beside ours; the answers only where both run the same net. */
  const compared = (peer) => {
    const result = figures(peer);
    if (result.error !== undefined || !works(ours)) return result;
    const sameFile = peer.format === ours.format;
    const comparable = sameFile || model.sameNumbers;
    const answers = comparable ? compare(ourScores, results[peer.name][0].scores, model.quantum, { rounding: !sameFile }) : undefined;
    return { ...result, ratio: pairedRatio(rounds(ours), rounds(peer)), answers };
  };
  const libraries = [figures(ours), ...others.map(compared)];
  if (native) libraries.push(nativeFigures(native, works(ours) ? rounds(ours).flat() : undefined));
  const { name, title, net, format, files, spread, quantum } = model;
  return { name, title, net, format, files, spread, quantum, photos: photos.length, libraries };
}

function save(path, report) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
  print(`Figures: ${relative(process.cwd(), path)}`);
}

/** Serves www/bench.html, which measures in whatever browser opens it, until the script is told to stop. */
async function servePage(options) {
  const peers = await task('Libraries', () => loadPeers(options.peers ?? pagePeers()));
  await makeFixtures();
  makePageData(peers, selectModels(options.models));
  const { PORT, HOST: host } = process.env;
  const folders = ['www', PAGE_FOLDER, ...foldersFor(peers)];
  const { url } = await serve({ port: parsePort(PORT), folders, isolated: options.isolated, ...(host ? { host } : {}) });
  print();
  heading(`The benchmark page is at ${url}www/bench.html`);
  print('Ctrl+C stops it.');
}

await main(import.meta.url, async () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  heading('Bench');
  if (options.page) return servePage(options);
  const wanted = await task('Libraries', () => loadPeers(options.peers ?? usualPeers()));
  await makeFixtures();
  const chosen = selectModels(options.models);
  // Of the usual ones those that can read none of the models are left out; those that were asked for have to.
  const peers = options.peers ? wanted : wanted.filter(({ format }) => chosen.some(({ files }) => files[format] !== undefined));
  const models = chosen.filter((model) => readersOf(model, peers).length > 0);

  const server = await serve({ port: 0, folders: foldersFor(peers), isolated: options.isolated });
  const browser = await launch();
  let report;
  try {
    const sizes = await task('Rehearsal', () => rehearse(browser, server, peers, models, options.isolated));
    const environment = await describeEnvironment(browser);
    environment.relaxedDot = await withPage(browser, server.url, options.isolated, (page) => page.evaluate(() => globalThis.bench.relaxedDot));
    const busyCores = watchProcessors();
    const results = await task(models.length === 1 ? models[0].title : `${models.length} models`, ({ note }) => measure(browser, server, peers, models, options, note), { log: 'bench' });
    environment.busyCores = busyCores();
    for (const [i, peer] of peers.entries()) await checkUnchanged(peer, sizes[i]);
    await browser.close();
    // The same file once is enough.
    const distinct = models.filter((model) => model.files.onnx && model.sameNumbers);
    const nativeBusyCores = watchProcessors();
    const native = options.native && (await hasNative()) ? await task('Native onnxruntime', ({ exec }) => measureNative(exec, distinct, options)) : undefined;
    // Not in turns with the others: what disturbs it disturbs its ratio, too.
    environment.native = native && { version: native.version, busyCores: nativeBusyCores() };
    report = {
      environment,
      options: { ...options, models: options.models?.source },
      sizes,
      models: models.map((model) => evaluate(model, peers, results[model.name], options, native?.models[model.name])),
    };
  } finally {
    await browser.close();
    await server.close();
  }

  const { environment, sizes } = report;
  print();
  print(speedTable(report.models));
  print('Milliseconds, one thread. create: from nothing to a session · ours/theirs: below 1, ours is faster · right: labelled photos · gap: of scores, share of their range');
  print();
  print(sizeTable(sizes));
  print();
  print(environmentLines(environment, options));
  if (environment.busyCores > BUSY_CORES_LIMIT) print('! Other programs were at work: the times are too long, and not to be quoted.');
  if (environment.native?.busyCores > BUSY_CORES_LIMIT) print('! Also during native onnxruntime: neither its times nor its ratios are to be quoted.');
  if (options.quick) print('! --quick: not to be quoted.');
  save(options.json ?? join(CACHE, 'bench', `${environment.date.replace(/[:.]/g, '-')}.json`), report);

  const all = report.models.flatMap(({ libraries }) => libraries);
  const problems = [
    [all.filter(({ error }) => error !== undefined).length, 'did not run'],
    [all.filter(({ answers }) => answers?.agree === false).length, 'gave other answers than ours'],
  ].filter(([count]) => count > 0);
  if (problems.length > 0) throw new Stop(problems.map(([count, what]) => `${count} of ${all.length} ${what}`).join(', '));
});
