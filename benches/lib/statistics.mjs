// Medians and other figures that a few disturbed runs do not move.

/** The value below which a share of the values lies, interpolated. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  const next = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (next - sorted[below]) * (at - below);
}

export const median = (values) => quantile(values, 0.5);

/** Median, median absolute deviation, the range of the middle 80 percent, and what 95 percent stay below. */
export function summarise(values) {
  const middle = median(values);
  return {
    count: values.length,
    median: middle,
    mad: median(values.map((value) => Math.abs(value - middle))),
    p10: quantile(values, 0.1),
    p90: quantile(values, 0.9),
    p95: quantile(values, 0.95),
    min: Math.min(...values),
  };
}

/**
 * How many times as long `ours` takes as `theirs`: the median over the rounds of the ratio within a round. What slows both
 * libraries down for longer than a round does not change it.
 */
export function pairedRatio(ours, theirs) {
  const { median: ratio, p10, p90 } = summarise(ours.map((times, round) => median(times) / median(theirs[round])));
  return { ratio, p10, p90 };
}
