// What a session says of its model, with the real wasm modules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onnxModel } from './lib/onnx-model.mjs';

const { InferenceSession, Tensor } = await import(new URL('../../dist/index.js', import.meta.url).href);

const model = onnxModel({
  nodes: [{ op: 'Add', inputs: ['a', 'b'], outputs: ['sum'] }],
  inputs: [['a', ['batch', 3, 'width']], ['b', [3, 1]]],
  outputs: [['sum', ['batch', 3, 'width']]],
  producer: ['pytorch', '2.9.0'],
  opset: 13,
  metadata: { author: 'somebody', labels: '["a","b"]' },
});

test('inputs and outputs, with the names of symbolic dimensions', async () => {
  const session = await InferenceSession.create(model);
  const value = (name, shape) => ({ name, isTensor: true, type: 'float32', shape });
  assert.deepEqual(session.inputNames, ['a', 'b']);
  assert.deepEqual(session.outputNames, ['sum']);
  assert.deepEqual(session.inputMetadata, [value('a', ['batch', 3, 'width']), value('b', [3, 1])]);
  assert.deepEqual(session.outputMetadata, [value('sum', ['batch', 3, 'width'])]);
  await session.release();
  const fixed = await InferenceSession.create(model, { freeDimensionOverrides: { width: 5 } });
  assert.deepEqual(fixed.inputMetadata[0].shape, ['batch', 3, 5]);
  await fixed.release();
});

test('producer, operator sets and custom entries', async () => {
  const session = await InferenceSession.create(model);
  const { producerName, producerVersion, irVersion, opsets, metadata, graphName } = session.modelMetadata;
  assert.deepEqual(
    { producerName, producerVersion, irVersion, opsets, metadata, graphName },
    {
      producerName: 'pytorch',
      producerVersion: '2.9.0',
      irVersion: 8,
      opsets: [{ domain: '', version: 13 }],
      metadata: { author: 'somebody', labels: '["a","b"]' },
      graphName: 'graph',
    },
  );
  await session.release();
});

test('warmup prepares for a shape; results are written to tensors that are there', async () => {
  const session = await InferenceSession.create(model);
  await assert.rejects(session.warmup(), { code: 'INPUT_SHAPE', hint: /warmup\(\{ "a": \[1, 3, 1\] \}\)/ });
  await session.warmup({ a: [2, 3, 4] });
  const sum = new Tensor('float32', new Float32Array(24), [2, 3, 4]);
  const feeds = { a: new Tensor('float32', new Float32Array(24).fill(1), [2, 3, 4]), b: new Tensor('float32', [1, 2, 3], [3, 1]) };
  const results = await session.run(feeds, { sum });
  assert.equal(results.sum, sum);
  assert.deepEqual([...sum.data.slice(0, 12)], [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]);
  await assert.rejects(session.warmup({ a: [2, 3, -4] }), { code: 'INPUT_SHAPE' });
  await assert.rejects(session.warmup({ a: [2, 4, 4] }), { code: 'INPUT_SHAPE' });
  await session.release();
});
