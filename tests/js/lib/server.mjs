// A web server for one test file.

import { createServer } from 'node:http';
import { after } from 'node:test';

/**
 * Serves `routes`: path to body, or to a function that gets the request and the response. Gives the origin and the list
 * of paths asked for.
 */
export async function serve(routes) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request.url);
    const route = routes[request.url];
    if (typeof route === 'function') {
      route(request, response);
    } else if (route === undefined) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<!doctype html>Not found');
    } else {
      response.writeHead(200, { 'content-length': route.length }).end(route);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${server.address().port}`, requests };
}
