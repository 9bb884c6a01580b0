//! `Resize`: positions and weights of the taps along each axis are found here, so the engine knows no modes.

use tract_onnx::pb::NodeProto;

use super::Lowering;
use super::values::channels_last;
use crate::compiler::onnx::attribute;
use crate::kernels::Numbers;
use crate::plan::{Operation, Taps};
use crate::tensor::DataType;

fn text<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    attribute(node, name).and_then(|a| std::str::from_utf8(&a.s).ok()).unwrap_or(default)
}

/// Nearest and linear, of the two spatial dimensions.
pub fn resize(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let old = node.op_type == "tractlet.Resize10";
    let nearest_only = text(node, "mode", "nearest") == "nearest";
    let x = if nearest_only { l.lazy_input(node, 0)? } else { l.input(node, 0)? };
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let x = if x.is_quanta() { l.quanta(&x)? } else { x };
    if x.shape.len() != 4 || shape.len() != 4 || shape[..2] != x.shape[..2] || shape.contains(&0) || x.len() == 0 {
        return None;
    }
    let unusual = ["antialias", "exclude_outside", "axes", "keep_aspect_ratio_policy"];
    if unusual
        .iter()
        .any(|name| attribute(node, name).is_some_and(|a| a.i != 0 || !a.ints.is_empty() || !a.s.is_empty()))
    {
        return None;
    }
    let linear = match text(node, "mode", "nearest") {
        "nearest" => false,
        "linear" | "bilinear" => true,
        _ => return None,
    };
    if x.data_type != DataType::Float32 && (linear || !x.is_quanta()) {
        return None;
    }
    let mode = if old { "asymmetric" } else { text(node, "coordinate_transformation_mode", "half_pixel") };
    let nearest = if old { "floor" } else { text(node, "nearest_mode", "round_prefer_floor") };
    // The scales that were given; where sizes were, their ratio.
    let scales = l.floats(node, if old { 1 } else { 2 }).filter(|s| s.len() == 4);
    let mut taps = Vec::new();
    for d in [2, 3] {
        let (input, size) = (x.shape[d], shape[d]);
        let scale = scales.as_ref().map_or(size as f32 / input as f32, |s| s[d]);
        if !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        let (mut positions, mut weights) = (Vec::new(), Vec::new());
        for i in 0..size {
            let at = i as f32;
            let source = match mode {
                "asymmetric" => at / scale,
                "align_corners" if size == 1 => 0.0,
                "align_corners" => at * (input as f32 - 1.0) / (size as f32 - 1.0),
                "half_pixel" => (at + 0.5) / scale - 0.5,
                "pytorch_half_pixel" if size == 1 => 0.0,
                "pytorch_half_pixel" => (at + 0.5) / scale - 0.5,
                _ => return None,
            };
            let last = input as f32 - 1.0;
            if linear {
                let source = source.clamp(0.0, last);
                let low = source.floor();
                let high = (low + 1.0).min(last);
                let weight = source - low;
                positions.extend([low as u32, high as u32]);
                weights.extend([1.0 - weight, weight]);
            } else {
                let rounded = match nearest {
                    "round_prefer_floor" if source - source.floor() == 0.5 => source.floor(),
                    "round_prefer_floor" => source.round(),
                    "round_prefer_ceil" if source - source.floor() == 0.5 => source.ceil(),
                    "round_prefer_ceil" => source.round(),
                    "floor" => source.floor(),
                    "ceil" => source.ceil(),
                    _ => return None,
                };
                let position = rounded.clamp(0.0, last) as u32;
                positions.extend([position, position]);
            }
        }
        let positions = l.pool.add(&positions);
        taps.push(Taps { positions, weights: linear.then(|| l.pool.add(&weights)) });
    }
    let order = channels_last(4);
    let x = l.ordered(&x, &order)?;
    let y = l.like(output, &x, &shape, &order);
    let horizontal = taps.pop()?;
    let vertical = taps.pop()?;
    l.step(Operation::Resize {
        x: x.id,
        y: y.id,
        input: [x.shape[0], x.shape[2], x.shape[3], x.shape[1]],
        output: [shape[2], shape[3]],
        vertical,
        horizontal,
        numbers: Numbers::Float,
    });
    Some(())
}
