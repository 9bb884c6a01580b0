//! Softmax and normalisations.

use tract_onnx::pb::NodeProto;

use super::select::rows;
use super::values::dense;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{FloatBinary, Numbers, Rows};
use crate::plan::{Broadcast, Operation};
use crate::tensor::DataType;

fn along(l: &mut Lowering, node: &NodeProto, x: &Value, default: i64, numbers: Numbers, coerced: bool) -> Option<()> {
    let axis = attribute(node, "axis").map_or(default, |a| a.i);
    let axis = resolve_axis(axis, x.shape.len())?;
    let rank = x.shape.len();
    let (x, rows) = if coerced && axis + 1 != rank {
        let x = l.plain(x)?;
        let rows = Rows { outer: x.shape[..axis].iter().product(), count: x.shape[axis..].iter().product(), inner: 1 };
        (x, rows)
    } else {
        (x.clone(), rows(x, axis))
    };
    let result = x.data_type;
    let y = l.output(node.output.first()?, result, &x.shape, &x.order, x.shifted);
    l.step(Operation::Softmax { x: x.id, y: y.id, rows, numbers });
    Some(())
}

/// In float. Before opset 13 all dimensions from the axis on are one.
pub fn softmax(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let coerced = l.opset < 13;
    along(l, node, &x, if coerced { 1 } else { -1 }, Numbers::Float, coerced)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_softmax(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0)?;
    let x = l.quanta(&x)?;
    let from = l.quantization(node, 1, x.data_type)?;
    let to = l.quantization(node, 3, x.data_type)?;
    let coerced = attribute(node, "opset").is_some_and(|a| a.i < 13);
    along(l, node, &x, -1, Numbers::Quantized { from, to }, coerced)
}

/// Along the last dimensions.
pub fn layer_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    if node.output.iter().skip(1).any(|o| !o.is_empty()) {
        return None;
    }
    let axis = resolve_axis(attribute(node, "axis").map_or(-1, |a| a.i), x.shape.len())?;
    norm(l, node, &x, axis, 1, 1e-5)
}

/// `com.microsoft`'s: inputs x, skip, scale, bias of the norm, bias of the sum; the fourth output is the sum.
pub fn skip_layer_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if [1, 2].iter().any(|&i| node.output.get(i).is_some_and(|o| !o.is_empty())) {
        return None;
    }
    let has_bias = node.input.get(4).is_some_and(|n| !n.is_empty());
    let named = node.output.get(3).filter(|o| !o.is_empty()).cloned();
    let name = named.unwrap_or_else(|| format!("tractlet.sum.{}", node.output[0]));
    let positions: &[usize] = if has_bias { &[0, 1, 4] } else { &[0, 1] };
    let sum = super::elementwise::float_sum(l, &name, node, positions)?;
    norm(l, node, &sum, sum.shape.len().checked_sub(1)?, 2, 1e-12)
}

/// The norm of the dimensions from `axis` on; scale and bias are the inputs from `scale` on.
fn norm(l: &mut Lowering, node: &NodeProto, x: &Value, axis: usize, scale: usize, epsilon: f32) -> Option<()> {
    let x = l.plain(x)?;
    let count: usize = x.shape[axis..].iter().product();
    let bias = match node.input.get(scale + 1).filter(|n| !n.is_empty()) {
        Some(_) => Some(l.floats(node, scale + 1).filter(|b| b.len() == count)?),
        None => None,
    };
    let scale = l.floats(node, scale).filter(|s| s.len() == count)?;
    if count == 0 {
        return None;
    }
    let epsilon = attribute(node, "epsilon").map_or(epsilon, |a| a.f);
    let y = l.output(node.output.first()?, DataType::Float32, &x.shape, &x.order, false);
    let scale = l.pool.add(&scale);
    let bias = bias.map(|b| l.pool.add(&b));
    let outer = x.len() / count;
    l.step(Operation::LayerNorm { x: x.id, y: y.id, scale, bias, outer, count, epsilon });
    Some(())
}

/// With constant statistics: a product and a sum for each channel.
pub fn batch_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    if node.output.iter().skip(1).any(|o| !o.is_empty()) || x.shape.len() < 2 {
        return None;
    }
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|i| l.floats(node, i));
    let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
    let channels = x.shape[1];
    if [&scale, &bias, &mean, &variance].iter().any(|v| v.len() != channels) {
        return None;
    }
    let epsilon = attribute(node, "epsilon").map_or(1e-5, |a| a.f);
    let factors: Vec<f32> = (0..channels).map(|c| scale[c] / (variance[c] + epsilon).sqrt()).collect();
    let addends: Vec<f32> = (0..channels).map(|c| bias[c] - mean[c] * factors[c]).collect();
    let output = node.output.first()?;
    let shape = x.physical();
    let mut by_channel = vec![0; shape.len()];
    by_channel[x.position(1)] = 1;
    let between = l.fact(DataType::Float32, &shape);
    let y = l.output(output, DataType::Float32, &x.shape, &x.order, false);
    for (function, list, from, to) in
        [(FloatBinary::Mul, factors, x.id, between), (FloatBinary::Add, addends, between, y.id)]
    {
        let b = l.constant_fact(&list);
        let operands = Broadcast {
            a: from,
            b,
            y: to,
            shape: shape.clone(),
            a_strides: dense(&shape),
            b_strides: by_channel.clone(),
        };
        l.step(Operation::FloatBinary { function, operands });
    }
    Some(())
}
