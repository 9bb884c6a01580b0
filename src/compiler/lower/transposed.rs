//! `ConvTranspose`: convolutions of what is there, of floats or of quanta. Of a stride of 2 x 2, say, each of four in the result has its
//! own taps of the kernel; each becomes a convolution with those taps alone, and its results are copied to their places.

use tract_onnx::pb::NodeProto;

use super::movement::copy;
use super::values::{channels_last, dense};
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{Quantization, Window};
use crate::plan::{Conv, Finish, FloatConv, Operation, ZeroPoint};
use crate::tensor::DataType;

/// One axis: sizes and where the result begins.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
}

/// The part of an axis' result that lies `phase` elements behind multiples of the stride.
struct Phase {
    /// Taps of the kernel, in the order in which a window meets them; `None` is a zero.
    taps: Vec<Option<usize>>,
    /// Elements before the input that the first window begins at.
    pad: usize,
    /// Results.
    count: usize,
}

impl Axis {
    fn phase(&self, phase: usize) -> Phase {
        let count = self.output.saturating_sub(phase).div_ceil(self.stride);
        // Input `q + shift(k)` meets tap k at result `q * stride + phase`, if that is whole.
        let at = |k: usize| (phase + self.pad) as i64 - (k * self.dilation) as i64;
        let stride = self.stride as i64;
        let mut met: Vec<(i64, usize)> = (0..self.kernel)
            .filter(|&k| at(k).rem_euclid(stride) == 0)
            .map(|k| (at(k).div_euclid(stride), k))
            .collect();
        met.sort_unstable();
        // From the first element that a window may begin at, so that it begins no later than the input does.
        let first = met.first().map_or(0, |m| m.0.min(0));
        let last = met.last().map_or(0, |m| m.0);
        let tap = |shift: i64| met.iter().find(|m| m.0 == shift).map(|m| m.1);
        Phase { taps: (first..=last.max(first)).map(tap).collect(), pad: -first as usize, count }
    }
}

fn geometry(node: &NodeProto, input: &[usize], kernel: &[usize], output: &[usize]) -> Option<Vec<Axis>> {
    let rank = kernel.len();
    let list = |name: &str, default: i64, len: usize| -> Option<Vec<usize>> {
        let given = attribute(node, name).map(|a| a.ints.clone()).filter(|v| !v.is_empty());
        let list = given.unwrap_or_else(|| vec![default; len]);
        let sizes: Option<Vec<usize>> =
            list.iter().map(|&v| usize::try_from(v).ok().filter(|&v| v < 1 << 20)).collect();
        sizes.filter(|s| s.len() == len)
    };
    let (strides, dilations) = (list("strides", 1, rank)?, list("dilations", 1, rank)?);
    let (mut pads, more) = (list("pads", 0, 2 * rank)?, list("output_padding", 0, rank)?);
    if strides.iter().chain(&dilations).any(|&s| s == 0) {
        return None;
    }
    let auto_pad = attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
    let shaped = attribute(node, "output_shape").is_some_and(|a| !a.ints.is_empty());
    let mut axes = Vec::new();
    for d in 0..rank {
        let full = (input[d] - 1) * strides[d] + (kernel[d] - 1) * dilations[d] + 1 + more[d];
        if shaped || auto_pad.starts_with(b"SAME") {
            let total = full.saturating_sub(output[d]);
            pads[d] = if auto_pad == b"SAME_UPPER" { total / 2 } else { total - total / 2 };
            pads[rank + d] = total - pads[d];
        } else if auto_pad == b"VALID" {
            (pads[d], pads[rank + d]) = (0, 0);
        }
        if full.checked_sub(pads[d] + pads[rank + d]) != Some(output[d]) {
            return None;
        }
        let (stride, dilation) = (strides[d], dilations[d]);
        axes.push(Axis { input: input[d], output: output[d], kernel: kernel[d], stride, dilation, pad: pads[d] });
    }
    Some(axes)
}

/// What is multiplied with each element.
enum Weights {
    Floats(Vec<f32>),
    /// With the scale of x in the multipliers.
    Quanta {
        data: Vec<i8>,
        zero_points: Vec<i8>,
        multipliers: Vec<f32>,
        x: Quantization,
    },
}

/// Constant weights; as quanta if they and x are. Those of a channel have one scale: axis 1, for each group.
fn weights(l: &Lowering, node: &NodeProto, x: &Value, groups: usize) -> Option<(Weights, Vec<usize>)> {
    let name = node.input.get(1)?;
    let quantization = x.lazy.as_ref().and_then(|lazy| lazy.linear);
    let quantized = |x: Quantization| {
        let made = l.graph.node.iter().find(|n| n.output.first() == Some(name))?;
        if made.op_type != "DequantizeLinear" || attribute(made, "block_size").is_some_and(|a| a.i != 0) {
            return None;
        }
        let weights = l.weights(made, 0, 2)?;
        let scales = l.floats(made, 1)?;
        let constant = l.constant(made.input.first()?)?;
        let sign = if weights.flip { 0x80 } else { 0 };
        let data: Vec<i8> = constant.bytes().iter().map(|&byte| (byte ^ sign) as i8).collect();
        let shape = constant.shape().to_vec();
        let each = *shape.get(1)?;
        let along = resolve_axis(attribute(made, "axis").map_or(1, |a| a.i), shape.len())?;
        let lists = [scales.len(), weights.zero_points.len()];
        if lists.iter().any(|&n| n != 1 && (n != each || along != 1)) {
            return None;
        }
        let channels = each.checked_mul(groups)?;
        let multipliers: Vec<f32> = (0..channels).map(|c| x.scale * scales[c % each % scales.len()]).collect();
        let zero_points: Vec<i8> =
            (0..channels).map(|c| weights.zero_points[c % each % weights.zero_points.len()]).collect();
        l.usable(&multipliers, channels)?;
        Some((Weights::Quanta { data, zero_points, multipliers, x }, shape))
    };
    if let Some(found) = quantization.and_then(quantized) {
        return Some(found);
    }
    let constant = l.constant(name)?;
    Some((Weights::Floats(constant.as_slice::<f32>()?.to_vec()), constant.shape().to_vec()))
}

