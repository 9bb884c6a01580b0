// What opening a model with many weights takes: they pass through the compiler one after the other, and are in the engine
// once.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { CACHE } from '../../scripts/lib/paths.mjs';
import { distance, makeLargeModel, watchedPackage } from './lib/large-model.mjs';

const MB = 1e6;
/** One quantum of the last layer. */
const QUANTUM = 0.02;

await mkdir(CACHE, { recursive: true });
const folder = await mkdtemp(join(CACHE, 'tests-js-large-'));
after(() => rm(folder, { recursive: true, force: true }));
const { InferenceSession, Tensor, modules, peaks } = await watchedPackage();

/**
 * How many times the model's size the modules may have; where weights become floats, which are four times as large, they
 * are computed in the compiler.
 */
const KINDS = [
  { kind: 'qdq', compiler: 0.5, engine: 1.5, tolerance: QUANTUM },
  { kind: 'qoperator', compiler: 0.5, engine: 1.5, tolerance: QUANTUM },
  { kind: 'float', compiler: 0.8, engine: 1.5, tolerance: 1e-4 },
  { kind: 'weights', compiler: 6.5, engine: 5, tolerance: 1e-4 },
];

for (const { kind, tolerance, ...most } of KINDS) {
  for (const files of [3, 0]) {
    test(`${kind}, ${files === 0 ? 'in the model' : `in ${files} files`}`, async (t) => {
      const place = join(folder, `${kind}-${files}`);
      const { bytes, names, input, output } = await makeLargeModel(place, kind, 60, files);
      assert.equal(names.length, files);
      assert.ok(bytes > 60 * MB, `${bytes} bytes`);
      const at = (name) => pathToFileURL(join(place, name));
      // From files, and from memory that is the caller's.
      const externalData = await Promise.all(names.map(async (path, i) => ({ path, data: i === 0 ? await readFile(at(path)) : at(path) })));
      const session = await InferenceSession.create(at('model.onnx'), { wasm: modules, externalData });
      const ratios = Object.entries(peaks()).map(([name, size]) => [name, size / bytes]);
      t.diagnostic(ratios.map(([name, ratio]) => `${name} ${ratio.toFixed(2)} times`).join(', '));
      assert.deepEqual([session.runtime.subgraphs, session.runtime.compiler], [0, false]);
      for (const [name, ratio] of ratios) assert.ok(ratio > 0 && ratio <= most[name], `the ${name} had ${ratio} times the model`);
      const results = await session.run({ x: new Tensor(input.type, input.data, input.dims) });
      await session.release();
      const apart = distance(results.y, output);
      assert.ok(apart <= tolerance * 1.01, `${apart} from onnxruntime`);
      await rm(place, { recursive: true });
    });
  }
}
