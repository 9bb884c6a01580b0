//! Arithmetic of two float operands.

use super::FloatBinary;
use super::lanes::{BLOCK, F32x4, load_block, store_block};
use super::strided::{Strided, broadcast};

/// `y = a ∘ b`, broadcast; `y` is dense. Minimum and maximum are NaN where an operand is.
///
/// # Panics
/// If a slice is too short for the shape, or `y` has another length.
pub fn float_binary(function: FloatBinary, shape: &[usize], a: Strided<f32>, b: Strided<f32>, y: &mut [f32]) {
    match function {
        FloatBinary::Add => lanes(shape, a, b, y, |a, b| a + b),
        FloatBinary::Mul => lanes(shape, a, b, y, |a, b| a * b),
        // One loop for all others, with a call for each block.
        FloatBinary::Sub => rare(shape, a, b, y, |a, b, y| each(a, b, y, |a, b| a - b)),
        FloatBinary::Div => rare(shape, a, b, y, |a, b, y| each(a, b, y, |a, b| a / b)),
        FloatBinary::Min => {
            rare(shape, a, b, y, |a, b, y| each(a, b, y, |a, b| b.eq(b).select(a.or_lower(b), b)));
        }
        FloatBinary::Max => {
            rare(shape, a, b, y, |a, b, y| each(a, b, y, |a, b| b.eq(b).select(a.or_higher(b), b)));
        }
        FloatBinary::PRelu => {
            rare(shape, a, b, y, |a, b, y| each(a, b, y, |a, b| a.lt(F32x4::splat(0.0)).select(a * b, a)));
        }
        FloatBinary::Pow => rare(shape, a, b, y, |a, b, y| {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = power(a, b);
            }
        }),
    }
}

type Block = [f32; BLOCK];

#[inline(never)]
fn rare(shape: &[usize], a: Strided<f32>, b: Strided<f32>, y: &mut [f32], f: fn(&Block, &Block, &mut Block)) {
    broadcast(shape, a, b, y, f);
}

fn lanes(shape: &[usize], a: Strided<f32>, b: Strided<f32>, y: &mut [f32], f: impl Fn(F32x4, F32x4) -> F32x4) {
    broadcast(shape, a, b, y, |a, b, y| each(a, b, y, &f));
}

#[inline(always)]
fn each(a: &Block, b: &Block, y: &mut Block, f: impl Fn(F32x4, F32x4) -> F32x4) {
    let (a, b) = (load_block(a), load_block(b));
    store_block(std::array::from_fn(|i| f(a[i], b[i])), y);
}

/// Computed in `f64`, so that whole results are whole: models round them. The usual exponents are quicker.
fn power(a: f32, b: f32) -> f32 {
    match b {
        1.0 => a,
        2.0 => a * a,
        3.0 => a * a * a,
        _ => (a as f64).powf(b as f64) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Naive = fn(f32, f32) -> f32;

    const FUNCTIONS: [(FloatBinary, Naive); 8] = [
        (FloatBinary::Add, |a, b| a + b),
        (FloatBinary::Sub, |a, b| a - b),
        (FloatBinary::Mul, |a, b| a * b),
        (FloatBinary::Div, |a, b| a / b),
        (FloatBinary::Min, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }),
        (FloatBinary::Max, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }),
        (FloatBinary::PRelu, |a, b| if a < 0.0 { a * b } else { a }),
        (FloatBinary::Pow, |a, b| (a as f64).powf(b as f64) as f32),
    ];

    #[test]
    fn numbers_of_all_kinds() {
        let values = [0.0, 1.0, -1.5, 2.0, 3.0, f32::NAN, f32::INFINITY, -7e20, 1e-30, 0.5, 8.0, -3.0];
        let n = values.len();
        for (function, naive) in FUNCTIONS {
            let mut y = vec![0.0; n * n];
            let (a, b) = (Strided { data: &values, strides: &[1, 0] }, Strided { data: &values, strides: &[0, 1] });
            float_binary(function, &[n, n], a, b, &mut y);
            for (i, &y) in y.iter().enumerate() {
                let (a, b) = (values[i / n], values[i % n]);
                let expected = naive(a, b);
                let close = y == expected || y.is_nan() && expected.is_nan() || (y - expected).abs() < 1e-6 * y.abs();
                assert!(close, "{function:?} {a} {b}: {y}");
            }
        }
    }

    #[test]
    fn lengths_and_broadcasting() {
        for n in 1..40 {
            let a: Vec<f32> = (0..6 * n).map(|i| i as f32 - 9.5).collect();
            let b: Vec<f32> = (0..6 * n).map(|i| 3.0 - i as f32 * 0.5).collect();
            for (a_strides, b_strides) in [
                ([3 * n, n, 1], [3 * n, n, 1]),
                ([3 * n, n, 1], [0, 0, 1]),
                ([0, 1, 0], [3 * n, n, 1]),
                ([1, 2, 6], [n, 0, 0]),
            ] {
                let mut y = vec![0.0; 6 * n];
                let operands = (Strided { data: &a, strides: &a_strides }, Strided { data: &b, strides: &b_strides });
                float_binary(FloatBinary::Sub, &[2, 3, n], operands.0, operands.1, &mut y);
                for (i, &y) in y.iter().enumerate() {
                    let place = [i / (3 * n), i / n % 3, i % n];
                    let at = |s: [usize; 3]| place.iter().zip(s).map(|(p, s)| p * s).sum::<usize>();
                    assert_eq!(y, a[at(a_strides)] - b[at(b_strides)]);
                }
            }
        }
    }
}
