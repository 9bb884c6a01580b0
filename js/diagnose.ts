// Says what is wrong with the answer of a server. Loaded when something is.

import { describe, type ErrorCode, InferenceError } from './errors.js';
import type { Kind } from './loader.js';
import type { Source } from './protocol.js';

const MAX_QUOTE = 200;
const QUOTE_MILLISECONDS = 1000;

/** The error for a status that is no success; with what the server says about it, where that is short. */
export async function httpError(source: Source): Promise<InferenceError> {
  const { file, url = file, head = { status: 0, statusText: '' } } = source;
  const said = await quote(source);
  return new InferenceError(
    'HTTP_ERROR',
    `The server answered ${`${head.status} ${head.statusText}`.trim()} for ${url}${said === '' ? '' : `: ${said}`}`,
    { actual: String(head.status), hint: hintFor(head.status) },
  );
}

function hintFor(status: number): string {
  if (status === 0) return 'The answer is opaque: fetch it with CORS.';
  if (status === 401 || status === 403) return 'The file is not public: fetch it with what the server wants, and pass the Response.';
  if (status === 429 || status >= 500) return 'The server is busy or out of order: try again later.';
  return 'Check the address; relative ones resolve against the page.';
}

/** The beginning of a body of text or JSON on one line. */
async function quote({ body, head }: Source): Promise<string> {
  if (!(body instanceof ReadableStream) || !/^text\/plain|\bjson\b/.test(head?.type ?? '')) return '';
  const reader = body.getReader();
  const first = await Promise.race([
    reader.read().catch(() => undefined),
    new Promise<undefined>((resolve) => {
      setTimeout(() => { resolve(undefined); }, QUOTE_MILLISECONDS);
    }),
  ]);
  reader.cancel().catch(() => undefined);
  const text = new TextDecoder().decode(first?.value).replace(/\s+/g, ' ').trim();
  return text.length > MAX_QUOTE ? `${text.slice(0, MAX_QUOTE)}…` : text;
}

interface Finding {
  readonly what: string;
  readonly hint: string;
}

/**
 * What a file is in place of what it should be, as an error; undefined when nothing is known against it.
 *
 * @param start the first bytes, a character each
 */
export function wrongFile(start: string, { file, url = file, head }: Source, kind: Kind): InferenceError | undefined {
  const type = head?.type ?? '';
  if (isHtml(start, type, kind)) {
    return new InferenceError('HTML_RESPONSE', `The server answered with an HTML page for ${url}`, {
      actual: type,
      hint: 'The address is probably wrong and the server sends its start or error page instead of the file.',
    });
  }
  if (kind === 'card' || kind === 'labels') return notJson({ file, url }, kind);
  const found = findOut(start, type, kind);
  return found && new InferenceError(CODES[kind], `${url} is ${found.what}, not ${NAMES[kind]}`, { expected: NAMES[kind], actual: found.what, hint: found.hint });
}

/** The error of a card, or of labels, that are something else. */
export function notJson({ file, url = file }: Source, kind: 'card' | 'labels', cause?: unknown): InferenceError {
  const why = cause === undefined ? '' : ` (${describe(cause)})`;
  if (kind === 'card') {
    return new InferenceError('INVALID_CARD', `The model card ${url} is not JSON${why}`, {
      hint: 'To use a model without a card, pass its input settings: ImageClassifier.create(model, { input, labels }).',
      cause,
    });
  }
  return new InferenceError('INVALID_CARD', `The labels ${url} are not a list of names${why}`, {
    expected: 'a JSON array of strings, or an object from index to string',
    hint: 'Write a JSON array of strings, or an object from index to string.',
    cause,
  });
}

type Binary = Exclude<Kind, 'card' | 'labels'>;
const NAMES: Record<Binary, string> = { model: 'an ONNX model', wasm: 'a WebAssembly module', data: 'the data of a model' };
const CODES: Record<Binary, ErrorCode> = { model: 'NOT_ONNX', wasm: 'WASM_LOAD', data: 'EXTERNAL_DATA_MISSING' };

function isHtml(start: string, type: string, kind: Kind): boolean {
  const text = start.replace(/^\xef\xbb\xbf/, '');
  // Data may start with any byte.
  if (kind === 'data') return /^\s*<(!doctype|html|\?xml|head|body)/i.test(text);
  // Some servers call every file they do not know HTML: then only a start that is text counts.
  return text.trimStart().startsWith('<') || (/^text\/html/i.test(type) && /^[!-~]{2}/.test(text));
}

function findOut(start: string, type: string, kind: Binary): Finding | undefined {
  if (start.startsWith("version https://git-lfs")) {
    return {
      what: 'a Git LFS pointer',
      hint: 'The file itself was not fetched: run `git lfs pull` before publishing. On Hugging Face use the address with /resolve/ instead of /raw/.',
    };
  }
  if (/^\s*[{[]/.test(start) && (kind !== 'data' || /\bjson\b/.test(type))) {
    return {
      what: `JSON (${start.replace(/\s+/g, ' ').trim()}…)`,
      hint: kind === 'model' ? 'The server may have answered with an error; or it is a model card: ImageClassifier.create takes those.' : 'The server may have answered with an error.',
    };
  }
  if (kind === 'data') return undefined;
  if (start.startsWith('\x1f\x8b')) {
    return { what: 'compressed with gzip', hint: 'Unpack it before publishing, or have the server send it with Content-Encoding: gzip.' };
  }
  if (/^PK[^ -~]/.test(start)) return { what: 'a zip archive', hint: 'Unpack it. A .pt, .pth or .keras file has to be exported to ONNX.' };
  return undefined;
}
