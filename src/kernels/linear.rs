//! From floats to quanta and back: `QuantizeLinear`, `DequantizeLinear`, `DynamicQuantizeLinear`.

use super::lanes::{BLOCK, F32x4, I32x4, load_block, narrow, store_block, widen};
use super::{Axis, Quantization};

/// `sat(rint(x / scale) + zero_point)`; NaN becomes the zero point.
///
/// # Panics
/// If the lengths of `x` and `y` differ, or not `axis.count` parameters are given.
pub fn quantize(x: &[f32], scales: &[f32], zero_points: &[u8], axis: Axis, y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    assert!(scales.len() == axis.count && zero_points.len() == axis.count, "a parameter for each step of the axis");
    for_each_run(x.len(), axis, |at, n, p| {
        let q = Quantizer::new(Quantization { scale: scales[p], zero_point: zero_points[p] });
        quantize_run(&x[at..][..n], q, &mut y[at..][..n]);
    });
}

/// `(x - zero_point) * scale`, the difference in integers.
///
/// # Panics
/// If the lengths of `x` and `y` differ, or not `axis.count` parameters are given.
pub fn dequantize(x: &[u8], scales: &[f32], zero_points: Option<&[u8]>, axis: Axis, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    check_parameters(scales.len(), zero_points.map(<[u8]>::len), axis);
    if axis.inner == 1 && axis.count > 1 {
        for (x, y) in x.chunks(axis.count).zip(y.chunks_mut(axis.count)) {
            match zero_points {
                Some(zero_points) => {
                    for (((y, &x), &z), s) in y.iter_mut().zip(x).zip(zero_points).zip(scales) {
                        *y = (x as i32 - z as i32) as f32 * s;
                    }
                }
                None => y.iter_mut().zip(x).zip(scales).for_each(|((y, &x), s)| *y = x as f32 * s),
            }
        }
        return;
    }
    for_each_run(x.len(), axis, |at, n, p| {
        let (scale, zero_point) = (scales[p], zero_points.map_or(0, |z| z[p]));
        dequantize_run(&x[at..][..n], Quantization { scale, zero_point }, &mut y[at..][..n]);
    });
}

/// [`dequantize`] of 32-bit integers; the difference wraps.
///
/// # Panics
/// If the lengths of `x` and `y` differ, or not `axis.count` parameters are given.
pub fn dequantize_i32(x: &[i32], scales: &[f32], zero_points: Option<&[i32]>, axis: Axis, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    check_parameters(scales.len(), zero_points.map(<[i32]>::len), axis);
    for_each_run(x.len(), axis, |at, n, p| {
        let (scale, zero_point) = (scales[p], zero_points.map_or(0, |z| z[p]));
        for (y, &x) in y[at..][..n].iter_mut().zip(&x[at..][..n]) {
            *y = x.wrapping_sub(zero_point) as f32 * scale;
        }
    });
}

