// Threads of the browsers that a test has started, by their names. Linux only.
import { readFileSync, readdirSync } from 'node:fs';

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}

function list(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Processes that this one has started, and theirs. */
function descendants() {
  const children = new Map();
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    // The name, in parentheses, may contain anything.
    const parent = read(`/proc/${pid}/stat`).split(') ').at(-1).split(' ')[1];
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [String(process.pid)];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found.slice(1);
}

/** How many threads have a name that fits. */
export function countTasks(name) {
  return descendants().flatMap((pid) => list(`/proc/${pid}/task`).map((task) => read(`/proc/${pid}/task/${task}/comm`))).filter((comm) => name.test(comm)).length;
}
