// The command `tractlet`.

import { readFile } from 'node:fs/promises';
import { InferenceError } from '../index.js';
import { readArguments, UsageError } from './args.js';
import { compile } from './compile.js';
import { inspect } from './inspect.js';
import { run } from './run.js';
import { print } from './terminal.js';
import { USAGE } from './usage.js';

async function main(): Promise<void> {
  const args = readArguments(process.argv.slice(2));
  switch (args.command) {
    case 'help':
      print(USAGE);
      return;
    case 'version':
      print((JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version);
      return;
    case 'compile':
      return compile(args);
    case 'inspect':
      return inspect(args);
    case 'run':
      return run(args);
  }
}

/** An error in one line. */
function explain(error: unknown): string {
  if (!(error instanceof InferenceError)) return error instanceof Error ? error.message : String(error);
  const { code, message, node, operators, hint } = error;
  const list = operators?.map(({ domain, opType, count }) => `${domain ? `${domain}.` : ''}${opType} (${count})`).join(', ');
  const sentences = [`${message}${list ? `: ${list}` : ''}${node && !message.includes(node) ? `, at ${node}` : ''}`, hint];
  return `${sentences.filter(Boolean).map((text) => text?.replace(/[.:]?$/, '.')).join(' ')} [${code}]`;
}

// Nobody reads on: `tractlet inspect FILE | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await main();
} catch (error) {
  const wrong = error instanceof UsageError;
  process.stderr.write(`tractlet: ${explain(error)}\n${wrong ? 'tractlet --help lists commands and options.\n' : ''}`);
  process.exitCode = wrong ? 2 : 1;
}
