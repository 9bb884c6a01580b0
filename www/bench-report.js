// @ts-check
// What came out of a measurement, as figures, as a table, and as a chart.

import { pairedRatio, summarise } from '../benches/lib/statistics.mjs';
import { compare, countRight, sameFive } from '../benches/lib/compare.mjs';
import { make, megabytes } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const [ROW, BAR] = [44, 14];

/**
 * @typedef {object} Figures
 * @property {string} name
 * @property {string} version
 * @property {string} [error]
 * @property {boolean} [float]       runs the float form of a quantized net
 * @property {string} [build]
 * @property {number} [threads]
 * @property {number} [downloadBytes]
 * @property {number} [load]         milliseconds until the library is there; then until there is a session; the first run
 * @property {number} [create]
 * @property {number} [first]
 * @property {{ median: number, p95: number, count: number }} [run]
 * @property {number} [ratio]        of the first library's time
 * @property {number} [memory]       bytes
 * @property {{ same: number, tied: number, different: number, five: number, of: number, gap: number, agree: boolean | undefined }} [answers]
 * @property {{ right: number, of: number }} [right]
 * @property {number[][]} [rounds]
 */

/**
 * @param {any} model   an entry of bench.json
 * @param {any[]} peers  those that took part; the others are compared with the first that worked
 * @param {Record<string, any>} results  of `pass`
 * @param {Record<string, number | undefined>} downloads  bytes by name
 * @returns {Figures[]}
 */
export function evaluate(model, peers, results, downloads) {
  const first = peers.find(({ name }) => results[name]?.error === undefined);
  return peers.map((peer) => {
    const { name, version } = peer;
    const { error, about, load, create, first: firstRun, scores, rounds, memory } = results[name] ?? { error: 'was not run' };
    if (error !== undefined) return { name, version, error };
    const float = model.files[peer.format] === undefined;
    /** @type {Figures} */
    const figures = {
      name, version, float, load, create, memory, rounds,
      first: firstRun,
      build: about.build,
      threads: about.threads,
      ...(downloads[name] === undefined ? {} : { downloadBytes: downloads[name] }),
      run: summarise(rounds.flat()),
      right: countRight(scores, model.photos),
    };
    if (peer === first || !first) return figures;
    const ours = results[first.name];
    const sameFile = peer.format === first.format && !float;
    const { same, tied, different, gap, agree } = compare(ours.scores, scores, model.quantum, { rounding: !sameFile });
    return {
      ...figures,
      ratio: pairedRatio(rounds, ours.rounds).ratio,
      // Float and quantized forms of a net are two nets: their answers are shown, not judged.
      answers: { same, tied, different, gap, five: sameFive(ours.scores, scores), of: scores.length, agree: float ? undefined : agree },
    };
  });
}

/** @param {number | undefined} time */
const milliseconds = (time) => (time === undefined ? '–' : time < 100 ? time.toFixed(1) : time.toFixed(0));

/** @param {number} share */
const percent = (share) => (share === 0 ? '0' : `${(100 * share).toPrecision(2)} %`);

/** @param {Figures} figures */
function cells({ build, threads, downloadBytes, load = 0, create = 0, first, run, ratio, memory, answers, float }) {
  return [
    build === undefined ? '–' : float ? `${build}, float` : build,
    String(threads ?? '–'),
    downloadBytes === undefined ? '–' : megabytes(downloadBytes),
    milliseconds(load + create),
    milliseconds(first),
    milliseconds(run?.median),
    milliseconds(run?.p95),
    ratio === undefined ? '–' : `× ${ratio.toFixed(2)}`,
    memory === undefined ? '–' : megabytes(memory),
    answers ? `${answers.same + answers.tied} of ${answers.of}` : '–',
    answers ? `${answers.five} of ${answers.of}` : '–',
    answers ? percent(answers.gap) : '–',
  ];
}

/**
 * @param {HTMLTableSectionElement} body
 * @param {Figures[]} report
 */
export function showTable(body, report) {
  body.replaceChildren(
    ...report.map((figures) => {
      const row = make('tr');
      const name = make('th', undefined, `${figures.name} ${figures.version}`);
      name.scope = 'row';
      row.append(name);
      if (figures.error !== undefined) {
        const cell = make('td', 'failed', `Did not run: ${figures.error}`);
        cell.colSpan = 12;
        row.append(cell);
        return row;
      }
      const texts = cells(figures);
      const differs = figures.answers?.agree === false;
      row.append(...texts.map((value, i) => make('td', differs && i >= texts.length - 3 ? 'differs' : undefined, value)));
      return row;
    }),
  );
}

/**
 * @param {SVGSVGElement} chart
 * @param {Figures[]} report
 */
export function showChart(chart, report) {
  for (const group of chart.querySelectorAll('g')) group.remove();
  const shown = report.filter(({ run }) => run);
  const width = Math.max(280, chart.clientWidth || 640);
  // Room for the number at the end of the longest bar.
  const longest = Math.max(...shown.map(({ run }) => run?.p95 ?? 0));
  /** @param {number} time */
  const scale = (time) => (time / longest) * (width - 84);
  chart.setAttribute('viewBox', `0 0 ${width} ${shown.length * ROW}`);
  chart.setAttribute('height', String(shown.length * ROW));
  for (const [i, { name, run, build, float }] of shown.entries()) {
    if (!run) continue;
    const group = draw(chart, 'g', { transform: `translate(0 ${i * ROW})`, class: name.startsWith('tractlet') ? 'ours' : 'theirs' });
    draw(group, 'text', { x: 0, y: 16 }).textContent = `${name}, ${build}${float ? ', float' : ''}`;
    draw(group, 'rect', { class: 'bar', x: 0, y: 22, width: scale(run.median), height: BAR });
    draw(group, 'line', { x1: scale(run.median), x2: scale(run.p95), y1: 29, y2: 29 });
    draw(group, 'text', { x: scale(run.p95) + 8, y: 34 }).textContent = `${milliseconds(run.median)} ms`;
  }
}

/**
 * @param {Element} parent
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function draw(parent, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  parent.append(element);
  return element;
}

/**
 * What a screen reader is told.
 *
 * @param {Figures[]} report
 */
export function summary(report) {
  const working = report.filter(({ run }) => run);
  const parts = working.map(({ name, run }) => `${name} ${milliseconds(run?.median)} milliseconds`);
  const failed = report.length - working.length;
  return `Done. ${parts.join(', ')}.${failed ? ` ${failed} did not run.` : ''}`;
}

