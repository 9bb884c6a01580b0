// Chromium with a page of ours (pages/) from a server with strict headers, and a record of what the page asks for.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { findBrowser, webdriverCapabilities } from '../../../scripts/lib/browsers.mjs';
import { ROOT } from '../../../scripts/lib/paths.mjs';
import { DEMO_FOLDERS, serve } from '../../../scripts/serve.mjs';

const FIXTURES = '.cache/fixtures';
const PAGE = '/tests/e2e/pages/index.html';

/** The JSON of a file of the project. */
export function readJson(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
}

export function readBytes(path) {
  return new Uint8Array(readFileSync(join(ROOT, path)));
}

/**
 * Starts a server and Chromium.
 *
 * @param isolated whether pages are cross-origin isolated
 * @param folders more folders of the project to serve
 * @param site a server that is there already, see site.mjs; it is not closed
 * @returns { origin, requests, complaints, openPage(), close() }; `requests` are the addresses that pages and workers have
 * asked for, `complaints` what browsers write to the console as errors
 */
export async function openChromium({ folders = [], isolated = false, site } = {}) {
  const { binary } = await findBrowser('chromium');
  if (!binary) throw new Error('Chromium is missing: set CHROME_BIN, or run `npm run setup`');
  const { args } = webdriverCapabilities('chromium', { binary })['goog:chromeOptions'];
  const server = site ?? await serve({ port: 0, isolated, folders: [...DEMO_FOLDERS, 'tests/e2e', 'tests/js/lib', FIXTURES, ...folders] });
  const origin = site?.origin ?? new URL(server.url).origin;
  const closeServer = site ? () => undefined : () => server.close();
  let browser;
  try {
    // Playwright adds --headless itself.
    browser = await chromium.launch({ executablePath: binary, args: args.filter((arg) => arg !== '--headless') });
    const context = await browser.newContext();
    context.setDefaultTimeout(120_000);
    const requests = [];
    const complaints = [];
    context.on('request', (request) => requests.push(request.url()));
    context.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`${message.text()} (${message.location().url})`);
    });
    context.on('weberror', (error) => complaints.push(String(error.error())));
    const openPage = async () => {
      const page = await context.newPage();
      await page.goto(origin + PAGE);
      await page.waitForFunction(() => globalThis.ready === true);
      return page;
    };
    const close = async () => {
      await browser.close();
      await closeServer();
    };
    return { origin, context, requests, complaints, openPage, close };
  } catch (error) {
    await browser?.close();
    await closeServer();
    throw error;
  }
}
