//! Sizes, checked before memory is asked for: an operator that makes a tensor as large as a constant says must not be
//! evaluated by shape inference when the constant is absurd.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, TensorProto, tensor_shape_proto::dimension};

use super::fallback::Known;
use super::onnx::{attribute, initializer_f32, initializer_i64, node_label};
use crate::error::{Error, ErrorCode, Result};

/// No tensor may need more bytes than a 32-bit memory has.
pub const MAX_TENSOR_BYTES: u64 = 1 << 32;

/// No tensor has more dimensions: numpy stops at 64.
pub const MAX_RANK: usize = 64;

/// An error for a value that would not fit in memory.
pub fn too_large(what: &str) -> Error {
    Error::new(ErrorCode::ModelTooLarge, format!("{what} would need more than 4 GiB"))
        .with_hint("WebAssembly memory ends at 4 GiB; the model is damaged, or too large for the web")
}

/// Elements of a graph input or constant, as far as they are fixed.
fn declared(graph: &GraphProto, name: Option<&String>) -> f64 {
    let Some(name) = name else { return 1.0 };
    if let Some(tensor) = graph.initializer.iter().find(|t| t.name == *name) {
        return tensor.dims.iter().map(|&d| d.max(1) as f64).product();
    }
    let shape = graph.input.iter().find(|i| i.name == *name).and_then(super::info::shape_of);
    shape.map_or(1.0, |shape| {
        let fixed = shape.dim.iter().filter_map(|d| match d.value {
            Some(dimension::Value::DimValue(n)) => Some(n.max(1) as f64),
            _ => None,
        });
        fixed.product()
    })
}

/// Checks the nodes whose output is as large as a constant operand says.
pub fn check(graph: &GraphProto) -> Result<()> {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    for node in &graph.node {
        let constant = |position: usize| constants.get(node.input.get(position)?.as_str()).copied();
        let ints = |position: usize| constant(position).and_then(initializer_i64);
        let listed = |name: &str| attribute(node, name).map(|a| a.ints.clone());
        let product = |values: Option<Vec<i64>>| values.map(|v| v.iter().fold(1f64, |n, &d| n * (d.max(1) as f64)));
        let elements = match node.op_type.as_str() {
            "ConstantOfShape" => product(ints(0)),
            "Expand" | "Tile" | "Reshape" => product(ints(1)),
            "OneHot" => product(ints(1)).map(|depth| depth * declared(graph, node.input.first())),
            "Pad" => ints(1).or_else(|| listed("pads")).map(|v| v.iter().map(|&p| p.max(0) as f64).sum()),
            "Conv" | "QLinearConv" | "ConvInteger" | "MaxPool" | "AveragePool" | "LpPool" | "ConvTranspose" => {
                ["pads", "kernel_shape", "dilations", "output_shape"]
                    .into_iter()
                    .filter_map(listed)
                    .map(|v| v.iter().map(|&p| p.max(0) as f64).sum::<f64>())
                    .reduce(f64::max)
            }
            "Resize" | super::registry::RESIZE_10 => product(ints(3)).or_else(|| {
                let scales = [1, 2].into_iter().find_map(|p| constant(p).and_then(initializer_f32))?;
                Some(scales.iter().fold(1f64, |n, &s| n * f64::from(s.max(1.0))))
            }),
            "Range" => {
                let value = |p: usize| {
                    ints(p)
                        .map(|v| v.first().copied().unwrap_or(0) as f64)
                        .or_else(|| Some(f64::from(*constant(p).and_then(initializer_f32)?.first()?)))
                };
                value(0).zip(value(1)).zip(value(2)).map(|((start, limit), delta)| (limit - start) / delta)
            }
            _ => None,
        };
        if elements.is_some_and(|n| n.is_nan() || n > MAX_TENSOR_BYTES as f64) {
            return Err(too_large("the output of a node").at_node(node_label(node), &*node.op_type));
        }
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            check(inner)?;
        }
    }
    Ok(())
}

/// Refuses values that inference found to be larger than memory.
pub fn check_values(known: &HashMap<String, Known>) -> Result<()> {
    for (name, known) in known {
        let dims = known.dims.iter().flatten().flatten();
        let size = known.data_type.map_or(1, |t| t.size().max(1)) as u64;
        if dims.fold(size, |bytes, &d| bytes.saturating_mul(d as u64)) > MAX_TENSOR_BYTES {
            return Err(too_large(&format!("the value \"{name}\"")));
        }
    }
    Ok(())
}
