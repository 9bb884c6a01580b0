//! Convolutions and matrix products.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::graph::{Fused, Graph, int};
use super::quantization::{Dequantized, Quantized};
use super::{CONV, CONV_TO_FLOAT, Clamp, MATMUL, bias};
use crate::compiler::onnx::attribute;
use crate::compiler::quantized::matmul::{INTEGER_TO_FLOAT, Q_GEMM};

fn made(op_type: &str, input: Vec<String>, output: String, attribute: Vec<AttributeProto>, name: String) -> NodeProto {
    NodeProto { op_type: op_type.to_owned(), input, output: vec![output], attribute, name, ..NodeProto::default() }
}

fn with_clamp(mut attributes: Vec<AttributeProto>, clamp: Clamp) -> Vec<AttributeProto> {
    attributes.extend(clamp.attributes());
    attributes
}

/// `Conv` of quanta becomes `QLinearConv`, or `ConvIntegerToFloat` where its result stays float.
pub fn conv(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let x = graph.activation(node.input.first()?)?;
    let w = graph.dequantized(node.input.get(1)?)?;
    // Per channel means per output channel, the first dimension of the weights.
    if !w.is_quantum() || !(w.per_tensor() || w.axis == 0) {
        return None;
    }
    let output = node.output.first()?.clone();
    let given = node.input.get(2).filter(|n| !n.is_empty());
    if let Some(y) = graph.quantized(&output) {
        let bias = match given {
            Some(name) => Some(bias::in_quanta(graph, name, &x, &w, 1.0)?),
            None => None,
        };
        let mut input: Vec<String> = x.names().into_iter().chain(w.names()).collect();
        input.extend([y.scale, y.zero_point]);
        input.extend(bias);
        let fused = made(CONV, input, y.quanta, with_clamp(node.attribute, y.clamp), node.name);
        return Some(Fused { node: fused, gone: y.nodes });
    }
    let channels = usize::try_from(*graph.constant_dims(&w.quanta)?.first()?).ok()?;
    let bias = match given {
        Some(name) => Some(bias::in_numbers(graph, name, channels, 0)?),
        None => None,
    };
    let (clamp, value, activation) = graph.activated(&output);
    let input = to_float_inputs(&x, &w, bias);
    let fused = made(CONV_TO_FLOAT, input, value, with_clamp(node.attribute, clamp), node.name);
    Some(Fused { node: fused, gone: activation.into_iter().collect() })
}

/// Quanta of both, scales of both, zero points of both, bias.
fn to_float_inputs(x: &Dequantized, w: &Dequantized, bias: Option<String>) -> Vec<String> {
    let ([x, x_scale, x_zero_point], [w, w_scale, w_zero_point]) = (x.names(), w.names());
    [x, w, x_scale, w_scale, x_zero_point, w_zero_point].into_iter().chain(bias).collect()
}

/// `MatMul`, with a constant added to each column or not, becomes `QLinearMatMul`, or `MatMulIntegerToFloat` where its
/// result stays float.
pub fn matmul(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let a = graph.activation(node.input.first()?)?;
    let b = graph.dequantized(node.input.get(1)?)?;
    if !b.is_quantum() {
        return None;
    }
    let dims = graph.constant_dims(&b.quanta).map(<[i64]>::to_vec);
    // Per column: the last dimension, of a plain matrix.
    if !b.per_tensor() && !(dims.as_ref()?.len() == 2 && (b.axis == 1 || b.axis == -1)) {
        return None;
    }
    let output = node.output.first()?.clone();
    if let Some(dims) = dims.filter(|d| d.len() == 2)
        && let Some((add, bias)) = addition(graph, &output, &a, dims[1])
    {
        return matmul_add(graph, &node, &a, &b, add, &bias, dims[1]);
    }
    Some(match graph.quantized(&output) {
        Some(y) => quantized_matmul(&node, &a, &b, y, None),
        None => {
            let (clamp, value, activation) = graph.activated(&output);
            let attributes = with_clamp(vec![], clamp);
            let fused = made(INTEGER_TO_FLOAT, to_float_inputs(&a, &b, None), value, attributes, node.name);
            Fused { node: fused, gone: activation.into_iter().collect() }
        }
    })
}

