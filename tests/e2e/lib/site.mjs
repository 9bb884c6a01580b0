// The project's server behind one that keeps a log and can answer single addresses differently.
import { createServer, request as forward } from 'node:http';
import { DEMO_FOLDERS, serve } from '../../../scripts/serve.mjs';

/**
 * Serves the demo.
 *
 * @param isolated whether pages are cross-origin isolated
 * @param root of another copy of the project
 * @param answers what is answered instead, by path: functions of the request and the response. May be changed at any time
 * @returns { origin, log, answers, close() }; `log` has { method, path, body: bytes that were sent along, status } of every
 * request, in their order
 */
export async function openSite({ folders = DEMO_FOLDERS, isolated = false, answers = {}, root } = {}) {
  const upstream = await serve({ port: 0, folders, isolated, ...(root ? { root } : {}) });
  const log = [];
  const server = createServer((request, response) => {
    const path = request.url.split('?')[0];
    const entry = { method: request.method, path, body: 0, status: undefined };
    log.push(entry);
    request.on('data', (chunk) => { entry.body += chunk.length; });
    response.on('close', () => { entry.status = response.statusCode; });
    const { headers } = request;
    const sent = forward({ host: '127.0.0.1', port: upstream.port, method: request.method, path: request.url, headers }, (answer) => {
      if (answers[path]) {
        // The headers of the server stay: a policy comes with every answer.
        answer.resume();
        for (const [name, value] of Object.entries(answer.headers)) {
          if (!/^(content-|etag|transfer-)/.test(name) || name === 'content-security-policy') response.setHeader(name, value);
        }
        answers[path](request, response);
      } else {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      }
    });
    sent.on('error', () => response.destroy());
    response.on('close', () => sent.destroy());
    request.pipe(sent);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${server.address().port}`,
    log,
    answers,
    close: async () => {
      server.closeAllConnections();
      await Promise.all([new Promise((resolve) => server.close(resolve)), upstream.close()]);
    },
  };
}

/** Waits until no request has come in for a while. */
export async function quiet({ log }, ms = 300) {
  for (let length = -1; length !== log.length;) {
    length = log.length;
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
