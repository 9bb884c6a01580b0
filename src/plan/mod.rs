//! The plan: the contract between compiler and engine.
//!
//! A plan says what a model takes and gives ([`ModelInfo`]) and holds, for every set of concrete input shapes it was
//! compiled for, a [`Variant`]: values and the steps that compute them. [`Plan::encode`] and [`Plan::decode`] are its
//! binary form, versioned and validated on read.

mod binary;
mod check;
mod info;
mod step;
mod uses;

pub use binary::{MAGIC, Source, VERSION, encode_header};
pub use check::check_variant;
pub use info::{Dim, ModelInfo, OperatorSet, ValueInfo, display_shape};

pub use step::*;

use serde::{Deserialize, Serialize};

use crate::tensor::DataType;

/// Index of a value within a [`Variant`].
pub type ValueId = u32;

/// Index of a constant within a [`Plan`].
pub type ConstantId = u32;

/// What is known of a value: element type and shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Element type.
    pub data_type: DataType,
    /// Shape, as the value lies in memory; dimensions that depend on the data are `None`.
    pub shape: Vec<Option<usize>>,
    /// The value never changes: these are its elements.
    pub constant: Option<ConstantId>,
}

impl Fact {
    /// The number of bytes, if the shape is known and the elements have a fixed size.
    pub fn bytes(&self) -> Option<usize> {
        let size = Some(self.data_type.size()).filter(|&s| s > 0)?;
        self.shape.iter().try_fold(size, |n, d| n.checked_mul((*d)?))
    }
}

/// Numbers that the model brings: weights, tables, parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    /// Element type; never strings.
    pub data_type: DataType,
    /// How many elements.
    pub len: usize,
    /// Where in [`Plan::data`] they start; a multiple of [`ALIGNMENT`].
    pub offset: usize,
}

/// What constants are aligned to, in bytes: a vector register.
pub const ALIGNMENT: usize = 16;

/// The steps for one set of concrete input shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Shapes of the model's inputs, in the order of [`ModelInfo::inputs`].
    pub input_shapes: Vec<Vec<usize>>,
    /// All values.
    pub values: Vec<Fact>,
    /// The values that are the model's inputs, in the order of [`ModelInfo::inputs`].
    pub inputs: Vec<ValueId>,
    /// The values that are the model's outputs, in the order of [`ModelInfo::outputs`].
    pub outputs: Vec<ValueId>,
    /// Shapes of the outputs as the model declares them. The elements are those of the value, in the same order.
    pub output_shapes: Vec<Vec<Option<usize>>>,
    /// What to do, in this order.
    pub steps: Vec<Step>,
}

/// A compiled model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What the model takes, gives and says of itself.
    pub info: ModelInfo,
    /// What [`Plan::data`] holds.
    pub constants: Vec<Constant>,
    /// Steps by concrete input shapes; empty when the inputs have symbolic dimensions and none were chosen yet.
    pub variants: Vec<Variant>,
    /// The bytes of the constants. Empty in a plan that was only read as far as its header, see [`Plan::decode`].
    pub data: Vec<u8>,
}

/// How many variants of a model are kept at once, by compiler and engine alike: the least recently used one gives way.
pub const MAX_VARIANTS: usize = 8;
