//! What each step of a run took.

use serde::Serialize;

use super::describe::result_shape;
use super::prepare::Prepared;
use crate::plan::{Step, Variant};

/// Microseconds since any fixed moment.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// One step of a measured run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The model's name for the node.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Which kernel computed it; `tract` for a subgraph that the compiler executed.
    pub kernel: &'static str,
    /// Shape of the first result, as it lies in memory.
    pub shape: Vec<usize>,
    /// When it began, in microseconds from the start of the run.
    pub start: f64,
    /// How long it took.
    pub microseconds: f64,
    /// Products that were added up.
    pub macs: f64,
}

impl Measured {
    /// Describes a step.
    pub(super) fn new(step: &Step, prepared: &Prepared, variant: &Variant, start: f64, microseconds: f64) -> Self {
        Self {
            node: step.node.clone(),
            op_type: step.op_type.clone(),
            kernel: prepared.kernel(),
            shape: result_shape(step, variant),
            start,
            microseconds,
            macs: prepared.macs(),
        }
    }
}

/// The steps of a measured run, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Profile {
    steps: Vec<Measured>,
}

impl Profile {
    /// The steps.
    pub fn steps(&self) -> &[Measured] {
        &self.steps
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }

    pub(super) fn add(&mut self, step: Measured) {
        self.steps.push(step);
    }
}
