//! Attributes and constant operands that make no sense, found before tract acts on them: some of tract's own checks
//! are assertions, and WebAssembly cannot recover from one.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::limits::MAX_RANK;
use super::onnx::{attribute, bad_node, initializer_f32, initializer_i64, resolve_axis};
use super::registry::RESIZE_10;
use crate::error::Result;

/// Checks every node of a graph and its subgraphs.
pub fn check(graph: &GraphProto) -> Result<()> {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let ranks = ranks(graph);
    for node in &graph.node {
        let rank = node.input.first().and_then(|x| ranks.get(x.as_str())).copied();
        let view = View { node, constants: &constants, rank };
        view.check().map_err(|problem| bad_node(node, &problem))?;
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            check(inner)?;
        }
    }
    Ok(())
}

/// Ranks of the values, as far as they follow without inference: nodes are in order, and most operators keep the rank
/// of their first operand.
fn ranks(graph: &GraphProto) -> HashMap<&str, usize> {
    let inputs = graph.input.iter().filter_map(|i| Some((i.name.as_str(), super::info::shape_of(i)?.dim.len())));
    let constants = graph.initializer.iter().map(|t| (t.name.as_str(), t.dims.len()));
    let mut ranks: HashMap<&str, usize> = inputs.chain(constants).collect();
    for node in &graph.node {
        let of = |position: usize| node.input.get(position).and_then(|x| ranks.get(x.as_str())).copied();
        let rank = match node.op_type.as_str() {
            "Relu"
            | "Clip"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "LeakyRelu"
            | "PRelu"
            | "Elu"
            | "Tanh"
            | "Identity"
            | "Softmax"
            | "LogSoftmax"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "LRN"
            | "Dropout"
            | "Cast"
            | "Transpose"
            | "Pad"
            | "Slice"
            | "Concat"
            | "Resize"
            | RESIZE_10
            | "QuantizeLinear"
            | "DequantizeLinear"
            | "QLinearConv"
            | "ConvInteger"
            | "Conv"
            | "ConvTranspose"
            | "MaxPool"
            | "AveragePool"
            | "LpPool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "Split" => of(0),
            "Add" | "Sub" | "Mul" | "Div" => of(0).zip(of(1)).map(|(a, b)| a.max(b)),
            "Flatten" | "Gemm" => Some(2),
            _ => None,
        };
        if let Some(rank) = rank {
            ranks.extend(node.output.iter().map(|o| (o.as_str(), rank)));
        }
    }
    ranks
}

struct View<'a> {
    node: &'a NodeProto,
    constants: &'a HashMap<&'a str, &'a TensorProto>,
    /// Of the first operand, where it is known.
    rank: Option<usize>,
}

type Check = std::result::Result<(), String>;

