//! Resizing of `[n, h, w, c]`, by taps along the height and the width.

use std::ops::Range;

use super::copy::copy_bytes;
use super::lanes::{BLOCK, F32x4, I32x4, load_block, store_block, widen};
use super::linear::quantize;
use super::{Axis, Quantization};

/// The two taps of each output position along one axis.
#[derive(Clone, Copy, Debug)]
pub struct LinearTaps<'a> {
    /// Lower and upper source position.
    pub positions: &'a [[u32; 2]],
    /// Their weights.
    pub weights: &'a [[f32; 2]],
}

/// Copies the pixel at the lower position, to the output rows `rows`, counted through `[n, oh]`; `y` begins with the
/// first. Elements have `size` bytes.
///
/// # Panics
/// If a slice has not the length that the sizes say, or a position lies outside of the input.
pub fn resize_nearest(
    x: &[u8],
    y: &mut [u8],
    size: usize,
    input: [usize; 4],
    vertical: &[[u32; 2]],
    horizontal: &[[u32; 2]],
    rows: Range<usize>,
) {
    let [n, h, w, c] = input;
    let pixel = c.checked_mul(size).expect("too large");
    let output = [vertical.len(), horizontal.len()];
    check([x.len(), y.len()], [n, h, w, pixel], output, &rows);
    if y.is_empty() {
        return;
    }
    let (row, image) = (w * pixel, h * w * pixel);
    let row_out = output[1] * pixel;
    for (done, at) in rows.enumerate() {
        let i = at % output[0];
        let source = vertical[i][0];
        let (before, y) = y.split_at_mut(done * row_out);
        let y = &mut y[..row_out];
        if done > 0 && i > 0 && vertical[i - 1][0] == source {
            copy_bytes(&before[(done - 1) * row_out..], y);
            continue;
        }
        let x = &x[at / output[0] * image + source as usize * row..][..row];
        match pixel {
            1 => nearest_row::<1>(x, y, horizontal),
            3 => nearest_row::<3>(x, y, horizontal),
            4 => nearest_row::<4>(x, y, horizontal),
            _ => {
                for (y, taps) in y.chunks_exact_mut(pixel).zip(horizontal) {
                    copy_bytes(&x[taps[0] as usize * pixel..][..pixel], y);
                }
            }
        }
    }
}

fn nearest_row<const N: usize>(x: &[u8], y: &mut [u8], horizontal: &[[u32; 2]]) {
    let x = x.as_chunks::<N>().0;
    for (y, taps) in y.as_chunks_mut::<N>().0.iter_mut().zip(horizontal) {
        *y = x[taps[0] as usize];
    }
}

/// `v = x[lower row] * weight + x[upper row] * weight`, then the same with `v` along the row. To the output rows `rows`,
/// counted through `[n, oh]`; `y` begins with the first.
///
/// # Panics
/// If a slice has not the length that the sizes say, or a position lies outside of the input.
pub fn resize_linear(
    x: &[f32],
    y: &mut [f32],
    input: [usize; 4],
    vertical: LinearTaps,
    horizontal: LinearTaps,
    rows: Range<usize>,
) {
    let c = input[3];
    resize_rows(
        x,
        y,
        input,
        [vertical, horizontal],
        rows,
        |from: [&[f32]; 2], weights, row| {
            let [a, b] = weights.map(F32x4::splat);
            blend(from, row, |x: [&[f32; BLOCK]; 2], to| {
                let (low, high) = (load_block(x[0]), load_block(x[1]));
                store_block(std::array::from_fn(|i| low[i] * a + high[i] * b), to);
            });
        },
        |row, y: &mut [f32]| along(row, y, c, horizontal),
    );
}

/// [`resize_linear`] of `(x - from.zero_point) * from.scale`, and `sat(rint(v / to.scale) + to.zero_point)` of its result.
///
/// # Panics
/// If a slice has not the length that the sizes say, or a position lies outside of the input.
pub fn resize_linear_quantized(
    x: &[u8],
    y: &mut [u8],
    input: [usize; 4],
    vertical: LinearTaps,
    horizontal: LinearTaps,
    [from, to]: [Quantization; 2],
    rows: Range<usize>,
) {
    let c = input[3];
    let (zero_point, scale) = (I32x4::splat(from.zero_point.into()), F32x4::splat(from.scale));
    let mut wide = Vec::new();
    resize_rows(
        x,
        y,
        input,
        [vertical, horizontal],
        rows,
        |lines: [&[u8]; 2], weights, row| {
            let [a, b] = weights.map(F32x4::splat);
            blend(lines, row, |x: [&[u8; BLOCK]; 2], to| {
                let [low, high] = x.map(|x| widen(x).map(|q| F32x4::from_int(q - zero_point) * scale));
                store_block(std::array::from_fn(|i| low[i] * a + high[i] * b), to);
            });
        },
        |row, y: &mut [u8]| {
            wide.resize(y.len(), 0.0);
            along(row, &mut wide, c, horizontal);
            quantize(&wide, &[to.scale], &[to.zero_point], Axis { count: 1, inner: 1 }, y);
        },
    );
}

