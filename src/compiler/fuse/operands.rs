//! Operators on two quantized operands, element by element.

use tract_onnx::pb::NodeProto;

use super::graph::{Fused, Graph};
use crate::compiler::quantized::elementwise::{ADD, MUL, SUB, WHERE};

/// `Add`, `Sub` or `Mul` between DQ and Q becomes `QLinearAdd`, `QLinearSub` or `QLinearMul`.
pub fn binary(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    // Before opset 7 broadcasting had rules of its own.
    if node.attribute.iter().any(|a| a.name == "axis" || a.name == "broadcast") {
        return None;
    }
    let a = graph.activation(node.input.first()?)?;
    let b = graph.activation(node.input.get(1)?)?;
    let y = graph.quantized(node.output.first()?)?;
    let op_type = match node.op_type.as_str() {
        "Add" => ADD,
        "Sub" => SUB,
        _ => MUL,
    };
    let place = graph.place(index);
    let a = graph.shifted(&a, y.data_type, place);
    let b = graph.shifted(&b, y.data_type, place);
    let mut input: Vec<String> = a.names().into_iter().chain(b.names()).collect();
    input.extend([y.scale, y.zero_point]);
    let fused = NodeProto {
        op_type: op_type.to_owned(),
        input,
        output: vec![y.quanta],
        attribute: y.clamp.attributes().collect(),
        name: node.name,
        ..NodeProto::default()
    };
    graph.replace(index, Fused { node: fused, gone: y.nodes });
    Some(())
}

/// `Where` between DQ and Q becomes `QLinearWhere`.
pub fn select(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let a = graph.activation(node.input.get(1)?)?;
    let b = graph.activation(node.input.get(2)?)?;
    let y = graph.quantized(node.output.first()?)?;
    let place = graph.place(index);
    let a = graph.shifted(&a, y.data_type, place);
    let b = graph.shifted(&b, y.data_type, place);
    let mut input = vec![node.input.first()?.clone()];
    input.extend(a.names().into_iter().chain(b.names()));
    input.extend([y.scale.clone(), y.zero_point.clone()]);
    let fused = NodeProto {
        op_type: WHERE.to_owned(),
        input,
        output: vec![y.quanta.clone()],
        name: node.name,
        ..NodeProto::default()
    };
    graph.replace_then_clamp(index, fused, y);
    Some(())
}
