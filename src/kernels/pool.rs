//! Pools and means over `[n, h, w, c]`.
//!
//! All of them work on 16 channels at a time, which never meet. Sums of floats are added up in row-major order of the
//! elements of a window, as `docs/numerics.md` says, so neither the vectors nor a division of the rows change a result.
//!
//! Entry points are not inlined: several of them in one caller were measured to run at half the speed.

use std::ops::Range;

use super::lanes::{BLOCK, F32x4, I32x4, bytes, larger_bytes, load_block, narrow, store_block, widen};
use super::quantize::round_to_i32;
use super::{Quantization, Rows, Window};

/// Sixteen vectors' worth of numbers of an element type, one for each channel.
type Block<T> = [T; BLOCK];

/// The taps along one axis that lie inside of the input.
#[derive(Clone, Copy)]
struct Taps {
    /// Position of the first.
    first: usize,
    /// From one to the next.
    step: usize,
    count: usize,
}

impl Taps {
    /// Along `axis` (0 for rows, 1 for columns), of the window at `position`.
    fn new(window: &Window, axis: usize, position: usize) -> Self {
        let size = window.input[1 + axis] as u64;
        let step = window.dilations[axis].max(1) as u64;
        let (start, pad) = (position as u64 * window.strides[axis] as u64, window.pads[axis] as u64);
        // Taps before `limit`, counted from the first element of padding.
        let taps = |limit: u64| limit.saturating_sub(start).div_ceil(step).min(window.kernel[axis] as u64);
        let (before, until) = (taps(pad), taps(pad + size));
        let count = until.saturating_sub(before) as usize;
        let first = if count > 0 { (start + before * step - pad) as usize } else { 0 };
        Self { first, step: step as usize, count }
    }
}

/// A window in one image: where its taps lie in the input.
#[derive(Clone, Copy)]
struct Place {
    /// Of the first row of the image, counted through all.
    image: usize,
    width: usize,
    channels: usize,
    rows: Taps,
    columns: Taps,
}

impl Place {
    /// Calls `f` with the index of channel `channel` of the first tap of each row.
    #[inline(always)]
    fn lines(&self, channel: usize, mut f: impl FnMut(usize)) {
        for row in 0..self.rows.count {
            let line = (self.image + self.rows.first + row * self.rows.step) * self.width;
            f((line + self.columns.first) * self.channels + channel);
        }
    }

    /// Calls `f` with channel `channel` of each tap, row by row.
    #[inline(always)]
    fn each<T: Copy>(&self, x: &[T], channel: usize, mut f: impl FnMut(T)) {
        let step = self.columns.step * self.channels;
        self.lines(channel, |at| (0..self.columns.count).for_each(|i| f(x[at + i * step])));
    }

    /// Calls `f` with `N` channels, from `channel` on, of each tap, row by row. There are at least as many channels.
    #[inline(always)]
    fn each_block<T, const N: usize>(&self, x: &[T], channel: usize, mut f: impl FnMut(&[T; N])) {
        let step = self.columns.step * self.channels;
        if self.columns.count == 0 {
            return;
        }
        let len = (self.columns.count - 1) * step + N;
        // One check of bounds for each row.
        self.lines(channel, |at| {
            x[at..][..len].chunks(step).for_each(|tap| tap.first_chunk().into_iter().for_each(&mut f))
        });
    }

    fn count(&self) -> usize {
        self.rows.count * self.columns.count
    }
}

