//! Convolutions and matrix products.

use tract_onnx::pb::NodeProto;

use super::CONV;
use super::graph::{Dequantized, Fused, Graph};
use crate::compiler::onnx::{attribute, raw_tensor};
use crate::compiler::quantized::matmul::{INTEGER_TO_FLOAT, Q_GEMM};
use crate::tensor::DataType;

/// Relative distance up to which a bias's scale counts as the product of the other two, computed elsewhere.
const SCALE_TOLERANCE: f32 = 1e-5;

/// `Conv` between DQ and Q becomes `QLinearConv`.
pub fn conv(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let x = activation(graph, &node, 0)?;
    let w = graph.dequantized(node.input.get(1)?)?;
    // Per channel means per output channel, the first dimension of the weights.
    if !w.is_quantum() || !(w.per_tensor() || w.axis == 0) {
        return None;
    }
    let bias = bias(graph, &node, &x, &w, 1.0)?;
    let y = graph.quantized(node.output.first()?)?;
    let mut input =
        vec![x.quanta, x.scale, x.zero_point, w.quanta, w.scale, w.zero_point, y.scale.clone(), y.zero_point.clone()];
    input.extend(bias);
    let mut attribute = node.attribute;
    attribute.extend(y.clamp.attributes());
    let node = NodeProto {
        op_type: CONV.to_owned(),
        input,
        output: vec![y.quanta],
        attribute,
        name: node.name,
        ..NodeProto::default()
    };
    Some(Fused { node, gone: y.nodes })
}

/// `MatMul` becomes `QLinearMatMul`, or `MatMulIntegerToFloat` where its result stays float.
pub fn matmul(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let a = activation(graph, &node, 0)?;
    let b = graph.dequantized(node.input.get(1)?)?;
    if !b.is_quantum() {
        return None;
    }
    if !b.per_tensor() {
        // Per column: the last dimension, of a plain matrix.
        let rank = graph.constant_dims(&b.quanta)?.len() as i64;
        if rank != 2 || (b.axis != 1 && b.axis != -1) {
            return None;
        }
    }
    let y = graph.quantized(node.output.first()?).filter(|y| y.clamp.is_none());
    Some(match y {
        Some(y) => Fused {
            node: NodeProto {
                op_type: "QLinearMatMul".to_owned(),
                input: vec![a.quanta, a.scale, a.zero_point, b.quanta, b.scale, b.zero_point, y.scale, y.zero_point],
                output: vec![y.quanta],
                name: node.name,
                ..NodeProto::default()
            },
            gone: y.nodes,
        },
        None => Fused {
            node: NodeProto {
                op_type: INTEGER_TO_FLOAT.to_owned(),
                input: vec![a.quanta, b.quanta, a.scale, b.scale, a.zero_point, b.zero_point],
                output: node.output,
                name: node.name,
                ..NodeProto::default()
            },
            gone: vec![],
        },
    })
}

/// `Gemm` becomes `QGemm`, with a quantized or a float result.
pub fn gemm(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let transposed = |name| attribute(&node, name).is_some_and(|a| a.i != 0);
    if attribute(&node, "beta").is_some_and(|a| a.f != 1.0) {
        return None;
    }
    let alpha = attribute(&node, "alpha").map_or(1.0, |a| a.f);
    let a = activation(graph, &node, 0)?;
    let b = graph.dequantized(node.input.get(1)?)?;
    let columns = if transposed("transB") { [0, -2] } else { [1, -1] };
    if !b.is_quantum() || !(b.per_tensor() || columns.contains(&b.axis)) {
        return None;
    }
    let bias = bias(graph, &node, &a, &b, alpha)?;
    let y = graph.quantized(node.output.first()?).filter(|y| y.clamp.is_none());
    let mut input = vec![a.quanta, a.scale, a.zero_point, b.quanta, b.scale, b.zero_point, bias.unwrap_or_default()];
    let (output, gone) = match y {
        Some(y) => {
            input.extend([y.scale, y.zero_point]);
            (vec![y.quanta], y.nodes)
        }
        None => (node.output.clone(), vec![]),
    };
    let attribute = node.attribute.iter().filter(|a| a.name != "beta").cloned().collect();
    let fused =
        NodeProto { op_type: Q_GEMM.to_owned(), input, output, attribute, name: node.name, ..NodeProto::default() };
    Some(Fused { node: fused, gone })
}

/// An operand with one scale for all.
fn activation(graph: &mut Graph, node: &NodeProto, position: usize) -> Option<Dequantized> {
    graph.dequantized(node.input.get(position)?).filter(|x| x.is_quantum() && x.per_tensor())
}

/// The bias in units of `alpha * x scale * w scale`. `Some(None)`: there is none; `None`: there is no such form.
fn bias(graph: &mut Graph, node: &NodeProto, x: &Dequantized, w: &Dequantized, alpha: f32) -> Option<Option<String>> {
    let Some(name) = node.input.get(2).filter(|n| !n.is_empty()) else { return Some(None) };
    let unit = |channel: usize| alpha * x.scales[0] * w.scales[if w.per_tensor() { 0 } else { channel }];
    let (values, dims): (Vec<f64>, Vec<i64>) = match graph.dequantized(name) {
        Some(bias) if bias.data_type == DataType::Int32 => {
            let quanta = graph.constant_i32(&bias.quanta)?;
            let dims = graph.constant_dims(&bias.quanta)?.to_vec();
            let channels = channels(quanta.len(), &dims, w)?;
            if graph.constant_i32(&bias.zero_point)?.iter().any(|&z| z != 0)
                || ![1, channels].contains(&bias.scales.len())
            {
                return None;
            }
            let scale = |channel: usize| bias.scales[if bias.per_tensor() { 0 } else { channel }];
            if (0..channels).all(|c| (scale(c) - unit(c)).abs() <= SCALE_TOLERANCE * unit(c).abs()) {
                return Some(Some(bias.quanta));
            }
            (quanta.iter().enumerate().map(|(c, &q)| f64::from(q) * f64::from(scale(c))).collect(), dims)
        }
        Some(_) => return None,
        None => {
            let values = graph.constant_f32(name)?;
            let dims = graph.constant_dims(name)?.to_vec();
            channels(values.len(), &dims, w)?;
            (values.into_iter().map(f64::from).collect(), dims)
        }
    };
    let quanta: Vec<i32> =
        values.iter().enumerate().map(|(c, &v)| (v / f64::from(unit(c))).round_ties_even() as i32).collect();
    let dims: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
    let name = format!("tractlet.bias.{}", graph.added());
    graph.add(raw_tensor(name.clone(), &dims, &quanta));
    Some(Some(name))
}

/// Number of channels of a bias, if there is one value for each.
fn channels(len: usize, dims: &[i64], w: &Dequantized) -> Option<usize> {
    let row = dims.iter().rev().skip(1).all(|&d| d == 1);
    (row && (w.per_tensor() || len == w.scales.len())).then_some(len)
}
