//! The definition, element by element.

use super::{ConvShape, Finish, Out};
use crate::kernels::quantize::requantize;

/// What [`super::conv`] computes, from weights as they are in the model.
#[allow(clippy::too_many_arguments)]
pub fn conv(
    shape: &ConvShape,
    weights: &[i8],
    weight_zero_points: &[i8],
    zero_point: u8,
    finish: &Finish<'_>,
    x: &[u8],
    y: &mut Out<'_>,
    row_stride: usize,
    column: usize,
) {
    let ConvShape { window, channels, groups } = *shape;
    let [batch, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let [kh, kw] = window.kernel;
    let (depth, outputs) = (c / groups, channels / groups);
    for position in 0..batch * oh * ow {
        let (b, oy, ox) = (position / (oh * ow), position / ow % oh, position % ow);
        for n in 0..channels {
            let wz = match weight_zero_points {
                [] => 0,
                [one] => *one,
                all => all[n],
            } as i32;
            let mut sum = 0i32;
            for ky in 0..kh {
                for kx in 0..kw {
                    let iy = (oy * window.strides[0] + ky * window.dilations[0]).checked_sub(window.pads[0]);
                    let ix = (ox * window.strides[1] + kx * window.dilations[1]).checked_sub(window.pads[1]);
                    let (Some(iy), Some(ix)) = (iy.filter(|&i| i < h), ix.filter(|&i| i < w)) else { continue };
                    for d in 0..depth {
                        let q = x[((b * h + iy) * w + ix) * c + n / outputs * depth + d] as i32;
                        let v = weights[((n * kh + ky) * kw + kx) * depth + d] as i32;
                        sum = sum.wrapping_add((q - zero_point as i32) * (v - wz));
                    }
                }
            }
            store(sum, n, finish, y, position * row_stride + column + n);
        }
    }
}

/// The epilogue of one sum.
pub fn store(sum: i32, n: usize, finish: &Finish<'_>, y: &mut Out<'_>, at: usize) {
    let sum = sum.wrapping_add(finish.bias().get(n).copied().unwrap_or(0));
    match (finish, y) {
        (Finish::Quantized { zero_point, low, high, .. }, Out::Uint8(y)) => {
            y[at] = requantize::<u8>(sum, finish.multiplier(n), *zero_point as i32).clamp(*low, *high);
        }
        (Finish::Float { addend, low, high, .. }, Out::Float32(y)) => {
            let mut v = sum as f32 * finish.multiplier(n);
            if !addend.is_empty() {
                v += addend[n];
            }
            y[at] = v.clamp(*low, *high);
        }
        (Finish::Integer { .. }, Out::Int32(y)) => y[at] = sum,
        _ => panic!("the type of the output is not that of the finish"),
    }
}
