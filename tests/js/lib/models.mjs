// Fake models, see fake-glue/engine.js for what `op` may be.

import { encodeModel, encodePlan } from '../fake-glue/format.js';

const value = (name, shape, type = 'float32') => ({ name, type, shape });

export const vector = (op, more = {}) => ({ op, inputs: [value('x', ['n'])], outputs: [value('y', ['n'])], ...more });
export const image = (more = {}) => ({
  op: 'means',
  classes: 4,
  inputs: [value('pixels', ['batch', 3, 2, 2])],
  outputs: [value('scores', ['batch', 4])],
  ...more,
});

/** A plan that the engine runs by itself. */
export const plan = (op, more) => encodePlan(vector(op, more));
/** A model that needs the compiler. */
export const model = (op, more) => encodeModel(vector(op, more));
export const imagePlan = (more) => encodePlan(image(more));

/** Settings that fit {@link image}. */
export const INPUT = {
  size: [2, 2],
  layout: 'NCHW',
  channels: 'RGB',
  mean: [0, 0, 0],
  std: [1, 1, 1],
  crop: { mode: 'stretch' },
  resample: 'bilinear',
};

/** A picture of one colour. */
export function pixels(color, width = 3, height = 2) {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < data.length; i += 4) data.set([...color, 255], i);
  return { data, width, height };
}
