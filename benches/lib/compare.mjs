// Whether two libraries compute the same thing: a fast wrong answer is worth nothing. For Node and for pages.

/**
 * Two right implementations may round differently. Where the two best classes lie closer together than this share of the
 * range of the scores, or two quanta of a quantized output, either may come first.
 */
const TIE_SHARE = 1e-3;
const TIE_QUANTA = 2;

/** Scores further apart than this share of their range are wrong, even if the best class is the same. */
const LARGEST_GAP = 0.05;

export function best(scores) {
  let index = 0;
  // NaN beats nothing; `compare` finds it by the gap.
  for (let i = 1; i < scores.length; i += 1) if (scores[i] > scores[index]) index = i;
  return index;
}

function range(scores) {
  let [low, high] = [Infinity, -Infinity];
  for (const score of scores) {
    low = Math.min(low, score);
    high = Math.max(high, score);
  }
  return high - low;
}

/**
 * Compares the scores of one library with those of another, photo by photo.
 *
 * @param quantum scale of a quantized output
 * @param options.rounding whether the two round differently at every layer, as ONNX and TFLite do: then the best class of a
 *   photo may be another, as long as the scores are close
 * @returns { same, tied, different: photos by their best class; gap: largest difference of a score, as a share of the range
 * of its photo's scores; agree: whether both can be right }
 */
export function compare(ours, theirs, quantum, { rounding = false } = {}) {
  const result = { same: 0, tied: 0, different: 0, gap: 0 };
  for (const [photo, a] of ours.entries()) {
    const b = theirs[photo];
    if (a.length !== b.length) throw new Error(`the libraries give ${a.length} and ${b.length} scores`);
    const span = range(b);
    const slack = Math.max(TIE_SHARE * span, TIE_QUANTA * (quantum ?? 0));
    const [x, y] = [best(a), best(b)];
    const close = a[x] - a[y] <= slack && b[y] - b[x] <= slack;
    result[x === y ? 'same' : close ? 'tied' : 'different'] += 1;
    for (let i = 0; i < a.length; i += 1) {
      const gap = Math.abs(a[i] - b[i]) / span;
      // Math.max keeps NaN.
      result.gap = Math.max(result.gap, gap);
    }
  }
  return { ...result, agree: (rounding || result.different === 0) && result.gap <= LARGEST_GAP };
}

/** How many photos have the same classes among the best five of both, whatever their order. */
export function sameFive(ours, theirs) {
  const five = (scores) => Array.from(scores, (score, i) => [score, i]).sort((a, b) => b[0] - a[0]).slice(0, 5).map(([, i]) => i);
  return ours.filter((scores, photo) => {
    const other = new Set(five(theirs[photo]));
    return five(scores).every((i) => other.has(i));
  }).length;
}

/** How many labelled photos get their label. */
export function countRight(scores, photos) {
  const labelled = photos.map(({ label }, i) => ({ label, i })).filter(({ label }) => label !== null);
  return { right: labelled.filter(({ label, i }) => best(scores[i]) === label).length, of: labelled.length };
}