/// Inputs: x, constant weights, constant bias.
pub fn conv_transpose(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let groups = usize::try_from(attribute(node, "group").map_or(1, |a| a.i)).ok().filter(|&g| g > 0)?;
    let (weights, kernel) = weights(l, node, &x, groups)?;
    let rank = x.shape.len();
    if !(3..=4).contains(&rank) || kernel.len() != rank || shape.len() != rank {
        return None;
    }
    let (depth, each) = (x.shape[1], kernel[1]);
    let channels = each.checked_mul(groups)?;
    if kernel[0] != depth || shape[0] != x.shape[0] || shape[1] != channels || !depth.is_multiple_of(groups) {
        return None;
    }
    if [&x.shape, &shape, &kernel].iter().any(|s| s.contains(&0)) {
        return None;
    }
    let bias = match node.input.get(2).filter(|n| !n.is_empty()) {
        Some(_) => Some(l.floats(node, 2).filter(|b| b.len() == channels)?),
        None => None,
    };
    let mut axes = geometry(node, &x.shape[2..], &kernel[2..], &shape[2..])?;
    if rank == 3 {
        axes.insert(0, Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, pad: 0 });
    }
    let [vertical, horizontal] = axes[..] else { return None };
    let steps = vertical.stride.checked_mul(horizontal.stride)?;
    if steps > 256 {
        return None;
    }
    let x = l.ordered(&x, &channels_last(rank))?;
    let x = if matches!(weights, Weights::Floats(_)) { l.computed_value(x)? } else { x };
    let bias = bias.map(|b| l.pool.add(&b));
    let inside = depth / groups;
    let y = l.output(output, DataType::Float32, &shape, &channels_last(rank), false);
    for (py, px) in (0..vertical.stride).flat_map(|py| (0..horizontal.stride).map(move |px| (py, px))) {
        let (v, h) = (vertical.phase(py), horizontal.phase(px));
        if v.count == 0 || h.count == 0 {
            continue;
        }
        // [channels][kh][kw][depth / groups], from [depth][channels / groups][kh][kw]; `None` is a zero.
        let each_channel = v.taps.len() * h.taps.len() * inside;
        let mut taps = Vec::with_capacity(channels * each_channel);
        for channel in 0..channels {
            let (group, own) = (channel / each, channel % each);
            for (ky, kx) in v.taps.iter().flat_map(|&ky| h.taps.iter().map(move |&kx| (ky, kx))) {
                taps.extend((0..inside).map(|c| {
                    let plane = (group * inside + c) * each + own;
                    Some((plane * vertical.kernel + ky?) * horizontal.kernel + kx?)
                }));
            }
        }
        let window = Window {
            input: [x.shape[0], vertical.input, horizontal.input, depth],
            output: [v.count, h.count],
            kernel: [v.taps.len(), h.taps.len()],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [v.pad, h.pad],
        };
        let part = [x.shape[0], v.count, h.count, channels];
        let to = if steps == 1 { y.id } else { l.fact(DataType::Float32, &part) };
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        let operation = match &weights {
            Weights::Floats(data) => {
                let taps: Vec<f32> = taps.into_iter().map(|tap| tap.map_or(0.0, |at| data[at])).collect();
                let weights = l.pool.add(&taps);
                Operation::FloatConv(FloatConv { x: x.id, y: to, window, channels, groups, weights, bias, low, high })
            }
            Weights::Quanta { data, zero_points, multipliers, x: from } => {
                let number =
                    |(i, tap): (usize, Option<usize>)| tap.map_or(zero_points[i / each_channel], |at| data[at]);
                let taps: Vec<i8> = taps.into_iter().enumerate().map(number).collect();
                let multipliers = l.pool.add(multipliers);
                Operation::Conv(Conv {
                    x: x.id,
                    y: to,
                    row_stride: channels,
                    column: 0,
                    window,
                    channels,
                    groups,
                    zero_point: ZeroPoint::Fixed(from.zero_point),
                    weights: l.pool.add(&taps),
                    weight_zero_points: l.zero_point_list(zero_points),
                    bias: None,
                    finish: Finish::Float { multipliers, addend: bias, low, high },
                })
            }
        };
        l.step(operation);
        if steps > 1 {
            let row = horizontal.output * channels;
            let strides = vec![vertical.output * row, vertical.stride * row, horizontal.stride * channels, 1];
            copy(l, to, y.id, &part, (0, dense(&part)), (py * row + px * channels, strides), None);
        }
    }
    Some(())
}
