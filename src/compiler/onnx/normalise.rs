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
        let mut used = HashSet::new();
        collect_used(graph, &mut used);
        normalise_graph(graph, version, &used);
        detach_outputs(graph);
        // Before IR 4 every constant is an input as well.
        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.retain(|i| !constants.contains(i.name.as_str()));
    }
    Ok(())
}

/// Operators of which outputs behind the first may be left out.
const OPTIONAL_OUTPUTS: [&str; 5] =
    ["BatchNormalization", "Dropout", "LayerNormalization", "MaxPool", "SkipLayerNormalization"];

/// Names that a graph, or a graph inside of it, reads or gives.
fn collect_used(graph: &GraphProto, used: &mut HashSet<String>) {
    used.extend(graph.output.iter().map(|o| o.name.clone()));
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        node.attribute.iter().filter_map(|a| a.g.as_ref()).for_each(|inner| collect_used(inner, used));
    }
}

fn normalise_graph(graph: &mut GraphProto, version: i64, used: &HashSet<String>) {
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
        // The mask of a Dropout, for instance, which many models name and none reads.
        if OPTIONAL_OUTPUTS.contains(&node.op_type.as_str()) {
            while node.output.len() > 1 && node.output.last().is_some_and(|name| !used.contains(name)) {
                node.output.pop();
            }
        }
        // Not in training, the ratio means nothing.
        if node.op_type == "Dropout" && node.input.len() == 3 {
            let is_false = |t: &TensorProto| t.name == node.input[2] && (t.raw_data == [0] || t.int32_data == [0]);
            if graph.initializer.iter().chain(&constants).any(is_false) {
                node.input.truncate(1);
            }
        }
        if node.op_type == "Upsample" {
            upsample(&mut node, &mut constants);
        } else if node.op_type == "Resize" && version == 10 {
            node.op_type = registry::RESIZE_10.to_owned();
        }
        for inner in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
            normalise_graph(inner, version, used);
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

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::ValueInfoProto;

    fn dropout(inputs: &[&str], outputs: &[&str], read: &str, training: u8) -> NodeProto {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let node = NodeProto {
            op_type: "Dropout".to_owned(),
            input: list(inputs),
            output: list(outputs),
            ..NodeProto::default()
        };
        let flag = TensorProto {
            name: "training".to_owned(),
            data_type: DataType::Bool as i32,
            raw_data: vec![training],
            ..TensorProto::default()
        };
        let graph = GraphProto {
            node: vec![node],
            initializer: vec![flag],
            output: vec![ValueInfoProto { name: read.to_owned(), ..ValueInfoProto::default() }],
            ..GraphProto::default()
        };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        normalise(&mut model).expect("a graph");
        model.graph.expect("a graph").node.remove(0)
    }

    #[test]
    fn masks_that_nobody_reads_are_dropped() {
        assert_eq!(dropout(&["x"], &["y", "mask"], "y", 0).output, ["y"]);
        assert_eq!(dropout(&["x"], &["y", "mask"], "mask", 0).output, ["y", "mask"]);
    }

    #[test]
    fn only_training_needs_more_than_the_data() {
        assert_eq!(dropout(&["x", "", "training"], &["y"], "y", 0).input, ["x"]);
        assert_eq!(dropout(&["x", "", "training"], &["y"], "y", 1).input.len(), 3);
        assert_eq!(dropout(&["x", "", "found later"], &["y"], "y", 0).input.len(), 3);
    }
}
