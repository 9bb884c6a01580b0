// What the tests of the documentation read in Markdown.

/** The lines of a text that are not in a fenced block, with their numbers; blocks go to `onBlock`. */
function* prose(text, onBlock) {
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i += 1) {
    const fence = /^(\s*)```(\S*)(.*)$/.exec(lines[i]);
    if (!fence) {
      yield { text: lines[i], line: i + 1 };
      continue;
    }
    const start = i;
    do i += 1; while (i < lines.length && lines[i].trim() !== '```');
    onBlock?.({ language: fence[2], info: fence[3].trim(), code: lines.slice(start + 1, i).map((line) => `${line}\n`).join(''), before: lines[start - 1] ?? '', line: start + 1 });
  }
}

/** The fenced blocks: `{ language, info, code, before, line }`, `before` being the line before, `line` its number. */
export function codeBlocks(text) {
  const blocks = [];
  for (const line of prose(text, (block) => blocks.push(block))) void line;
  return blocks;
}

/** Whether whole lines of a text are these, all of them indented by the same. */
export function isExcerpt(code, text) {
  const wanted = code.replace(/\n$/, '').split('\n');
  const lines = text.split('\n');
  return lines.some((first, at) => {
    if (!first.endsWith(wanted[0])) return false;
    const indent = first.slice(0, first.length - wanted[0].length);
    return indent.trim() === '' && wanted.every((line, i) => lines[at + i] === (line === '' ? '' : indent + line));
  });
}

/** The links of a page to others of the project: `{ target, line }`. */
export function links(text) {
  const found = [];
  for (const { text: content, line } of prose(text)) {
    for (const [, target] of content.replaceAll(/(`+).*?\1/g, '``').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (!/^[a-z]+:/.test(target)) found.push({ target, line });
    }
  }
  return found;
}

/** The anchors of a page: those of its headings, as GitHub makes them, and those written out. */
export function anchors(text) {
  const found = new Set();
  for (const { text: content } of prose(text)) {
    for (const [, id] of content.matchAll(/<a id="([^"]+)">/g)) found.add(id);
    const heading = /^#{1,6} (.*)$/.exec(content);
    if (!heading) continue;
    const plain = heading[1].replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim().toLowerCase();
    const slug = plain.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-');
    let name = slug;
    for (let i = 1; found.has(name); i += 1) name = `${slug}-${i}`;
    found.add(name);
  }
  return found;
}
