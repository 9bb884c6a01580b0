// Links between the pages of the documentation lead to files and headings that are there.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { anchors, links } from './lib/markdown.mjs';

const PAGES = [
  'README.md',
  'CHANGELOG.md',
  ...['docs', 'examples', 'models'].flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules')).map((name) => join(folder, name)).sort()),
];
const read = (page) => readFileSync(join(ROOT, page), 'utf8');

const known = new Map();
function anchorsOf(page) {
  if (!known.has(page)) known.set(page, anchors(read(page)));
  return known.get(page);
}

/** What is wrong with the links of a page. */
function broken(page, text) {
  const own = anchors(text);
  return links(text).flatMap(({ target, line }) => {
    const [path, anchor] = target.split('#');
    const file = path ? normalize(join(dirname(page), path)) : page;
    if (!existsSync(join(ROOT, file))) return [`${page}:${line}: there is no ${file}`];
    if (anchor && file.endsWith('.md') && !(path ? anchorsOf(file) : own).has(anchor)) return [`${page}:${line}: ${file} has no #${anchor}`];
    return [];
  });
}

test('every link leads somewhere', () => {
  assert.ok(PAGES.includes('docs/api.md') && PAGES.includes('examples/vite/README.md'));
  assert.deepEqual(PAGES.flatMap((page) => broken(page, read(page))), []);
});

test('one that does not is found', () => {
  assert.deepEqual(broken('docs/api.md', '[a](nowhere.md)\n\n[b](errors.md#no_such_code) [c](#x)\n\n# X\n'), [
    'docs/api.md:1: there is no docs/nowhere.md',
    'docs/api.md:3: docs/errors.md has no #no_such_code',
  ]);
});
