// A small WebDriver client (https://www.w3.org/TR/webdriver2/): enough for the browsers that Playwright does not drive as
// the system installs them.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:net';
import { findBrowser, webdriverCapabilities } from '../../../scripts/lib/browsers.mjs';
import { which } from '../../../scripts/lib/tools.mjs';

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'; // the standard's key of an element reference
const START_SECONDS = 60;
const COMMAND_SECONDS = 180;

/** How to start each driver on a port. */
const DRIVERS = {
  firefox: (driver, port) => ({ command: driver, args: ['--port', String(port), '--websocket-port', '0'], env: {} }),
  webkit(driver, port) {
    const wrapper = which('xvfb-run');
    if (!wrapper) throw new Error('xvfb-run is missing: WebKitGTK has no headless mode. `npm run setup` installs it');
    return {
      command: wrapper,
      args: ['-a', 'dbus-run-session', '--', driver, `--port=${port}`],
      // Its sandbox needs user namespaces, which a container seldom has; the only pages it opens here are ours.
      env: { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' },
    };
  },
};

/** An error that the browser or its driver reports; `code` is the standard's, like `no such element`. */
export class WebDriverError extends Error {
  constructor({ error, message }, command) {
    super(`${command}: ${error}: ${message}`);
    this.name = 'WebDriverError';
    this.code = error;
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The driver and whatever it starts, in a process group of their own, so that all of it can be ended. */
class DriverProcess {
  #child;
  #exited;
  #output = '';
  #killNow = () => this.#signal('SIGKILL');

  constructor({ command, args, env }) {
    this.#child = spawn(command, args, { detached: true, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = new Promise((resolve) => this.#child.once('close', resolve).once('error', (error) => {
      this.#output += error.message;
      resolve();
    }));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (data) => (this.#output = (this.#output + data).slice(-4000)));
    }
    process.once('exit', this.#killNow);
  }

  get output() {
    return this.#output;
  }

  get running() {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #signal(signal) {
    try {
      if (this.#child.pid) process.kill(-this.#child.pid, signal);
      return true;
    } catch {
      return false; // nobody is left
    }
  }

  async stop() {
    // The driver may be gone while the browser is not: it is the group that counts.
    for (const [signal, attempts] of [['SIGTERM', 50], ['SIGKILL', 50]]) {
      if (!this.#signal(signal)) break;
      for (let k = 0; k < attempts && this.#signal(0); k++) await sleep(100);
    }
    process.off('exit', this.#killNow);
    await Promise.race([this.#exited, sleep(5000, undefined, { ref: false })]);
  }
}

/** One browser, one window. */
export class Browser {
  #base;
  #driver;
  #session = '';

  constructor(driver, port) {
    this.#driver = driver;
    this.#base = `http://127.0.0.1:${port}`;
  }

  /**
   * Starts a driver and its browser.
   *
   * @param name `firefox` or `webkit`
   */
  static async start(name) {
    const found = await findBrowser(name);
    if (!found.binary || !found.driver) throw new Error(`${name} or its WebDriver server is missing: \`npm run setup\` installs them`);
    const port = await freePort();
    const browser = new Browser(new DriverProcess(DRIVERS[name](found.driver, port)), port);
    try {
      await browser.#waitForDriver(name);
      const alwaysMatch = webdriverCapabilities(name, found);
      const { sessionId, capabilities } = await browser.#call('POST', '/session', { capabilities: { alwaysMatch } });
      browser.#session = `/session/${sessionId}`;
      browser.version = `${capabilities.browserName} ${capabilities.browserVersion}`;
      await browser.#command('POST', '/timeouts', { script: COMMAND_SECONDS * 1000, pageLoad: COMMAND_SECONDS * 1000, implicit: 0 });
      return browser;
    } catch (error) {
      const { output } = browser.#driver;
      await browser.close();
      throw new Error(`${name} did not start: ${error.message}\n${output}`, { cause: error });
    }
  }

  async #waitForDriver(name) {
    const end = performance.now() + START_SECONDS * 1000;
    for (;;) {
      try {
        if ((await this.#call('GET', '/status')).ready) return;
      } catch {
        // not listening yet
      }
      if (!this.#driver.running) throw new Error('its WebDriver server ended at once');
      if (performance.now() > end) throw new Error(`the WebDriver server of ${name} was not ready within ${START_SECONDS} s`);
      await sleep(100);
    }
  }

  async #call(method, path, body) {
    const response = await fetch(this.#base + path, {
      method,
      signal: AbortSignal.timeout(COMMAND_SECONDS * 1000),
      ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json; charset=utf-8' } } : {}),
    });
    const { value } = await response.json();
    if (!response.ok) throw new WebDriverError(value, `${method} ${path}`);
    return value;
  }

  #command(method, path, body) {
    return this.#call(method, this.#session + path, body);
  }

  /** Opens a page; resolves at its `load` event. */
  goto(url) {
    return this.#command('POST', '/url', { url });
  }

  async #find(selector) {
    const element = await this.#command('POST', '/element', { using: 'css selector', value: selector });
    return element[ELEMENT];
  }

  async click(selector) {
    await this.#command('POST', `/element/${await this.#find(selector)}/click`, {});
  }

  /** Types into an element; for a file input, the path of a file. */
  async type(selector, text) {
    await this.#command('POST', `/element/${await this.#find(selector)}/value`, { text });
  }

  /** Runs a function in the page and returns what it returns. It sees nothing but its arguments. */
  evaluate(run, ...args) {
    return this.#command('POST', '/execute/sync', { script: `return (${run}).apply(null, arguments)`, args });
  }

  /** The same for a function that returns a promise. */
  async evaluateAsync(run, ...args) {
    const script = `const done = arguments[arguments.length - 1];
      (${run})(...[...arguments].slice(0, -1)).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value, error } = await this.#command('POST', '/execute/async', { script, args });
    if (error !== undefined) throw new Error(error);
    return value;
  }

  /** Waits until a function in the page returns something true; returns that. */
  async waitFor(run, { timeout, args = [], what = String(run) }) {
    const end = performance.now() + timeout;
    for (;;) {
      const value = await this.evaluate(run, ...args);
      if (value) return value;
      if (performance.now() > end) throw new Error(`not within ${timeout / 1000} s: ${what}`);
      // Not often: every question takes time of the page's main thread.
      await sleep(250);
    }
  }

  /** Ends the browser and the driver. Never throws. */
  async close() {
    if (this.#session) {
      await Promise.race([this.#command('DELETE', '').catch(() => {}), sleep(10_000, undefined, { ref: false })]);
    }
    await this.#driver.stop();
  }
}
