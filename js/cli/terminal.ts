// Results go to the output, everything else to the error stream, and a line that changes only where there is a terminal.

import type { ProgressInfo } from '../index.js';

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}

/** What goes on, for long work. */
export class Progress {
  readonly #quiet: boolean;
  readonly #started = performance.now();
  #shown = '';

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  /** For the option onProgress. */
  readonly onProgress = ({ status, file, progress }: ProgressInfo): void => {
    const percent = progress === undefined ? '' : ` ${Math.floor(progress)} %`;
    if (status === 'compile') this.#show(`compiling ${file}${percent}`);
    else if (status === 'progress' || status === 'initiate') this.#show(`reading ${file}${percent}`);
  };

  /** Takes the line away, and leaves another in its place. */
  done(text?: string): void {
    this.#show('');
    if (text !== undefined && !this.#quiet) process.stderr.write(`${text} (${((performance.now() - this.#started) / 1000).toFixed(1)} s)\n`);
  }

  #show(text: string): void {
    if (this.#quiet || text === this.#shown) return;
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\u001b[K${text}`);
    } else if (text !== '' && text.replace(/ \d+ %$/, '') !== this.#shown.replace(/ \d+ %$/, '')) {
      process.stderr.write(`${text}\n`);
    }
    this.#shown = text;
  }
}
