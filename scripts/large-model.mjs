// Opens and runs a model of more than 2 GB, in Node and in Chromium, and compares with onnxruntime. By hand, after a build:
// it takes 5 GB of disk, 12 GB of memory and some minutes, which is too much for every run of the tests.
//
//   node scripts/large-model.mjs [--kind qdq|qoperator|float|weights] [--megabytes 2200] [--files 5] [--threads 1] [--only Node|Chromium] [--keep]
import { mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { distance, makeLargeModel, watchedPackage } from '../tests/js/lib/large-model.mjs';
import { CACHE, ROOT } from './lib/paths.mjs';
import { Stop, main } from './lib/run.mjs';

const GB = 1e9;
/** Between results of all layers: quanta of the last one, or floats. */
const TOLERANCE = { qdq: 0.02, qoperator: 0.02, float: 1e-3, weights: 1e-3 };

const describe = (place, { opened, ran, memory, apart }) =>
  `${place}: opened in ${(opened / 1000).toFixed(1)} s, run in ${ran.toFixed(0)} ms, ${apart} from onnxruntime; ${memory}`;

async function inNode(folder, { names, input, output }) {
  const { InferenceSession, Tensor, modules, peaks } = await watchedPackage();
  const at = (name) => pathToFileURL(join(folder, name));
  const began = performance.now();
  const session = await InferenceSession.create(at('model.onnx'), { wasm: modules, externalData: names.map((path) => ({ path, data: at(path) })) });
  const { engine, compiler } = peaks();
  const opened = performance.now();
  const { y } = await session.run({ x: new Tensor(input.type, input.data, input.dims) });
  const ran = performance.now() - opened;
  await session.release();
  const memory = `compiler ${(compiler / GB).toFixed(2)} GB, engine ${(engine / GB).toFixed(2)} GB, process ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`;
  return { opened: opened - began, ran, memory, apart: distance(y, output) };
}

async function inChromium(folder, { names, input, output }, threads) {
  const { openChromium } = await import('../tests/e2e/lib/chromium.mjs');
  const served = relative(ROOT, folder);
  const browser = await openChromium({ folders: [served], isolated: threads > 1 });
  try {
    const page = await browser.openPage();
    const job = { served: `/${served}/`, names, input: { ...input, data: Array.from(input.data) }, threads };
    const result = await page.evaluate(async ({ served, names, input, threads }) => {
      const { InferenceSession, Tensor } = await import('/dist/index.js');
      const began = performance.now();
      const externalData = names.map((path) => ({ path, data: served + path }));
      const session = await InferenceSession.create(`${served}model.onnx`, { externalData, threads });
      const opened = performance.now();
      const { y } = await session.run({ x: new Tensor(input.type, Float32Array.from(input.data), input.dims) });
      const ran = performance.now() - opened;
      const { engine } = await session.memory();
      return { opened: opened - began, ran, engine, threads: `${session.runtime.threads} ${session.runtime.threadsReason ?? ""}`.trim(), data: Array.from(y.data) };
    }, job);
    const memory = `engine ${(result.engine / GB).toFixed(2)} GB, threads: ${result.threads}`;
    return { ...result, memory, apart: distance(result, output) };
  } finally {
    await browser.close();
  }
}

await main(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      kind: { type: 'string', default: 'qdq' },
      megabytes: { type: 'string', default: '2200' },
      files: { type: 'string', default: '5' },
      threads: { type: 'string', default: '1' },
      only: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const folder = join(CACHE, 'large-model');
  try {
    await mkdir(CACHE, { recursive: true });
    const model = await makeLargeModel(folder, values.kind, Number(values.megabytes), Number(values.files));
    console.log(`${values.kind}: ${(model.bytes / GB).toFixed(2)} GB in ${model.names.length + 1} files`);
    const places = { Node: () => inNode(folder, model), Chromium: () => inChromium(folder, model, Number(values.threads)) };
    for (const [place, run] of Object.entries(places)) {
      if (place !== (values.only ?? place)) continue;
      const result = await run();
      console.log(describe(place, result));
      if (!(result.apart <= TOLERANCE[values.kind] * 1.01)) throw new Stop(`${place} computes something else`);
    }
  } finally {
    if (!values.keep) await rm(folder, { recursive: true, force: true });
  }
});