/// Computes each block of `N` channels of each position with `block`, from the taps and the first channel; fewer channels
/// are computed one by one with `one`.
#[inline(always)]
fn windows<T: Copy, U: Copy, const N: usize>(
    window: &Window,
    x: &[T],
    y: &mut [U],
    rows: Range<usize>,
    block: impl Fn(&Place, usize) -> [U; N],
    one: impl Fn(&Place, usize) -> U,
) {
    let [n, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let needed = [n, h, w, c].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    assert!(needed.is_some_and(|needed| x.len() >= needed), "the input is too short");
    if rows.is_empty() || ow * c == 0 {
        return;
    }
    assert!(rows.end <= n * oh, "rows beyond the output");
    let columns: Vec<Taps> = (0..ow).map(|column| Taps::new(window, 1, column)).collect();
    for (row, y) in rows.clone().zip(y[..rows.len() * ow * c].chunks_exact_mut(ow * c)) {
        let taps = Taps::new(window, 0, row % oh);
        for (y, &columns) in y.chunks_exact_mut(c).zip(&columns) {
            let place = Place { image: row / oh * h, width: w, channels: c, rows: taps, columns };
            let (whole, rest) = y.as_chunks_mut::<N>();
            let mut channel = 0;
            for y in whole {
                *y = block(&place, channel);
                channel += N;
            }
            if rest.is_empty() {
                continue;
            }
            if c >= N {
                // The last block, which begins earlier.
                let y = &mut y[c - N..];
                y.copy_from_slice(&block(&place, c - N));
            } else {
                for y in rest {
                    *y = one(&place, channel);
                    channel += 1;
                }
            }
        }
    }
}

/// 16 elements.
#[inline(always)]
fn sixteen<T>(x: &[T], at: usize) -> &Block<T> {
    x[at..][..BLOCK].first_chunk().expect("16 elements")
}

/// Largest quantum of each window, to the output rows `rows`, counted through `[n, oh]`; `y` begins with the first. What lies outside of the input
/// has no part in it; a window without elements gives 0.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn max_pool(window: Window, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    let one = |place: &Place, channel: usize| {
        let mut largest = 0;
        place.each(x, channel, |v| largest = v.max(largest));
        largest
    };
    if window.input[3] >= 4 * BLOCK {
        // Finding a tap takes as long as comparing several vectors.
        let four = |place: &Place, channel: usize| {
            let mut largest = [I32x4::splat(0); 4];
            place.each_block(x, channel, |taps: &[u8; 4 * BLOCK]| {
                for (largest, taps) in largest.iter_mut().zip(taps.as_chunks().0) {
                    *largest = larger_bytes(*largest, taps);
                }
            });
            let mut y = [0; 4 * BLOCK];
            for (y, largest) in y.as_chunks_mut().0.iter_mut().zip(largest) {
                *y = bytes(largest);
            }
            y
        };
        windows(&window, x, y, rows, four, one);
    } else {
        let block = |place: &Place, channel: usize| {
            let mut largest = I32x4::splat(0);
            place.each_block(x, channel, |taps| largest = larger_bytes(largest, taps));
            bytes(largest)
        };
        windows(&window, x, y, rows, block, one);
    }
}

/// Largest number of each window, as [`max_pool`]; a window without elements gives negative infinity. NaN is passed over.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn max_pool_f32(window: Window, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    let block = |place: &Place, channel: usize| {
        let mut largest = [F32x4::splat(f32::NEG_INFINITY); 4];
        place.each_block(x, channel, |taps| {
            let v = load_block(taps);
            largest = [0, 1, 2, 3].map(|i| largest[i].or_higher(v[i]));
        });
        let mut y = [0.0; BLOCK];
        store_block(largest, &mut y);
        y
    };
    let one = |place: &Place, channel: usize| {
        let mut largest = f32::NEG_INFINITY;
        place.each(x, channel, |v| largest = if largest < v { v } else { largest });
        largest
    };
    windows(&window, x, y, rows, block, one);
}

/// Number that the sum of a window is divided by.
fn divisor(window: &Window, place: &Place, count_include_pad: bool) -> f32 {
    (if count_include_pad { window.kernel[0] * window.kernel[1] } else { place.count() }) as f32
}

/// Average of each window, to the output rows `rows`, counted through `[n, oh]`; `y` begins with the first:
/// `sat(rint(sum of (x - zx) * sx / count / sy + zy))`, each operation in f32. `count` is the number of elements in the
/// window, or with `count_include_pad` all of the kernel. A window without elements gives 0.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn average_pool(
    window: Window,
    x: &[u8],
    y: &mut [u8],
    from: Quantization,
    to: Quantization,
    count_include_pad: bool,
    rows: Range<usize>,
) {
    let block = |place: &Place, channel: usize| {
        let (zero_point, scale) = (I32x4::splat(from.zero_point.into()), F32x4::splat(from.scale));
        let mut sums = [F32x4::splat(0.0); 4];
        place.each_block(x, channel, |taps| {
            let q = widen(taps);
            sums = [0, 1, 2, 3].map(|i| sums[i] + F32x4::from_int(q[i] - zero_point) * scale);
        });
        let count = F32x4::splat(divisor(&window, place, count_include_pad));
        narrow(sums.map(|sum| finish(sum / count, to)), 0)
    };
    let one = |place: &Place, channel: usize| {
        let mut sum = 0f32;
        place.each(x, channel, |v| sum += (v as i32 - from.zero_point as i32) as f32 * from.scale);
        let mean = sum / divisor(&window, place, count_include_pad);
        round_to_i32(mean / to.scale + to.zero_point as f32).clamp(0, 255) as u8
    };
    windows(&window, x, y, rows, block, one);
}

