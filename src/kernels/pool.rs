//! Pools over `[n, h, w, c]` and means along an axis. All work on whole rows of channels, so that loops vectorise.

use std::ops::Range;

use super::quantize::round_to_i32;
use super::{Quantization, Rows, Window};

/// Channels that are summed at a time: the sums stay in the nearest cache.
const BLOCK: usize = 256;

/// Calls `f` with each output position of `rows` (counted through `[n, oh]`) and the offsets in `x`, in elements, of the
/// taps inside of the input, in row-major order.
fn positions(window: &Window, rows: Range<usize>, mut f: impl FnMut(usize, &[usize])) {
    let [_, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let [kh, kw] = window.kernel;
    // The taps of one axis that lie inside.
    let inside = |at: usize, kernel: usize, d: usize, size: usize| {
        (0..kernel).filter_map(move |k| {
            let position = (at * window.strides[d] + k * window.dilations[d]).checked_sub(window.pads[d])?;
            (position < size).then_some(position)
        })
    };
    let mut taps = Vec::with_capacity(kh.saturating_mul(kw).min(1 << 16));
    for row in rows {
        let (batch, oy) = (row / oh, row % oh);
        for ox in 0..ow {
            taps.clear();
            for y in inside(oy, kh, 0, h) {
                taps.extend(inside(ox, kw, 1, w).map(|x| ((batch * h + y) * w + x) * c));
            }
            f((row * ow + ox) * c, &taps);
        }
    }
}

fn max<T: Copy>(
    window: &Window,
    x: &[T],
    y: &mut [T],
    rows: Range<usize>,
    least: T,
    larger: impl Fn(T, T) -> T + Copy,
) {
    let c = window.input[3];
    positions(window, rows, |at, taps| {
        let y = &mut y[at..][..c];
        match taps.split_first() {
            None => y.fill(least),
            Some((&first, others)) => {
                y.copy_from_slice(&x[first..][..c]);
                for &tap in others {
                    for (y, &x) in y.iter_mut().zip(&x[tap..][..c]) {
                        *y = larger(*y, x);
                    }
                }
            }
        }
    });
}

/// The largest element of each window; what lies outside never is. `rows` are output rows, counted through `[n, oh]`.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn max_pool(window: Window, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    max(&window, x, y, rows, 0, |a, b| a.max(b));
}

/// [`max_pool`] of floats; NaN is larger than all else.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn max_pool_f32(window: Window, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    max(&window, x, y, rows, f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a });
}

/// Sums of the taps, block by block of channels, in row-major order: one sum for each channel, as docs/numerics.md says.
fn sums<T: Copy>(
    window: &Window,
    x: &[T],
    rows: Range<usize>,
    include_pads: bool,
    value: impl Fn(T) -> f32 + Copy,
    mut emit: impl FnMut(usize, &[f32], f32),
) {
    let c = window.input[3];
    let whole = window.kernel[0].saturating_mul(window.kernel[1]);
    let mut sums = [0f32; BLOCK];
    positions(window, rows, |at, taps| {
        let count = if include_pads { whole } else { taps.len() };
        for first in (0..c).step_by(BLOCK) {
            let sums = &mut sums[..BLOCK.min(c - first)];
            sums.fill(0.0);
            for &tap in taps {
                for (sum, &x) in sums.iter_mut().zip(&x[tap + first..][..BLOCK.min(c - first)]) {
                    *sum += value(x);
                }
            }
            emit(at + first, sums, count as f32);
        }
    });
}

/// The mean of each window: `(x - zx) * sx` added up in row-major order, divided by the count and by the scale of the
/// result, plus its zero point, rounded. The count is that of the taps inside, or of the whole kernel.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn average_pool(
    window: Window,
    x: &[u8],
    y: &mut [u8],
    from: Quantization,
    to: Quantization,
    include_pads: bool,
    rows: Range<usize>,
) {
    let zero_point = from.zero_point as i32;
    let value = |q: u8| (q as i32 - zero_point) as f32 * from.scale;
    sums(&window, x, rows, include_pads, value, |at, sums, count| {
        for (y, sum) in y[at..].iter_mut().zip(sums) {
            *y = round_to_i32(sum / count / to.scale + to.zero_point as f32).clamp(0, 255) as u8;
        }
    });
}

