// A small static server for the demo and the tests. Strict headers, so that what works here works on a locked-down site.
//
//   node scripts/serve.mjs          (PORT and HOST as environment variables)
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, extname, join, sep } from 'node:path';
import { brotli } from './lib/brotli.mjs';
import { ROOT } from './lib/paths.mjs';
import { Stop, main } from './lib/run.mjs';

export const DEFAULT_PORT = 8080;
const PORTS_TO_TRY = 20;

/** The folders that the demo needs. Nothing else of the project is served. */
export const DEMO_FOLDERS = ['www', 'dist', 'models'];

// As in www/index.html, and one that a page cannot say of itself: frame-ancestors.
export const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "connect-src 'self'",
  "img-src 'self'",
  "style-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const MIME_TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.onnx': 'application/octet-stream',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ts': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};

/** What is worth compressing. Quantized weights are not: brotli takes a few percent off, and hides the length. */
const COMPRESSED = new Set(['.wasm', '.js', '.mjs', '.css', '.html', '.json', '.svg', '.webmanifest']);

export function mimeType(path) {
  return MIME_TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream';
}

/** An answer that is not a file. */
class Refusal {
  constructor(status, text, headers = {}) {
    Object.assign(this, { status, text, headers });
  }
}

/** The file that a request path names, as { path, stats }; throws a Refusal. */
async function findFile(pathname, root, folders) {
  const notFound = new Refusal(404, 'Not found\n');
  let decoded;
  try {
    decoded = decodeURIComponent(pathname);
  } catch {
    throw new Refusal(400, 'Bad request\n');
  }
  if (decoded.includes('\0') || decoded.includes('\\')) throw new Refusal(400, 'Bad request\n');
  const folder = folders.find((name) => decoded === `/${name}` || decoded.startsWith(`/${name}/`));
  if (!folder) throw notFound;
  // Below the folder: no way up, and nothing hidden.
  const below = decoded.slice(folder.length + 1).split('/').filter(Boolean);
  if (below.some((part) => part.startsWith('.'))) throw notFound;
  try {
    const base = await realpath(join(root, folder));
    let path = await realpath(join(base, ...below));
    // A link may not lead out of the folder either.
    if (path !== base && !path.startsWith(base + sep)) throw notFound;
    let stats = await stat(path);
    if (stats.isDirectory()) {
      if (!decoded.endsWith('/')) throw new Refusal(308, '', { location: `${pathname}/` });
      path = await realpath(join(path, 'index.html'));
      if (!path.startsWith(base + sep)) throw notFound;
      stats = await stat(path);
    } else if (decoded.endsWith('/')) {
      throw notFound;
    }
    if (!stats.isFile()) throw notFound;
    return { path, stats };
  } catch (error) {
    throw error instanceof Refusal ? error : notFound;
  }
}

