// What a page downloads.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { brotli } from '../../scripts/lib/brotli.mjs';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { Stop } from '../../scripts/lib/run.mjs';

const PATIENCE_MILLISECONDS = 10_000;

const sha256 = async (path) => createHash('sha256').update(await readFile(path)).digest('hex');

/** Throws if a file is no longer what it was: a build during the bench. */
export async function checkUnchanged({ folder }, { files }) {
  for (const file of files) {
    if ((await sha256(join(ROOT, folder, file.name))) !== file.sha256) throw new Stop(`${folder}/${file.name} was changed during the bench: run it again`);
  }
}

/** The files that a library has loaded, raw and compressed at brotli's best setting. */
export async function measureSizes({ folder, optional, alsoDownloaded }, downloads) {
  const files = [];
  for (const name of [...new Set([...downloads, ...alsoDownloaded])].sort()) {
    const path = join(ROOT, folder, name);
    const bytes = (await readFile(path)).length;
    files.push({ name, bytes, brotliBytes: (await brotli(path)).length, sha256: await sha256(path), optional: optional[name] });
  }
  const sum = (list) => list.reduce((total, { brotliBytes }) => total + brotliBytes, 0);
  return { files, brotliBytes: sum(files), leastBrotliBytes: sum(files.filter((file) => file.optional === undefined)) };
}

/** Asks until the server has the compressed form at hand, so that every later download is alike. */
export async function waitUntilCompressed(url) {
  const end = performance.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const response = await fetch(url, { method: 'HEAD', headers: { 'accept-encoding': 'br' } });
    if (!response.ok) throw new Stop(`${url}: ${response.status} ${response.statusText}`);
    if (response.headers.get('content-encoding') === 'br') return;
    if (performance.now() > end) throw new Stop(`${url} is not served compressed`);
    await setTimeout(50);
  }
}
