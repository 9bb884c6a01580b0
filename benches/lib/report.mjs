// The tables.
import { formatBytes } from '../../scripts/lib/report.mjs';

const fixed = (value) => value.toFixed(value < 100 ? 2 : 1);
const whole = (value) => value.toFixed(value < 10 ? 1 : 0);

/** Rows of cells as lines; the first two columns are text, the others numbers. */
function align(rows, textColumns) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => row.map((cell, i) => (i < textColumns ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ').trimEnd());
}

const share = (value) => (value === 0 ? '0' : `${Number((100 * value).toPrecision(2))} %`);

function answersCells({ answers, right }) {
  const label = right?.of ? `${right.right}/${right.of}` : '';
  if (!answers) return [label, '', ''];
  const { same, tied, different, gap, agree } = answers;
  return [label, `${same}/${same + tied + different}${tied ? ` (${tied} tied)` : ''}`, `${share(gap)}${agree ? '' : ' ✗'}`];
}

/** The figures of all models, a line per library. */
export function speedTable(models) {
  const rows = [['model', 'library', 'create', 'first', 'median', 'p95', 'ours/theirs', 'right', 'same as ours', 'gap']];
  const failures = [];
  for (const { title, libraries } of models) {
    for (const [i, library] of libraries.entries()) {
      const { name, error, create, first, run, ratio } = library;
      const start = [i === 0 ? title : '', name];
      if (error !== undefined) {
        rows.push([...start, ...Array(8).fill('failed')]);
        failures.push(`${title}, ${name}: ${error}`);
        continue;
      }
      const spread = ratio?.p10 === undefined ? '' : ` (${ratio.p10.toFixed(2)}–${ratio.p90.toFixed(2)})`;
      const compared = ratio ? `${ratio.ratio.toFixed(2)}${spread}` : '';
      rows.push([...start, whole(create.median), whole(first.median), fixed(run.median), fixed(run.p95), compared, ...answersCells(library)]);
    }
  }
  return [...align(rows, 2), ...failures.map((line) => `✗ ${line}`)].join('\n');
}

export function sizeTable(sizes) {
  const rows = [['download', 'file', 'raw', 'brotli']];
  for (const { name, version, files, brotliBytes, leastBrotliBytes } of sizes) {
    rows.push([`${name} ${version}`, 'all', '', formatBytes(brotliBytes)]);
    for (const file of files) rows.push(['', `${file.name}${file.optional ? ` (${file.optional})` : ''}`, formatBytes(file.bytes), formatBytes(file.brotliBytes)]);
    if (leastBrotliBytes !== brotliBytes) rows.push(['', 'without what only some models need', '', formatBytes(leastBrotliBytes)]);
  }
  return align(rows, 2).join('\n');
}

export function environmentLines({ browser, relaxedDot, cpu, cores, system, date, commit, loadAverage, busyCores }, { isolated }) {
  const at = commit ? `commit ${commit.hash.slice(0, 10)}${commit.changed ? ' with changes' : ''}` : 'no commit';
  const lines = [
    `${browser}, ${isolated ? '' : 'not '}cross-origin isolated, relaxed dot: ${relaxedDot} · ${cpu}, ${cores} cores · ${system}`,
    `${date} · ${at} · load average at the start ${loadAverage.toFixed(2)}, cores busy meanwhile ${busyCores?.toFixed(2) ?? 'unknown'}`,
  ];
  return lines.join('\n');
}
