//! Averages and softmax.

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::graph::{Graph, int};
use crate::compiler::onnx::attribute;
use crate::compiler::quantized::pool::{AVERAGE_POOL, GLOBAL_AVERAGE_POOL, REDUCE_MEAN, SOFTMAX};

fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

/// The operator between DQ and Q becomes its quantized twin.
pub fn reduce(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let x = graph.activation(node.input.first()?)?;
    let (op_type, attributes) = match node.op_type.as_str() {
        "AveragePool" => (AVERAGE_POOL, average_pool(&node)?),
        "GlobalAveragePool" => (GLOBAL_AVERAGE_POOL, vec![]),
        "ReduceMean" => (REDUCE_MEAN, reduce_mean(graph, &node)?),
        "Softmax" => (SOFTMAX, softmax(graph, &node)),
        _ => return None,
    };
    let y = graph.quantized(node.output.first()?)?;
    let place = graph.place(index);
    let mut input: Vec<String> = graph.shifted(&x, y.data_type, place).names().into();
    input.extend([y.scale.clone(), y.zero_point.clone()]);
    let fused = NodeProto {
        op_type: op_type.to_owned(),
        input,
        output: vec![y.quanta.clone()],
        attribute: attributes,
        name: node.name,
        ..NodeProto::default()
    };
    graph.replace_then_clamp(index, fused, y);
    Some(())
}

fn average_pool(node: &NodeProto) -> Option<Vec<AttributeProto>> {
    let set = |name| int(node, name).is_some_and(|i| i != 0);
    let dilated = attribute(node, "dilations").is_some_and(|a| a.ints.iter().any(|&d| d != 1));
    // From opset 19 on, windows that `ceil_mode` lets reach beyond the padding count less than the whole kernel.
    if dilated || set("ceil_mode") && set("count_include_pad") {
        return None;
    }
    Some(node.attribute.iter().filter(|a| a.name != "dilations").cloned().collect())
}

fn reduce_mean(graph: &Graph, node: &NodeProto) -> Option<Vec<AttributeProto>> {
    let axes = match node.input.get(1).filter(|n| !n.is_empty()) {
        Some(axes) => graph.constant_i64(axes)?,
        None => attribute(node, "axes").map_or(vec![], |a| a.ints.clone()),
    };
    // Without axes the mean is that of everything, unless the node says that it is nothing.
    if axes.is_empty() && int(node, "noop_with_empty_axes").is_some_and(|i| i != 0) {
        return None;
    }
    let mut attributes = vec![integer("keepdims", int(node, "keepdims").unwrap_or(1))];
    if !axes.is_empty() {
        attributes.push(AttributeProto {
            name: "axes".to_owned(),
            ints: axes,
            r#type: AttributeType::Ints as i32,
            ..AttributeProto::default()
        });
    }
    Some(attributes)
}

fn softmax(graph: &Graph, node: &NodeProto) -> Vec<AttributeProto> {
    // Since opset 13 the softmax is along one axis, by default the last.
    let default = if graph.opset() < 13 { 1 } else { -1 };
    vec![integer("axis", int(node, "axis").unwrap_or(default)), integer("opset", graph.opset())]
}
