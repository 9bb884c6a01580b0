// node_modules as package-lock.json has it.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './paths.mjs';
import { upToDate } from './report.mjs';
import { Stop, task } from './run.mjs';
import { atLeast } from './tools.mjs';

const OLDEST_NODE = '20.0.0';

/**
 * True if what npm noted down as installed is what the lock file asks for. Optional packages may be absent: esbuild, for
 * one, lists a binary for every platform.
 */
export function matchesLock(lock, installed) {
  const wanted = Object.entries(lock.packages ?? {}).filter(([path]) => path !== '');
  return wanted.every(([path, { version, optional }]) => {
    const found = installed.packages?.[path];
    return found ? found.version === version : Boolean(optional);
  });
}

function isInstalled() {
  const read = (...parts) => JSON.parse(readFileSync(join(ROOT, ...parts), 'utf8'));
  try {
    const installed = read('node_modules', '.package-lock.json');
    return matchesLock(read('package-lock.json'), installed) && Object.keys(installed.packages).every((path) => existsSync(join(ROOT, path)));
  } catch {
    return false;
  }
}

export async function setupNodePackages() {
  if (!atLeast(process.versions.node, OLDEST_NODE)) throw new Stop(`Node ${OLDEST_NODE} or newer is needed, this is ${process.versions.node}`);
  if (isInstalled()) return upToDate('Node packages');
  // npm lies beside node, unless the distribution has packaged it elsewhere.
  const beside = join(dirname(process.execPath), 'npm');
  const npm = existsSync(beside) ? beside : 'npm';
  await task('Node packages: npm ci', ({ exec }) => exec(npm, ['ci', '--no-audit', '--no-fund']));
}
