//! Shapes that make no sense where tract computes on regardless, found once shapes are known.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::onnx::{attribute, bad_node};
use crate::error::Result;

/// Checks the nodes of a graph whose values have been inferred.
pub fn check(graph: &GraphProto, model: &InferenceModel, outlets: &HashMap<String, OutletId>) -> Result<()> {
    let shape = |name: &String| -> Option<Vec<usize>> {
        let fact = model.outlet_fact(*outlets.get(name)?).ok()?;
        let dims = fact.shape.concretize()?;
        dims.iter().map(|d| d.to_usize().ok()).collect()
    };
    for node in &graph.node {
        let Some(x) = node.input.first().and_then(shape) else { continue };
        let problem = match node.op_type.as_str() {
            "Softmax" | "LogSoftmax" | "Hardmax" => axis(node, x.len()),
            "Conv" => node.input.get(1).and_then(shape).and_then(|w| window(node, &x, w.get(2..)?)),
            "MaxPool" | "AveragePool" | "LpPool" => {
                let kernel: Option<Vec<usize>> =
                    ints(node, "kernel_shape").map(|k| k.iter().map(|&k| k.max(0) as usize).collect());
                kernel.and_then(|k| window(node, &x, &k))
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(bad_node(node, &problem));
        }
    }
    Ok(())
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|a| &*a.ints).filter(|v| !v.is_empty())
}

fn axis(node: &NodeProto, rank: usize) -> Option<String> {
    let axis = attribute(node, "axis")?.i;
    let rank = rank as i64;
    // Before opset 13 the axis may stand behind the last dimension.
    (axis < -rank || axis > rank || axis == rank && rank > 0 && axis != 1)
        .then(|| format!("the axis {axis} is out of range for rank {rank}"))
}

/// What is wrong with a sliding window over an input, if anything.
fn window(node: &NodeProto, x: &[usize], kernel: &[usize]) -> Option<String> {
    let spatial = x.get(2..)?;
    if spatial.len() != kernel.len() {
        return Some(format!("a kernel of {} dimensions over an input of shape {x:?}", kernel.len()));
    }
    let padded_automatically = attribute(node, "auto_pad").is_some_and(|a| a.s.starts_with(b"SAME"));
    if padded_automatically {
        return None;
    }
    let pads = ints(node, "pads").unwrap_or_default();
    let dilations = ints(node, "dilations").unwrap_or_default();
    for (d, (&size, &kernel)) in spatial.iter().zip(kernel).enumerate() {
        let pad = |at: usize| pads.get(at).map_or(0, |&p| p.max(0) as usize);
        let padded = size.saturating_add(pad(d)).saturating_add(pad(d + spatial.len()));
        let dilation = dilations.get(d).map_or(1, |&d| d.max(1) as usize);
        let covered = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        if covered > padded {
            return Some(format!("a kernel of {covered} does not fit in {padded} elements"));
        }
    }
    None
}
