// Finding browsers and their WebDriver servers. Environment variables overrule the search:
//   CHROME_BIN, CHROMEDRIVER, FIREFOX_BIN, GECKODRIVER, WEBKIT_BIN, WEBKITDRIVER.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall } from './debian.mjs';
import { CONFIG } from './paths.mjs';
import { upToDate } from './report.mjs';
import { Stop } from './run.mjs';
import { TOOL_VERSIONS, findCargoTool, fromEnvironment, which } from './tools.mjs';

const MAC = '/Applications';

const BROWSERS = {
  chromium: {
    title: 'Chromium',
    variables: ['CHROME_BIN', 'CHROMEDRIVER'],
    binary: () => which(['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'Google Chrome'], [`${MAC}/Google Chrome.app/Contents/MacOS`]),
    driver: () => which('chromedriver'),
    options: 'goog:chromeOptions',
    otherwise: 'Chromium or Chrome, and its chromedriver',
  },
  firefox: {
    title: 'Firefox',
    variables: ['FIREFOX_BIN', 'GECKODRIVER'],
    binary: () => which(['firefox-esr', 'firefox'], [`${MAC}/Firefox.app/Contents/MacOS`]),
    // Compiled by cargo, after the browsers: see rust.mjs.
    driver: async () => {
      const folder = await findCargoTool('geckodriver');
      return folder && join(folder, 'geckodriver');
    },
    driverComesLater: true,
    options: 'moz:firefoxOptions',
    otherwise: 'Firefox',
  },
  webkit: {
    title: 'WebKitGTK',
    variables: ['WEBKIT_BIN', 'WEBKITDRIVER'],
    binary: () => which('MiniBrowser', webkitFolders()),
    driver: () => which('WebKitWebDriver'),
    options: 'webkitgtk:browserOptions',
    otherwise: 'WebKitGTK with WebKitWebDriver',
    linuxOnly: true,
  },
};

export const BROWSER_NAMES = Object.keys(BROWSERS);

/** MiniBrowser lies among the private files of the library, in a folder per processor and version. */
function webkitFolders() {
  const list = (folder) => {
    try {
      return readdirSync(folder).map((name) => join(folder, name));
    } catch {
      return [];
    }
  };
  const isWebKit = (path) => /\/webkit2?gtk-[\d.]+$/.test(path);
  return [...list('/usr/lib').flatMap(list), ...list('/usr/lib'), ...list('/usr/libexec')].filter(isWebKit).sort().reverse();
}

/** The paths of a browser and its driver; undefined for what is not there. */
export async function findBrowser(name) {
  const { variables, binary, driver } = BROWSERS[name];
  return {
    binary: fromEnvironment(variables[0]) ?? binary(),
    driver: fromEnvironment(variables[1]) ?? (await driver()),
  };
}

/** The WebDriver capabilities of a browser that was found: those of pkg-config/, and where it is. */
export function webdriverCapabilities(name, { binary }) {
  const capabilities = JSON.parse(readFileSync(join(CONFIG, `webdriver.${name}.json`), 'utf8'));
  const { options } = BROWSERS[name];
  return { ...capabilities, [options]: { ...capabilities[options], binary } };
}

/** The variables that hand the found browsers on to the tests. */
export async function browserEnvironment() {
  const environment = {};
  for (const name of BROWSER_NAMES) {
    const { binary, driver } = await findBrowser(name);
    const [binaryVariable, driverVariable] = BROWSERS[name].variables;
    if (binary) environment[binaryVariable] = binary;
    if (driver) environment[driverVariable] = driver;
  }
  return environment;
}

export async function setupBrowser(name) {
  const { title, linuxOnly, otherwise, driverComesLater } = BROWSERS[name];
  if (linuxOnly && process.platform !== 'linux') return upToDate(title, 'only on Linux, left out');
  const isThere = async () => {
    const { binary, driver } = await findBrowser(name);
    const helpers = name !== 'webkit' || which('xvfb-run');
    return Boolean(binary && (driver || driverComesLater) && helpers);
  };
  if (await isThere()) return upToDate(title);
  await aptInstall(title, TOOL_VERSIONS.browsers[name].debianPackages, otherwise);
  if (!(await isThere())) throw new Stop(`${title} was installed, but is not where it is looked for; set ${BROWSERS[name].variables.join(' and ')}`);
}
