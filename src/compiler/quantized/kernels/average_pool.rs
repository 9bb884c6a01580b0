//! Quantized averages: the mean of a set of quanta, requantized.

use crate::kernels::quantize::{Params, Quantum, dequantize, round_to_i32};

/// Global pools and means: `saturate(round_half_even(sum * (sx / (sy * count))) + zy)` for an exact sum of `count` differences `x - zx`.
#[inline]
pub fn mean<Q: Quantum>(sum: i32, count: usize, x: Params, y: Params) -> Q {
    let multiplier = x.scale / (y.scale * count as f32);
    Q::saturate(round_to_i32(sum as f32 * multiplier).saturating_add(y.zero_point))
}

/// Windows: the dequantized elements are added in f32, in row-major order, divided by `count`, and by the scale; the
/// zero point is added before rounding.
#[inline]
pub fn average<Q: Quantum>(window: impl Iterator<Item = Q>, count: usize, x: Params, y: Params) -> Q {
    let sum = window.fold(0f32, |sum, q| sum + dequantize(q.into(), x));
    Q::saturate(round_to_i32(sum / count as f32 / y.scale + y.zero_point as f32))
}
