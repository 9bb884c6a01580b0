//! `Resize`: positions and weights of the taps along each axis are found here, so the engine knows no modes.

use tract_onnx::pb::NodeProto;

use super::dynamic::{drop_gone, gone, only_reader};
use super::values::channels_last;
use super::{Lowering, Pool, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{Numbers, Quantization};
use crate::plan::{Axis, ConstantId, Floats, MatMul, Operation, Taps, ValueId, Variant};
use crate::tensor::DataType;

fn text<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    attribute(node, name).and_then(|a| std::str::from_utf8(&a.s).ok()).unwrap_or(default)
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// How one axis is resized.
struct Resized<'a> {
    input: usize,
    output: usize,
    scale: f32,
    coordinates: &'a str,
}

impl Resized<'_> {
    /// Where a result lies in the input.
    fn source(&self, at: usize) -> Option<f32> {
        let (at, input, output) = (at as f32, self.input as f32, self.output as f32);
        Some(match self.coordinates {
            "asymmetric" => at / self.scale,
            "align_corners" | "pytorch_half_pixel" if self.output == 1 => 0.0,
            "align_corners" => at * (input - 1.0) / (output - 1.0),
            "half_pixel" | "pytorch_half_pixel" => (at + 0.5) / self.scale - 0.5,
            "half_pixel_symmetric" => {
                // The result's middle is the input's, whatever was cut off its size.
                let adjustment = output / (self.scale * input);
                input / 2.0 * (1.0 - adjustment) + (at + 0.5) / self.scale - 0.5
            }
            _ => return None,
        })
    }

    /// The element next to each place.
    fn nearest(&self, mode: &str) -> Option<Vec<u32>> {
        let last = self.input as f32 - 1.0;
        let position = |at| {
            let source = self.source(at)?;
            let tie = source - source.floor() == 0.5;
            let rounded = match mode {
                "round_prefer_floor" if tie => source.floor(),
                "round_prefer_ceil" if tie => source.ceil(),
                "round_prefer_floor" | "round_prefer_ceil" => source.round(),
                "floor" => source.floor(),
                "ceil" => source.ceil(),
                _ => return None,
            };
            Some(rounded.clamp(0.0, last) as u32)
        };
        (0..self.output).flat_map(|at| [position(at), position(at)]).collect()
    }

    /// The two elements around each place, and their weights.
    fn linear(&self) -> Option<(Vec<u32>, Vec<f32>)> {
        let last = self.input as f32 - 1.0;
        let (mut positions, mut weights) = (Vec::new(), Vec::new());
        for at in 0..self.output {
            let source = self.source(at)?.clamp(0.0, last);
            let low = source.floor();
            let weight = source - low;
            positions.extend([low as u32, (low + 1.0).min(last) as u32]);
            weights.extend([1.0 - weight, weight]);
        }
        Some((positions, weights))
    }

    /// A matrix whose rows are the weights of all elements. Those outside are the ones at the edge, or have no weight if
    /// they are excluded.
    fn cubic(&self, a: f32, exclude: bool) -> Option<Vec<f32>> {
        let mut matrix = vec![0.0; self.output.checked_mul(self.input)?];
        for (at, row) in matrix.chunks_exact_mut(self.input).enumerate() {
            let source = self.source(at)?;
            let low = source.floor();
            let t = source - low;
            let far = |d: f32| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
            let near = |d: f32| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
            let mut weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            let positions = [-1, 0, 1, 2].map(|i| low as i64 + i);
            if exclude {
                for (weight, &at) in weights.iter_mut().zip(&positions) {
                    *weight = if (0..self.input as i64).contains(&at) { *weight } else { 0.0 };
                }
                let sum: f32 = weights.iter().sum();
                weights = weights.map(|weight| weight / sum);
            }
            for (weight, at) in weights.into_iter().zip(positions) {
                row[at.clamp(0, self.input as i64 - 1) as usize] += weight;
            }
        }
        Some(matrix)
    }
}

