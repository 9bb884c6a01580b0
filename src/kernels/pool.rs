//! Pools over `[n, h, w, c]` and means along an axis, sixteen channels at a time: what is accumulated stays in registers.

use std::ops::Range;

use super::lanes::{BLOCK, F32x4, I32x4, load_block, narrow, store_block, widen};
use super::quantize::round_to_i32;
use super::{Quantization, Rows, Window};

/// What becomes of the elements under a window. `x` begins with the channel in question of the pixel that `taps`, offsets
/// of those that lie inside, in row-major order, are counted from.
trait Pool {
    type Element: Copy;

    /// The result of a channel.
    fn one(&self, x: &[Self::Element], taps: &[usize]) -> Self::Element;

    /// The results of sixteen channels.
    fn block(&self, x: &[Self::Element], taps: &[usize]) -> [Self::Element; BLOCK];

    /// The results of 64 channels, where that is quicker than block by block.
    fn wide(&self, _x: &[Self::Element], _taps: &[usize]) -> Option<[Self::Element; WIDE]> {
        None
    }
}

const WIDE: usize = 64;

/// The channels of a tap.
#[inline(always)]
fn load<T, const N: usize>(x: &[T], tap: usize) -> &[T; N] {
    x[tap..].first_chunk().expect("a whole block")
}

/// Computes the output rows `rows`, counted through `[n, oh]`.
fn run<P: Pool>(pool: &P, window: &Window, x: &[P::Element], y: &mut [P::Element], rows: Range<usize>) {
    let [_, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let [kh, kw] = window.kernel;
    // Where a tap of one axis lies, if inside.
    let place = |at: usize, k: usize, axis: usize, size: usize| {
        let place = (at * window.strides[axis] + k * window.dilations[axis]).checked_sub(window.pads[axis])?;
        (place < size).then_some(place)
    };
    let inside = |at, kernel: usize, axis, size| (0..kernel).filter_map(move |k| place(at, k, axis, size));
    // Whether all do. Taps are in order, so the first and the last say so.
    let whole = |at, kernel: usize, axis, size| {
        kernel > 0 && place(at, 0, axis, size).is_some() && place(at, kernel - 1, axis, size).is_some()
    };
    let mut border = Vec::new();
    // From the first tap on, for windows that lie inside.
    let mut interior = Vec::new();
    for row in rows {
        let (image, oy) = (row / oh, row % oh);
        let row_inside = whole(oy, kh, 0, h);
        for ox in 0..ow {
            let (start, taps) = if row_inside && whole(ox, kw, 1, w) {
                if interior.is_empty() {
                    let [dy, dx] = window.dilations;
                    interior.extend((0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky * dy * w + kx * dx) * c)));
                }
                let first = place(oy, 0, 0, h).zip(place(ox, 0, 1, w));
                let (first_y, first_x) = first.expect("inside");
                (((image * h + first_y) * w + first_x) * c, &interior)
            } else {
                border.clear();
                for iy in inside(oy, kh, 0, h) {
                    border.extend(inside(ox, kw, 1, w).map(|ix| (iy * w + ix) * c));
                }
                (image * h * w * c, &border)
            };
            let (x, y) = (&x[start..], &mut y[(row * ow + ox) * c..][..c]);
            if c < BLOCK {
                for (n, y) in y.iter_mut().enumerate() {
                    *y = pool.one(&x[n..], taps);
                }
                continue;
            }
            let mut done = 0;
            while done < c {
                if c - done >= WIDE
                    && let Some(results) = pool.wide(&x[done..], taps)
                {
                    y[done..][..WIDE].copy_from_slice(&results);
                    done += WIDE;
                    continue;
                }
                // The last block may repeat channels.
                let n = done.min(c - BLOCK);
                y[n..][..BLOCK].copy_from_slice(&pool.block(&x[n..], taps));
                done = n + BLOCK;
            }
        }
    }
}

/// The largest of each of `N` channels, from `least` on.
#[inline(always)]
fn most<T: Copy, const N: usize>(x: &[T], taps: &[usize], least: T, larger: impl Fn(T, T) -> T) -> [T; N] {
    let mut most = [least; N];
    for &tap in taps {
        for (most, &x) in most.iter_mut().zip(load::<T, N>(x, tap)) {
            *most = larger(*most, x);
        }
    }
    most
}

struct Max;

impl Pool for Max {
    type Element = u8;

    fn one(&self, x: &[u8], taps: &[usize]) -> u8 {
        taps.iter().fold(0, |most, &tap| most.max(x[tap]))
    }

    #[inline(always)]
    fn block(&self, x: &[u8], taps: &[usize]) -> [u8; BLOCK] {
        most(x, taps, 0, u8::max)
    }

    #[inline(always)]
    fn wide(&self, x: &[u8], taps: &[usize]) -> Option<[u8; WIDE]> {
        Some(most(x, taps, 0, u8::max))
    }
}

struct FloatMax;

/// NaN, or what is larger.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

impl Pool for FloatMax {
    type Element = f32;