/// Blends the pixels of a row, each of `c` floats.
fn along(row: &[f32], y: &mut [f32], c: usize, taps: LinearTaps) {
    match c {
        1 => along_few::<1>(row, y, taps),
        2 => along_few::<2>(row, y, taps),
        3 => along_few::<3>(row, y, taps),
        _ => {
            for ((y, positions), weights) in y.chunks_exact_mut(c).zip(taps.positions).zip(taps.weights) {
                let [low, high] = positions.map(|p| row[p as usize * c..][..c].as_chunks());
                let (quads, rest) = y.as_chunks_mut();
                let [a, b] = weights.map(F32x4::splat);
                for ((y, low), high) in quads.iter_mut().zip(low.0).zip(high.0) {
                    (F32x4::load(low) * a + F32x4::load(high) * b).store(y);
                }
                for ((y, low), high) in rest.iter_mut().zip(low.1).zip(high.1) {
                    *y = low * weights[0] + high * weights[1];
                }
            }
        }
    }
}

fn along_few<const C: usize>(row: &[f32], y: &mut [f32], taps: LinearTaps) {
    let row = row.as_chunks::<C>().0;
    for ((y, positions), weights) in y.as_chunks_mut::<C>().0.iter_mut().zip(taps.positions).zip(taps.weights) {
        let [low, high] = positions.map(|p| row[p as usize]);
        *y = std::array::from_fn(|i| low[i] * weights[0] + high[i] * weights[1]);
    }
}

/// Two rows to one, a block at a time.
#[inline(always)]
fn blend<T: Copy + Default>(from: [&[T]; 2], to: &mut [f32], f: impl Fn([&[T; BLOCK]; 2], &mut [f32; BLOCK])) {
    let ([a, b], [a_rest, b_rest]) = {
        let ((a, a_rest), (b, b_rest)) = (from[0].as_chunks(), from[1].as_chunks());
        ([a, b], [a_rest, b_rest])
    };
    let (blocks, rest) = to.as_chunks_mut();
    for ((to, a), b) in blocks.iter_mut().zip(a).zip(b) {
        f([a, b], to);
    }
    if !rest.is_empty() {
        let (mut a, mut b, mut to) = ([T::default(); BLOCK], [T::default(); BLOCK], [0.0; BLOCK]);
        a[..a_rest.len()].copy_from_slice(a_rest);
        b[..b_rest.len()].copy_from_slice(b_rest);
        f([&a, &b], &mut to);
        rest.copy_from_slice(&to[..rest.len()]);
    }
}

/// Blends rows with `down`, then each result along the width with `along`.
#[inline(always)]
fn resize_rows<T>(
    x: &[T],
    y: &mut [T],
    input: [usize; 4],
    [vertical, horizontal]: [LinearTaps; 2],
    rows: Range<usize>,
    down: impl Fn([&[T]; 2], [f32; 2], &mut [f32]),
    mut along: impl FnMut(&[f32], &mut [T]),
) {
    let [_, h, w, c] = input;
    let output = [vertical.positions.len(), horizontal.positions.len()];
    assert_eq!(output, [vertical.weights.len(), horizontal.weights.len()], "a pair of weights for each position");
    check([x.len(), y.len()], input, output, &rows);
    if y.is_empty() {
        return;
    }
    let mut row = vec![0.0; w * c];
    let row_out = output[1] * c;
    for (at, y) in rows.zip(y.chunks_exact_mut(row_out)) {
        let (image, i) = (at / output[0] * h, at % output[0]);
        let lines = vertical.positions[i].map(|p| &x[(image + p as usize) * w * c..][..w * c]);
        down(lines, vertical.weights[i], &mut row);
        along(&row, y);
    }
}

