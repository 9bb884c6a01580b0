// A model of pictures whose answer is known without running it. Runs in Node and in pages.
import { onnxModel } from './onnx-model.mjs';

/**
 * The bytes of a model whose classes are the channels of a picture, and whose scores are their means.
 *
 * @param options.type element type of the picture and the scores
 * @param options.batch a size, or the name of a symbolic one
 * @param options.metadata custom entries
 */
export function meansModel({ type = 'float32', batch = 'batch', height = 4, width = 4, metadata = {} } = {}) {
  return onnxModel({
    nodes: [
      { op: 'GlobalAveragePool', inputs: ['pixels'], outputs: ['pooled'] },
      { op: 'Flatten', inputs: ['pooled'], outputs: ['scores'] },
    ],
    inputs: [['pixels', [batch, 3, height, width], type]],
    outputs: [['scores', [batch, 3], type]],
    metadata,
  });
}

/** Pre-processing that takes levels as they are. */
export const meansInput = ({ type = 'float32', height = 4, width = 4 } = {}) => ({
  size: [height, width],
  layout: 'NCHW',
  channels: 'RGB',
  type,
  mean: [0, 0, 0],
  std: [1, 1, 1],
  crop: { mode: 'stretch' },
  resample: 'box',
});