    fn one(&self, x: &[f32], taps: &[usize]) -> f32 {
        taps.iter().fold(f32::NEG_INFINITY, |most, &tap| larger(most, x[tap]))
    }

    #[inline(always)]
    fn block(&self, x: &[f32], taps: &[usize]) -> [f32; BLOCK] {
        most(x, taps, f32::NEG_INFINITY, larger)
    }
}

/// The largest element of each window; what lies outside never is. `rows` are output rows, counted through `[n, oh]`.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn max_pool(window: Window, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    run(&Max, &window, x, y, rows);
}

/// [`max_pool`] of floats; NaN is larger than all else.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn max_pool_f32(window: Window, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    run(&FloatMax, &window, x, y, rows);
}

/// Size of the window, if all of it counts.
struct Average(Option<usize>);

impl Average {
    fn new(window: &Window, include_pads: bool) -> Self {
        Self(include_pads.then(|| window.kernel[0].saturating_mul(window.kernel[1])))
    }

    fn count(&self, taps: &[usize]) -> f32 {
        self.0.unwrap_or(taps.len()) as f32
    }
}

impl Pool for Average {
    type Element = f32;

    fn one(&self, x: &[f32], taps: &[usize]) -> f32 {
        taps.iter().fold(0.0, |sum, &tap| sum + x[tap]) / self.count(taps)
    }

    #[inline(always)]
    fn block(&self, x: &[f32], taps: &[usize]) -> [f32; BLOCK] {
        let mut sums = [F32x4::splat(0.0); 4];
        for &tap in taps {
            let values = load_block(load(x, tap));
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = *sum + value;
            }
        }
        let count = F32x4::splat(self.count(taps));
        let mut means = [0.0; BLOCK];
        store_block(sums.map(|sum| sum / count), &mut means);
        means
    }
}

struct QuantizedAverage {
    average: Average,
    from: Quantization,
    to: Quantization,
}

impl Pool for QuantizedAverage {
    type Element = u8;

    fn one(&self, x: &[u8], taps: &[usize]) -> u8 {
        let value = |q: u8| (q as i32 - self.from.zero_point as i32) as f32 * self.from.scale;
        let sum = taps.iter().fold(0f32, |sum, &tap| sum + value(x[tap]));
        let mean = sum / self.average.count(taps) / self.to.scale;
        round_to_i32(mean + self.to.zero_point as f32).clamp(0, 255) as u8
    }

    #[inline(always)]
    fn block(&self, x: &[u8], taps: &[usize]) -> [u8; BLOCK] {
        let zero_point = I32x4::splat(self.from.zero_point as i32);
        let scale = F32x4::splat(self.from.scale);
        let mut sums = [F32x4::splat(0.0); 4];
        for &tap in taps {
            for (sum, q) in sums.iter_mut().zip(widen(load(x, tap))) {
                *sum = *sum + F32x4::from_int(q - zero_point) * scale;
            }
        }
        let (count, scale) = (F32x4::splat(self.average.count(taps)), F32x4::splat(self.to.scale));
        let zero_point = F32x4::splat(self.to.zero_point as f32);
        let quanta = sums.map(|sum| {
            // NaN, of an empty window, becomes 0; nothing outside of this range is rounded into it.
            let v = (sum / count / scale + zero_point).nan_to_zero();
            v.or_higher(F32x4::splat(-1.0)).or_lower(F32x4::splat(256.0)).round_small()
        });
        narrow(quanta, 0)
    }
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
    let average = Average::new(&window, include_pads);
    run(&QuantizedAverage { average, from, to }, &window, x, y, rows);
}

/// [`average_pool`] of floats.
///
/// # Panics
/// If a slice is shorter than the window says.
pub fn average_pool_f32(window: Window, x: &[f32], y: &mut [f32], include_pads: bool, rows: Range<usize>) {
    run(&Average::new(&window, include_pads), &window, x, y, rows);
}

/// Rows of bytes whose sum fits in 16 bits.
const MOST_ROWS: usize = u16::MAX as usize / u8::MAX as usize;

/// Sums of sixteen columns, `step` apart, modulo 2^32.
#[inline(always)]
fn sums_of_block(x: &[u8], step: usize, count: usize) -> [u32; BLOCK] {
    let mut sums = [0u32; BLOCK];
    for first in (0..count).step_by(MOST_ROWS) {
        let mut short = [0u16; BLOCK];
        for row in first..count.min(first + MOST_ROWS) {
            for (sum, &q) in short.iter_mut().zip(load::<u8, BLOCK>(x, row * step)) {
                *sum += q as u16;
            }
        }
        for (sum, short) in sums.iter_mut().zip(short) {
            *sum = sum.wrapping_add(short as u32);
        }
    }
    sums
}

