//! One spelling for what ONNX allows several of.

use std::collections::HashSet;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::tensors::raw_tensor;
use crate::compiler::registry;
use crate::error::Result;
use crate::tensor::DataType;

/// See the module's list.
pub fn normalise(model: &mut ModelProto) -> Result<()> {
    // Functions the model brings would have been reported as unknown operators if a node used them.
    model.functions.clear();
    model.training_info.clear();
    let standard = model.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    let version = standard.map_or(0, |o| o.version);
    if let Some(graph) = &mut model.graph {
        normalise_graph(graph, version);
        detach_outputs(graph);
        // Before IR 4 every constant is an input as well.
        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.retain(|i| !constants.contains(i.name.as_str()));
    }
    Ok(())
}

fn normalise_graph(graph: &mut GraphProto, version: i64) {
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    let mut constants = Vec::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        node.op_type = registry::qualified_name(&node.domain, &node.op_type);
        if let Some(tensor) = constant(&node) {
            constants.push(tensor);
            continue;
        }
        if node.op_type == "Upsample" {
            upsample(&mut node, &mut constants);
        } else if node.op_type == "Resize" && version == 10 {
            node.op_type = registry::RESIZE_10.to_owned();
        }
        for inner in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
            normalise_graph(inner, version);
        }
        nodes.push(node);
    }
    graph.node = nodes;
    graph.initializer.extend(constants);
}

/// An output that is an input or a constant gets a node of its own, and a name of its own: the parser would overwrite
/// what is known of the input. Outputs go by position from here on.
fn detach_outputs(graph: &mut GraphProto) {
    let direct: HashSet<String> =
        graph.input.iter().map(|i| i.name.clone()).chain(graph.initializer.iter().map(|t| t.name.clone())).collect();
    for (position, output) in graph.output.iter_mut().enumerate() {
        if direct.contains(&output.name) {
            let name = format!("tractlet.output.{position}");
            graph.node.push(NodeProto {
                op_type: "Identity".to_owned(),
                input: vec![std::mem::replace(&mut output.name, name.clone())],
                output: vec![name.clone()],
                name,
                ..NodeProto::default()
            });
        }
    }
}

/// The value of a `Constant` node. Sparse constants stay nodes; shape inference refuses them by name.
fn constant(node: &NodeProto) -> Option<TensorProto> {
    if node.op_type != "Constant" || node.output.len() != 1 {
        return None;
    }
    let name = node.output[0].clone();
    let attribute = node.attribute.first()?;
    Some(match attribute.name.as_str() {
        "value" => TensorProto { name, ..attribute.t.clone()? },
        "value_float" => raw_tensor(name, &[], &[attribute.f]),
        "value_floats" => raw_tensor(name, &[attribute.floats.len()], &attribute.floats),
        "value_int" => raw_tensor(name, &[], &[attribute.i]),
        "value_ints" => raw_tensor(name, &[attribute.ints.len()], &attribute.ints),
        "value_string" => strings(name, vec![], vec![attribute.s.clone()]),
        "value_strings" => strings(name, vec![attribute.strings.len() as i64], attribute.strings.clone()),
        _ => return None,
    })
}

fn strings(name: String, dims: Vec<i64>, string_data: Vec<Vec<u8>>) -> TensorProto {
    TensorProto { name, dims, data_type: DataType::String as i32, string_data, ..TensorProto::default() }
}

/// `Upsample` (opsets 7 to 9) is `Resize` as opset 10 defines it; before opset 9 the scales are an attribute.
fn upsample(node: &mut NodeProto, constants: &mut Vec<TensorProto>) {
    node.op_type = registry::RESIZE_10.to_owned();
    if let Some(at) = node.attribute.iter().position(|a| a.name == "scales") {
        let AttributeProto { floats, .. } = node.attribute.remove(at);
        let name = format!("{}.scales", node.output.first().map_or("upsample", String::as_str));
        constants.push(raw_tensor(name.clone(), &[floats.len()], &floats));
        node.input.truncate(1);
        node.input.push(name);
    }
}