/// Nearest, linear and cubic, of one or two spatial dimensions.
pub fn resize(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let old = node.op_type == "tractlet.Resize10";
    let mode = match text(node, "mode", "nearest") {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" => Mode::Cubic,
        _ => return None,
    };
    let x = l.lazy_input(node, 0)?;
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let x = if x.is_quanta() { l.quanta(&x)? } else { x };
    let rank = x.shape.len();
    if !(3..=4).contains(&rank) || shape.len() != rank || shape[..2] != x.shape[..2] || shape.contains(&0) {
        return None;
    }
    let flag = |name: &str| attribute(node, name).is_some_and(|a| a.i != 0);
    let exclude = flag("exclude_outside");
    let policy = text(node, "keep_aspect_ratio_policy", "stretch");
    if x.len() == 0 || flag("antialias") || policy != "stretch" || exclude && mode != Mode::Cubic {
        return None;
    }
    if x.data_type != DataType::Float32 && (mode != Mode::Nearest || !x.is_quanta()) {
        return None;
    }
    let coordinates = if old { "asymmetric" } else { text(node, "coordinate_transformation_mode", "half_pixel") };
    let nearest = if old { "floor" } else { text(node, "nearest_mode", "round_prefer_floor") };
    let axes: Vec<usize> = match attribute(node, "axes").filter(|a| !a.ints.is_empty()) {
        Some(axes) => axes.ints.iter().map(|&a| resolve_axis(a, rank)).collect::<Option<_>>()?,
        None => (0..rank).collect(),
    };
    // The scales that were given; where sizes were, their ratio.
    let scales = l.floats(node, if old { 1 } else { 2 }).filter(|s| s.len() == axes.len());
    let mut resized = Vec::new();
    for (d, (&input, &output)) in x.shape.iter().zip(&shape).enumerate().skip(2) {
        let given = scales.as_ref().zip(axes.iter().position(|&a| a == d)).map(|(scales, at)| scales[at]);
        let scale = given.unwrap_or(output as f32 / input as f32);
        if !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        resized.push(Resized { input, output, scale, coordinates });
    }
    if rank == 3 {
        resized.insert(0, Resized { input: 1, output: 1, scale: 1.0, coordinates: "asymmetric" });
    }
    let x = l.ordered(&x, &channels_last(rank))?;
    if mode == Mode::Cubic {
        let x = l.computed_value(x)?;
        let a = attribute(node, "cubic_coeff_a").map_or(-0.75, |a| a.f);
        return cubic(l, output, &x, &shape, &resized, a, exclude);
    }
    let x = if mode == Mode::Nearest { x } else { l.computed_value(x)? };
    let mut taps = Vec::new();
    for axis in &resized {
        taps.push(match mode {
            Mode::Nearest => Taps { positions: l.pool.add(&axis.nearest(nearest)?), weights: None },
            _ => {
                let (positions, weights) = axis.linear()?;
                Taps { positions: l.pool.add(&positions), weights: Some(l.pool.add(&weights)) }
            }
        });
    }
    let y = l.like(output, &x, &shape, &x.order);
    let horizontal = taps.pop()?;
    let vertical = taps.pop()?;
    l.step(Operation::Resize {
        x: x.id,
        y: y.id,
        input: [x.shape[0], resized[0].input, resized[1].input, x.shape[1]],
        output: [resized[0].output, resized[1].output],
        vertical,
        horizontal,
        numbers: Numbers::Float,
    });
    Some(())
}

/// Four taps along each axis, as the products of two matrices with the picture: rare, and no work for the engine's size.
fn cubic(
    l: &mut Lowering,
    output: &str,
    x: &Value,
    shape: &[usize],
    axes: &[Resized],
    a: f32,
    exclude: bool,
) -> Option<()> {
    let [vertical, horizontal] = axes else { return None };
    let (n, c) = (x.shape[0], x.shape[1]);
    let [v, h] = [vertical.cubic(a, exclude)?, horizontal.cubic(a, exclude)?];
    let v = l.constant_list(&v, &[vertical.output, vertical.input]);
    let h = l.constant_list(&h, &[horizontal.output, horizontal.input]);
    let between = l.fact(DataType::Float32, &[n, vertical.output, horizontal.input, c]);
    let y = l.output(output, DataType::Float32, shape, &x.order, false);
    // To [rows][columns and channels], for each picture; then to [columns][channels], for each row of each.
    let row = horizontal.input * c;
    for (a, b, y, batch, m, k, n) in [
        (v, x.id, between, n, vertical.output, vertical.input, row),
        (h, between, y.id, n * vertical.output, horizontal.output, horizontal.input, c),
    ] {
        let (a_strides, b_strides) = (vec![0, k, 1], vec![k * n, n, 1]);
        let kind = Floats { alpha: 1.0 };
        l.step(Operation::FloatMatMul(MatMul { a, b, y, batch: vec![batch], m, k, n, a_strides, b_strides, kind }));
    }
    Some(())
}

/// Rewrites a variant: a linear Resize between a DequantizeLinear and a QuantizeLinear works on quanta.
pub fn fuse(variant: &mut Variant, pool: &Pool) {
    for index in 0..variant.steps.len() {
        let Some((from, reader, to, quanta)) = quantized(variant, pool, index) else { continue };
        let quantizer = variant.steps[reader].node.clone();
        let step = &mut variant.steps[index];
        if let Operation::Resize { x, y, numbers, .. } = &mut step.operation {
            (*x, *y, *numbers) = (quanta.0, quanta.1, Numbers::Quantized { from, to });
            step.node = quantizer;
            variant.steps[reader].operation = gone(quanta.1);
        }
    }
    drop_gone(variant);
}

/// Parameters of the quanta that a Resize of floats is computed from, the step that quantizes its result, those
/// parameters, and both values.
type Found = (Quantization, usize, Quantization, (ValueId, ValueId));

fn quantized(variant: &Variant, pool: &Pool, index: usize) -> Option<Found> {
    let Operation::Resize { x, y, vertical, numbers: Numbers::Float, .. } = &variant.steps[index].operation else {
        return None;
    };
    vertical.weights?;
    let writer = variant.steps[..index].iter().find(|step| step.writes().contains(x))?;
    let Operation::Dequantize { x: from, scales, zero_points, axis: Axis { count: 1, .. }, .. } = writer.operation
    else {
        return None;
    };
    let reader = only_reader(variant, *y)?;
    let Operation::Quantize { y: to, scales: to_scales, zero_points: to_zero, axis: Axis { count: 1, .. }, .. } =
        variant.steps[reader].operation
    else {
        return None;
    };
    if variant.values.get(from as usize)?.data_type != DataType::Uint8 {
        return None;
    }
    let parameters = |scales: ConstantId, zero_points: Option<ConstantId>| {
        let bytes = |id: ConstantId, n: usize| pool.bytes(id)?.get(..n);
        let zero_point = zero_points.map_or(Some(0), |id| bytes(id, 1).map(|b| b[0]))?;
        Some(Quantization { scale: f32::from_le_bytes(bytes(scales, 4)?.try_into().ok()?), zero_point })
    };
    Some((parameters(scales, zero_points)?, reader, parameters(to_scales, Some(to_zero))?, (from, to)))
}
