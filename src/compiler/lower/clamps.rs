//! Clamps of float convolutions as part of them.

use crate::kernels::FloatUnary;
use crate::plan::{Operation, Variant};

/// Rewrites a variant: a convolution whose only reader is a `Clip` does it itself.
pub fn fuse(variant: &mut Variant) {
    for index in 0..variant.steps.len() {
        let Operation::FloatConv(conv) = &variant.steps[index].operation else { continue };
        let Some(reader) = super::dynamic::only_reader(variant, conv.y) else { continue };
        let Operation::FloatUnary { function: FloatUnary::Clip { low, high }, y, .. } = variant.steps[reader].operation
        else {
            continue;
        };
        // NaN bounds mean something else, and the first of two clamps is in the way of none.
        if low.is_nan() || high.is_nan() || conv.low != f32::NEG_INFINITY || conv.high != f32::INFINITY {
            continue;
        }
        if let Operation::FloatConv(conv) = &mut variant.steps[index].operation {
            conv.low = low;
            conv.high = high;
            conv.y = y;
        }
        variant.steps[reader].operation = super::dynamic::gone(y);
    }
    super::dynamic::drop_gone(variant);
}
