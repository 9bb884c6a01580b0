// tractlet run

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ImageClassifier, LoadError, type ModelCard } from '../index.js';
import { type Arguments, UsageError } from './args.js';
import { exists, withExternalData } from './files.js';
import { readPicture } from './image.js';
import { print, Progress } from './terminal.js';

export async function run(args: Arguments): Promise<void> {
  const { file, image = '', top, json, quiet } = args;
  const progress = new Progress(quiet);
  let classifier;
  let classes;
  try {
    const picture = await readPicture(image);
    classifier = await open(args, progress);
    classes = await classifier.classify(picture, { topK: top });
  } finally {
    progress.done();
    await classifier?.release();
  }
  const { timings } = classes;
  if (json) {
    print(JSON.stringify({ file, image, classes: [...classes], timings }, undefined, 2));
  } else {
    print(classes.map(({ label, score, index }) => `${score.toFixed(4).padStart(8)}  ${label} (${index})`).join('\n'));
    if (!quiet) process.stderr.write(`${(timings.preprocess + timings.inference + timings.postprocess).toFixed(1)} ms\n`);
  }
}

async function open(args: Arguments, { onProgress }: Progress): Promise<ImageClassifier> {
  const { file, card, dims } = args;
  const isCard = /\.json$/i.test(file);
  if (isCard && card !== undefined) throw new UsageError(`${file} is a card already: leave --card out`);
  if (!isCard && card === undefined) {
    const likely = file.replace(/\.(onnx|plan)$/i, '.json');
    const hint = likely !== file && (await exists(likely)) ? `--card ${likely}` : '--card CARD.json';
    throw new UsageError(`a model without a card does not say how pictures become its input: ${hint}`);
  }
  const options = { freeDimensionOverrides: dims, onProgress };
  if (card === undefined) return ImageClassifier.create(file, options);
  const { input, output, labels } = await readCard(card);
  const address = labels === undefined ? undefined : new URL(labels, pathToFileURL(`${dirname(resolve(card))}/`)).href;
  return withExternalData(args, (externalData) => ImageClassifier.create(file, { ...options, input, output, labels: address, externalData }));
}

/** What is needed of a card; the engine checks it. */
async function readCard(path: string): Promise<Pick<ModelCard, 'input' | 'output' | 'labels'>> {
  const fail = (problem: string, cause?: unknown): LoadError =>
    new LoadError('INVALID_CARD', `The model card ${path} ${problem}`, { hint: 'docs/api.md, under Model cards, lists the fields.', cause });
  let card: Partial<ModelCard> | null;
  try {
    card = JSON.parse(await readFile(path, 'utf8')) as typeof card;
  } catch (cause) {
    throw fail(`cannot be read (${(cause as Error).message})`, cause);
  }
  if (typeof card?.input !== 'object' || (card.input as unknown) === null) throw fail('has no input settings');
  return card as ModelCard;
}
