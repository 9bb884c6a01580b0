// Which models are run, and which file of each a library gets.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { Stop } from '../../scripts/lib/run.mjs';

/** Models of the test fixtures, and those that only the bench needs. */
const INDEXES = ['.cache/fixtures/models/index.json', '.cache/bench-nets/index.json'];

/** The folders that models and inputs lie in. */
export const MODEL_FOLDERS = ['models', '.cache/fixtures/models', '.cache/bench-nets'];

/** In the order of the table. Of the static ones the weights are s8 with a scale per channel, which is what people are told to use. */
const FORMATS = new Map([
  ['fp32', 'fp32'],
  ['qdq-u8s8-pc', 'int8 QDQ u8s8'],
  ['qdq-s8s8-pc', 'int8 QDQ s8s8'],
  ['makers', 'int8, TFLite file of its makers'],
  ['qop-u8s8-pc', 'int8 QOperator'],
  ['dyn-u8', 'int8 dynamic'],
]);

/** Formats that the usual run leaves out for the trained nets: their speed is that of others. */
const UNUSUAL = ['qdq-u8s8-pc'];

const formatRank = ({ format }) => (FORMATS.has(format) ? [...FORMATS.keys()].indexOf(format) : FORMATS.size);

/**
 * The entries of the two indexes as one list, by net and format.
 *
 * @param fixtures models with one ONNX file each
 * @param extras more models with `files`, and more `files` for models of `fixtures`
 */
export function mergeIndexes(fixtures, extras) {
  const models = new Map();
  for (const { file, ...entry } of fixtures) models.set(entry.name, { ...entry, files: { onnx: file }, sameNumbers: true, trained: true });
  for (const entry of extras) {
    const known = models.get(entry.name);
    models.set(entry.name, { ...(known ?? entry), files: { ...known?.files, ...entry.files } });
  }
  const all = [...models.values()].map((entry) => ({
    ...entry,
    title: `${entry.net} ${FORMATS.get(entry.format) ?? entry.format}`,
    usual: FORMATS.has(entry.format) && !(entry.trained && UNUSUAL.includes(entry.format)),
  }));
  const nets = [...new Set(all.map(({ net }) => net))];
  return nets.flatMap((net) => all.filter((entry) => entry.net === net).sort((a, b) => formatRank(a) - formatRank(b)));
}

/** The usual models, or those whose names match. */
export function selectModels(pattern) {
  const missing = INDEXES.find((path) => !existsSync(join(ROOT, path)));
  if (missing) throw new Stop(`${missing} does not exist`);
  const all = mergeIndexes(...INDEXES.map((path) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'))));
  const selected = all.filter(({ name, usual }) => (pattern ? pattern.test(name) : usual));
  if (selected.length === 0) throw new Stop(`no model matches; there are ${all.map(({ name }) => name).join(', ')}`);
  return selected;
}

/**
 * The libraries that have a file of the model to read. Where the files are different nets, those of the first library's kind
 * are left out beside it: they are compared with it elsewhere.
 */
export function readersOf({ files, sameNumbers }, peers) {
  const [ours] = peers;
  return peers.filter((peer) => files[peer.format] !== undefined && (sameNumbers || peer === ours || peer.format !== ours.format));
}

/** Where the reader of their inputs lies. */
const READER_FOLDER = 'tests/js/lib';

/** All folders that have to be served for some libraries. */
export function foldersFor(peers) {
  return [...new Set(['benches', READER_FOLDER, ...MODEL_FOLDERS, ...peers.map(({ folder }) => folder)])];
}
