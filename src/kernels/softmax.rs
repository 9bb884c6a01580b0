//! Softmax of floats and of quanta.

use super::copy::copy_floats;
use super::eights::{F32x8, map_in_place};
use super::lanes::{BLOCK, F32x4, load_block, store_block};
use super::linear::quantize;
use super::math::Exp;
use super::{Axis, Quantization, Rows};

/// `exp(x - max) * (1 / sum)` along the middle dimension.
///
/// # Panics
/// If a slice has not the length that the sizes say.
pub fn softmax(x: &[f32], y: &mut [f32], rows: Rows) {
    check(x.len(), y.len(), rows);
    if x.is_empty() {
        return;
    }
    let exp = Exp::new();
    if rows.inner == 1 {
        for (x, y) in x.chunks_exact(rows.count).zip(y.chunks_exact_mut(rows.count)) {
            let max = maximum(x);
            copy_floats(x, y);
            map_in_place(y, |v| exp.at(v - F32x8::splat(max)));
            let sum = sum(y);
            let share = F32x8::splat(1.0 / sum);
            map_in_place(y, |v| v * share);
        }
        return;
    }
    let block = rows.count * rows.inner;
    let mut row = vec![0.0; rows.count];
    for (x, y) in x.chunks_exact(block).zip(y.chunks_exact_mut(block)) {
        for i in 0..rows.inner {
            for (row, x) in row.iter_mut().zip(x[i..].iter().step_by(rows.inner)) {
                *row = *x;
            }
            let max = maximum(&row);
            map_in_place(&mut row, |v| exp.at(v - F32x8::splat(max)));
            let sum = sum(&row);
            let share = F32x8::splat(1.0 / sum);
            map_in_place(&mut row, |v| v * share);
            for (row, y) in row.iter().zip(y[i..].iter_mut().step_by(rows.inner)) {
                *y = *row;
            }
        }
    }
}

/// `e = exp(f32(x - max) * from.scale)`; `sat(rint((e / sum of e) / to.scale) + to.zero_point)`. The sum is that of four
/// sums, of every fourth element each.
///
/// # Panics
/// If a slice has not the length that the sizes say.
pub fn softmax_quantized(x: &[u8], y: &mut [u8], rows: Rows, from: Quantization, to: Quantization) {
    check(x.len(), y.len(), rows);
    if x.is_empty() {
        return;
    }
    let exp = Exp::new();
    // By the distance to the maximum, of which there are 256.
    let mut exponentials: [f32; 256] = std::array::from_fn(|distance| -(distance as f32) * from.scale);
    map_in_place(&mut exponentials, |x| exp.at(x));
    let block = rows.count * rows.inner;
    if rows.inner == 1 {
        for (x, y) in x.chunks_exact(block).zip(y.chunks_exact_mut(block)) {
            softmax_row(x, y, &exponentials, to);
        }
        return;
    }
    let (mut x_row, mut y_row) = (vec![0; rows.count], vec![0; rows.count]);
    for (x, y) in x.chunks_exact(block).zip(y.chunks_exact_mut(block)) {
        for i in 0..rows.inner {
            for (row, x) in x_row.iter_mut().zip(x[i..].iter().step_by(rows.inner)) {
                *row = *x;
            }
            softmax_row(&x_row, &mut y_row, &exponentials, to);
            for (row, y) in y_row.iter().zip(y[i..].iter_mut().step_by(rows.inner)) {
                *y = *row;
            }
        }
    }
}

fn softmax_row(x: &[u8], y: &mut [u8], exponentials: &[f32; 256], to: Quantization) {
    let max = x.iter().fold(0, |max: u8, &q| max.max(q));
    let min = x.iter().fold(255, |min: u8, &q| min.min(q));
    let (quads, rest) = x.as_chunks::<4>();
    let mut sums = [0f32; 4];
    for quad in quads {
        for (sum, q) in sums.iter_mut().zip(quad) {
            *sum += exponentials[(max - q) as usize];
        }
    }
    for (sum, q) in sums.iter_mut().zip(rest) {
        *sum += exponentials[(max - q) as usize];
    }
    let sum = F32x4::splat((sums[0] + sums[1]) + (sums[2] + sums[3]));
    // As many distances as there are, in whole blocks.
    let blocks = (max - min) as usize / BLOCK + 1;
    let (mut shares, mut results) = ([0.0; 256], [0; 256]);
    for (to, from) in shares.as_chunks_mut().0.iter_mut().zip(exponentials.as_chunks().0).take(blocks) {
        store_block(load_block(from).map(|e| e / sum), to);
    }
    let (shares, axis) = (&shares[..blocks * BLOCK], Axis { count: 1, inner: 1 });
    quantize(shares, &[to.scale], &[to.zero_point], axis, &mut results[..blocks * BLOCK]);
    for (y, &q) in y.iter_mut().zip(x) {
        *y = results[(max - q) as usize];
    }
}

