//! Quantized averages: the mean of a set of quanta, requantized.

use super::quantize::{Params, Quantum, round_to_i32};

/// `saturate(round_half_even(sum * (sx / (sy * count))) + zy)` for an exact sum of `count` differences `x - zx`.
#[inline]
pub fn mean<Q: Quantum>(sum: i32, count: usize, x: Params, y: Params) -> Q {
    let multiplier = x.scale / (y.scale * count as f32);
    Q::saturate(round_to_i32(sum as f32 * multiplier).saturating_add(y.zero_point))
}
