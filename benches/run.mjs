// `npm run bench`: this package and others, side by side in one browser. See README.md.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { findBrowser, webdriverCapabilities } from '../scripts/lib/browsers.mjs';
import { CACHE, ROOT } from '../scripts/lib/paths.mjs';
import { VENV_PYTHON } from '../scripts/lib/python.mjs';
import { heading, print } from '../scripts/lib/report.mjs';
import { Stop, main, task } from '../scripts/lib/run.mjs';
import { serve } from '../scripts/serve.mjs';
import { setup } from '../scripts/setup.mjs';
import { compare, countRight } from './lib/answers.mjs';
import { describeEnvironment, watchProcessors } from './lib/environment.mjs';
import { foldersFor, packageVersion, selectModels } from './lib/models.mjs';
import { RUNS_PER_TURN, USAGE, readOptions } from './lib/options.mjs';
import { environmentLines, sizeTable, speedTable } from './lib/report.mjs';
import { checkUnchanged, measureSizes, waitUntilCompressed } from './lib/sizes.mjs';
import { pairedRatio, summarise } from './lib/statistics.mjs';

/** More than the bench itself needs: one library works at a time, and the browser does a little beside it. */
const BUSY_CORES_LIMIT = 1.3;

async function loadPeers(names) {
  const peers = [];
  for (const name of names) {
    const path = `benches/peers/${name}.mjs`;
    if (!/^[\w.-]+$/.test(name) || !existsSync(join(ROOT, path))) throw new Stop(`there is no library '${name}' in benches/peers`);
    const peer = await import(pathToFileURL(join(ROOT, path)));
    if (!existsSync(join(ROOT, peer.folder))) throw new Stop(`${peer.folder} does not exist; 'npm run build' makes dist, 'npm ci' node_modules`);
    peers.push({ ...peer, path, version: packageVersion(peer.packageFile) });
  }
  return peers;
}

async function makeFixtures() {
  await setup({ python: true });
  await task('Model fixtures', ({ exec }) => exec(VENV_PYTHON, ['tests/fixtures/make_models.py']));
}

/** A browser of the bench's own: playwright's flags, and those of the tests. None changes how wasm is compiled. */
async function launch() {
  const found = await findBrowser('chromium');
  if (!found.binary) throw new Stop("Chromium is missing; 'npm run setup' installs it, or set CHROME_BIN");
  const { args } = webdriverCapabilities('chromium', found)['goog:chromeOptions'];
  return chromium.launch({ executablePath: found.binary, args: args.filter((arg) => !arg.startsWith('--headless')) });
}