/// [`average_pool`] of floats.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn average_pool_f32(window: Window, x: &[f32], y: &mut [f32], include_pads: bool, rows: Range<usize>) {
    sums(
        &window,
        x,
        rows,
        include_pads,
        |v| v,
        |at, sums, count| {
            for (y, sum) in y[at..].iter_mut().zip(sums) {
                *y = sum / count;
            }
        },
    );
}

/// Sums along the middle axis, block by block of the last.
fn means<T: Copy, S: Copy + Default>(
    rows: Rows,
    x: &[T],
    add: impl Fn(S, T) -> S + Copy,
    mut emit: impl FnMut(usize, &[S]),
) {
    let Rows { outer, count, inner } = rows;
    let mut sums = [S::default(); BLOCK];
    for o in 0..outer {
        for first in (0..inner).step_by(BLOCK) {
            let width = BLOCK.min(inner - first);
            let sums = &mut sums[..width];
            sums.fill(S::default());
            for i in 0..count {
                for (sum, &x) in sums.iter_mut().zip(&x[(o * count + i) * inner + first..][..width]) {
                    *sum = add(*sum, x);
                }
            }
            emit(o * inner + first, sums);
        }
    }
}

/// The mean along an axis: `rint(f32(sum of (x - zx)) * (sx / (sy * count))) + zy`, the sum in 32 bits.
///
/// # Panics
/// If a slice is shorter than the sizes say.
pub fn mean(rows: Rows, x: &[u8], y: &mut [u8], from: Quantization, to: Quantization) {
    let multiplier = from.scale / (to.scale * rows.count as f32);
    // Exact: the sum of the differences, modulo 2^32.
    let shift = (rows.count as i32).wrapping_mul(from.zero_point as i32);
    means(
        rows,
        x,
        |sum: i32, q| sum.wrapping_add(q as i32),
        |at, sums| {
            for (y, sum) in y[at..].iter_mut().zip(sums) {
                let rounded = round_to_i32(sum.wrapping_sub(shift) as f32 * multiplier);
                *y = rounded.saturating_add(to.zero_point as i32).clamp(0, 255) as u8;
            }
        },
    );
}

