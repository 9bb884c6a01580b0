//! Products of float matrices.

use std::ops::Range;

use super::float_tile::{self, COLUMNS, ROWS};
use super::lanes::{F32x4, load_block, store_block};
use super::strided::Loops;

/// Sizes of a batched product, steps in elements.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// Sizes of the batch dimensions.
    pub batch: &'a [usize],
    /// Rows.
    pub m: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Steps in the left operand: one for each batch dimension (0 repeats), then for m and k.
    pub a_strides: &'a [usize],
    /// Steps in the right operand: one for each batch dimension, then for k and n.
    pub b_strides: &'a [usize],
}

/// `y[..][m][n] = alpha * sum over k of a[..][m][k] * b[..][k][n]` for the rows `rows`, counted through `[..][m]`; `y` is
/// dense and begins with the first.
///
/// # Panics
/// If a slice is too short for the sizes, or `y` has another length.
pub fn float_matmul(product: Product, alpha: f32, a: &[f32], b: &[f32], rows: Range<usize>, y: &mut [f32]) {
    let Product { batch, m, k, n, a_strides, b_strides } = product;
    let rank = batch.len();
    assert!(a_strides.len() == rank + 2 && b_strides.len() == rank + 2, "a step for each dimension");
    let all = batch.iter().chain(&[m]).try_fold(1usize, |len, &count| len.checked_mul(count));
    assert!(all.is_some_and(|all| rows.end <= all), "rows beyond the product");
    assert_eq!(rows.len().checked_mul(n), Some(y.len()), "length of y");
    if y.is_empty() {
        return;
    }
    if k == 0 {
        return y.fill(0.0);
    }
    let reach = |strides: &[usize], counts: [usize; 2], len: usize| {
        let shape: Vec<usize> = batch.iter().copied().chain(counts).collect();
        Loops::new(&shape, [strides]).expect("not empty").check(0, 0, len);
    };
    reach(a_strides, [m, k], a.len());
    reach(b_strides, [k, n], b.len());
    let mut counts = batch.to_vec();
    counts.push(1);
    let steps = |strides: &[usize]| [&strides[..rank], &[0]].concat();
    let row_steps = [super::strided::dense(batch).iter().map(|s| s * m).collect::<Vec<_>>(), vec![0]].concat();
    let loops = Loops::new(&counts, [&steps(a_strides), &steps(b_strides), &row_steps]).expect("not empty");
    let mut scratch = Scratch::default();
    loops.for_each([0; 3], |[at_a, at_b, first]| {
        // Those of this matrix that are asked for.
        let top = rows.start.max(first);
        let height = rows.end.min(first + m).saturating_sub(top);
        if height == 0 {
            return;
        }
        let y = &mut y[(top - rows.start) * n..][..height * n];
        let a = &a[at_a + (top - first) * a_strides[rank]..];
        let a = Matrix { data: a, steps: [a_strides[rank], a_strides[rank + 1]] };
        let b = Matrix { data: &b[at_b..], steps: [b_strides[rank], b_strides[rank + 1]] };
        // By the size of the whole product: each way adds up in its own order.
        match (m, a.steps, b.steps) {
            (1, _, [_, 1]) => row_times_rows(a, b, k, alpha, y),
            (1, [_, 1], [1, _]) => row_times_columns(a, b, k, alpha, y),
            _ => multiply(a, b, [height, k, n], alpha, y, &mut scratch),
        }
    });
}

/// A part of a strided array.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    /// From row to row, from column to column.
    steps: [usize; 2],
}

/// Packed panels.
#[derive(Default)]
struct Scratch {
    a: Vec<[f32; ROWS]>,
    b: Vec<[f32; COLUMNS]>,
}

/// Length of the sums that are done at a time: a panel of `b` stays in the nearest cache.
const DEPTH: usize = 256;
/// Rows that are done at a time: their panels stay in the second cache.
const HEIGHT: usize = 40 * ROWS;

/// Columns of a single row that are summed up together; where it is cut must not show.
pub const ROW_BLOCK: usize = 16;

