// Two scripts that are started at the same time (a demo and a test run, say) must not write the same files: one waits.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { CACHE, ROOT } from './paths.mjs';
import { print } from './report.mjs';

/** Takes the lock file, or returns the process that has it. */
function tryLock(file) {
  try {
    const descriptor = openSync(file, 'wx');
    writeSync(descriptor, String(process.pid));
    closeSync(descriptor);
    return undefined;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  try {
    return Number(readFileSync(file, 'utf8')) || 'unknown';
  } catch {
    return 'unknown';
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Does `work` while no other process does the same. A lock left behind by a process that is gone is taken over. */
export async function withLock(name, work, folder = CACHE) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.lock`);
  let waiting = false;
  let unknown = 0;
  for (let owner = tryLock(file); owner !== undefined; owner = tryLock(file)) {
    // Without a number in it: just being written, unless it stays so.
    unknown = owner === 'unknown' ? unknown + 1 : 0;
    if (unknown > 10 || (owner !== 'unknown' && !isRunning(owner))) {
      rmSync(file, { force: true });
      continue;
    }
    if (!waiting && owner !== 'unknown') {
      print(`  waiting for process ${owner}, which is doing the same (lock: ${relative(ROOT, file)})`);
      waiting = true;
    }
    await setTimeout(200);
  }
  const release = () => rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}
