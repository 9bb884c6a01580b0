// Profiles of runs. Loaded with the first.

import type { RunResult } from './protocol.js';
import type { InferenceSession } from './session.js';

/** A profile as the caller sees it; also puts it on this thread's time line. */
export function record({ steps, began }: NonNullable<RunResult['profile']>): InferenceSession.ProfileEntry[] {
  const origin = began - performance.timeOrigin;
  return steps.map(({ node: name, opType, kernel, shape, start, microseconds, macs }) => {
    performance.measure(`tractlet: ${opType} ${name}`, {
      // The clocks of two threads may be a little apart, and no measure may start before the page.
      start: Math.max(0, origin + start / 1000),
      duration: microseconds / 1000,
      detail: { kernel, shape, macs },
    });
    // Clocks do not tell less than a tenth apart.
    return { name, opType, kernel, shape, microseconds: Math.round(10 * microseconds) / 10, macs };
  });
}