impl View<'_> {
    fn ints(&self, name: &str) -> Option<&[i64]> {
        attribute(self.node, name).map(|a| &*a.ints)
    }

    fn int(&self, name: &str) -> Option<i64> {
        attribute(self.node, name).map(|a| a.i)
    }

    fn constant(&self, position: usize) -> Option<&TensorProto> {
        self.constants.get(self.node.input.get(position)?.as_str()).copied()
    }

    fn constant_ints(&self, position: usize) -> Option<Vec<i64>> {
        initializer_i64(self.constant(position)?)
    }

    fn check(&self) -> Check {
        // Where memory has 32 bits, larger numbers would lose their upper half on the way to a size.
        for given in &self.node.attribute {
            let values = given.ints.iter().chain([&given.i]);
            let largest = match given.name.as_str() {
                "axis" | "axes" | "perm" | "batch_dims" => MAX_RANK as u64,
                "kernel_shape" | "strides" | "dilations" | "pads" | "group" | "blocksize" | "output_shape"
                | "output_padding" | "split" | "num_outputs" => i32::MAX as u64,
                _ => continue,
            };
            if let Some(value) = values.into_iter().find(|v| v.unsigned_abs() > largest) {
                return Err(format!("{} {value} is out of range", given.name));
            }
        }
        match self.node.op_type.as_str() {
            "Conv" | "ConvTranspose" | "ConvInteger" => self.window(self.constant(1)),
            "QLinearConv" => self.window(self.constant(3)),
            "MaxPool" | "AveragePool" | "LpPool" | "com.microsoft.QLinearAveragePool" => {
                if self.ints("kernel_shape").is_none_or(<[i64]>::is_empty) {
                    return Err("kernel_shape is missing".into());
                }
                self.window(None)
            }
            "Transpose" => self.permutation(),
            "Slice" => self.slice(),
            "Split" => self.split(),
            "Tile" => self.not_negative("repeats", self.constant_ints(1)),
            "Expand" | "ConstantOfShape" => {
                self.not_negative("shape", self.constant_ints(usize::from(self.node.op_type == "Expand")))
            }
            "Gather" => self.gather(),
            "Reshape" => match self.constant(1) {
                Some(shape) if shape.dims.len() > 1 => Err(format!("a shape given as {:?} numbers", shape.dims)),
                _ => Ok(()),
            },
            "Resize" | RESIZE_10 => self.resize(),
            "DepthToSpace" | "SpaceToDepth" => match self.int("blocksize") {
                Some(size) if size > 0 => Ok(()),
                size => Err(format!("blocksize {size:?} is not positive")),
            },
            "InstanceNormalization" | "BatchNormalization" | "LRN" => match self.int("size") {
                Some(size) if size <= 0 => Err(format!("size {size} is not positive")),
                _ => Ok(()),
            },
            "Unsqueeze" => self.axes(1, None),
            "Squeeze" => self.axes(1, self.rank),
            "ArgMax" | "ArgMin" => self.axis(0),
            // The axis may stand behind the last dimension.
            "Flatten" => self.axis(1),
            name if name.starts_with("Reduce") => self.axes(1, self.rank),
            _ => Ok(()),
        }
    }

    /// Axes given as a constant operand or as an attribute, of a value of that rank.
    fn axes(&self, position: usize, rank: Option<usize>) -> Check {
        let rank = rank.unwrap_or(MAX_RANK) as i64;
        match self.constant_ints(position).or_else(|| self.ints("axes").map(<[i64]>::to_vec)) {
            Some(axes) if axes.iter().any(|&a| a < -rank || a >= rank) => {
                Err(format!("axes {axes:?} are out of range for rank {rank}"))
            }
            _ => Ok(()),
        }
    }

    /// The attribute `axis`, which may be `beyond` the last dimension.
    fn axis(&self, beyond: i64) -> Check {
        match (self.int("axis"), self.rank.map(|r| r as i64)) {
            (Some(axis), Some(rank)) if axis < -rank || axis >= rank + beyond => {
                Err(format!("the axis {axis} is out of range for rank {rank}"))
            }
            _ => Ok(()),
        }
    }

    /// Kernel, strides, dilations and pads of a sliding window: positive, and of one rank.
    fn window(&self, weights: Option<&TensorProto>) -> Check {
        let mut rank = self.rank.and_then(|r| r.checked_sub(2));
        if let Some(weights) = weights {
            let spatial = weights.dims.len().checked_sub(2).filter(|&n| n > 0);
            let spatial = spatial.ok_or_else(|| format!("weights of shape {:?} have no kernel", weights.dims))?;
            if *rank.get_or_insert(spatial) != spatial {
                return Err(format!("weights of shape {:?} do not have the rank of the input", weights.dims));
            }
            if weights.dims.contains(&0) {
                return Err(format!("weights of shape {:?} are empty", weights.dims));
            }
        }
        for name in ["kernel_shape", "strides", "dilations"] {
            let Some(values) = self.ints(name).filter(|v| !v.is_empty()) else { continue };
            if values.iter().any(|&v| v < 1) {
                return Err(format!("{name} {values:?} must be positive"));
            }
            if *rank.get_or_insert(values.len()) != values.len() {
                return Err(format!("{name} {values:?} does not have the rank of the kernel"));
            }
            if let (Some(weights), "kernel_shape") = (weights, name)
                && weights.dims[2..] != *values
            {
                return Err(format!("{name} {values:?} is not that of the weights, {:?}", weights.dims));
            }
        }
        let pads = self.ints("pads").filter(|v| !v.is_empty());
        if let Some(pads) = pads {
            if pads.len() % 2 != 0 || *rank.get_or_insert(pads.len() / 2) * 2 != pads.len() {
                return Err(format!("pads {pads:?} do not have the rank of the kernel"));
            }
            if pads.iter().any(|&p| p < 0) {
                return Err(format!("pads {pads:?} must not be negative"));
            }
        }
        match self.int("group") {
            Some(group) if group < 1 => Err(format!("group {group} is not positive")),
            _ => Ok(()),
        }
    }

    fn permutation(&self) -> Check {
        match self.ints("perm") {
            Some(perm) if !(0..perm.len() as i64).all(|axis| perm.contains(&axis)) => {
                Err(format!("perm {perm:?} is not a permutation"))
            }
            _ => Ok(()),
        }
    }

    fn slice(&self) -> Check {
        match self.constant_ints(4) {
            Some(steps) if steps.contains(&0) => Err(format!("steps {steps:?} must not be 0")),
            _ => self.axes(3, None),
        }
    }

    fn split(&self) -> Check {
        let sizes = self.constant_ints(1).or_else(|| self.ints("split").map(<[i64]>::to_vec));
        if let Some(sizes) = sizes.as_ref().filter(|s| s.len() != self.node.output.len()) {
            return Err(format!("{} sizes for {} outputs", sizes.len(), self.node.output.len()));
        }
        self.not_negative("split", sizes)
    }

    fn resize(&self) -> Check {
        // Opset 10 has the scales second, later ones third, behind the region of interest.
        let position = if self.node.op_type == RESIZE_10 || self.node.input.len() == 2 { 1 } else { 2 };
        match self.constant(position).and_then(initializer_f32) {
            Some(scales) if scales.iter().any(|s| !s.is_finite() || *s <= 0.0) => {
                Err(format!("scales {scales:?} must be positive"))
            }
            _ => Ok(()),
        }
    }

    fn not_negative(&self, what: &str, values: Option<Vec<i64>>) -> Check {
        match values {
            Some(values) if values.iter().any(|&v| v < 0) => Err(format!("{what} {values:?} must not be negative")),
            _ => Ok(()),
        }
    }

    fn gather(&self) -> Check {
        let (Some(data), Some(indices)) = (self.constant(0), self.constant_ints(1)) else { return Ok(()) };
        let axis = self.int("axis").unwrap_or(0);
        let rank = data.dims.len();
        let own = resolve_axis(axis, rank).ok_or_else(|| format!("axis {axis} is out of range for rank {rank}"))?;
        let size = data.dims[own];
        match indices.iter().find(|&&i| i < -size || i >= size) {
            Some(index) => Err(format!("index {index} is out of range for {size} elements")),
            None => Ok(()),
        }
    }
}
