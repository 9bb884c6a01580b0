// How many tests a tool ran, read from what it printed.

/** `cargo test` and `wasm-bindgen-test-runner`: one result line per test program. */
export function cargoCounts(output) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(/^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.skipped += Number(ignored);
  }
  return counts;
}

/** `node --test`: the summary at the end. */
export function nodeCounts(output) {
  const number = (word) => Number(output.match(new RegExp(`^(?:ℹ|#) ${word} (\\d+)$`, 'm'))?.[1] ?? 0);
  return { passed: number('pass'), failed: number('fail') + number('cancelled'), skipped: number('skipped') + number('todo') };
}

/**
 * What a test command comes to. Failing without a failed test (it did not compile, a browser died) counts as one failure;
 * so does running no test at all.
 */
export function outcome(counts, exitedWell) {
  const { passed, failed, skipped } = counts;
  return { passed, failed: exitedWell && passed > 0 ? failed : Math.max(1, failed), skipped };
}

/** The lines of a cargo log that say what is wrong: from the first failure or compile error on, without the tests that passed. */
export function cargoFailure(output, lines = 120) {
  const all = output.trimEnd().split('\n');
  const first = all.findIndex((line) => /^(failures:|error(\[E\d+\])?: |---- .* stdout ----|thread '.*' panicked)/.test(line));
  const shown = all.slice(first < 0 ? -40 : first).filter((line) => !/^(test .* ok|\s*Running |\s*Compiling |running \d+ tests?)$/.test(line));
  return shown.length > lines ? [...shown.slice(0, lines), `… ${shown.length - lines} more lines`].join('\n') : shown.join('\n');
}
