// @ts-check
// The list of answers.

import { byId, make } from './dom.js';

/** @typedef {{ index: number, label: string, score: number }} Answer */

/** Below this the first answer is a guess, and the page says so. */
const DOUBT = 0.25;

/** @param {readonly Answer[]} answers */
export function showResults(answers) {
  byId('results', HTMLOListElement).replaceChildren(...answers.map(row));
  byId('doubt', HTMLElement).hidden = answers.length === 0 || (answers[0]?.score ?? 0) >= DOUBT;
}

/**
 * What a screen reader says: the first answer, and the second only if it is a rival.
 *
 * @param {readonly Answer[]} answers
 */
export function spokenResults(answers) {
  const [first, second] = answers;
  if (!first) return 'The model has no answer.';
  const rest = second && second.score > first.score / 3 ? ` Then: ${second.label}, ${percent(second.score)}.` : '';
  return `${first.label}, ${percent(first.score)}.${rest}`;
}

/** @param {Answer} answer */
function row({ label, score }) {
  const item = make('li');
  const name = make('span', 'label');
  // "tabby, tabby cat": ImageNet's labels are lists of names for one thing; the first one leads.
  const comma = label.indexOf(',');
  name.append(make('b', undefined, comma < 0 ? label : label.slice(0, comma)));
  if (comma >= 0) {
    const others = make('small');
    others.append(make('span', 'comma', ', '), label.slice(comma + 1).trim());
    name.append(others);
  }
  const bar = make('span', 'bar');
  bar.setAttribute('aria-hidden', 'true'); // the percentage says the same
  const fill = make('span', 'fill');
  fill.style.setProperty('--share', String(Math.min(1, Math.max(0, score))));
  bar.append(fill);
  const number = make('span', 'score', percent(score).slice(0, -1));
  number.append(make('span', 'sign', '%'));
  item.append(name, ' ', number, bar);
  return item;
}

/** @param {number} score */
function percent(score) {
  const value = score * 100;
  if (value > 0 && value < 0.1) return '< 0.1%';
  return `${value.toFixed(1)}%`;
}
