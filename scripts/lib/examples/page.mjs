// An example in Chromium.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBrowser, webdriverCapabilities } from '../browsers.mjs';
import { Stop } from '../run.mjs';
import { checkAnswer } from './answer.mjs';

const TIMEOUT = 90_000;
const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

/** Chromium's path and arguments; Playwright adds --headless itself. */
export async function chromiumOptions() {
  const { binary } = await findBrowser('chromium');
  if (!binary) throw new Stop('Chromium is missing: set CHROME_BIN, or run `npm run setup`');
  const { args } = webdriverCapabilities('chromium', { binary })['goog:chromeOptions'];
  return { executablePath: binary, args: args.filter((arg) => arg !== '--headless') };
}

/**
 * Opens the page of an example and waits for its answer.
 *
 * @param options.url the page; nothing of another origin may be asked for
 * @param options.expected what onnxruntime says; without it any answer will do
 * @param options.worker whether the session has to have a worker
 * @param options.camera whether there is a camera, which shows a test picture
 * @param options.allowed which of the browser's complaints are expected
 * @param options.inspect called with the page once it has answered
 */
export async function checkPage({ url, worker = true, camera = false, ...options }) {
  // Loaded here: with a fresh clone it is the set-up that installs it.
  const { chromium } = await import('playwright-core');
  const { executablePath, args } = await chromiumOptions();
  const browser = await chromium.launch({ executablePath, args: [...args, ...(camera ? CAMERA : [])] });
  try {
    await check(await browser.newContext(), { url, worker, ...options });
  } finally {
    await browser.close();
  }
}

/** Opens a page of the extension in a folder, as its button would, and waits for the answer. */
export async function checkExtension({ folder, path, expected }) {
  const { chromium } = await import('playwright-core');
  const { executablePath, args } = await chromiumOptions();
  const profile = await mkdtemp(join(tmpdir(), 'tractlet-profile-'));
  // The new headless mode is the one that has extensions.
  const options = ['--headless=new', `--disable-extensions-except=${folder}`, `--load-extension=${folder}`, '--disable-features=DisableLoadExtensionCommandLineSwitch'];
  const context = await chromium.launchPersistentContext(profile, {
    executablePath, headless: false, args: [...args, ...options], ignoreDefaultArgs: ['--disable-extensions'],
  });
  try {
    const background = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker', { timeout: TIMEOUT }));
    await check(context, { url: new URL(path, background.url()).href, expected, worker: false });
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

async function check(context, { url, expected, worker, inspect, allowed }) {
  const { origin } = new URL(url);
  const problems = [];
  context.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => problems.push(String(error.error())));
  context.on('request', (request) => {
    if (/^https?:/.test(request.url()) && new URL(request.url()).origin !== origin) problems.push(`a request to ${request.url()}`);
  });
  context.on('response', (response) => {
    if (response.status() >= 400 && !response.url().endsWith('/favicon.ico')) problems.push(`${response.status()} for ${response.url()}`);
  });
  const page = await context.newPage();
  // Counted as they start: the worker of a session that nobody refers to any more is ended.
  const workers = [];
  page.on('worker', (started) => workers.push(started.url()));
  await page.goto(url);
  let text;
  try {
    text = await page.locator('output:not(:empty)').textContent({ timeout: TIMEOUT });
  } catch (error) {
    throw new Stop([`the page gives no answer: ${error.message.split('\n')[0]}`, ...problems].join('\n  '));
  }
  if (expected) checkAnswer(text, expected);
  const serious = problems.filter((problem) => !problem.includes('favicon.ico') && !allowed?.test(problem));
  if (serious.length > 0) throw new Stop(`the page works, but: ${serious.join('; ')}`);
  if (worker !== undefined && workers.length > 0 !== worker) {
    throw new Stop(worker ? 'the session has no worker' : `there is a worker: ${workers[0]}`);
  }
  await inspect?.(page);
}
