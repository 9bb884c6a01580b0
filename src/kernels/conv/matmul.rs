//! Products of two activations.

use super::{Finish, Out, reference};
use crate::kernels::isa::Dot;

/// Sizes of a product `y[m][n] = sum over k of a[m][k] * b[k][n]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMulShape {
    /// Rows.
    pub m: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Steps in `a`, in elements, for m and for k.
    pub a_strides: [usize; 2],
    /// Steps in `b`, for k and for n.
    pub b_strides: [usize; 2],
}

/// A product of two matrices of quanta, ready to run on any number of pairs.
#[derive(Clone, Debug)]
pub struct MatMul {
    shape: MatMulShape,
    a_zero_point: u8,
    b_zero_point: u8,
    multipliers: Vec<f32>,
    finish: super::finish::Kind,
}

impl MatMul {
    /// # Panics
    ///
    /// When the lists of `finish` have other lengths than they must.
    pub fn new(_dot: Dot, shape: &MatMulShape, a_zero_point: u8, b_zero_point: u8, finish: &Finish<'_>) -> Self {
        finish.check(shape.n);
        Self {
            shape: *shape,
            a_zero_point,
            b_zero_point,
            multipliers: (0..shape.n).map(|n| finish.multiplier(n)).collect(),
            finish: finish.kind(false),
        }
    }

    /// Scratch memory that [`Self::run`] needs.
    pub fn scratch_bytes(&self) -> usize {
        0
    }

    /// Computes `y`, dense `[m][n]`, from one pair of matrices.
    ///
    /// # Panics
    ///
    /// When a slice is too short, or `y` is of another type than the finish.
    pub fn run(&self, a: &[u8], b: &[u8], y: &mut Out<'_>, _scratch: &mut [u8]) {
        let MatMulShape { m, k, n, a_strides, b_strides } = self.shape;
        for row in 0..m {
            for column in 0..n {
                let mut sum = 0i32;
                for i in 0..k {
                    let p = a[row * a_strides[0] + i * a_strides[1]] as i32 - self.a_zero_point as i32;
                    let q = b[i * b_strides[0] + column * b_strides[1]] as i32 - self.b_zero_point as i32;
                    sum = sum.wrapping_add(p * q);
                }
                let multipliers = &[self.multipliers[column]];
                let finish = match self.finish {
                    super::finish::Kind::Quantized { zero_point, low, high, .. } => {
                        Finish::Quantized { bias: &[], multipliers, zero_point, low, high }
                    }
                    super::finish::Kind::Float { low, high } => {
                        Finish::Float { bias: &[], multipliers, scale: 1.0, addend: &[], low, high }
                    }
                    super::finish::Kind::Integer => Finish::Integer { bias: &[] },
                };
                reference::store(sum, 0, &finish, y, row * n + column);
            }
        }
    }
}
