// The code in docs/guides.md and docs/recipes.md is that of the examples, which are run (scripts/examples.mjs): every block is
// a verbatim excerpt of the file that the line before it links to.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from '../../scripts/lib/paths.mjs';
import { EXAMPLES } from '../../scripts/lib/examples/catalogue.mjs';
import { codeBlocks, isExcerpt } from './lib/markdown.mjs';

const read = (path) => readFileSync(join(ROOT, path), 'utf8');

/** The file that the line before a block links to, as a path in the project. */
function fileOf(page, { before, line }) {
  const link = /\[`([^`]+)`\]\(([^)]+)\)$/.exec(before);
  assert.ok(link, `${page}:${line}: the line before the code links to no file`);
  const path = relative(ROOT, resolve(ROOT, dirname(page), link[2]));
  assert.equal(link[1], path, `${page}:${line}: the link leads elsewhere`);
  return path;
}

for (const page of ['docs/guides.md', 'docs/recipes.md']) {
  describe(page, () => {
    const blocks = codeBlocks(read(page));

    test('every block is in the file that it names, word for word', () => {
      assert.ok(blocks.length > 5);
      for (const block of blocks) {
        const path = fileOf(page, block);
        assert.ok(isExcerpt(block.code, read(path)), `${page}:${block.line}: this is not in ${path}`);
        // And a change would be noticed.
        assert.ok(!isExcerpt(block.code.replace(/\w(?=\W*$)/, '$&x'), read(path)));
      }
    });

    test('what it names is run', () => {
      const run = new Set(EXAMPLES.map(({ name }) => `examples/${name}/`));
      for (const block of blocks) {
        const path = fileOf(page, block);
        assert.ok([...run].some((folder) => path.startsWith(folder)), `nothing runs ${path}`);
      }
    });
  });
}

test('every example has its guide, or its recipe', () => {
  const pages = read('docs/guides.md') + read('docs/recipes.md');
  for (const { name } of EXAMPLES) assert.ok(pages.includes(`(../examples/${name}/`), `no guide links to a file of examples/${name}`);
});

test('the headers that the guide names are those that the examples are served with', () => {
  const catalogue = read('scripts/lib/examples/catalogue.mjs');
  const [policy] = codeBlocks(read('docs/guides.md')).filter(({ code }) => code.startsWith('default-src'));
  assert.ok(catalogue.includes(`"${policy.code.trim()}"`), 'not the policy');
  const [isolation] = codeBlocks(read('docs/guides.md')).filter(({ code }) => code.startsWith('Cross-Origin'));
  for (const header of isolation.code.trim().split('\n')) {
    const [name, value] = header.split(': ');
    assert.ok(catalogue.includes(`'${name.toLowerCase()}': '${value}'`), `not ${header}`);
  }
});
