//! The plan: the contract between compiler and engine.
//!
//! A plan says what a model takes and gives ([`ModelInfo`]) and holds, for every set of concrete input shapes it was
//! compiled for, a [`Variant`]: values and the steps that compute them. [`Plan::encode`] and [`Plan::decode`] are its
//! binary form, versioned and validated on read.

mod binary;
mod info;

pub use binary::{MAGIC, VERSION};
pub use info::{Dim, ModelInfo, OperatorSet, ValueInfo, display_shape};

use crate::tensor::DataType;

/// Index of a value within a [`Variant`].
pub type ValueId = u32;

/// What is known of a value: element type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Element type.
    pub data_type: DataType,
    /// Shape; dimensions that depend on the data are [`Dim::Unknown`].
    pub shape: Vec<Dim>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Have the compiler execute a subgraph that the engine has no steps for.
    Subgraph {
        /// The compiler's number for it.
        id: u32,
        /// Values it reads, in its order.
        inputs: Vec<ValueId>,
        /// Values it writes, in its order.
        outputs: Vec<ValueId>,
    },
}

/// The steps for one set of concrete input shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Shapes of the model's inputs, in the order of [`ModelInfo::inputs`].
    pub input_shapes: Vec<Vec<usize>>,
    /// All values.
    pub values: Vec<Fact>,
    /// The values that are the model's inputs, in the order of [`ModelInfo::inputs`].
    pub inputs: Vec<ValueId>,
    /// The values that are the model's outputs, in the order of [`ModelInfo::outputs`].
    pub outputs: Vec<ValueId>,
    /// What to do, in this order.
    pub steps: Vec<Step>,
}

/// A compiled model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the model takes, gives and says of itself.
    pub info: ModelInfo,
    /// Steps by concrete input shapes; empty when the inputs have symbolic dimensions and none were chosen yet.
    pub variants: Vec<Variant>,
}

/// How many variants of a model are kept at once, by compiler and engine alike: the least recently used one gives way.
pub const MAX_VARIANTS: usize = 8;