fn check(lens: [usize; 2], input: [usize; 4], output: [usize; 2], rows: &Range<usize>) {
    let [n, h, w, c] = input;
    let product = |counts: [usize; 4]| counts.into_iter().try_fold(1usize, usize::checked_mul);
    assert_eq!(product([n, h, w, c]), Some(lens[0]), "length of x");
    assert!(n.checked_mul(output[0]).is_some_and(|all| rows.end <= all), "rows beyond the output");
    assert_eq!(product([rows.len(), output[1], c, 1]), Some(lens[1]), "length of y");
    assert!(lens[1] == 0 || lens[0] > 0, "something to read");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quantize::{self as reference, Params};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Half-pixel taps, as the compiler computes them.
    fn taps(from: usize, to: usize) -> (Vec<[u32; 2]>, Vec<[f32; 2]>) {
        (0..to)
            .map(|i| {
                let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
                let low = at as u32;
                let t = at - low as f32;
                ([low, (low + 1).min(from as u32 - 1)], [1.0 - t, t])
            })
            .unzip()
    }

    fn parts(rows: usize) -> [Range<usize>; 2] {
        [rows / 3..rows, 0..rows / 3]
    }

    const SIZES: [([usize; 2], [usize; 2]); 5] =
        [([3, 4], [6, 8]), ([7, 5], [3, 2]), ([1, 1], [4, 3]), ([5, 6], [5, 6]), ([2, 9], [7, 4])];

    #[test]
    fn nearest() {
        for size in [1, 4] {
            for c in [1, 2, 3, 4, 17, 80] {
                for ([h, w], [oh, ow]) in SIZES {
                    let x: Vec<u8> = (0..2 * h * w * c * size).map(|i| (i * 7 + i / 256) as u8).collect();
                    let (v, u) = (taps(h, oh).0, taps(w, ow).0);
                    let mut y = vec![0; 2 * oh * ow * c * size];
                    for part in parts(2 * oh) {
                        let y = &mut y[part.start * ow * c * size..part.end * ow * c * size];
                        resize_nearest(&x, y, size, [2, h, w, c], &v, &u, part);
                    }
                    for (i, &y) in y.iter().enumerate() {
                        let p = c * size;
                        let (n, r, q, b) = (i / (oh * ow * p), i / (ow * p) % oh, i / p % ow, i % p);
                        assert_eq!(y, x[((n * h + v[r][0] as usize) * w + u[q][0] as usize) * p + b]);
                    }
                }
            }
        }
    }

    #[test]
    fn linear() {
        for c in [1, 2, 3, 4, 5, 17, 32] {
            for ([h, w], [oh, ow]) in SIZES {
                let n = 2 * h * w * c;
                let q: Vec<u8> = (0..n).map(|i| (i * 83 + i / 7) as u8).collect();
                let from = Quantization { scale: 0.037, zero_point: 201 };
                let to = Quantization { scale: 0.021, zero_point: 131 };
                let real = |q: u8| (q as i32 - 201) as f32 * 0.037;
                let x: Vec<f32> = q.iter().map(|&q| real(q)).collect();
                let ((vp, vw), (up, uw)) = (taps(h, oh), taps(w, ow));
                let vertical = LinearTaps { positions: &vp, weights: &vw };
                let horizontal = LinearTaps { positions: &up, weights: &uw };
                let (mut y, mut yq) = (vec![0.0; 2 * oh * ow * c], vec![0; 2 * oh * ow * c]);
                for part in parts(2 * oh) {
                    let range = part.start * ow * c..part.end * ow * c;
                    let (y, yq, input) = (&mut y[range.clone()], &mut yq[range], [2, h, w, c]);
                    resize_linear(&x, y, input, vertical, horizontal, part.clone());
                    resize_linear_quantized(&q, yq, input, vertical, horizontal, [from, to], part);
                }
                for i in 0..y.len() {
                    let (n, r, s, b) = (i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c);
                    let at = |r: u32, s: u32| x[((n * h + r as usize) * w + s as usize) * c + b];
                    let column = |s: u32| at(vp[r][0], s) * vw[r][0] + at(vp[r][1], s) * vw[r][1];
                    let expected = column(up[s][0]) * uw[s][0] + column(up[s][1]) * uw[s][1];
                    assert_eq!(y[i], expected);
                    assert_eq!(yq[i], reference::quantize::<u8>(expected, Params { scale: 0.021, zero_point: 131 }));
                }
            }
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn positions_outside_are_refused() {
        let run = |p: u32| {
            std::panic::catch_unwind(|| {
                resize_nearest(&[0; 4], &mut [0; 4], 1, [1, 2, 2, 1], &[[0, 0], [p, p]], &[[0, 0], [1, 1]], 0..2)
            })
        };
        assert!(run(1).is_ok() && run(2).is_err() && run(u32::MAX).is_err());
    }
}
