//! `Add` and `Mul` of two quantized operands.

use tract_onnx::pb::NodeProto;

use super::graph::{Fused, Graph};
use crate::compiler::quantized::elementwise::{ADD, MUL};

/// The operator between DQ and Q becomes `QLinearAdd` or `QLinearMul`, if all three have one type of quanta.
pub fn binary(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let a = graph.dequantized(node.input.first()?)?;
    let b = graph.dequantized(node.input.get(1)?)?;
    let y = graph.quantized(node.output.first()?)?;
    if !a.per_tensor() || !b.per_tensor() || !a.is_quantum() || a.data_type != b.data_type || a.data_type != y.data_type
    {
        return None;
    }
    let op_type = if node.op_type == "Add" { ADD } else { MUL };
    let fused = NodeProto {
        op_type: op_type.to_owned(),
        input: vec![a.quanta, a.scale, a.zero_point, b.quanta, b.scale, b.zero_point, y.scale, y.zero_point],
        output: vec![y.quanta],
        attribute: y.clamp.attributes().collect(),
        name: node.name,
        ..NodeProto::default()
    };
    Some(Fused { node: fused, gone: y.nodes })
}
