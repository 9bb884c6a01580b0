//! Which source pixels make up each pixel of the result along one axis, and how much each of them counts.
//!
//! This follows PIL step by step, floating point included: the window of each pixel, weights normalised in f64 and then
//! rounded to [`PRECISION_BITS`] fractional bits. Another order of the same arithmetic would move some results by one.

use std::f64::consts::PI;
use std::ops::Range;

use super::reserved;
use super::spec::Resample;
use crate::error::Result;

/// Fractional bits of a weight: what is left of 32 after 8 bits of result and 2 for the overshoot of filters that have
/// negative lobes.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Source pixels for the pixels of a window of the result, along one axis.
#[derive(Debug)]
pub(super) enum Axis {
    /// One source pixel each.
    Pick(Vec<usize>),
    /// A weighted sum of neighbours each.
    Blend(Taps),
}

/// Weights of the source pixels for each pixel of the result.
#[derive(Debug)]
pub(super) struct Taps {
    /// First source pixel, and where its weight is; never decreasing.
    windows: Vec<(usize, usize)>,
    weights: Vec<i32>,
}

impl Taps {
    /// First source pixel and the weights from there on, for pixel `i` of the window.
    pub fn get(&self, i: usize) -> (usize, &[i32]) {
        let (first, from) = self.windows[i];
        let to = self.windows.get(i + 1).map_or(self.weights.len(), |next| next.1);
        (first, &self.weights[from..to])
    }

    /// The same for every pixel of the window.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        (0..self.windows.len()).map(|i| self.get(i))
    }

    /// Most source pixels that one pixel needs.
    pub fn longest(&self) -> usize {
        self.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0)
    }
}

impl Axis {
    /// For the pixels `window` out of `scaled`, which `source` pixels are scaled to.
    pub fn new(source: usize, scaled: usize, window: Range<usize>, filter: Resample) -> Result<Self> {
        let mut picks = reserved(if filter == Resample::Nearest || source == scaled { window.len() } else { 0 })?;
        if source == scaled {
            picks.extend(window);
            return Ok(Self::Pick(picks));
        }
        let kernel: (fn(f64) -> f64, f64) = match filter {
            Resample::Nearest => {
                pick_nearest(source, scaled, window, &mut picks);
                return Ok(Self::Pick(picks));
            }
            Resample::Box => (box_filter, 0.5),
            Resample::Bilinear => (triangle, 1.0),
            Resample::Bicubic => (cubic, 2.0),
            Resample::Lanczos => (lanczos, 3.0),
        };
        taps(source, scaled, window, kernel).map(Self::Blend)
    }

    /// Source pixels from the first to the last that is needed.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Pick(picks) => picks.first().map_or(0..0, |first| *first..picks[picks.len() - 1] + 1),
            Self::Blend(taps) => {
                let first = taps.iter().map(|(first, _)| first).min().unwrap_or(0);
                let end = taps.iter().map(|(first, weights)| first + weights.len()).max().unwrap_or(0);
                first..end
            }
        }
    }

    /// Counts source pixels from `origin` on, which is not after the first one needed.
    pub fn relative_to(mut self, origin: usize) -> Self {
        match &mut self {
            Self::Pick(picks) => picks.iter_mut().for_each(|pick| *pick -= origin),
            Self::Blend(taps) => taps.windows.iter_mut().for_each(|window| window.0 -= origin),
        }
        self
    }
}

/// PIL adds the step up rather than multiplying; where a sample falls on the border of two pixels, the accumulated
/// rounding decides which one is taken.
fn pick_nearest(source: usize, scaled: usize, window: Range<usize>, picks: &mut Vec<usize>) {
    let step = source as f64 / scaled as f64;
    let mut position = step * 0.5;
    for i in 0..window.end {
        if i >= window.start {
            picks.push((position as usize).min(source - 1));
        }
        position += step;
    }
}

fn taps(source: usize, scaled: usize, window: Range<usize>, kernel: (fn(f64) -> f64, f64)) -> Result<Taps> {
    let (kernel, radius) = kernel;
    let scale = source as f64 / scaled as f64;
    // Scaling down, the filter is stretched over the source so that every source pixel counts: antialiasing.
    let stretch = scale.max(1.0);
    let support = radius * stretch;
    let per_unit = 1.0 / stretch;

    let longest = (support.ceil() as usize * 2 + 1).min(source);
    let mut windows = reserved(window.len())?;
    let mut weights: Vec<i32> = reserved(window.len().saturating_mul(longest))?;
    let mut exact: Vec<f64> = reserved(longest)?;
    for i in window {
        let centre = (i as f64 + 0.5) * scale;
        // A cast cuts off the fraction, and makes 0 of what is negative.
        let first = ((centre - support + 0.5) as usize).min(source);
        let end = ((centre + support + 0.5) as usize).min(source);
        exact.clear();
        exact.extend((first..end).map(|x| kernel((x as f64 - centre + 0.5) * per_unit)));
        // From 0.0 upwards: `sum` starts from -0.0, which is the same here, but this is the order that counts.
        let total = exact.iter().fold(0.0, |sum, w| sum + w);
        windows.push((first, weights.len()));
        weights.extend(exact.iter().map(|w| {
            let share = if total == 0.0 { *w } else { w / total };
            (share * f64::from(1 << PRECISION_BITS)).round_half_away()
        }));
    }
    Ok(Taps { windows, weights })
}

