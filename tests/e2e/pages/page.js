// What the tests use in the page, as globals: they evaluate their functions here.
import * as tractlet from '/dist/index.js';
import { hashOutputs, readTensor } from '/tests/js/lib/tensor-proto.mjs';

const { InferenceError, InferenceSession, Tensor } = tractlet;

async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} for ${url}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Tensors by name, from TensorProto files. */
async function loadFeeds(urls) {
  const tensors = await Promise.all(urls.map(async (url) => readTensor(await fetchBytes(url))));
  return Object.fromEntries(tensors.map((tensor) => [tensor.name, new Tensor(tensor.type, tensor.data, tensor.dims)]));
}

/** Bytes of a tensor as a list, strings as they are. */
function toList(data) {
  return Array.isArray(data) ? data : Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** Results in a form that reaches the test. */
function portable(results) {
  return Object.entries(results).map(([name, { type, dims, data }]) => ({ name, type, dims, data: toList(data) }));
}

/** What a call ends with: { value } or { error }, the latter taken apart. */
async function attempt(work) {
  try {
    return { value: await work() };
  } catch (thrown) {
    const classes = Object.entries(tractlet)
      .filter(([name, Class]) => name.endsWith('Error') && thrown instanceof Class)
      .map(([name]) => name);
    const { name, message, code, hint, operators, input, expected, actual } = thrown;
    return { error: { name, message, code, hint, operators, input, expected, actual, classes, typed: thrown instanceof InferenceError } };
  }
}

/** Loads a fixture and runs all its samples: a list of lists of outputs. */
async function runCase({ model, external, samples }, options = {}) {
  const externalData = external?.map(({ path, url }) => ({ path, data: url }));
  const session = await InferenceSession.create(model, { ...options, ...(externalData && { externalData }) });
  try {
    const all = [];
    for (const inputs of samples) all.push(portable(await session.run(await loadFeeds(inputs))));
    return all;
  } finally {
    await session.release();
  }
}

/**
 * Runs a model on inputs from TensorProto files.
 *
 * @returns { hashes, build, dot, threads, ... }: SHA-256 of the bytes of all outputs, one hash for each input, and what it ran on
 */
async function hashRuns({ model, inputs, options }) {
  const session = await InferenceSession.create(model, options);
  try {
    const hashes = [];
    for (const input of inputs) hashes.push(await hashOutputs(await session.run(await loadFeeds([input]))));
    return { ...session.runtime, hashes };
  } finally {
    await session.release();
  }
}

async function loadImage(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

function toCanvas(source, width = source.width, height = source.height) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  canvas.getContext('2d', { willReadFrequently: true }).drawImage(source, 0, 0);
  return canvas;
}

globalThis.violations = [];
document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  globalThis.violations.push(`${violatedDirective}: ${blockedURI}`);
});
Object.assign(globalThis, { tractlet, fetchBytes, loadFeeds, portable, attempt, runCase, hashRuns, loadImage, toCanvas, ready: true });
