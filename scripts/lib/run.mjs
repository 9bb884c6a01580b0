// Running commands: quiet, logged to .cache/logs, with the end of the log shown when one fails.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { LOGS, ROOT } from './paths.mjs';
import { begin, print } from './report.mjs';

const TAIL_LINES = 40;
const verbose = process.argv.includes('--verbose');
const children = new Set();
/** Each command gets a process group of its own, so that what it started (a browser, say) ends with it. */
const ownGroup = process.platform !== 'win32';

function stop(child, signal) {
  try {
    if (ownGroup) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // It has ended already.
  }
}

/** Something a person has to do or fix: printed as one line, without a stack. */
export class Stop extends Error {}

/** A command that ended badly. The task that ran it shows the end of its output. */
export class CommandFailed extends Stop {
  constructor(message, output, tailLines) {
    super(message);
    this.output = stripVTControlCharacters(output);
    this.tail = this.output.trimEnd().split('\n').slice(-tailLines).join('\n');
  }
}

/** A script that is told to stop takes what it started along. Hooked up with the first command, not on import. */
let hooked = false;
function stopChildrenWithUs() {
  if (hooked) return;
  hooked = true;
  for (const [signal, exitCode] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
    process.once(signal, () => {
      for (const child of children) stop(child, signal);
      process.exit(exitCode);
    });
  }
}

/**
 * Runs a script's main function, and turns a Stop into one line and exit code 1. Does nothing if the script, which gives
 * its `import.meta.url`, was imported rather than started.
 */
export async function main(url, run) {
  if (!process.argv[1] || realpathSync(process.argv[1]) !== realpathSync(fileURLToPath(url))) return;
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    if (!error.shown) console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}

/** Runs a short command and returns what it printed; never throws for its exit code. `code` is -1 if it could not start. */
export function capture(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.on('error', (error) => resolve({ code: -1, stdout, stderr: String(error) }));
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

/**
 * Shows `title`, runs `work`, shows how it ended. `work` gets `{ exec, note }`: `exec(command, args, options)` runs a
 * command into the task's log and resolves to its whole output; `note(text)` sets what the closing line says.
 */
export async function task(title, work, { log = slug(title), tailLines = TAIL_LINES } = {}) {
  const shown = begin(title);
  mkdirSync(LOGS, { recursive: true });
  const logFile = join(LOGS, `${log}.log`);
  const stream = createWriteStream(logFile);
  let detail = '';
  const exec = (command, args, options) => run(command, args, options, { stream, logFile, shown, tailLines });
  try {
    const result = await work({ exec, note: (text) => (detail = text) });
    shown.end(true, detail);
    return result;
  } catch (error) {
    shown.end(false, detail || 'failed');
    if (error instanceof Stop && !error.shown) {
      if (error.tail) print(error.tail.replace(/^/gm, '    '));
      print(`  ${error.message}`);
      error.shown = true;
    }
    throw error;
  } finally {
    stream.end();
  }
}

function run(command, args, options = {}, { stream, logFile, shown, tailLines }) {
  const { timeoutSeconds, ...spawnOptions } = options;
  const line = [command, ...args].join(' ');
  stream.write(`$ ${line}\n`);
  stopChildrenWithUs();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, ...spawnOptions, detached: ownGroup, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let output = '';
    let timedOut = false;
    const timer = timeoutSeconds && setTimeout(() => {
      timedOut = true;
      stop(child, 'SIGTERM');
    }, timeoutSeconds * 1000);
    const onText = (text) => {
      stream.write(text);
      if (verbose) process.stdout.write(text);
      output += text;
      const newest = stripVTControlCharacters(text).split(/[\r\n]/).map((part) => part.trim()).filter(Boolean).at(-1);
      if (newest) shown.last = newest;
    };
    child.stdout.setEncoding('utf8').on('data', onText);
    child.stderr.setEncoding('utf8').on('data', onText);
    const finish = (failure) => {
      children.delete(child);
      clearTimeout(timer);
      if (!failure) return resolve(output);
      reject(new CommandFailed(`${failure} (whole log: ${relative(ROOT, logFile)})`, output, tailLines));
    };
    child.on('error', (error) => finish(error.code === 'ENOENT' ? `${command}: not found` : `${command}: ${error.message}`));
    child.on('close', (code, signal) => {
      if (timedOut) finish(`stopped after ${timeoutSeconds} s without an end: ${shorten(line)}`);
      else if (code === 0) finish();
      else finish(`${code === null ? `ended by ${signal}` : `exit code ${code}`}: ${shorten(line)}`);
    });
  });
}

function shorten(line) {
  return line.length > 160 ? `${line.slice(0, 159)}…` : line;
}

function slug(title) {
  return title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}