/// `rint(mean / sy + zy)`, as far as it is near the range of quanta.
#[inline(always)]
fn finish(mean: F32x4, to: Quantization) -> I32x4 {
    near(mean / F32x4::splat(to.scale) + F32x4::splat(to.zero_point.into())).round_small()
}

/// What saturates anyway is brought to where rounding is easy; NaN becomes 0.
#[inline(always)]
fn near(v: F32x4) -> F32x4 {
    F32x4::splat(65536.0).or_lower(F32x4::splat(-65536.0).or_higher(v.nan_to_zero()))
}

/// Average of each window, as [`average_pool`], of floats: `sum / count`.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn average_pool_f32(window: Window, x: &[f32], y: &mut [f32], count_include_pad: bool, rows: Range<usize>) {
    let block = |place: &Place, channel: usize| {
        let mut sums = [F32x4::splat(0.0); 4];
        place.each_block(x, channel, |taps| {
            let v = load_block(taps);
            sums = [0, 1, 2, 3].map(|i| sums[i] + v[i]);
        });
        let count = F32x4::splat(divisor(&window, place, count_include_pad));
        let mut y = [0.0; BLOCK];
        store_block(sums.map(|sum| sum / count), &mut y);
        y
    };
    let one = |place: &Place, channel: usize| {
        let mut sum = 0f32;
        place.each(x, channel, |v| sum += v);
        sum / divisor(&window, place, count_include_pad)
    };
    windows(&window, x, y, rows, block, one);
}

/// Calls `f` for each outer block: its elements and results.
#[inline(always)]
fn blocks<T, U>(rows: Rows, x: &[T], y: &mut [U], mut f: impl FnMut(&[T], &mut [U])) {
    let Rows { outer, count, inner } = rows;
    let len = count.checked_mul(inner).expect("sizes of a mean overflow");
    for i in 0..outer {
        f(&x[i * len..][..len], &mut y[i * inner..][..inner]);
    }
}

/// So many sums of bytes fit into 16 bits.
const SHORT: usize = 257;

/// Mean along the middle dimension: `sat(rint(f32(sum of (x - zx)) * (sx / (sy * count))) + zy)`, the sum in 32-bit
/// integers. A global average pool is `outer` images of `count` positions with `inner` channels.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn mean(rows: Rows, x: &[u8], y: &mut [u8], from: Quantization, to: Quantization) {
    let Rows { count, inner, .. } = rows;
    let multiplier = from.scale / (to.scale * count as f32);
    // Modulo 2^32, as all sums of quanta.
    let zeros = (count as i32).wrapping_mul(from.zero_point.into());
    let quantum = |sum: u32| {
        let v = (sum as i32).wrapping_sub(zeros) as f32 * multiplier;
        round_to_i32(v).saturating_add(to.zero_point.into()).clamp(0, 255) as u8
    };
    blocks(rows, x, y, |x, y| {
        if inner == 1 {
            y[0] = quantum(x.iter().fold(0u32, |sum, &v| sum.wrapping_add(v.into())));
            return;
        }
        let (whole, rest) = y.as_chunks_mut::<BLOCK>();
        let mut at = 0;
        for y in whole {
            let mut sums = [0u32; BLOCK];
            for part in x.chunks(SHORT.saturating_mul(inner)) {
                let mut short = [0u16; BLOCK];
                for row in part.chunks_exact(inner) {
                    for (sum, &v) in short.iter_mut().zip(sixteen(row, at)) {
                        *sum = sum.wrapping_add(v.into());
                    }
                }
                for (sum, short) in sums.iter_mut().zip(short) {
                    *sum = sum.wrapping_add(short.into());
                }
            }
            *y = sums.map(quantum);
            at += BLOCK;
        }
        let mut sums = [0u32; BLOCK];
        for row in x.chunks_exact(inner.max(1)) {
            for (sum, &v) in sums.iter_mut().zip(&row[at..]) {
                *sum = sum.wrapping_add(v.into());
            }
        }
        for (y, sum) in rest.iter_mut().zip(sums) {
            *y = quantum(sum);
        }
    });
}

