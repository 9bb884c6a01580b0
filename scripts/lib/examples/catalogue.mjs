// The examples: what has to be done to see each of them work. `slow` ones, with the reason, are not part of `npm test`.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkAnswer } from './answer.mjs';
import { checkExtension, checkPage } from './page.mjs';
import { startServer } from './processes.mjs';
import { serveFolder } from './static-server.mjs';
import { Stop } from '../run.mjs';

/** Serves a folder, opens its page, and compares. */
async function checkServed(folder, { expected, headers, path = '', ...options }) {
  const server = await serveFolder(folder, { headers });
  try {
    await checkPage({ url: server.url + path, expected, ...options });
  } finally {
    await server.close();
  }
}

/** Starts a development server or the like, opens its page, and compares. */
async function checkStarted(command, args, { folder, expected, env, ...options }) {
  const server = await startServer(command, args, { cwd: folder, env });
  try {
    await checkPage({ url: server.url, expected, ...options });
  } finally {
    await server.close();
  }
}

/** Runs a program that prints the answer as its last line. */
async function checkPrinted(exec, command, args, { folder, expected, env }) {
  const output = await exec(command, args, { cwd: folder, timeoutSeconds: 120, ...(env && { env: { ...process.env, ...env } }) });
  checkAnswer(output.trim().split('\n').at(-1), expected);
}

const npm = (exec, folder, ...args) => exec('npm', args, { cwd: folder, timeoutSeconds: 600 });

const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

/** Beside the one that runs this: the oldest that the package supports, which cannot require ES modules, and a new one. */
const NODES = ['20.16.0', '26.10.0'];

/** The path of another version of Node, from the npm package that holds it. */
async function otherNode(exec, folder, version) {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const prefix = join(folder, `node-${version}`);
  await exec('npm', ['install', '--prefix', prefix, '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts', `${name}@${version}`], { cwd: folder, timeoutSeconds: 300 });
  return join(prefix, 'node_modules', name, platform === 'win' ? 'bin/node.exe' : 'bin/node');
}

/** Answers come one after the other until the button is pressed; then the camera is off. */
async function checkStop(page) {
  await page.locator('button').click();
  await page.waitForFunction(() => document.querySelector('video').srcObject.getTracks().every(({ readyState }) => readyState === 'ended'));
}

/** The policy of examples/csp/README.md. */
const STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self'";

/** Builds, and serves the example's own folder. */
const built = ({ path, ...options } = {}) => async ({ exec, folder, expected }) => {
  await npm(exec, folder, 'run', 'build');
  await checkServed(path ? join(folder, path) : folder, { expected, ...options });
};

/**
 * `run({ exec, folder, expected })` gets a folder in which the example is installed and throws unless it works.
 */
export const EXAMPLES = [
  {
    name: 'plain',
    assets: 'assets',
    run: ({ folder, expected }) => checkServed(folder, { expected }),
  },
  {
    name: 'csp',
    assets: 'assets',
    run: ({ folder, expected }) => checkServed(folder, { expected, headers: { 'content-security-policy': STRICT } }),
  },
  {
    name: 'isolated',
    assets: 'assets',
    run: ({ folder, expected }) => checkServed(folder, {
      expected,
      headers: ISOLATED,
      inspect: async (page) => {
        if (!(await page.evaluate(() => crossOriginIsolated))) throw new Stop('the page is not isolated');
      },
    }),
  },
  {
    name: 'service-worker',
    assets: 'assets',
    run: ({ folder, expected }) => checkServed(folder, { expected, worker: false }),
  },
  {
    name: 'extension',
    assets: 'assets',
    async run({ exec, folder, expected }) {
      await npm(exec, folder, 'run', 'build');
      await checkExtension({ folder, path: 'popup.html', expected });
    },
  },
  {
    name: 'vite',
    assets: 'public',
    async run({ exec, folder, expected }) {
      for (const older of [undefined, 'vite@7.3.8']) {
        if (older) await npm(exec, folder, 'install', '--no-save', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts', older);
        await npm(exec, folder, 'run', 'build');
        await checkServed(join(folder, 'dist'), { expected });
        // Of Vite 7, the server answers the first request for the worker with 404; what starts it is the second.
        await checkStarted('npx', ['vite', '--port', '0', '--host', '127.0.0.1'], { folder, expected, ...(older && { allowed: /\/\.vite\/deps\/worker\.js/ }) });
      }
    },
  },
  { name: 'webpack', assets: 'assets', run: built() },
  { name: 'rollup', assets: 'assets', run: built() },
  { name: 'esbuild', assets: 'assets', run: built() },
  {
    name: 'node',
    assets: 'assets',
    async run({ exec, folder, expected }) {
      for (const node of [process.execPath, ...(await Promise.all(NODES.map((version) => otherNode(exec, folder, version))))]) {
        await checkPrinted(exec, node, ['main.js'], { folder, expected });
        await checkPrinted(exec, node, ['main.cjs'], { folder, expected });
      }
    },
  },
  {
    name: 'recipes',
    assets: 'public',
    async run({ exec, folder, expected }) {
      await npm(exec, folder, 'run', 'build');
      const dist = join(folder, 'dist');
      for (const path of ['react.html', 'vue.html', 'svelte.html', 'worker.html']) await checkServed(dist, { path, expected });
      // Chromium's own test picture, of which all that is known is that it is moving.
      await checkServed(dist, { path: 'webcam.html', camera: true, inspect: checkStop });
    },
  },
  {
    name: 'deno',
    assets: 'assets',
    run: ({ exec, folder, expected }) => checkPrinted(exec, 'npm', ['start', '--silent'], { folder, expected, env: { DENO_NO_UPDATE_CHECK: '1' } }),
  },
  {
    name: 'bun',
    assets: 'assets',
    async run({ exec, folder, expected }) {
      // Puts the program in its place, which install scripts would do.
      await exec(process.execPath, ['node_modules/bun/install.js'], { cwd: folder });
      await checkPrinted(exec, 'npm', ['start', '--silent'], { folder, expected });
    },
  },
  {
    name: 'workerd',
    assets: 'assets',
    async run({ exec, folder, expected }) {
      await npm(exec, folder, 'run', 'build');
      const server = await startServer('npx', ['workerd', 'serve', 'config.capnp', '--socket-addr', 'http=127.0.0.1:0', '--control-fd=1'], {
        cwd: folder, address: /"socket":"http","port":(\d+)/,
      });
      try {
        const photo = await readFile(join(folder, 'assets/coffee.jpg'));
        const response = await fetch(server.url, { method: 'POST', body: photo });
        checkAnswer(await response.text(), expected);
      } finally {
        await server.close();
      }
    },
  },
  {
    name: 'parcel',
    slow: 'Parcel is 100 MB of packages',
    assets: 'assets',
    run: built({ path: 'dist' }),
  },
  {
    name: 'next',
    slow: 'two builds of Next.js take minutes',
    assets: 'public',
    async run({ exec, folder, expected }) {
      for (const script of ['build', 'build:webpack']) {
        await exec('npm', ['run', script], { cwd: folder, timeoutSeconds: 900, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } });
        await checkStarted('npx', ['next', 'start', '--port', '0'], { folder, expected, env: { NEXT_TELEMETRY_DISABLED: '1' } });
      }
    },
  },
];
