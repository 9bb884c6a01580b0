// Which models are run.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { Stop } from '../../scripts/lib/run.mjs';

const INDEX = join(ROOT, '.cache', 'fixtures', 'models', 'index.json');

/** The folders that models and inputs lie in. */
export const MODEL_FOLDERS = ['models', '.cache/fixtures/models'];

/** One of each kind. Of the static ones the weights are s8 with a scale per channel, which is what people are told to use. */
const KINDS = [
  { title: 'fp32', is: ({ format }) => format === 'fp32' },
  { title: 'int8 QDQ', is: ({ committed }) => committed },
  { title: 'int8 QOperator', is: ({ format }) => format === 'qop-u8s8-pc' },
  { title: 'int8 dynamic', is: ({ format }) => format === 'dyn-u8' },
];

/** The usual models, or those whose names match. */
export function selectModels(pattern) {
  const index = JSON.parse(readFileSync(INDEX, 'utf8'));
  const titled = index.map((entry) => {
    const kind = KINDS.find(({ is }) => is(entry));
    return { ...entry, usual: kind !== undefined, title: `${entry.net} ${kind?.title ?? entry.format}` };
  });
  const selected = titled.filter(({ name, usual }) => (pattern ? pattern.test(name) : usual));
  if (selected.length === 0) throw new Stop(`no model matches; there are ${index.map(({ name }) => name).join(', ')}`);
  // Of each net from float to dynamic, as in KINDS.
  const rank = (entry) => KINDS.findIndex(({ is }) => is(entry));
  const nets = [...new Set(selected.map(({ net }) => net))];
  return nets.flatMap((net) => selected.filter((entry) => entry.net === net).sort((a, b) => rank(a) - rank(b)));
}

/** Where the reader of their inputs lies. */
const READER_FOLDER = 'tests/js/lib';

/** All folders that have to be served for some libraries. */
export function foldersFor(peers) {
  return [...new Set(['benches', READER_FOLDER, ...MODEL_FOLDERS, ...peers.map(({ folder }) => folder)])];
}

/** The version in a package.json. */
export function packageVersion(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8')).version;
}