/// The mean of floats along an axis.
///
/// # Panics
/// If a slice is shorter than the sizes say.
pub fn mean_f32(rows: Rows, x: &[f32], y: &mut [f32]) {
    means(
        rows,
        x,
        |sum: f32, v| sum + v,
        |at, sums| {
            for (y, sum) in y[at..].iter_mut().zip(sums) {
                *y = sum / rows.count as f32;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The values of a window's taps, by the definition.
    fn taps(window: &Window, x: &[u8], [b, oy, ox, ch]: [usize; 4]) -> Vec<u8> {
        let [_, h, w, c] = window.input.map(|d| d as isize);
        let mut found = vec![];
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let y = (oy * window.strides[0] + ky * window.dilations[0]) as isize - window.pads[0] as isize;
                let x_ = (ox * window.strides[1] + kx * window.dilations[1]) as isize - window.pads[1] as isize;
                if (0..h).contains(&y) && (0..w).contains(&x_) {
                    found.push(x[(((b as isize * h + y) * w + x_) * c) as usize + ch]);
                }
            }
        }
        found
    }

    #[test]
    fn every_window_equals_the_definition() {
        let mut seed = 1u32;
        let mut byte = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            (seed >> 24) as u8
        };
        let (from, to) = (Quantization { scale: 0.05, zero_point: 117 }, Quantization { scale: 0.031, zero_point: 3 });
        for channels in [1, 3, 15, 16, 17, 33, 300] {
            for (kernel, strides, dilations, pads, output) in [
                ([1, 1], [1, 1], [1, 1], [0, 0], [6, 5]),
                ([3, 3], [2, 2], [1, 1], [1, 1], [3, 3]),
                ([2, 3], [1, 2], [2, 1], [1, 1], [6, 3]),
                ([5, 5], [1, 1], [1, 1], [2, 2], [6, 5]),
                // The last window reaches far beyond the end, as with ceil_mode.
                ([3, 3], [3, 3], [1, 1], [0, 0], [2, 2]),
            ] {
                let window = Window { input: [2, 6, 5, channels], output, kernel, strides, dilations, pads };
                let x: Vec<u8> = (0..2 * 30 * channels).map(|_| byte()).collect();
                let wide: Vec<f32> = x.iter().map(|&q| q as f32).collect();
                let len = 2 * output[0] * output[1] * channels;
                let rows = 0..2 * output[0];
                let mut y = [vec![0u8; len], vec![0; len], vec![0; len]];
                let mut floats = [vec![0f32; len], vec![0f32; len]];
                max_pool(window, &x, &mut y[0], rows.clone());
                average_pool(window, &x, &mut y[1], from, to, false, rows.clone());
                average_pool(window, &x, &mut y[2], from, to, true, rows.clone());
                max_pool_f32(window, &wide, &mut floats[0], rows.clone());
                average_pool_f32(window, &wide, &mut floats[1], false, rows);
                for i in 0..len {
                    let (ch, p) = (i % channels, i / channels);
                    let at = [p / (output[0] * output[1]), p / output[1] % output[0], p % output[1], ch];
                    let found = taps(&window, &x, at);
                    assert_eq!(y[0][i], *found.iter().max().unwrap(), "{window:?}");
                    assert_eq!(floats[0][i], *found.iter().max().unwrap() as f32);
                    let sum = found.iter().fold(0f32, |s, &q| s + (q as i32 - 117) as f32 * 0.05);
                    for (y, count) in [(y[1][i], found.len()), (y[2][i], kernel[0] * kernel[1])] {
                        let want = (sum / count as f32 / 0.031 + 3.0).round_ties_even().clamp(0.0, 255.0);
                        assert_eq!(y, want as u8, "{window:?}");
                    }
                    let sum: f32 = found.iter().fold(0f32, |s, &q| s + q as f32);
                    assert_eq!(floats[1][i], sum / found.len() as f32);
                }
            }
        }
    }

    #[test]
    fn means_equal_the_definition_at_the_extremes() {
        for (fill, zero_point) in [(0u8, 255u8), (255, 0), (128, 128), (7, 9)] {
            for rows in [
                Rows { outer: 2, count: 49, inner: 17 },
                Rows { outer: 1, count: 1, inner: 300 },
                Rows { outer: 3, count: 5, inner: 1 },
            ] {
                let x: Vec<u8> = (0..rows.outer * rows.count * rows.inner)
                    .map(|i| if i % 3 == 0 { fill } else { fill.wrapping_add(i as u8) })
                    .collect();
                let (from, to) =
                    (Quantization { scale: 0.02, zero_point }, Quantization { scale: 0.03, zero_point: 100 });
                let mut y = vec![0; rows.outer * rows.inner];
                mean(rows, &x, &mut y, from, to);
                let wide: Vec<f32> = x.iter().map(|&q| q as f32).collect();
                let mut floats = vec![0f32; y.len()];
                mean_f32(rows, &wide, &mut floats);
                for (i, &y) in y.iter().enumerate() {
                    let all =
                        || (0..rows.count).map(|k| x[(i / rows.inner * rows.count + k) * rows.inner + i % rows.inner]);
                    let sum: i32 = all().map(|q| q as i32 - zero_point as i32).sum();
                    let rounded = (sum as f32 * (0.02 / (0.03 * rows.count as f32))).round_ties_even() as i32;
                    assert_eq!(y as i32, (rounded + 100).clamp(0, 255), "{rows:?}");
                    assert_eq!(floats[i], all().fold(0f32, |s, q| s + q as f32) / rows.count as f32);
                }
            }
        }
    }
}
