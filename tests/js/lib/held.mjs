// What a process holds. Node only.
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** Bytes held once all garbage is gone: `own`, JavaScript's and the wasm memories of this thread; `resident`, what the system says. */
export async function held() {
  for (let i = 0; i < 4; i++) {
    collect();
    // What is freed by finalizers goes with the next round.
    await sleep(20);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { own: heapUsed + external, resident: rss };
}