/// Parameters that make the most of the range of `x`, see [`dynamic_params`](super::quantize::dynamic_params). NaN has no
/// part in the range.
pub fn dynamic_parameters(x: &[f32]) -> Quantization {
    let zero = [F32x4::splat(0.0); 4];
    let (blocks, rest) = x.as_chunks();
    let mut last = [0.0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let (mut low, mut high) = (zero, zero);
    for block in blocks.iter().chain([&last]) {
        let x = load_block(block);
        low = std::array::from_fn(|i| low[i].or_lower(x[i]));
        high = std::array::from_fn(|i| high[i].or_higher(x[i]));
    }
    let [a, b, c, d] = low.map(F32x4::to_array);
    let min = [a, b, c, d].as_flattened().iter().fold(0f32, |low, &v| low.min(v));
    let [a, b, c, d] = high.map(F32x4::to_array);
    let max = [a, b, c, d].as_flattened().iter().fold(0f32, |high, &v| high.max(v));
    let scale = if max == min { 1.0 } else { (max - min) / 255.0 };
    let zero_point = (0.0 - min / scale).clamp(0.0, 255.0).round_ties_even() as u8;
    Quantization { scale, zero_point }
}

fn check_parameters(scales: usize, zero_points: Option<usize>, axis: Axis) {
    assert!(
        scales == axis.count && zero_points.is_none_or(|n| n == axis.count),
        "a parameter for each step of the axis"
    );
}

/// Calls `f` with start, length and parameter of each run of elements that share one.
#[inline(always)]
fn for_each_run(len: usize, axis: Axis, mut f: impl FnMut(usize, usize, usize)) {
    if len == 0 {
        return;
    }
    if axis.count == 1 {
        return f(0, len, 0);
    }
    assert!(axis.inner > 0 && axis.count > 0, "an axis has elements");
    let (mut at, mut p) = (0, 0);
    while at < len {
        let n = axis.inner.min(len - at);
        f(at, n, p);
        at += n;
        p = if p + 1 == axis.count { 0 } else { p + 1 };
    }
}

/// Parameters as vectors.
#[derive(Clone, Copy)]
struct Quantizer {
    scale: F32x4,
    /// 1 / scale, where that is a number of ordinary size.
    inverse: Option<F32x4>,
    low: F32x4,
    high: F32x4,
    zero_point: i16,
    magic: F32x4,
}

/// Quotients of up to 256 that are found by a multiplication with the inverse, and by a division, are less apart than
/// this: `2^-24` for each of the inverse, the product and the quotient, relative to it, is less than `2^-14`. So they
/// round to the same integer unless they are as near to the middle between two.
const DOUBT: f32 = 0.5 - 1.0 / 16384.0;

impl Quantizer {
    #[inline(always)]
    fn new(p: Quantization) -> Self {
        let zero_point = p.zero_point as f32;
        let ordinary = (1e-30..1e30).contains(&p.scale);
        Self {
            scale: F32x4::splat(p.scale),
            inverse: ordinary.then(|| F32x4::splat(1.0 / p.scale)),
            low: F32x4::splat(-zero_point),
            high: F32x4::splat(255.0 - zero_point),
            zero_point: p.zero_point.into(),
            magic: F32x4::magic(),
        }
    }

    /// The bounds are whole, so clamping before rounding is clamping after it.
    #[inline(always)]
    fn block(self, x: &[f32; BLOCK]) -> [u8; BLOCK] {
        let x = load_block(x);
        let clamp = |quotient: F32x4| quotient.nan_to_zero().at_least(self.low).at_most(self.high);
        if let Some(inverse) = self.inverse {
            let mut most = F32x4::splat(0.0);
            let whole = x.map(|x| {
                let quotient = clamp(x * inverse);
                let shifted = quotient + self.magic;
                // What was added is taken off again: the number as a whole one.
                most = most.at_least((quotient - (shifted - self.magic)).abs());
                shifted.bits() - self.magic.bits()
            });
            if !F32x4::splat(DOUBT).lt(most).any() {
                return narrow(whole, self.zero_point);
            }
        }
        narrow(x.map(|x| clamp(x / self.scale).round_small()), self.zero_point)
    }

    /// Up to [`BLOCK`] elements.
    fn part(self, x: &[f32]) -> [u8; BLOCK] {
        let mut block = [0.0; BLOCK];
        for (to, &from) in block.iter_mut().zip(x) {
            *to = from;
        }
        self.block(&block)
    }
}

fn quantize_run(x: &[f32], q: Quantizer, y: &mut [u8]) {
    let (from, rest) = x.as_chunks();
    let (to, last) = y.as_chunks_mut();
    for (from, to) in from.iter().zip(to) {
        *to = q.block(from);
    }
    if !rest.is_empty() {
        last.copy_from_slice(&q.part(rest)[..rest.len()]);
    }
}

fn dequantize_run(x: &[u8], p: Quantization, y: &mut [f32]) {
    let (scale, zero_point) = (F32x4::splat(p.scale), I32x4::splat(p.zero_point as i32));
    let (from, rest) = x.as_chunks();
    let (to, last) = y.as_chunks_mut();
    for (from, to) in from.iter().zip(to) {
        store_block(widen(from).map(|v| F32x4::from_int(v - zero_point) * scale), to);
    }
    for (y, &x) in last.iter_mut().zip(rest) {
        *y = (x as i32 - p.zero_point as i32) as f32 * p.scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quantize::{self as reference, Params};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn params(p: Quantization) -> Params {
        Params { scale: p.scale, zero_point: p.zero_point as i32 }
    }

    fn floats(n: usize) -> Vec<f32> {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e30, -1e30, 0.25, 0.75];
        (0..n).map(|i| if i % 11 == 5 { special[i / 11 % 8] } else { (i * 37 % 1000) as f32 * 0.125 - 60.0 }).collect()
    }

    const PARAMETERS: [Quantization; 5] = [
        Quantization { scale: 0.25, zero_point: 0 },
        Quantization { scale: 0.5, zero_point: 255 },
        Quantization { scale: 0.1, zero_point: 128 },
        Quantization { scale: 1e-30, zero_point: 7 },
        Quantization { scale: 3.7, zero_point: 200 },
    ];

    #[test]
    fn whole_tensors() {
        let axis = Axis { count: 1, inner: 0 };
        for n in (0..70).chain([1000]) {
            let x = floats(n);
            for p in PARAMETERS {
                let mut q = vec![0; n];
                quantize(&x, &[p.scale], &[p.zero_point], axis, &mut q);
                let expected: Vec<u8> = x.iter().map(|&x| reference::quantize::<u8>(x, params(p))).collect();
                assert_eq!(q, expected, "{n} {p:?}");
                let mut back = vec![0.0; n];
                dequantize(&q, &[p.scale], Some(&[p.zero_point]), axis, &mut back);
                let expected: Vec<f32> = q.iter().map(|&q| reference::dequantize(q as i32, params(p))).collect();
                assert_eq!(back, expected, "{n} {p:?}");
            }
        }
    }

    /// Where a product with the inverse of the scale could round to another integer than the quotient.
    #[test]
    fn near_the_middle_of_two_quanta() {
        let axis = Axis { count: 1, inner: 0 };
        for i in 0..400 {
            let scale = 1e-4 * 1.037f32.powi(i);
            let zero_point = (i * 37 % 256) as u8;
            let middles = (-1..=255).map(|k| (k as f32 + 0.5 - zero_point as f32) * scale);
            let x: Vec<f32> = middles
                .flat_map(|x| (-4i32..=4).map(move |off| f32::from_bits(x.to_bits().wrapping_add_signed(off))))
                .collect();
            let mut q = vec![0; x.len()];
            quantize(&x, &[scale], &[zero_point], axis, &mut q);
            let p = params(Quantization { scale, zero_point });
            let expected: Vec<u8> = x.iter().map(|&x| reference::quantize::<u8>(x, p)).collect();
            assert_eq!(q, expected, "{scale}, {zero_point}");
        }
    }

    #[test]
    fn axes() {
        for (count, inner) in [(3, 1), (5, 17), (4, 64), (2, 3)] {
            let n = 2 * count * inner;
            let x = floats(n);
            let scales: Vec<f32> = (0..count).map(|p| PARAMETERS[p].scale).collect();
            let zero_points: Vec<u8> = (0..count).map(|p| PARAMETERS[p].zero_point).collect();
            let axis = Axis { count, inner };
            let mut q = vec![0; n];
            quantize(&x, &scales, &zero_points, axis, &mut q);
            let (mut back, mut plain) = (vec![0.0; n], vec![0.0; n]);
            dequantize(&q, &scales, Some(&zero_points), axis, &mut back);
            dequantize(&q, &scales, None, axis, &mut plain);
            for i in 0..n {
                let p = params(PARAMETERS[i / inner % count]);
                assert_eq!(q[i], reference::quantize::<u8>(x[i], p));
                assert_eq!(back[i], reference::dequantize(q[i] as i32, p));
                assert_eq!(plain[i], q[i] as f32 * p.scale);
            }
            let sums: Vec<i32> = (0..n as i32).map(|i| i.wrapping_mul(0x1234567)).collect();
            let offsets: Vec<i32> = (0..count as i32).map(|i| i32::MAX - i).collect();
            dequantize_i32(&sums, &scales, Some(&offsets), axis, &mut back);
            for i in 0..n {
                let p = i / inner % count;
                assert_eq!(back[i], sums[i].wrapping_sub(offsets[p]) as f32 * scales[p]);
            }
        }
    }

    #[test]
    fn parameters_of_the_range() {
        for n in 0..150 {
            let number = |i| if i % 29 == 7 { f32::NAN } else { (i * 7 % 13) as f32 - 4.0 + n as f32 / 20.0 };
            let x: Vec<f32> = (0..n).map(number).collect();
            let mut y = vec![0; n];
            let p = dynamic_parameters(&x);
            quantize(&x, &[p.scale], &[p.zero_point], Axis { count: 1, inner: 1 }, &mut y);
            let (low, high) = x.iter().fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
            assert_eq!(p.scale, if low == high { 1.0 } else { (high - low) / 255.0 });
            for (&x, &y) in x.iter().zip(&y) {
                assert_eq!(y, reference::quantize::<u8>(x, params(p)));
            }
        }
    }
}
