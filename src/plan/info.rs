//! What a model takes, gives and says of itself.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use crate::tensor::DataType;

/// A dimension of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Fixed(usize),
    /// A symbol, such as `batch`: any size, the same wherever the symbol stands.
    Symbol(String),
    /// Any size.
    Unknown,
    /// Any number of dimensions, in place of all of them: the model does not say how many there are.
    Rest,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Symbol(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
            Self::Rest => f.write_str("..."),
        }
    }
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(n) => serializer.serialize_u32(u32::try_from(*n).unwrap_or(u32::MAX)),
            Self::Symbol(name) => serializer.serialize_str(name),
            Self::Unknown => serializer.serialize_str("?"),
            Self::Rest => serializer.serialize_str("..."),
        }
    }
}

/// A shape as people write it: `[batch, 3, 224, 224]`.
pub fn display_shape<D: fmt::Display>(shape: &[D]) -> String {
    let dims: Vec<String> = shape.iter().map(D::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ValueInfo {
    /// Its name in the graph.
    pub name: String,
    /// Element type.
    #[serde(rename = "type", serialize_with = "type_name")]
    pub data_type: DataType,
    /// Declared shape; [`Dim::Rest`] alone where there is none.
    pub shape: Vec<Dim>,
}

impl ValueInfo {
    /// Whether tensors of this rank may be what the model means.
    pub fn takes_rank(&self, rank: usize) -> bool {
        self.shape.len() == rank || self.is_unranked()
    }

    /// Whether the model does not say how many dimensions there are.
    pub fn is_unranked(&self) -> bool {
        self.shape == [Dim::Rest]
    }
}

fn type_name<S: Serializer>(t: &DataType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(t.name())
}

/// An operator set that the model imports.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OperatorSet {
    /// Empty for `ai.onnx`.
    pub domain: String,
    /// Version.
    pub version: u32,
}

/// What the model file says of the model.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Inputs that a run must bring; initializers are not among them.
    pub inputs: Vec<ValueInfo>,
    /// Outputs.
    pub outputs: Vec<ValueInfo>,
    /// The graph's name.
    pub graph_name: String,
    /// What wrote the file.
    pub producer_name: String,
    /// And its version.
    pub producer_version: String,
    /// Version of the ONNX file format.
    pub ir_version: u32,
    /// Operator sets.
    pub opsets: Vec<OperatorSet>,
    /// Free text.
    pub description: String,
    /// The model's own key-value pairs, in the file's order.
    #[serde(serialize_with = "as_map")]
    pub metadata: Vec<(String, String)>,
}

fn as_map<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(k, v)| (k, v)))
}
