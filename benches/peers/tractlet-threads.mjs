// This package with two threads, started from the bench's own worker. Only on cross-origin isolated pages.
import * as tractlet from './tractlet.mjs';

export const name = 'tractlet-threads';
export const { format, worker, folder, packageFile, alsoDownloaded, optional, load } = tractlet;

export async function open({ library, options }, bytes, names) {
  const session = await tractlet.open({ library, options: { ...options, threads: 2 } }, bytes, names);
  const { threads, threadsReason } = session.about();
  if (threads !== 2) throw new Error(threadsReason);
  return session;
}
