// `npm run setup`: installs what is missing for building and for the tests; what is there is left alone.
//
// Imports nothing from node_modules: this is what installs them.
import { BROWSER_NAMES, setupBrowser } from './lib/browsers.mjs';
import { withLock } from './lib/lock.mjs';
import { setupNodePackages } from './lib/node-packages.mjs';
import { setupPython } from './lib/python.mjs';
import { heading } from './lib/report.mjs';
import { main } from './lib/run.mjs';
import { setupCargoTools, setupRust } from './lib/rust.mjs';
import { TOOL_VERSIONS } from './lib/tools.mjs';

/** What building needs, beside the Node packages. */
export const FOR_BUILD = { cargoTools: ['wasm-bindgen-cli'] };

/** What the whole test run needs. */
export const FOR_TESTS = { cargoTools: Object.keys(TOOL_VERSIONS.cargo), lints: true, python: true, browsers: BROWSER_NAMES };

/**
 * Installs what is missing, side by side where that helps, and returns what went wrong: a list of errors, each with
 * `fatal` true if nothing can be built without it.
 *
 * @param needs.cargoTools Rust, and these programs compiled by it
 * @param needs.lints clippy and rustfmt
 * @param needs.python the virtual environment
 * @param needs.browsers names of browsers
 */
export async function trySetup({ cargoTools, lints = false, python = false, browsers = [] }) {
  const steps = [{ fatal: true, run: setupNodePackages }];
  if (cargoTools || lints) {
    const rust = async () => {
      await setupRust({ lints });
      await setupCargoTools(cargoTools ?? []);
    };
    steps.push({ fatal: true, run: rust });
  }
  if (python) steps.push({ fatal: false, run: setupPython });
  for (const name of browsers) steps.push({ fatal: false, run: () => setupBrowser(name) });
  const results = await withLock('setup', () => Promise.allSettled(steps.map(({ run }) => run())));
  return results.flatMap(({ reason }, i) => (reason ? [Object.assign(reason, { fatal: steps[i].fatal })] : []));
}

/** As trySetup, but throws the first error, after printing the others. */
export async function setup(needs) {
  const [first, ...others] = await trySetup(needs);
  for (const error of others) if (!error.shown) console.error(`error: ${error.message}`);
  if (first) throw first;
}

await main(import.meta.url, async () => {
  heading('Set-up');
  await setup(FOR_TESTS);
});
