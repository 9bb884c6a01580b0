// `npm run test:examples`: packs the package and sees every example work with it.
//
//   node scripts/examples.mjs [name ...]     these, or all of them
//   node scripts/examples.mjs --quick        those that `npm test` runs
//   node scripts/examples.mjs --keep         leaves the installed copies where they are, and says where
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectedAnswer } from './lib/examples/answer.mjs';
import { EXAMPLES } from './lib/examples/catalogue.mjs';
import { pack, prepare } from './lib/examples/package.mjs';
import { print } from './lib/report.mjs';
import { Stop, main, task } from './lib/run.mjs';

/**
 * Sees examples work; dist/ has to be built.
 *
 * @param chosen some of EXAMPLES
 * @param check called with a title and an async function for each; what that throws is its failure
 */
export async function runExamples(chosen, check, { keep = false } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'tractlet-examples-'));
  try {
    const tarball = await task('npm pack', ({ exec }) => pack(exec, folder));
    const expected = expectedAnswer();
    for (const { name, assets, scripts, run } of chosen) {
      await check(`examples/${name}`, async (tools) => {
        await run({ ...tools, expected, tarball, folder: await prepare(tools.exec, { name, tarball, folder, assets, scripts }) });
      });
      if (!keep) await rm(join(folder, name), { recursive: true, force: true });
    }
  } finally {
    if (keep) print(`  kept in ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

/** The examples of these names. */
export function selectExamples(names) {
  if (names.length === 0) return EXAMPLES;
  return names.map((name) => {
    const example = EXAMPLES.find((candidate) => candidate.name === name);
    if (!example) throw new Stop(`there is no example '${name}'; there are ${EXAMPLES.map((candidate) => candidate.name).join(', ')}`);
    return example;
  });
}

await main(import.meta.url, async () => {
  const args = process.argv.slice(2);
  const selected = selectExamples(args.filter((arg) => !arg.startsWith('--')));
  const chosen = args.includes('--quick') ? selected.filter(({ slow }) => !slow) : selected;
  let failed = 0;
  await runExamples(chosen, async (title, work) => {
    try {
      await task(title, work);
    } catch (error) {
      if (!(error instanceof Stop)) console.error(error);
      failed += 1;
    }
  }, { keep: args.includes('--keep') });
  print();
  console.log(`${chosen.length - failed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
});
