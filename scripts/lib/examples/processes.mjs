// Servers that examples start themselves.
import { spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { Stop } from '../run.mjs';

const START_SECONDS = 60;

/**
 * Starts a server and waits until it prints its address.
 *
 * @param options.address what is looked for in its output; the first group is the port
 * @returns { url, close() }
 */
export function startServer(command, args, { cwd, env = {}, address = /https?:\/\/(?:localhost|127\.0\.0\.1):(\d+)/ }) {
  // A process group of its own: what it starts ends with it.
  const child = spawn(command, args, { cwd, env: { ...process.env, NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const close = () => new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('close', resolve);
    process.kill(-child.pid, 'SIGTERM');
    setTimeout(() => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }, 5000).unref();
  });
  process.once('exit', () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  });
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (message) => {
      clearTimeout(timer);
      void close();
      reject(Object.assign(new Stop(message), { tail: output.slice(-4000) }));
    };
    const timer = setTimeout(() => fail(`${command} ${args.join(' ')} gave no address in ${START_SECONDS} s`), START_SECONDS * 1000);
    const onText = (text) => {
      output += stripVTControlCharacters(text);
      const port = address.exec(output)?.[1];
      if (!port) return;
      clearTimeout(timer);
      resolve({ url: `http://127.0.0.1:${port}/`, close });
    };
    child.stdout.setEncoding('utf8').on('data', onText);
    child.stderr.setEncoding('utf8').on('data', onText);
    child.on('error', (error) => fail(`${command}: ${error.message}`));
    child.on('exit', (code) => fail(`${command} ended with exit code ${code}`));
  });
}