fn check(x: usize, y: usize, rows: Rows) {
    let len = rows.outer.checked_mul(rows.count).and_then(|n| n.checked_mul(rows.inner));
    assert!(len == Some(x) && len == Some(y), "lengths of x and y");
}

/// NaN counts as nothing.
fn maximum(x: &[f32]) -> f32 {
    let (quads, rest) = x.as_chunks();
    let start = F32x4::splat(f32::NEG_INFINITY);
    let lanes = quads.iter().fold(start, |max, quad| max.or_higher(F32x4::load(quad)));
    lanes.to_array().iter().chain(rest).fold(f32::NEG_INFINITY, |max, &v| if max < v { v } else { max })
}

/// Four sums, and the rest added to their sum.
pub(super) fn sum(x: &[f32]) -> f32 {
    let (quads, rest) = x.as_chunks();
    let lanes = quads.iter().fold(F32x4::splat(0.0), |sum, quad| sum + F32x4::load(quad));
    rest.iter().fold(lanes.sum(), |sum, v| sum + v)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Of one row, in `f64`.
    fn naive(x: &[f64]) -> Vec<f64> {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let e: Vec<f64> = x.iter().map(|v| (v - max).exp()).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn floats() {
        for count in (1..20).chain([197, 1000]) {
            for (outer, inner) in [(1, 1), (3, 1), (2, 5), (1, 4), (2, 9)] {
                let n = outer * count * inner;
                let x: Vec<f32> = (0..n).map(|i| (i * 37 % 101) as f32 * 0.3 - 90.0).collect();
                let mut y = vec![0.0; n];
                softmax(&x, &mut y, Rows { outer, count, inner });
                for row in 0..outer * inner {
                    let at = |i: usize| row / inner * count * inner + i * inner + row % inner;
                    let expected = naive(&(0..count).map(|i| x[at(i)] as f64).collect::<Vec<_>>());
                    for i in 0..count {
                        assert!((y[at(i)] as f64 - expected[i]).abs() < 1e-6 * expected[i] + 1e-30, "{count} {i}");
                    }
                }
            }
        }
        softmax(&[], &mut [], Rows { outer: 0, count: 3, inner: 1 });
    }

    #[test]
    fn quanta() {
        let parameters =
            [(0.1, 0, 1.0 / 256.0, 0), (1.5, 9, 1.0 / 255.0, 255), (0.004, 128, 0.001, 128), (80.0, 0, 1e-9, 7)];
        for count in (1..20).chain([197, 1000]) {
            for (outer, inner) in [(1, 1), (2, 1), (2, 5)] {
                let n = outer * count * inner;
                let x: Vec<u8> = (0..n).map(|i| (i * 73 + i / 7) as u8).collect();
                for (sx, zx, sy, zy) in parameters {
                    let (from, to) =
                        (Quantization { scale: sx, zero_point: zx }, Quantization { scale: sy, zero_point: zy });
                    let mut y = vec![0; n];
                    softmax_quantized(&x, &mut y, Rows { outer, count, inner }, from, to);
                    for row in 0..outer * inner {
                        let at = |i: usize| row / inner * count * inner + i * inner + row % inner;
                        let reals: Vec<f64> = (0..count).map(|i| x[at(i)] as f64 * sx as f64).collect();
                        for (i, p) in naive(&reals).into_iter().enumerate() {
                            // Unless on the brink of two quanta.
                            let v = p / sy as f64;
                            let expected = |v: f64| (v.round_ties_even() + zy as f64).min(255.0) as u8;
                            let ok = y[at(i)] == expected(v * (1.0 + 2e-6)) || y[at(i)] == expected(v * (1.0 - 2e-6));
                            assert!(ok, "{count} {i}: {} {v}", y[at(i)]);
                        }
                    }
                }
            }
        }
    }
}
