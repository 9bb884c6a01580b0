// Debian packages, where there is apt and a way to be root; elsewhere one line says what to install.
import { getuid } from 'node:process';
import { Stop, capture, task } from './run.mjs';
import { which } from './tools.mjs';

// apt and dpkg allow one run at a time, while setup does several things side by side.
let queue = Promise.resolve();
let updated = false;

/** The words to put before a command that needs root: none, `sudo -n`, or undefined if there is no way. */
async function rootPrefix() {
  if (getuid?.() === 0) return [];
  if (which('sudo') && (await capture('sudo', ['-n', 'true'])).code === 0) return ['sudo', '-n'];
  return undefined;
}

export function hasApt() {
  return Boolean(which('apt-get'));
}

/** Runs one command as root inside a task. */
export async function asRoot(exec, command, args, options) {
  const prefix = await rootPrefix();
  if (!prefix) throw new Stop(`'${command} ${args.join(' ')}' needs root, and sudo would ask for a password`);
  const [program, ...rest] = [...prefix, command, ...args];
  return exec(program, rest, options);
}

/**
 * Installs Debian packages. `otherwise` is what a person on a machine without apt is told to install.
 */
export function aptInstall(title, packages, otherwise) {
  const install = async () => {
    if (!hasApt()) throw new Stop(`${title}: please install ${otherwise}`);
    const prefix = await rootPrefix();
    if (!prefix) {
      throw new Stop(`${title}: please run: sudo apt-get install --no-install-recommends ${packages.join(' ')}`);
    }
    await task(`${title}: apt-get install ${packages.join(' ')}`, async ({ exec }) => {
      const apt = (...args) => {
        const words = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', 'DPkg::Lock::Timeout=600', ...args];
        return exec(words[0], words.slice(1));
      };
      if (!updated) await apt('update');
      updated = true;
      await apt('install', '-y', '--no-install-recommends', ...packages);
    }, { log: `apt-${packages[0]}` });
  };
  const result = queue.then(install);
  queue = result.catch(() => {});
  return result;
}
