// Where and on what it was measured.
import os from 'node:os';
import { capture } from '../../scripts/lib/run.mjs';

async function commit() {
  const head = await capture('git', ['rev-parse', 'HEAD']);
  if (head.code !== 0) return undefined;
  const changes = await capture('git', ['status', '--porcelain']);
  return { hash: head.stdout.trim(), changed: changes.stdout.trim() !== '' };
}

export async function describeEnvironment(browser) {
  return {
    date: new Date().toISOString(),
    commit: await commit(),
    browser: `Chromium ${browser.version()}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    loadAverage: os.loadavg()[0],
  };
}

function cpuTimes() {
  const sum = { busy: 0, all: 0 };
  for (const { times } of os.cpus()) {
    const all = Object.values(times).reduce((total, time) => total + time, 0);
    sum.all += all;
    sum.busy += all - times.idle;
  }
  return sum;
}

/** Begins to watch the processors; the result tells how many cores have been busy since. The bench itself uses one. */
export function watchProcessors() {
  const start = cpuTimes();
  return () => {
    const end = cpuTimes();
    return end.all > start.all ? ((end.busy - start.busy) / (end.all - start.all)) * os.cpus().length : undefined;
  };
}
