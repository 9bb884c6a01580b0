//! The attribute `auto_pad` of convolutions and pools.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// How padding is chosen.
#[derive(Debug)]
pub enum AutoPad {
    /// By the attribute `pads`.
    Explicit,
    /// `ceil(input / stride)` outputs; an odd element of padding goes to the end.
    SameUpper,
    /// The same; an odd element goes to the beginning.
    SameLower,
    /// None.
    Valid,
}

impl AutoPad {
    /// From a node's attribute.
    pub fn of(node: &NodeProto) -> TractResult<Self> {
        Ok(match node.get_attr_opt::<&str>("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "" => Self::Explicit,
            "SAME_UPPER" => Self::SameUpper,
            "SAME_LOWER" => Self::SameLower,
            "VALID" => Self::Valid,
            other => bail!("unknown auto_pad {other}"),
        })
    }

    /// Padding before and after one dimension of `input` elements, for windows of `window` elements every `stride`.
    pub fn pads(&self, begin: usize, end: usize, input: usize, stride: usize, window: usize) -> (usize, usize) {
        match self {
            Self::Explicit => (begin, end),
            Self::Valid => (0, 0),
            Self::SameUpper | Self::SameLower => {
                let covered = (input.div_ceil(stride).saturating_sub(1)).saturating_mul(stride).saturating_add(window);
                let total = covered.saturating_sub(input);
                let half = total / 2;
                if matches!(self, Self::SameUpper) { (half, total - half) } else { (total - half, half) }
            }
        }
    }
}
