// Brotli at its best setting, cached by content: the size budgets measure with it, and the server sends it.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { CACHE } from './paths.mjs';

const compress = promisify(brotliCompress);
const FOLDER = join(CACHE, 'brotli');

/** The compressed contents of a file. */
export async function brotli(file) {
  const contents = await readFile(file);
  const cached = join(FOLDER, `${createHash('sha256').update(contents).digest('hex')}.br`);
  try {
    return await readFile(cached);
  } catch {
    // Not there yet.
  }
  const compressed = await compress(contents, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: contents.length,
    },
  });
  await mkdir(FOLDER, { recursive: true });
  const partial = `${cached}.${process.pid}`;
  await writeFile(partial, compressed);
  await rename(partial, cached);
  return compressed;
}
