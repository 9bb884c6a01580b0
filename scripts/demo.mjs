// `npm run demo`: installs what is missing, builds what is out of date, serves the demo page and prints its address.
//
// PORT and HOST choose where (default: the first free port from 8080 on, this machine only).
import { build } from './build.mjs';
import { heading, print } from './lib/report.mjs';
import { main } from './lib/run.mjs';
import { parsePort, serve, serveUntilStopped } from './serve.mjs';
import { FOR_BUILD, setup } from './setup.mjs';

await main(import.meta.url, async () => {
  // A port that cannot be had is said now, not after minutes of building.
  if (process.env.PORT) await (await serve({ port: parsePort(process.env.PORT), ...(process.env.HOST ? { host: process.env.HOST } : {}) })).close();
  heading('Set-up');
  await setup(FOR_BUILD);
  heading('Build');
  await build({ fast: process.argv.includes('--fast') });
  const { url } = await serveUntilStopped();
  print();
  heading(`The demo is at ${url}`);
  print('Ctrl+C stops it.');
});
