// `npm run bench`: builds, then runs benches/run.mjs with the arguments given. `npm run bench:cold`: benches/cold.mjs.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { browserEnvironment, setupBrowser } from './lib/browsers.mjs';
import { ROOT } from './lib/paths.mjs';
import { heading } from './lib/report.mjs';
import { Stop, main } from './lib/run.mjs';
import { FOR_BUILD, setup } from './setup.mjs';

const [cold, rest] = process.argv[2] === '--cold' ? [true, process.argv.slice(3)] : [false, process.argv.slice(2)];
const RUN = join(ROOT, 'benches', cold ? 'cold.mjs' : 'run.mjs');

await main(import.meta.url, async () => {
  if (!existsSync(RUN)) throw new Stop(`${RUN} does not exist`);
  heading('Set-up');
  await setup(FOR_BUILD);
  await setupBrowser('chromium');
  heading('Build');
  await build();
  const child = spawn(process.execPath, [RUN, ...rest], {
    cwd: ROOT,
    env: { ...process.env, ...(await browserEnvironment()) },
    stdio: 'inherit',
  });
  process.exitCode = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
});
