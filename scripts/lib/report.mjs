// What the scripts print: a line when a task starts, one when it ends, and a sign of life in between
// (a status line on a terminal, a line a minute in a log file, so that no step looks frozen).
import { clearInterval, setInterval } from 'node:timers';
import * as util from 'node:util';

const terminal = Boolean(process.stdout.isTTY) && !process.env.CI;
const HEARTBEAT_SECONDS = 60;
const running = new Set();
let ticker;
let statusShown = false;

/** Node 20.12 brought styleText; older ones print plain text. */
function paint(style, text) {
  return terminal && util.styleText && !process.env.NO_COLOR ? util.styleText(style, text) : text;
}

export function formatSeconds(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

export function print(text = '') {
  clearStatus();
  process.stdout.write(`${text}\n`);
  drawStatus();
}

export function heading(text) {
  print(paint('bold', text));
}

function clearStatus() {
  if (statusShown) process.stdout.write('\r\x1b[2K');
  statusShown = false;
}

function drawStatus() {
  if (!terminal || running.size === 0) return;
  const parts = [...running].map((task) => `${task.title} ${Math.round(task.seconds())} s${task.last ? `: ${task.last}` : ''}`);
  const width = (process.stdout.columns ?? 80) - 3;
  const line = parts.join(' | ');
  process.stdout.write(`\r\x1b[2K  ${line.length > width ? `${line.slice(0, width - 1)}…` : line}`);
  statusShown = true;
}

function tick() {
  if (terminal) return drawStatus();
  for (const task of running) {
    const seconds = task.seconds();
    if (seconds - task.heard < HEARTBEAT_SECONDS) continue;
    task.heard = seconds;
    print(`  … ${task.title}, ${formatSeconds(seconds)}${task.last ? `: ${task.last}` : ''}`);
  }
}

/** A task on the screen. `last` is the newest line of its output. */
export function begin(title) {
  const start = performance.now();
  const task = { title, last: '', heard: 0, seconds: () => (performance.now() - start) / 1000 };
  print(`${paint('cyan', '▸')} ${title}`);
  running.add(task);
  ticker ??= setInterval(tick, 1000);
  ticker.unref();
  task.end = (ok, detail) => {
    running.delete(task);
    if (running.size === 0) {
      clearInterval(ticker);
      ticker = undefined;
      clearStatus();
    }
    const mark = ok ? paint('green', '✓') : paint('red', '✗');
    print(`${mark} ${title}: ${detail ? `${detail}, ` : ''}${formatSeconds(task.seconds())}`);
  };
  return task;
}

/** For a step that had nothing to do. */
export function upToDate(title, detail = 'already there') {
  print(`${paint('green', '✓')} ${title}: ${detail}`);
}