fn multiply(a: Matrix, b: Matrix, [m, k, n]: [usize; 3], alpha: f32, y: &mut [f32], scratch: &mut Scratch) {
    let mut tile = [[0.0; COLUMNS]; ROWS];
    for top in (0..m).step_by(HEIGHT) {
        let height = HEIGHT.min(m - top);
        for start in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - start);
            let (first, last) = (start == 0, start + depth == k);
            let [row_step, step] = a.steps;
            pack(&a.data[top * row_step + start * step..], row_step, step, height, depth, &mut scratch.a);
            for left in (0..n).step_by(COLUMNS) {
                let width = COLUMNS.min(n - left);
                let [step, column_step] = b.steps;
                pack(&b.data[start * step + left * column_step..], column_step, step, width, depth, &mut scratch.b);
                for (i, panel) in scratch.a.chunks_exact(depth).enumerate() {
                    float_tile::multiply(panel, &scratch.b, &mut tile);
                    let row = top + i * ROWS;
                    for (tile, y) in tile.iter().zip(y[row * n..].chunks_exact_mut(n)).take(height - i * ROWS) {
                        let finish = |y: &mut f32, sum: f32| {
                            let sum = if first { sum } else { *y + sum };
                            *y = if last { alpha * sum } else { sum };
                        };
                        let y = &mut y[left..][..width];
                        match y.first_chunk_mut::<COLUMNS>() {
                            Some(y) => y.iter_mut().zip(tile).for_each(|(y, &sum)| finish(y, sum)),
                            None => y.iter_mut().zip(tile).for_each(|(y, &sum)| finish(y, sum)),
                        }
                    }
                }
            }
        }
    }
}

/// Panels of `N` rows, `[depth][N]` each; rows that are missing are zeros. Panels of columns if steps are swapped.
fn pack<const N: usize>(
    x: &[f32],
    row_step: usize,
    step: usize,
    rows: usize,
    depth: usize,
    panels: &mut Vec<[f32; N]>,
) {
    panels.clear();
    for top in (0..rows).step_by(N) {
        let height = N.min(rows - top);
        let x = &x[top * row_step..];
        if height == N && row_step == 1 {
            panels.extend((0..depth).map(|l| *x[l * step..].first_chunk::<N>().expect("checked")));
            continue;
        }
        let at = panels.len();
        panels.resize(at + depth, [0.0; N]);
        let panel = &mut panels[at..];
        for r in 0..height {
            let x = &x[r * row_step..];
            if step == 1 {
                for (to, &from) in panel.iter_mut().zip(&x[..depth]) {
                    to[r] = from;
                }
            } else {
                for (l, to) in panel.iter_mut().enumerate() {
                    to[r] = x[l * step];
                }
            }
        }
    }
}

/// One row times a matrix whose rows are dense: nothing would be used twice, so nothing is packed.
fn row_times_rows(a: Matrix, b: Matrix, k: usize, alpha: f32, y: &mut [f32]) {
    let (blocks, rest) = y.as_chunks_mut::<ROW_BLOCK>();
    let done = blocks.len() * ROW_BLOCK;
    for (i, y) in blocks.iter_mut().enumerate() {
        let mut sums = [F32x4::splat(0.0); 4];
        for l in 0..k {
            let factor = F32x4::splat(a.data[l * a.steps[1]]);
            let row = load_block(b.data[l * b.steps[0] + i * ROW_BLOCK..].first_chunk().expect("checked"));
            sums = std::array::from_fn(|i| row[i].times_plus(factor, sums[i]));
        }
        store_block(sums.map(|sum| sum * F32x4::splat(alpha)), y);
    }
    for (i, y) in rest.iter_mut().enumerate() {
        let sum = (0..k).fold(0.0, |sum, l| sum + a.data[l * a.steps[1]] * b.data[l * b.steps[0] + done + i]);
        *y = alpha * sum;
    }
}