/** True if the client takes brotli: browsers say so only over https and to localhost. */
export function acceptsBrotli(header = '') {
  return header.split(',').some((part) => {
    const [coding, ...parameters] = part.trim().toLowerCase().split(/\s*;\s*/);
    return coding === 'br' && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

/** Compressed files by version. Compressing takes seconds; until it is done the file goes out as it is. */
function makeCompressor() {
  const done = new Map();
  return (path, version) => {
    const key = `${path} ${version}`;
    if (!done.has(key)) {
      done.set(key, undefined);
      brotli(path).then((bytes) => done.set(key, bytes), () => done.delete(key));
    }
    return done.get(key);
  };
}

async function answer(request, response, { root, folders, compressor }) {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw new Refusal(405, 'Method not allowed\n', { allow: 'GET, HEAD' });
  const pathname = request.url.split(/[?#]/, 1)[0];
  if (pathname === '/') throw new Refusal(302, '', { location: `/${folders[0]}/` });
  const { path, stats } = await findFile(pathname, root, folders);

  const version = `${stats.size.toString(36)}-${Math.round(stats.mtimeMs * 1000).toString(36)}`;
  const compressible = COMPRESSED.has(extname(path));
  const compressed = compressible && acceptsBrotli(request.headers['accept-encoding']) ? compressor(path, version) : undefined;
  const etag = `"${version}${compressed ? '-br' : ''}"`;
  response.setHeader('etag', etag);
  if (compressible) response.setHeader('vary', 'accept-encoding');
  const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (known?.includes(etag) || known?.includes('*')) return response.writeHead(304).end();

  response.setHeader('content-type', mimeType(path));
  // The demo's service worker also serves the folders beside its own.
  if (basename(path) === 'sw.js') response.setHeader('service-worker-allowed', '/');
  if (compressed) response.setHeader('content-encoding', 'br');
  response.setHeader('content-length', compressed ? compressed.length : stats.size);
  response.writeHead(200);
  if (request.method === 'HEAD') return response.end();
  if (compressed) return response.end(compressed);
  // A file that shrinks or vanishes meanwhile must not look like a whole one.
  return createReadStream(path, { end: Math.max(0, stats.size - 1) }).on('error', () => response.destroy()).pipe(response);
}

function listen(server, port, host) {
  return new Promise((resolve, reject) => {
    const onError = (error) => reject(error);
    server.once('error', onError);
    server.listen(port, host, () => {
      server.off('error', onError);
      resolve(server.address().port);
    });
  });
}

/** A port number from text; undefined if there is none. */
export function parsePort(text) {
  if (text === undefined || text === '') return undefined;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new Stop(`PORT is '${text}', which is not a port number (0 to 65535)`);
  return port;
}

/**
 * Starts a server.
 *
 * @param options.port 0 takes a free one; without a number the first free one from 8080 on
 * @param options.host default: this machine only
 * @param options.folders which folders of the project are served; `/` leads to the first
 * @param options.isolated with the headers that make a page cross-origin isolated (SharedArrayBuffer)
 * @param options.csp another Content-Security-Policy, or false for none
 * @param options.headers more headers
 * @returns { url, port, close() }
 */
export async function serve({
  port, host = '127.0.0.1', root = ROOT, folders = DEMO_FOLDERS, isolated = false, csp = CONTENT_SECURITY_POLICY, headers = {},
} = {}) {
  const fixed = {
    'cache-control': 'no-cache',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...(csp ? { 'content-security-policy': csp } : {}),
    ...(isolated ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' } : {}),
    ...headers,
  };
  const compressor = makeCompressor();
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(fixed)) response.setHeader(name, value);
    answer(request, response, { root, folders, compressor }).catch((error) => {
      if (response.headersSent) return response.destroy();
      const { status, text, headers: more } = error instanceof Refusal ? error : new Refusal(500, 'Internal error\n');
      if (status === 500) console.error(error);
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text), ...more });
      return response.end(request.method === 'HEAD' ? undefined : text);
    });
  });

  const candidates = port === undefined ? Array.from({ length: PORTS_TO_TRY }, (_, i) => DEFAULT_PORT + i) : [port];
  let taken;
  for (const candidate of candidates) {
    try {
      taken = await listen(server, candidate, host);
      break;
    } catch (error) {
      if (error.code === 'EADDRINUSE') {
        if (candidate !== candidates.at(-1)) continue;
        const range = candidates.length > 1 ? `ports ${candidates[0]} to ${candidate} are` : `port ${candidate} is`;
        throw new Stop(`${range} taken by another program; choose one with PORT=${candidate < 65535 ? candidate + 1 : DEFAULT_PORT}, or any free one with PORT=0`);
      }
      if (error.code === 'EACCES') throw new Stop(`port ${candidate} may not be opened without root; choose one above 1023 with PORT=${DEFAULT_PORT}`);
      if (error.code === 'ENOTFOUND' || error.code === 'EADDRNOTAVAIL') throw new Stop(`HOST is '${host}', which is no address of this machine`);
      throw error;
    }
  }
  // `localhost` rather than a number: people know it, and browsers treat it as a secure context (the camera needs one).
  const name = ['127.0.0.1', '0.0.0.0', '::1', '::', 'localhost'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${name}:${taken}/`,
    port: taken,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

/** Serves as PORT and HOST say, until the script is told to stop. */
export async function serveUntilStopped() {
  const { HOST: host } = process.env;
  const server = await serve({ port: parsePort(process.env.PORT), ...(host ? { host } : {}) });
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.removeAllListeners(signal);
    process.once(signal, () => process.exit(0));
  }
  return server;
}

await main(import.meta.url, async () => {
  const { url } = await serveUntilStopped();
  console.log(`${url}   (Ctrl+C stops it)`);
});