/// The mean along an axis: `rint(f32(sum of (x - zx)) * (sx / (sy * count))) + zy`, the sum in 32 bits.
///
/// # Panics
/// If a slice is shorter than the sizes say.
pub fn mean(rows: Rows, x: &[u8], y: &mut [u8], from: Quantization, to: Quantization) {
    let Rows { outer, count, inner } = rows;
    let multiplier = from.scale / (to.scale * count as f32);
    // Exact: the sum of the differences, modulo 2^32.
    let shift = (count as u32).wrapping_mul(from.zero_point as u32);
    let finish = |sum: u32| {
        let rounded = round_to_i32(sum.wrapping_sub(shift) as i32 as f32 * multiplier);
        rounded.saturating_add(to.zero_point as i32).clamp(0, 255) as u8
    };
    for o in 0..outer {
        let (x, y) = (&x[o * count * inner..][..count * inner], &mut y[o * inner..][..inner]);
        if inner == 1 {
            y[0] = finish(x.iter().fold(0, |sum, &q| sum.wrapping_add(q as u32)));
        } else if inner < BLOCK {
            for (n, y) in y.iter_mut().enumerate() {
                *y = finish(x.iter().skip(n).step_by(inner).fold(0, |sum, &q| sum.wrapping_add(q as u32)));
            }
        } else {
            for n in (0..inner).step_by(BLOCK) {
                // The last block may repeat columns.
                let n = n.min(inner - BLOCK);
                let sums = sums_of_block(&x[n.min(x.len())..], inner, count);
                y[n..][..BLOCK].copy_from_slice(&sums.map(finish));
            }
        }
    }
}

/// The mean of floats along an axis, added up in order.
///
/// # Panics
/// If a slice is shorter than the sizes say.
pub fn mean_f32(rows: Rows, x: &[f32], y: &mut [f32]) {
    let Rows { outer, count, inner } = rows;
    let average = Average(None);
    let taps: Vec<usize> = (0..count).map(|i| i * inner).collect();
    for o in 0..outer {
        let (x, y) = (&x[o * count * inner..][..count * inner], &mut y[o * inner..][..inner]);
        if inner < BLOCK {
            for (n, y) in y.iter_mut().enumerate() {
                *y = average.one(&x[n.min(x.len())..], &taps);
            }
            continue;
        }
        for n in (0..inner).step_by(BLOCK) {
            let n = n.min(inner - BLOCK);
            y[n..][..BLOCK].copy_from_slice(&average.block(&x[n.min(x.len())..], &taps));
        }
    }
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
        for channels in [1, 3, 15, 16, 17, 33, 64, 80, 300] {
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

    /// Sixty-four channels at a time, sixteen and one, where nothing lies inside, results overflow, or are no numbers.
    #[test]
    fn blocks_equal_single_channels_at_the_extremes() {
        let window = |channels| Window {
            input: [1, 3, 4, channels],
            output: [4, 5],
            kernel: [2, 2],
            strides: [2, 1],
            dilations: [1, 2],
            pads: [3, 3],
        };
        let value = |i: usize, n: usize| [0, 255, 128, (i * 31 + n * 7) as u8][(i + n) % 4];
        let float = |i: usize, n: usize| [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1e38][(i * 5 + n) % 6];
        for (from, to, zero_point) in [(1.0, 1.0, 255u8), (1e30, 1e-30, 0), (1e-30, 1e30, 7), (1.0, 0.4, 128)] {
            let (from, to) = (Quantization { scale: from, zero_point }, Quantization { scale: to, zero_point });
            let run = |channels: std::ops::Range<usize>| {
                let c = channels.len();
                let x: Vec<u8> = (0..12).flat_map(|i| channels.clone().map(move |n| value(i, n))).collect();
                let wide: Vec<f32> = (0..12).flat_map(|i| channels.clone().map(move |n| float(i, n))).collect();
                let mut y = vec![vec![9u8; 20 * c]; 4];
                let mut floats = vec![vec![9f32; 20 * c]; 3];
                max_pool(window(c), &x, &mut y[0], 0..4);
                average_pool(window(c), &x, &mut y[1], from, to, false, 0..4);
                average_pool(window(c), &x, &mut y[2], from, to, true, 0..4);
                let rows = Rows { outer: 1, count: 12, inner: c };
                mean(rows, &x, &mut y[3][..c], from, to);
                max_pool_f32(window(c), &wide, &mut floats[0], 0..4);
                average_pool_f32(window(c), &wide, &mut floats[1], false, 0..4);
                mean_f32(rows, &wide, &mut floats[2][..c]);
                let floats = floats.concat().into_iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() });
                (y.concat(), floats.collect::<Vec<_>>())
            };
            let all = run(0..85);
            for n in 0..85 {
                let one = run(n..n + 1);
                for at in 0..61 {
                    assert_eq!(one.0[at], all.0[at * 85 + n], "{at} {n}");
                }
                for at in 0..41 {
                    assert_eq!(one.1[at], all.1[at * 85 + n], "float {at} {n}");
                }
            }
        }
    }

    #[test]
    fn a_mean_of_more_than_16_bits_hold() {
        for (count, inner) in [(256, 16), (257, 17), (258, 32), (1000, 3), (70_000, 1)] {
            let x = vec![255; count * inner];
            let mut y = vec![0; inner];
            let same = Quantization { scale: 1.0, zero_point: 0 };
            mean(Rows { outer: 1, count, inner }, &x, &mut y, same, same);
            assert_eq!(y, vec![255; inner]);
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
