//! What a loaded plan consists of, for people to look at.

use serde::Serialize;

use super::prepare::{Prepared, Program};
use crate::plan::{Operation, Step, Variant};

/// A step, as it was prepared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDescription {
    /// The model's name for the node.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Which kernel computes it; `tract` for a subgraph that the compiler executes.
    pub kernel: &'static str,
    /// Shape of the first result, as it lies in memory; 0 for sizes that depend on the data.
    pub shape: Vec<usize>,
    /// Products that are added up.
    pub macs: f64,
    /// The compiler's number for the subgraph, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subgraph: Option<u32>,
}

impl StepDescription {
    fn new((step, prepared): (&Step, &Prepared), variant: &Variant) -> Self {
        Self {
            node: step.node.clone(),
            op_type: step.op_type.clone(),
            kernel: prepared.kernel(),
            shape: result_shape(step, variant),
            macs: prepared.macs(),
            subgraph: match step.operation {
                Operation::Subgraph { id, .. } => Some(id),
                _ => None,
            },
        }
    }
}

/// The steps for one set of input shapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantDescription {
    /// Shapes of the inputs, in the model's order.
    pub input_shapes: Vec<Vec<usize>>,
    /// What is done, in this order.
    pub steps: Vec<StepDescription>,
    /// Bytes that a run computes in.
    pub arena_bytes: usize,
}

impl VariantDescription {
    pub(super) fn new(program: &Program) -> Self {
        let Program { variant, steps, arena, .. } = program;
        Self {
            input_shapes: variant.input_shapes.clone(),
            steps: variant.steps.iter().zip(steps).map(|step| StepDescription::new(step, variant)).collect(),
            arena_bytes: *arena,
        }
    }
}

/// A plan as it was loaded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// By input shapes, most recently used last.
    pub variants: Vec<VariantDescription>,
    /// Bytes that the weights take once they are packed. All variants share them.
    pub weight_bytes: usize,
}

/// Shape of the first result of a step, as it lies in memory; 0 for sizes that depend on the data.
pub(super) fn result_shape(step: &Step, variant: &Variant) -> Vec<usize> {
    let result = step.writes().first().and_then(|&id| variant.values.get(id as usize));
    result.map(|f| f.shape.iter().map(|d| d.unwrap_or(0)).collect()).unwrap_or_default()
}