/// The only reader of a product, if it adds a constant to each of the columns: (node, name of the constant).
fn addition(graph: &mut Graph, product: &str, a: &Dequantized, columns: i64) -> Option<(usize, String)> {
    let index = graph.only_reader(product)?;
    let node = graph.node(index);
    if node.op_type != "Add" || node.attribute.iter().any(|a| a.name == "axis" || a.name == "broadcast") {
        return None;
    }
    let bias = node.input.iter().find(|i| *i != product)?.clone();
    let dims = bias::shape(graph, &bias)?;
    let row = dims.last() == Some(&columns) && dims.iter().rev().skip(1).all(|&d| d == 1);
    // More dimensions than the product has would give the sum more, too.
    let rank_kept = dims.len() == 1 || graph.rank_of(&a.quanta).is_some_and(|rank| dims.len() <= rank);
    (row && rank_kept).then_some((index, bias))
}

fn matmul_add(
    graph: &mut Graph,
    node: &NodeProto,
    a: &Dequantized,
    b: &Dequantized,
    add: usize,
    bias: &str,
    columns: i64,
) -> Option<Fused> {
    let sum = graph.node(add).output.first()?.clone();
    if let Some(y) = graph.quantized(&sum) {
        let bias = bias::in_quanta(graph, bias, a, b, 1.0)?;
        let mut fused = quantized_matmul(node, a, b, y, Some(bias));
        fused.gone.push(add);
        return Some(fused);
    }
    let (clamp, value, activation) = graph.activated(&sum);
    let bias = bias::in_numbers(graph, bias, usize::try_from(columns).ok()?, 0)?;
    let input = to_float_inputs(a, b, Some(bias));
    let fused = made(INTEGER_TO_FLOAT, input, value, with_clamp(vec![], clamp), node.name.clone());
    Some(Fused { node: fused, gone: activation.into_iter().chain([add]).collect() })
}

fn quantized_matmul(node: &NodeProto, a: &Dequantized, b: &Dequantized, y: Quantized, bias: Option<String>) -> Fused {
    // The standard's operator where it suffices.
    let op_type = if bias.is_none() && y.clamp.is_none() { "QLinearMatMul" } else { MATMUL };
    let mut input: Vec<String> = a.names().into_iter().chain(b.names()).collect();
    input.extend([y.scale, y.zero_point]);
    input.extend(bias);
    let fused = made(op_type, input, y.quanta, with_clamp(vec![], y.clamp), node.name.clone());
    Fused { node: fused, gone: y.nodes }
}

/// `Gemm` becomes `QGemm`, with a quantized or a float result.
pub fn gemm(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let transposed = |name| int(&node, name).is_some_and(|i| i != 0);
    if attribute(&node, "beta").is_some_and(|a| a.f != 1.0) {
        return None;
    }
    let alpha = attribute(&node, "alpha").map_or(1.0, |a| a.f);
    let a = graph.activation(node.input.first()?)?;
    let b = graph.dequantized(node.input.get(1)?)?;
    let columns = if transposed("transB") { [0, -2] } else { [1, -1] };
    if !b.is_quantum() || !(b.per_tensor() || columns.contains(&b.axis)) {
        return None;
    }
    let bias = match node.input.get(2).filter(|n| !n.is_empty()) {
        Some(name) => bias::in_quanta(graph, name, &a, &b, alpha)?,
        None => String::new(),
    };
    let mut input: Vec<String> = a.names().into_iter().chain(b.names()).collect();
    input.push(bias);
    let attributes: Vec<AttributeProto> = node.attribute.iter().filter(|a| a.name != "beta").cloned().collect();
    Some(match graph.quantized(node.output.first()?) {
        Some(y) => {
            input.extend([y.scale, y.zero_point]);
            let fused = made(Q_GEMM, input, y.quanta, with_clamp(attributes, y.clamp), node.name);
            Fused { node: fused, gone: y.nodes }
        }
        None => Fused::alone(made(Q_GEMM, input, node.output.first()?.clone(), attributes, node.name)),
    })
}
