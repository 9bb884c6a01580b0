// Gives others a turn, between two slices of work.

let line: MessageChannel | undefined;
const waiting: (() => void)[] = [];

/**
 * Resolves in a later task, once messages and events that are there already have been handled.
 *
 * Timers would do, but browsers make those of a chain wait for 4 ms each.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    // In Node a port that posts to itself keeps all others waiting.
    const { setImmediate } = globalThis as { setImmediate?: (then: () => void) => void };
    if (setImmediate) {
      setImmediate(resolve);
      return;
    }
    if (!line) {
      line = new MessageChannel();
      line.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(resolve);
    line.port2.postMessage(0);
  });
}
