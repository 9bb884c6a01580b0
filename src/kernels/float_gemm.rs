//! Products of float matrices.

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

/// `y[..][m][n] = alpha * sum over k of a[..][m][k] * b[..][k][n]`; `y` is dense.
///
/// # Panics
/// If a slice is too short for the sizes, or `y` has another length.
pub fn float_matmul(product: Product, alpha: f32, a: &[f32], b: &[f32], y: &mut [f32]) {
    let Product { batch, m, k, n, a_strides, b_strides } = product;
    let rank = batch.len();
    assert!(a_strides.len() == rank + 2 && b_strides.len() == rank + 2, "a step for each dimension");
    let len = batch.iter().chain(&[m, n]).try_fold(1usize, |len, &count| len.checked_mul(count));
    assert_eq!(len, Some(y.len()), "length of y");
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
    let y_steps = [super::strided::dense(batch).iter().map(|s| s * m * n).collect::<Vec<_>>(), vec![0]].concat();
    let loops = Loops::new(&counts, [&steps(a_strides), &steps(b_strides), &y_steps]).expect("not empty");
    loops.for_each([0; 3], |[at_a, at_b, at_y]| {
        let (a, b, y) = (&a[at_a..], &b[at_b..], &mut y[at_y..][..m * n]);
        for (i, y) in y.chunks_exact_mut(n).enumerate() {
            for (j, y) in y.iter_mut().enumerate() {
                let sum: f32 = (0..k)
                    .map(|l| {
                        a[i * a_strides[rank] + l * a_strides[rank + 1]]
                            * b[l * b_strides[rank] + j * b_strides[rank + 1]]
                    })
                    .sum();
                *y = alpha * sum;
            }
        }
    });
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
        float_matmul(Product { batch, m, k, n, a_strides, b_strides }, 0.5, &a, &b, &mut y);
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
                float_matmul(p, 1.0, &vec![0.0; a], &vec![0.0; b], &mut vec![0.0; y]);
            })
        };
        assert!(run(24, 40, 30).is_ok());
        assert!(run(23, 40, 30).is_err() && run(24, 39, 30).is_err() && run(24, 40, 29).is_err());
    }
}
