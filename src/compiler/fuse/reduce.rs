//! Pools, means and joins of quantized operands.

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto};

use super::graph::{Dequantized, Fused, Graph, Quantized};
use crate::compiler::onnx::attribute;

/// What the operator's result is quantized to, without an activation in between.
fn result(graph: &mut Graph, node: &NodeProto) -> Option<Quantized> {
    if node.output.len() != 1 {
        return None;
    }
    graph.quantized(node.output.first()?).filter(|y| y.clamp.is_none())
}

fn operand(graph: &mut Graph, name: &str, y: &Quantized) -> Option<Dequantized> {
    graph.dequantized(name).filter(|x| x.is_quantum() && x.per_tensor() && x.data_type == y.data_type)
}

fn fused(node: NodeProto, op_type: &str, input: Vec<String>, y: Quantized) -> Option<Fused> {
    let node = NodeProto { op_type: op_type.to_owned(), input, output: vec![y.quanta], ..node };
    Some(Fused { node, gone: y.nodes })
}

/// `AveragePool` becomes `QLinearAveragePool`, `GlobalAveragePool` `QLinearGlobalAveragePool`.
pub fn pool(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    if attribute(&node, "dilations").is_some_and(|a| a.ints.iter().any(|&d| d != 1)) {
        return None;
    }
    let y = result(graph, &node)?;
    let x = operand(graph, node.input.first()?, &y)?;
    let op_type = format!("com.microsoft.QLinear{}", node.op_type);
    let input = vec![x.quanta, x.scale, x.zero_point, y.scale.clone(), y.zero_point.clone()];
    fused(node, &op_type, input, y)
}

/// `ReduceMean` over constant axes becomes `QLinearReduceMean`.
pub fn reduce_mean(graph: &mut Graph, index: usize) -> Option<Fused> {
    let mut node = graph.node(index).clone();
    if let Some(axes) = node.input.get(1).filter(|n| !n.is_empty()) {
        let ints = graph.constant_i64(axes)?;
        node.attribute.push(AttributeProto {
            name: "axes".to_owned(),
            ints,
            r#type: attribute_proto::AttributeType::Ints as i32,
            ..AttributeProto::default()
        });
    }
    // Without axes: all, or none.
    if attribute(&node, "axes").is_none_or(|a| a.ints.is_empty()) {
        return None;
    }
    node.attribute.retain(|a| a.name != "noop_with_empty_axes");
    let y = result(graph, &node)?;
    let x = operand(graph, node.input.first()?, &y)?;
    let input = vec![x.quanta, x.scale, x.zero_point, y.scale.clone(), y.zero_point.clone()];
    fused(node, "com.microsoft.QLinearReduceMean", input, y)
}

/// `Concat` becomes `QLinearConcat`.
pub fn concat(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let y = result(graph, &node)?;
    let mut input = vec![y.scale.clone(), y.zero_point.clone()];
    for name in &node.input {
        let x = operand(graph, name, &y)?;
        input.extend([x.quanta, x.scale, x.zero_point]);
    }
    fused(node, "com.microsoft.QLinearConcat", input, y)
}
