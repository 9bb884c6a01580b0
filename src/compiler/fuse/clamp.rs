//! The activation of a fused group.

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto};

use crate::compiler::onnx::attribute;

/// Bounds in real numbers, from a `Relu` or `Clip` between an operator and its `QuantizeLinear`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clamp {
    /// Lower bound.
    pub low: Option<f32>,
    /// Upper bound.
    pub high: Option<f32>,
}

const LOW: &str = "tractlet_low";
const HIGH: &str = "tractlet_high";

impl Clamp {
    /// The bounds that [`Self::attributes`] wrote.
    pub fn of(node: &NodeProto) -> Self {
        let bound = |name| attribute(node, name).map(|a| a.f);
        Self { low: bound(LOW), high: bound(HIGH) }
    }

    /// The number within the bounds.
    pub fn apply(self, x: f32) -> f32 {
        let x = self.low.map_or(x, |low| x.max(low));
        self.high.map_or(x, |high| x.min(high))
    }

    /// No bounds at all.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// As attributes of a node.
    pub fn attributes(self) -> impl Iterator<Item = AttributeProto> {
        [(LOW, self.low), (HIGH, self.high)].into_iter().filter_map(|(name, bound)| {
            Some(AttributeProto {
                name: name.to_owned(),
                f: bound?,
                r#type: attribute_proto::AttributeType::Float as i32,
                ..AttributeProto::default()
            })
        })
    }
}