/// Sum along the middle dimension, of floats, added up in order.
///
/// # Panics
///
/// When a slice is too short.
#[inline(never)]
pub fn sum_f32(rows: Rows, x: &[f32], y: &mut [f32]) {
    let inner = rows.inner;
    blocks(rows, x, y, |x, y| {
        y.fill(0.0);
        if inner == 1 {
            y[0] = x.iter().fold(0.0, |sum, v| sum + v);
        } else {
            for row in x.chunks_exact(inner.max(1)) {
                for (sum, v) in y.iter_mut().zip(row) {
                    *sum += v;
                }
            }
        }
    });
}

/// Mean along the middle dimension, of floats: `sum / count`, added up in order.
///
/// # Panics
///
/// When a slice is too short.
pub fn mean_f32(rows: Rows, x: &[f32], y: &mut [f32]) {
    sum_f32(rows, x, y);
    for sum in y {
        *sum /= rows.count as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Calls `f` with the index of each result and the elements of its window, found one by one.
    fn definition<T: Copy>(window: &Window, x: &[T], mut f: impl FnMut(usize, &[T])) {
        let [n, h, w, c] = window.input;
        let [oh, ow] = window.output;
        for at in 0..n * oh * ow * c {
            let (b, oy, ox, channel) = (at / (oh * ow * c), at / (ow * c) % oh, at / c % ow, at % c);
            let mut taps = Vec::new();
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let iy = (oy * window.strides[0] + ky * window.dilations[0]).checked_sub(window.pads[0]);
                    let ix = (ox * window.strides[1] + kx * window.dilations[1]).checked_sub(window.pads[1]);
                    if let (Some(iy), Some(ix)) = (iy.filter(|&i| i < h), ix.filter(|&i| i < w)) {
                        taps.push(x[((b * h + iy) * w + ix) * c + channel]);
                    }
                }
            }
            f(at, &taps);
        }
    }

    fn bits(y: &[f32]) -> Vec<u32> {
        // What NaN looks like is left to the processor.
        y.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
    }

    fn check(window: Window, random: &mut Random) {
        let x: Vec<u8> = (0..window.input.iter().product()).map(|_| random.quantum()).collect();
        let floats: Vec<f32> = x.iter().map(|&v| (v as f32 - 100.3) * 0.37).collect();
        let rows = window.input[0] * window.output[0];
        let size = rows * window.output[1] * window.input[3];
        let parts = [rows / 3..rows, 0..rows / 3];
        let first = |part: &Range<usize>| part.start * window.output[1] * window.input[3];
        let whole = window.kernel[0] * window.kernel[1];

        let (mut y, mut expected) = (vec![1u8; size], vec![2u8; size]);
        for part in parts.clone() {
            max_pool(window, &x, &mut y[first(&part)..], part);
        }
        definition(&window, &x, |at, taps| expected[at] = taps.iter().copied().max().unwrap_or(0));
        assert!(y == expected, "{window:?}");

        let (mut z, mut wanted) = (vec![1f32; size], vec![2f32; size]);
        for part in parts.clone() {
            max_pool_f32(window, &floats, &mut z[first(&part)..], part);
        }
        definition(&window, &floats, |at, t| wanted[at] = t.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(bits(&z), bits(&wanted), "{window:?}");

        for include in [false, true] {
            for part in parts.clone() {
                average_pool_f32(window, &floats, &mut z[first(&part)..], include, part);
            }
            definition(&window, &floats, |at, taps| {
                let count = if include { whole } else { taps.len() };
                wanted[at] = taps.iter().fold(0.0, |s, v| s + v) / count as f32;
            });
            assert_eq!(bits(&z), bits(&wanted), "{window:?}");
            for (sx, zx, sy, zy) in [(0.1, 0, 0.1, 0), (0.03, 255, 0.021, 127), (1.0, 7, 2.0, 255), (9e9, 128, 1e-9, 3)]
            {
                let from = Quantization { scale: sx, zero_point: zx };
                let to = Quantization { scale: sy, zero_point: zy };
                for part in parts.clone() {
                    average_pool(window, &x, &mut y[first(&part)..], from, to, include, part);
                }
                definition(&window, &x, |at, taps| {
                    let count = if include { whole } else { taps.len() };
                    let sum = taps.iter().fold(0f32, |s, &q| s + (q as i32 - zx as i32) as f32 * sx);
                    expected[at] = round_to_i32(sum / count as f32 / sy + zy as f32).clamp(0, 255) as u8;
                });
                assert!(y == expected, "{window:?} {from:?} {to:?}");
            }
        }
    }

    #[test]
    fn every_remainder_of_channels() {
        let mut random = Random(5);
        for c in (1..=34).chain([48, 63, 64, 65, 130]) {
            let (input, output, pads) = ([2, 5, 6, c], [3, 3], [1, 1]);
            let window = Window { input, output, kernel: [3, 3], strides: [2, 2], dilations: [1, 1], pads };
            check(window, &mut random);
        }
    }

    #[test]
    fn windows_of_all_kinds() {
        let mut random = Random(6);
        // Input, output, kernel, strides, dilations, pads. Some windows lie outside of the input.
        type Case = ([usize; 4], [usize; 2], [usize; 2], [usize; 2], [usize; 2], [usize; 2]);
        let cases: &[Case] = &[
            ([1, 7, 7, 20], [1, 1], [7, 7], [1, 1], [1, 1], [0, 0]),
            ([1, 9, 8, 17], [4, 4], [2, 2], [2, 2], [1, 1], [0, 0]),
            ([1, 9, 9, 3], [9, 9], [3, 3], [1, 1], [2, 2], [2, 2]),
            ([2, 6, 7, 16], [6, 8], [5, 3], [1, 1], [1, 1], [2, 2]),
            ([1, 3, 3, 18], [6, 6], [2, 2], [1, 1], [1, 1], [3, 3]),
            ([1, 4, 4, 5], [5, 6], [1, 1], [2, 3], [1, 1], [2, 1]),
            ([1, 5, 30, 4], [2, 7], [4, 9], [2, 4], [1, 1], [1, 4]),
        ];
        for &(input, output, kernel, strides, dilations, pads) in cases {
            check(Window { input, output, kernel, strides, dilations, pads }, &mut random);
        }
    }

    #[test]
    fn means() {
        let mut random = Random(7);
        for inner in (1..=35).chain([64]) {
            for count in [1, 2, 49, 256, 257, 258, 600] {
                let rows = Rows { outer: 2, count, inner };
                let x: Vec<u8> = (0..2 * count * inner).map(|_| random.quantum()).collect();
                let floats: Vec<f32> = x.iter().map(|&v| v as f32 * 0.31 - 3.0).collect();
                let mut y = vec![0u8; 2 * inner];
                let mut z = vec![9f32; 2 * inner];
                mean_f32(rows, &floats, &mut z);
                for (sx, zx, sy, zy) in [(0.1, 0, 0.1, 0), (0.03, 255, 0.01, 200), (1.0, 7, 2.0, 255)] {
                    let from = Quantization { scale: sx, zero_point: zx };
                    let to = Quantization { scale: sy, zero_point: zy };
                    mean(rows, &x, &mut y, from, to);
                    for (at, &q) in y.iter().enumerate() {
                        let index = |k: usize| (at / inner * count + k) * inner + at % inner;
                        let sum: i32 = (0..count).map(|k| x[index(k)] as i32 - zx as i32).sum();
                        let v = round_to_i32(sum as f32 * (sx / (sy * count as f32))) + zy as i32;
                        assert_eq!(q as i32, v.clamp(0, 255), "{rows:?} {at}");
                        let sum = (0..count).fold(0f32, |s, k| s + floats[index(k)]);
                        assert_eq!(z[at].to_bits(), (sum / count as f32).to_bits(), "{rows:?} {at}");
                    }
                }
            }
        }
        let all = vec![255u8; 3 * 70_000];
        let mut y = [0; 3];
        let same = Quantization { scale: 0.5, zero_point: 0 };
        mean(Rows { outer: 1, count: 70_000, inner: 3 }, &all, &mut y, same, same);
        assert_eq!(y, [255; 3]);
    }

    #[test]
    fn slices_too_short_are_refused() {
        // A panic would abort the wasm test.
        if cfg!(target_arch = "wasm32") {
            return;
        }
        let (input, output) = ([1, 4, 4, 5], [2, 2]);
        let window = Window { input, output, kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0] };
        let attempt = |x: usize, y: usize, end: usize| {
            std::panic::catch_unwind(|| max_pool(window, &vec![0; x], &mut vec![0; y], 0..end)).is_ok()
        };
        assert!(attempt(80, 20, 2));
        assert!(!attempt(79, 20, 2));
        assert!(!attempt(80, 19, 2));
        assert!(!attempt(80, 20, 3));
    }
}
