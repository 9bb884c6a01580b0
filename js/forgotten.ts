// What is said when a session was forgotten.

let warned = false;

/** Warns, once: whoever forgets one session forgets others. */
export function warn(): void {
  if (warned) return;
  warned = true;
  // eslint-disable-next-line no-console -- there is no call left that could reject
  console.warn(
    'tractlet: a session was collected without release(), and kept its memory until then. Call `await session.release()` ' +
      'when you are done with one, or declare it with `await using`.',
  );
}
