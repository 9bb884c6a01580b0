//! Why the compiler executes a node.

use std::collections::HashMap;

use serde::Serialize;
use tract_onnx::pb::NodeProto;

use super::{display_name, operator};
use crate::compiler::fallback::Known;
use crate::compiler::onnx::node_label;

/// Why the engine has no step for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// No step computes this operator.
    Operator,
    /// Its types, attributes or operands are not those that steps are for.
    Form,
    /// The size of a result depends on the data.
    Size,
    /// The node could have a step, but its graph cannot be split.
    Whole,
}

/// A node without a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WithoutStep {
    /// The model's name for it.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Why.
    pub reason: Reason,
}

impl WithoutStep {
    /// Finds out why. `otherwise`: what it is if the operator has steps and all sizes are known.
    pub fn new(node: &NodeProto, known: &HashMap<String, Known>, otherwise: Reason) -> Self {
        let sized = |name: &String| known.get(name).is_some_and(Known::is_sized);
        let reason = if operator(&node.op_type).is_none() {
            Reason::Operator
        } else if !node.output.iter().filter(|o| !o.is_empty()).all(sized) {
            Reason::Size
        } else {
            otherwise
        };
        Self { node: node_label(node), op_type: display_name(&node.op_type).to_owned(), reason }
    }
}
