// A slow line in front of a server: one shared rate for everything that is downloaded, and a delay for every request. The
// browser's own throttling is per page or worker, and would let a download in a worker go past that of its page.
import { connect, createServer } from 'node:net';

/**
 * @param port of the server on this machine
 * @param line.bitsPerSecond Infinity for no limit
 * @param line.roundTrip milliseconds
 * @returns { port, close() }
 */
export async function openSlowLine(port, { bitsPerSecond, roundTrip }) {
  const bytesPerMillisecond = bitsPerSecond / 8000;
  // When the line has sent what it has been given so far.
  let free = 0;
  const sockets = new Set();
  const later = (time, work) => setTimeout(work, Math.max(0, time - performance.now()));
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    // The first request also waits for the connection: one more round trip.
    let opened = roundTrip;
    client.on('data', (chunk) => {
      later(performance.now() + roundTrip + opened, () => upstream.write(chunk));
      opened = 0;
    });
    upstream.on('data', (chunk) => {
      if (bitsPerSecond === Infinity) return client.write(chunk);
      // What has come waits for its turn; the next is read when it has gone.
      upstream.pause();
      free = Math.max(free, performance.now()) + chunk.length / bytesPerMillisecond;
      return later(free, () => {
        client.write(chunk);
        upstream.resume();
      });
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    }),
  };
}
