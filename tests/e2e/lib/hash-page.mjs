// A page with `hashRuns`, in a browser that speaks WebDriver.
import { DEMO_FOLDERS } from '../../../scripts/serve.mjs';
import { openSite } from './site.mjs';
import { Browser } from './webdriver.mjs';

const PAGE = '/tests/e2e/pages/index.html';
const PATIENCE_MS = 60_000;

/**
 * Opens it.
 *
 * @param name of the browser
 * @param isolated whether the page is cross-origin isolated
 * @param answers as in site.mjs
 * @returns { run(job), browser, log, close() }; `log` as in site.mjs
 */
export async function openHashPage(name, isolated, answers = {}) {
  const site = await openSite({ isolated, answers, folders: [...DEMO_FOLDERS, 'tests/e2e', 'tests/js/lib', '.cache/fixtures'] });
  let browser;
  const close = async () => {
    await browser?.close();
    await site.close();
  };
  try {
    browser = await Browser.start(name);
    await browser.goto(site.origin + PAGE);
    await browser.waitFor(() => globalThis.ready === true, { timeout: PATIENCE_MS, what: 'the page is ready' });
  } catch (error) {
    await close();
    throw error;
  }
  return { run: (job) => browser.evaluateAsync((job) => globalThis.hashRuns(job), job), browser, log: site.log, close };
}