/// Rounding as PIL does it, by adding a half and cutting off.
trait RoundHalfAway {
    fn round_half_away(self) -> i32;
}

impl RoundHalfAway for f64 {
    fn round_half_away(self) -> i32 {
        if self < 0.0 { (self - 0.5) as i32 } else { (self + 0.5) as i32 }
    }
}

fn box_filter(x: f64) -> f64 {
    if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }
}

fn triangle(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const BLENDS: [Resample; 4] = [Resample::Box, Resample::Bilinear, Resample::Bicubic, Resample::Lanczos];

    fn blend(source: usize, scaled: usize, window: Range<usize>, filter: Resample) -> Taps {
        match Axis::new(source, scaled, window, filter).unwrap() {
            Axis::Blend(taps) => taps,
            Axis::Pick(_) => panic!("{filter:?} {source} -> {scaled} only picks"),
        }
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for filter in BLENDS {
            for (source, scaled) in [(1, 2), (2, 1), (3, 100), (100, 3), (1000, 224), (32_767, 7), (1, 8192)] {
                let taps = blend(source, scaled, 0..scaled, filter);
                let mut last = 0;
                for (first, weights) in taps.iter() {
                    let case = format!("{filter:?} {source} -> {scaled} at {first}");
                    assert!(first >= last && first + weights.len() <= source && !weights.is_empty(), "{case}");
                    last = first;
                    let sum: i64 = weights.iter().map(|w| i64::from(*w)).sum();
                    // Each weight is rounded, by at most a half.
                    assert!((sum - (1 << PRECISION_BITS)).abs() <= weights.len() as i64, "{case}: {sum}");
                }
            }
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        for filter in BLENDS {
            for (source, scaled) in [(50, 20), (20, 50)] {
                let whole = blend(source, scaled, 0..scaled, filter);
                let part = blend(source, scaled, 5..12, filter);
                for i in 0..7 {
                    assert_eq!(part.get(i), whole.get(i + 5), "{filter:?} {source} -> {scaled}");
                }
            }
        }
    }

    #[test]
    fn known_weights() {
        let one = 1 << PRECISION_BITS;
        // Halving with a triangle: its weights at -0.75, -0.25, 0.25 and 0.75, cut off at the borders.
        let taps = blend(6, 3, 0..3, Resample::Bilinear);
        assert_eq!(taps.get(1), (1, &[one / 8, one / 8 * 3, one / 8 * 3, one / 8][..]));
        assert_eq!(taps.get(0), (0, &[1_797_559, 1_797_559, 599_186][..]));
        assert_eq!(blend(4, 2, 0..2, Resample::Box).get(1), (2, &[one / 2, one / 2][..]));
    }

    #[test]
    fn nearest_takes_the_middle() {
        let picks = |source, scaled| match Axis::new(source, scaled, 0..scaled, Resample::Nearest).unwrap() {
            Axis::Pick(picks) => picks,
            Axis::Blend(_) => panic!(),
        };
        assert_eq!(picks(6, 3), [1, 3, 5]);
        assert_eq!(picks(3, 6), [0, 0, 1, 1, 2, 2]);
        assert_eq!(picks(7, 1), [3]);
        assert_eq!(picks(1, 4), [0; 4]);
    }

    #[test]
    fn unscaled_is_a_copy() {
        for filter in BLENDS {
            let axis = Axis::new(9, 9, 2..6, filter).unwrap();
            assert!(matches!(&axis, Axis::Pick(picks) if *picks == [2, 3, 4, 5]), "{filter:?}");
            assert_eq!(axis.span(), 2..6);
            assert_eq!(axis.relative_to(2).span(), 0..4);
        }
    }

    #[test]
    fn span_covers_every_tap() {
        assert_eq!(Axis::new(100, 10, 3..5, Resample::Box).unwrap().span(), 30..50);
        assert_eq!(Axis::new(100, 10, 3..5, Resample::Bilinear).unwrap().span(), 25..55);
        assert_eq!(Axis::new(100, 10, 0..10, Resample::Lanczos).unwrap().span(), 0..100);
    }
}
