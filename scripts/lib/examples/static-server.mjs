// A server of one folder, as plain as those that built apps are served by: files, `index.html`, and the headers it is told.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize, sep } from 'node:path';
import { mimeType } from '../../serve.mjs';

/**
 * @param folder what is served
 * @param options.headers set on every answer
 * @returns { url, close() }
 */
export async function serveFolder(folder, { headers = {} } = {}) {
  const server = createServer(async (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = normalize(join(folder, decodeURIComponent(pathname), pathname.endsWith('/') ? 'index.html' : ''));
    try {
      if (!path.startsWith(folder + sep)) throw new Error('outside');
      const body = await readFile(path);
      response.writeHead(200, { 'content-type': mimeType(path), 'content-length': body.length }).end(body);
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Not found\n');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}/`,
    close: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}