/// One row times a matrix whose columns are dense, as is the row.
fn row_times_columns(a: Matrix, b: Matrix, k: usize, alpha: f32, y: &mut [f32]) {
    let (quads, rest) = a.data[..k].as_chunks();
    for (j, y) in y.iter_mut().enumerate() {
        let (b_quads, b_rest) = b.data[j * b.steps[1]..][..k].as_chunks();
        let sums = quads
            .iter()
            .zip(b_quads)
            .fold(F32x4::splat(0.0), |sums, (a, b)| F32x4::load(a).times_plus(F32x4::load(b), sums));
        *y = alpha * rest.iter().zip(b_rest).fold(sums.sum(), |sum, (a, b)| sum + a * b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn check(batch: &[usize], [m, k, n]: [usize; 3], a_strides: &[usize], b_strides: &[usize]) {
        let reach = |counts: [usize; 2], strides: &[usize]| {
            batch.iter().chain(&counts).zip(strides).map(|(n, s)| n.saturating_sub(1) * s).sum::<usize>() + 1
        };
        let a: Vec<f32> = (0..reach([m, k], a_strides)).map(|i| (i * 37 % 41) as f32 * 0.25 - 5.0).collect();
        let b: Vec<f32> = (0..reach([k, n], b_strides)).map(|i| (i * 29 % 43) as f32 * 0.125 - 2.0).collect();
        let batches: usize = batch.iter().product();
        let mut y = vec![f32::NAN; batches * m * n];
        let product = Product { batch, m, k, n, a_strides, b_strides };
        float_matmul(product, 0.5, &a, &b, 0..batches * m, &mut y);
        let mut parts = vec![f32::NAN; y.len()];
        for cut in [batches * m / 3, batches * m * 4 / 5] {
            for rows in [cut..batches * m, 0..cut] {
                float_matmul(product, 0.5, &a, &b, rows.clone(), &mut parts[rows.start * n..rows.end * n]);
            }
            assert!(y == parts, "{m} {k} {n} cut at {cut}");
        }
        for (i, &y) in y.iter().enumerate() {
            let (mut rest, mut at_a, mut at_b) = (i / (m * n), 0, 0);
            for d in (0..batch.len()).rev() {
                at_a += rest % batch[d] * a_strides[d];
                at_b += rest % batch[d] * b_strides[d];
                rest /= batch[d];
            }
            let r = batch.len();
            let (row, column) = (i / n % m, i % n);
            let (mut sum, mut size) = (0.0, 0.0);
            for l in 0..k {
                let product = a[at_a + row * a_strides[r] + l * a_strides[r + 1]] as f64
                    * b[at_b + l * b_strides[r] + column * b_strides[r + 1]] as f64;
                sum += product;
                size += product.abs();
            }
            assert!((y as f64 - 0.5 * sum).abs() <= 1e-5 * size, "{m} {k} {n}: {y} {sum}");
        }
    }

    #[test]
    fn all_sizes() {
        for m in (1..14).chain([30]) {
            for n in (1..20).chain([33]) {
                for k in [0, 1, 2, 3, 4, 7, 64] {
                    check(&[], [m, k, n], &[k, 1], &[n, 1]);
                    check(&[], [m, k, n], &[1, m], &[1, k]);
                }
            }
        }
    }

    #[test]
    fn batches() {
        // Heads of an attention: [rows, heads, k] times [heads, k, rows] transposed.
        check(&[2, 3], [5, 8, 7], &[120, 8, 24, 1], &[168, 8, 1, 24]);
        check(&[3, 2], [6, 9, 8], &[0, 54, 9, 1], &[72, 0, 8, 1]);
        check(&[1, 0], [6, 9, 8], &[0, 54, 9, 1], &[72, 0, 8, 1]);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn short_slices_are_refused() {
        let run = |a: usize, b: usize, y: usize| {
            std::panic::catch_unwind(|| {
                let p = Product { batch: &[2], m: 3, k: 4, n: 5, a_strides: &[12, 4, 1], b_strides: &[20, 5, 1] };
                float_matmul(p, 1.0, &vec![0.0; a], &vec![0.0; b], 0..6, &mut vec![0.0; y]);
            })
        };
        assert!(run(24, 40, 30).is_ok());
        assert!(run(23, 40, 30).is_err() && run(24, 39, 30).is_err() && run(24, 40, 29).is_err());
    }
}
