// The command line's arguments.

import { parseArgs } from 'node:util';

/** Wrong usage, for exit code 2. */
export class UsageError extends Error {}

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  shape: { type: 'string', multiple: true },
  dim: { type: 'string', multiple: true },
  external: { type: 'string', multiple: true },
  image: { type: 'string' },
  card: { type: 'string' },
  top: { type: 'string' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

type Name = keyof typeof OPTIONS;

const MODEL_OPTIONS: readonly Name[] = ['shape', 'dim', 'external', 'quiet'];
/** What each command takes. */
const COMMANDS: Readonly<Record<string, readonly Name[]>> = {
  compile: [...MODEL_OPTIONS, 'output'],
  inspect: [...MODEL_OPTIONS, 'json'],
  run: ['image', 'card', 'top', 'json', 'quiet', 'external', 'dim'],
};

/** A set of input shapes; `''` stands for the only input. */
export type Shapes = Record<string, number[]>;

export interface Arguments {
  readonly command: 'compile' | 'inspect' | 'run' | 'help' | 'version';
  readonly file: string;
  readonly output: string | undefined;
  readonly shapes: readonly Shapes[];
  readonly dims: Readonly<Record<string, number>>;
  readonly external: readonly string[];
  readonly image: string | undefined;
  readonly card: string | undefined;
  readonly top: number;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Reads the arguments. */
export function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parse(args);
  const [command = '', file = '', ...more] = positionals;
  const result: Arguments = {
    command: 'help',
    file,
    output: values.output,
    shapes: (values.shape ?? []).map(readShapes),
    dims: Object.fromEntries((values.dim ?? []).map(readDim)),
    external: values.external ?? [],
    image: values.image,
    card: values.card,
    top: values.top === undefined ? 5 : readSize(values.top, '--top', 1),
    json: values.json ?? false,
    quiet: values.quiet ?? false,
  };
  if (values.help) return result;
  if (values.version) return { ...result, command: 'version' };
  const takes = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (!takes) throw new UsageError(command === '' ? 'a command is missing: compile, inspect or run' : `there is no command ${quote(command)}: compile, inspect or run`);
  for (const name of Object.keys(values) as Name[]) {
    if (!takes.includes(name)) throw new UsageError(`${command} takes no --${name}`);
  }
  if (file === '') throw new UsageError(`${command} needs a file`);
  if (more.length > 0) throw new UsageError(`${command} takes one file, not also ${more.map(quote).join(', ')}`);
  if (command === 'run' && values.image === undefined) throw new UsageError('run needs a picture: --image PHOTO');
  return { ...result, command: command as Arguments['command'] };
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Its first sentence; what follows is about dashes.
    const [message = ''] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(message.replace(/^./, (letter) => letter.toLowerCase()));
  }
}

const quote = (text: string): string => JSON.stringify(text);

/** `a=1,8; b=1,8`, or `1,8` for the only input. A name ends at the last equals sign. */
function readShapes(text: string): Shapes {
  const shapes: Shapes = {};
  for (const part of text.split(';').map((part) => part.trim()).filter((part) => part !== '')) {
    const at = part.lastIndexOf('=');
    const name = part.slice(0, Math.max(at, 0)).trim();
    const sizes = part.slice(at + 1).trim();
    if (name === '' && at >= 0) throw new UsageError(`--shape ${quote(text)}: the name of the input is missing`);
    if (Object.hasOwn(shapes, name)) throw new UsageError(`--shape ${quote(text)} gives ${name === '' ? 'the shape' : quote(name)} twice`);
    // No sizes: a scalar.
    shapes[name] = sizes === '' ? [] : sizes.split(',').map((size) => readSize(size, `--shape ${quote(text)}`));
  }
  if (Object.keys(shapes).length === 0) throw new UsageError('--shape needs a shape: --shape input=1,3,224,224');
  if ('' in shapes && Object.keys(shapes).length > 1) throw new UsageError(`--shape ${quote(text)}: with several inputs each needs its name`);
  return shapes;
}

function readDim(text: string): [string, number] {
  const at = text.lastIndexOf('=');
  if (at <= 0) throw new UsageError(`--dim ${quote(text)} is not NAME=SIZE`);
  return [text.slice(0, at).trim(), readSize(text.slice(at + 1), `--dim ${quote(text)}`)];
}

function readSize(text: string, what: string, minimum = 0): number {
  const size = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
  if (!Number.isSafeInteger(size) || size < minimum) throw new UsageError(`${what}: ${quote(text)} is not a whole number${minimum > 0 ? ` above ${minimum - 1}` : ''}`);
  return size;
}
