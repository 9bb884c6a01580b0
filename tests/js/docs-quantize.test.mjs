// The Python code of docs/migration-litert-tfjs.md quantizes a model, and the engine runs what comes out in integers.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { CACHE, DIST, ROOT } from '../../scripts/lib/paths.mjs';
import { VENV_PYTHON } from '../../scripts/lib/python.mjs';
import { codeBlocks } from './lib/markdown.mjs';

/** A small float net in TensorFlow's layout, as tf2onnx writes them. */
const MAKE_MODEL = `
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
random = np.random.default_rng(1)
def weights(name, *shape):
    return numpy_helper.from_array((random.standard_normal(shape) / 4).astype(np.float32), name)
nodes = [
    helper.make_node('Transpose', ['input'], ['t'], perm=[0, 3, 1, 2]),
    helper.make_node('Conv', ['t', 'w', 'b'], ['c'], strides=[4, 4]),
    helper.make_node('Relu', ['c'], ['r']),
    helper.make_node('GlobalAveragePool', ['r'], ['p']),
    helper.make_node('Flatten', ['p'], ['f']),
    helper.make_node('Gemm', ['f', 'm', 'n'], ['logits']),
]
value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
graph = helper.make_graph(nodes, 'net', [value('input', 1, 224, 224, 3)], [value('logits', 1, 10)],
                          [weights('w', 16, 3, 4, 4), weights('b', 16), weights('m', 16, 10), weights('n', 10)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8)
checker.check_model(model)
save(model, 'model.onnx')
`;

await mkdir(CACHE, { recursive: true });
const folder = await mkdtemp(join(CACHE, 'tests-js-quantize-'));
after(() => rm(folder, { recursive: true, force: true }));

async function python(script) {
  await writeFile(join(folder, 'script.py'), script);
  await promisify(execFile)(VENV_PYTHON, ['script.py'], { cwd: folder, timeout: 120_000 });
}

test('the guide quantizes', async () => {
  const blocks = codeBlocks(await readFile(join(ROOT, 'docs/migration-litert-tfjs.md'), 'utf8')).filter(({ language }) => language === 'python');
  assert.equal(blocks.length, 1);
  await cp(join(ROOT, 'www/photos'), join(folder, 'photos'), { recursive: true });
  await python(MAKE_MODEL);
  await python(blocks[0].code);

  const { InferenceSession, inspectModel, Tensor } = await import(pathToFileURL(join(DIST, 'index.js')).href);
  const [float, int8] = ['model.onnx', 'model-int8.onnx'].map((name) => join(folder, name));
  const { variants: [{ steps, fallbacks }] } = await inspectModel(int8);
  assert.deepEqual(fallbacks, []);
  const kernels = steps.filter(({ macs }) => macs > 0).map(({ kernel }) => kernel);
  assert.ok(kernels.length >= 2 && kernels.every((kernel) => /^conv, /.test(kernel)), kernels.join('; '));

  const input = new Tensor(Float32Array.from({ length: 224 * 224 * 3 }, (_, i) => Math.sin(i)), [1, 224, 224, 3]);
  const [expected, actual] = await Promise.all([float, int8].map(async (path) => {
    const session = await InferenceSession.create(path);
    const { logits: { data } } = await session.run({ input });
    await session.release();
    return data;
  }));
  const largest = Math.max(...expected.map(Math.abs));
  expected.forEach((value, i) => assert.ok(Math.abs(actual[i] - value) < 0.05 * largest, `${actual[i]} is not ${value}`));
});
