//! Values that follow from constants alone, computed while compiling.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};

use super::graph::{Graph, int, is_op};
use crate::compiler::fallback::Subgraph;
use crate::compiler::store::{Store, in_groups};
use crate::tensor::DataType;

/// What the nodes compute of constants, by tract's operators and ours, as the engine's fallback would. `None` if they
/// cannot be run; then the graph stays as it is, and running it tells why.
pub fn evaluate(
    graph: &Graph,
    nodes: Vec<NodeProto>,
    own: Vec<TensorProto>,
    outputs: &[String],
) -> Option<Vec<TensorProto>> {
    let mut initializers: HashMap<&str, TensorProto> = HashMap::new();
    for name in nodes.iter().flat_map(|n| &n.input) {
        if !initializers.contains_key(name.as_str()) && graph.constant(name).is_some() {
            initializers.insert(name, graph.filled(name)?);
        }
    }
    let mut initializer: Vec<TensorProto> = initializers.into_values().chain(own).collect();
    initializer.sort_by(|a, b| a.name.cmp(&b.name));
    let output = |name: &String| ValueInfoProto {
        name: name.clone(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor::default())),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let proto = ModelProto {
        ir_version: 8,
        opset_import: graph.opsets().to_vec(),
        graph: Some(GraphProto {
            output: outputs.iter().map(output).collect(),
            node: nodes,
            initializer,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let values = Subgraph::new(&proto).ok()?.run(&[]).ok()?;
    let tensors = values.iter().zip(outputs).map(|(value, name)| TensorProto {
        name: name.clone(),
        dims: value.shape().iter().map(|&d| d as i64).collect(),
        data_type: value.data_type() as i32,
        raw_data: value.bytes().to_vec(),
        ..TensorProto::default()
    });
    Some(tensors.collect())
}

/// Operators that exporters leave between constants and their readers, and `QuantizeLinear` of float weights.
fn is_folded(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Identity" | "Cast")
        || is_op(node, "QuantizeLinear")
}

/// Computes them.
pub fn fold_constants(graph: &mut Graph) {
    let mut folded: HashSet<usize> = HashSet::new();
    let mut nodes: Vec<NodeProto> = Vec::new();
    // What large constants are part of.
    let mut large: HashSet<String> = HashSet::new();
    for index in graph.order() {
        let node = graph.node(index);
        let constant = |name: &String| {
            name.is_empty() || graph.constant(name).is_some() || graph.maker(name).is_some_and(|m| folded.contains(&m))
        };
        // Strings have another representation.
        let is_text = |name: &String| graph.type_of(name) == Some(DataType::String);
        let texts = node.input.iter().any(is_text) || int(node, "to") == Some(DataType::String as i64);
        if is_folded(node) && !texts && node.output.len() == 1 && node.input.iter().all(constant) {
            if node.input.iter().any(|i| large.contains(i) || graph.constant(i).is_some_and(Store::holds)) {
                large.insert(node.output[0].clone());
            }
            folded.insert(index);
            nodes.push(node.clone());
        }
    }
    let outputs: Vec<String> = nodes
        .iter()
        .map(|n| n.output[0].clone())
        .filter(|o| !graph.is_pinned(o) && graph.readers(o).iter().any(|r| !folded.contains(r)))
        .collect();
    for outputs in in_groups(outputs, &|o| large.contains(o)) {
        let mut wanted: HashSet<&str> = outputs.iter().map(String::as_str).collect();
        let mut needed: Vec<NodeProto> = Vec::new();
        for node in nodes.iter().rev() {
            if wanted.contains(node.output[0].as_str()) && graph.constant(&node.output[0]).is_none() {
                wanted.extend(node.input.iter().map(String::as_str));
                needed.push(node.clone());
            }
        }
        needed.reverse();
        for tensor in evaluate(graph, needed, vec![], &outputs).unwrap_or_default() {
            if let Some(maker) = graph.maker(&tensor.name) {
                graph.remove(maker);
            }
            graph.add(tensor);
        }
    }
}