/** One pass in a browser context of its own: its process has compiled nothing yet, its cache is empty. */
async function runPass(browser, url, isolated, job) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${url}benches/page/`);
    await page.waitForFunction(() => globalThis.bench);
    if ((await page.evaluate(() => globalThis.bench.isolated)) !== isolated) {
      throw new Stop(`the page is ${isolated ? 'not ' : ''}cross-origin isolated`);
    }
    return await page.evaluate((value) => globalThis.bench.pass(value), job);
  } finally {
    await context.close();
  }
}

function makeJob({ url }, peers, model, photos, more) {
  return {
    peers: peers.map(({ name, path, folder }) => ({ name, url: `${url}${path}`, base: `${url}${folder}/` })),
    model: { url: `${url}${model.file}`, inputName: model.inputName, outputName: model.outputName },
    input: `${url}${photos[0].input}`,
    inputs: [],
    rounds: 0,
    runs: RUNS_PER_TURN,
    warmUp: { runs: 0, milliseconds: 0 },
    ...more,
  };
}

/** Opens one model without measuring: shows what is downloaded, and has it compressed before anything is timed. */
async function rehearse(browser, server, peers, model, isolated) {
  const results = await runPass(browser, server.url, isolated, makeJob(server, peers, model, model.photos));
  const sizes = [];
  for (const peer of peers) {
    const { error, downloads, about } = results[peer.name];
    if (error !== undefined && downloads === undefined) throw new Stop(`${peer.name} does not work at all: ${error}`);
    if (downloads.length === 0) throw new Stop(`${peer.name} has downloaded nothing from ${peer.folder}`);
    sizes.push({ name: peer.name, version: peer.version, about, ...(await measureSizes(peer, downloads)) });
    for (const name of downloads) await waitUntilCompressed(`${server.url}${peer.folder}/${name}`);
  }
  return sizes;
}

/** All passes over all models, as { [model]: { [library]: results of its passes } }. */
async function measure(browser, server, peers, models, options, note) {
  const found = Object.fromEntries(models.map(({ name }) => [name, Object.fromEntries(peers.map((peer) => [peer.name, []]))]));
  for (let pass = 0; pass < options.passes; pass += 1) {
    // Who comes first changes.
    const order = pass % 2 ? [...peers].reverse() : peers;
    for (const model of models) {
      note(`pass ${pass + 1} of ${options.passes}, ${model.title}`);
      const photos = model.photos.slice(0, options.photos);
      const { rounds, warmUp } = options;
      const inputs = pass === 0 ? photos.map(({ input }) => `${server.url}${input}`) : [];
      const results = await runPass(browser, server.url, options.isolated, makeJob(server, order, model, photos, { inputs, rounds, warmUp }));
      for (const { name } of peers) found[model.name][name].push(results[name]);
    }
  }
  return found;
}

/** The figures of one model from the results of its passes. */
function evaluate(model, peers, results, { photos: limit }) {
  const photos = model.photos.slice(0, limit);
  const [ours] = peers;
  const rounds = (name) => results[name].flatMap((pass) => pass.rounds);
  const works = (name) => results[name].every(({ error }) => error === undefined);
  const libraries = peers.map(({ name }) => {
    const passes = results[name];
    const failed = passes.find(({ error }) => error !== undefined);
    if (failed) return { name, error: failed.error };
    const compared = name !== ours.name && works(ours.name);
    const { scores } = passes[0];
    return {
      name,
      load: summarise(passes.map(({ load }) => load)),
      create: summarise(passes.map(({ create }) => create)),
      first: summarise(passes.map(({ first }) => first)),
      run: summarise(rounds(name).flat()),
      right: countRight(scores, photos),
      ...(compared ? { ratio: pairedRatio(rounds(ours.name), rounds(name)), answers: compare(results[ours.name][0].scores, scores, model.quantum) } : {}),
      rounds: rounds(name),
    };
  });
  const { name, title, net, format, file, spread, quantum } = model;
  return { name, title, net, format, file, spread, quantum, photos: photos.length, libraries };
}

function save(path, report) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
  print(`Figures: ${relative(process.cwd(), path)}`);
}

await main(import.meta.url, async () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  heading('Bench');
  const peers = await loadPeers(options.peers);
  await makeFixtures();
  const models = selectModels(options.models);

  const server = await serve({ port: 0, folders: foldersFor(peers), isolated: options.isolated });
  const browser = await launch();
  let report;
  try {
    const sizes = await task('Rehearsal', () => rehearse(browser, server, peers, models[0], options.isolated));
    const environment = await describeEnvironment(browser);
    const busyCores = watchProcessors();
    const results = await task(models.length === 1 ? models[0].title : `${models.length} models`, ({ note }) => measure(browser, server, peers, models, options, note), { log: 'bench' });
    environment.busyCores = busyCores();
    for (const [i, peer] of peers.entries()) await checkUnchanged(peer, sizes[i]);
    report = { environment, options: { ...options, models: options.models?.source }, sizes, models: models.map((model) => evaluate(model, peers, results[model.name], options)) };
  } finally {
    await browser.close();
    await server.close();
  }

  const { environment, sizes } = report;
  print();
  print(speedTable(report.models));
  print('Milliseconds. create: from nothing to a session · ours/theirs: below 1, ours is faster · right: labelled photos · gap: of scores, share of their range');
  print();
  print(sizeTable(sizes));
  print();
  print(environmentLines(environment, options));
  if (environment.busyCores > BUSY_CORES_LIMIT) print('! Other programs were at work: the times are too long, and not to be quoted.');
  if (options.quick) print('! --quick: not to be quoted.');
  save(options.json ?? join(CACHE, 'bench', `${environment.date.replace(/[:.]/g, '-')}.json`), report);

  const all = report.models.flatMap(({ libraries }) => libraries);
  const problems = [
    [all.filter(({ error }) => error !== undefined).length, 'did not run'],
    [all.filter(({ answers }) => answers?.agree === false).length, 'gave other answers than ours'],
  ].filter(([count]) => count > 0);
  if (problems.length > 0) throw new Stop(problems.map(([count, what]) => `${count} of ${all.length} ${what}`).join(', '));
});
