//! Convolutions.

use tract_onnx::pb::NodeProto;

use super::constants::{Layout, Operand, Recode, shifted};
use super::values::channels_last;
use super::{Lowering, Value};
use crate::compiler::fuse::Clamp;
use crate::compiler::quantized::conv::Attributes;
use crate::kernels::Window;
use crate::kernels::quantize::{Params, quantize};
use crate::plan::{ConstantId, Conv, Finish, FloatConv, Operation, ZeroPoint};
use crate::tensor::DataType;

/// Constant weights.
pub struct Weights {
    /// Elements, and shape.
    pub operand: Operand,
    /// Whether the elements have to become signed.
    pub flip: bool,
    /// Zero points, signed; one, or one for each output channel or column.
    pub zero_points: Vec<i8>,
}

impl Lowering<'_> {
    /// Constant 8-bit weights at an input of a node, with their zero points at another.
    pub fn weights(&self, node: &NodeProto, position: usize, zero_point: usize) -> Option<Weights> {
        let operand = self.operand(node.input.get(position)?)?;
        let data_type = operand.data_type;
        let flip = match data_type {
            DataType::Uint8 => true,
            DataType::Int8 => false,
            _ => return None,
        };
        let zero_points = self.zero_points(node, zero_point)?;
        let zero_points =
            zero_points.into_iter().map(|z| Some((shifted(z, data_type)? ^ 0x80) as i8)).collect::<Option<Vec<_>>>()?;
        Some(Weights { operand, flip, zero_points })
    }

    /// Zero points as a constant; none if all are 0.
    pub fn zero_point_list(&mut self, zero_points: &[i8]) -> Option<ConstantId> {
        zero_points.iter().any(|&z| z != 0).then(|| self.pool.add(zero_points))
    }

    /// A zero point that is constant, or found while running.
    pub fn zero_point(&mut self, node: &NodeProto, position: usize, data_type: DataType) -> Option<ZeroPoint> {
        let name = node.input.get(position).map_or("", String::as_str);
        if name.is_empty() || self.is_constant(name) {
            let zero_points = self.zero_points(node, position)?;
            let [zero_point] = zero_points[..] else { return None };
            return Some(ZeroPoint::Fixed(shifted(zero_point, data_type)?));
        }
        Some(ZeroPoint::Dynamic(self.parameters.get(name).copied()?))
    }

    /// The multipliers of a product with a float result, whose inputs 2 and 3 are the scales of x and of the weights: both,
    /// or those of the weights where that of x is found while running.
    pub fn real_multipliers(&self, node: &NodeProto, zero_point: ZeroPoint) -> Option<Vec<f32>> {
        let scales = self.floats(node, 3)?;
        match zero_point {
            ZeroPoint::Fixed(_) => {
                let scale = self.scale(node, 2)?;
                Some(scales.iter().map(|w| scale * w).collect())
            }
            // Scale and zero point belong to one another.
            ZeroPoint::Dynamic(id) => (self.parameters.get(node.input.get(2)?) == Some(&id)).then_some(scales),
        }
    }

    /// The finish of a quantized result: `sx * sw / sy` with scales from the node, bounds from its clamp.
    pub fn quantized_finish(
        &mut self,
        node: &NodeProto,
        multipliers: Vec<f32>,
        y: usize,
        columns: usize,
        result: DataType,
    ) -> Option<Finish> {
        let to = self.quantization(node, y, result)?;
        let multipliers: Vec<f32> = multipliers.into_iter().map(|m| m / to.scale).collect();
        let (low, high) = bounds(Clamp::of(node), to.scale, to.zero_point);
        self.usable(&multipliers, columns)?;
        Some(Finish::Quantized { multipliers: self.pool.add(&multipliers), zero_point: to.zero_point, low, high })
    }

    /// The finish of a float result.
    pub fn float_finish(
        &mut self,
        node: &NodeProto,
        multipliers: &[f32],
        bias: usize,
        columns: usize,
    ) -> Option<Finish> {
        self.usable(multipliers, columns)?;
        let addend = match node.input.get(bias).filter(|n| !n.is_empty()) {
            Some(_) => {
                let bias = self.floats(node, bias)?;
                if bias.len() != columns {
                    return None;
                }
                Some(self.pool.add(&bias))
            }
            None => None,
        };
        let Clamp { low, high } = Clamp::of(node);
        let (low, high) = (low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY));
        Some(Finish::Float { multipliers: self.pool.add(multipliers), addend, low, high })
    }

    /// Multipliers that steps can work with.
    pub fn usable(&self, multipliers: &[f32], columns: usize) -> Option<()> {
        let fits = multipliers.len() == 1 || multipliers.len() == columns;
        (fits && multipliers.iter().all(|m| m.is_finite())).then_some(())
    }

    /// An int32 bias at an input, if there is one.
    pub fn integer_bias(&mut self, node: &NodeProto, position: usize, columns: usize) -> Option<Option<ConstantId>> {
        match node.input.get(position).filter(|n| !n.is_empty()) {
            None => Some(None),
            Some(name) => {
                let tensor = self.constant(name)?;
                let bias = tensor.as_slice::<i32>()?;
                let bias = match bias {
                    &[same] => vec![same; columns],
                    // One for each column, not for each row.
                    _ if tensor.shape().last() == Some(&columns) && bias.len() == columns => bias.to_vec(),
                    _ => return None,
                };
                Some(Some(self.pool.add(&bias)))
            }
        }
    }
}

/// The bounds of an activation as quanta.
pub fn bounds(clamp: Clamp, scale: f32, zero_point: u8) -> (u8, u8) {
    let to = Params { scale, zero_point: zero_point.into() };
    let bound = |b: Option<f32>, default: u8| b.map_or(default, |b| quantize::<u8>(b, to));
    let (low, high) = (bound(clamp.low, 0), bound(clamp.high, 255));
    (low.min(high), high)
}

/// The parts that all convolutions share.
struct Shared {
    x: Value,
    weights: ConstantId,
    weight_zero_points: Option<ConstantId>,
    window: Window,
    groups: usize,
    channels: usize,
    /// Shape of the result, as ONNX knows it.
    shape: Vec<usize>,
}

/// From `[channels][depth][taps]` to `[channels][taps][depth]`.
fn depth_last(shape: &[usize]) -> Option<Layout> {
    let (channels, depth, taps): (usize, usize, usize) = (shape[0], shape[1], shape[2..].iter().product());
    // The same where there is but one of either.
    (depth > 1 && taps > 1).then_some([(channels, depth * taps), (taps, 1), (depth, taps)])
}

/// The window of a convolution, into how many groups it is split, and the shape of its result.
fn window(node: &NodeProto, x: &Value, weights: &[usize]) -> Option<(Window, usize, Vec<usize>)> {
    let attributes = Attributes::of(node).ok()?;
    let geometry = attributes.geometry(&x.shape, weights).ok()?;
    let two = |list: &[usize], first: usize| if list.len() == 2 { [list[0], list[1]] } else { [first, list[0]] };
    let [h, w] = two(&x.shape[2..], 1);
    let window = Window {
        input: [x.shape[0], h, w, x.shape[1]],
        output: two(&geometry.output, 1),
        kernel: two(&geometry.kernel, 1),
        strides: two(&geometry.strides, 1),
        dilations: two(&geometry.dilations, 1),
        pads: two(&geometry.pads_begin, 0),
    };
    let mut result = vec![x.shape[0], *weights.first()?];
    result.extend(&geometry.output);
    Some((window, attributes.group, result))
}

/// An operand with its channels last, of one or two spatial dimensions.
fn image(l: &mut Lowering, x: &Value) -> Option<Value> {
    let rank = x.shape.len();
    if !(3..=4).contains(&rank) {
        return None;
    }
    l.ordered(x, &channels_last(rank))
}

fn shared(l: &mut Lowering, node: &NodeProto, x: usize, w: usize, w_zero_point: usize) -> Option<Shared> {
    let x = l.input(node, x)?;
    let x = l.quanta(&x)?;
    let x = image(l, &x)?;
    let Weights { operand, flip, zero_points } = l.weights(node, w, w_zero_point)?;
    let (window, groups, result) = window(node, &x, &operand.shape)?;
    let channels = *operand.shape.first()?;
    if zero_points.len() != 1 && zero_points.len() != channels {
        return None;
    }
    let recode = Recode { flip, layout: depth_last(&operand.shape) };
    let weights = l.pool.add_operand(DataType::Int8, operand, recode);
    let weight_zero_points = l.zero_point_list(&zero_points);
    Some(Shared { x, weights, weight_zero_points, window, groups, channels, shape: result })
}

/// In float. Inputs: x, constant weights, constant bias.
pub fn float_conv(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let x = image(l, &x)?;
    let weights = l.operand(node.input.get(1)?).filter(|w| w.data_type == DataType::Float32)?;
    let (window, groups, result) = window(node, &x, &weights.shape)?;
    let channels = *weights.shape.first()?;
    let bias = match node.input.get(2).filter(|n| !n.is_empty()) {
        Some(_) => Some(l.floats(node, 2).filter(|b| b.len() == channels)?),
        None => None,
    };
    if weights.shape.contains(&0) {
        return None;
    }
    let recode = Recode { flip: false, layout: depth_last(&weights.shape) };
    let weights = l.pool.add_operand(DataType::Float32, weights, recode);
    let bias = bias.map(|b| l.pool.add(&b));
    let y = l.output(node.output.first()?, DataType::Float32, &result, &channels_last(result.len()), false);
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    l.step(Operation::FloatConv(FloatConv { x: x.id, y: y.id, window, channels, groups, weights, bias, low, high }));
    Some(())
}

fn emit(
    l: &mut Lowering,
    node: &NodeProto,
    shared: Shared,
    zero_point: ZeroPoint,
    bias: Option<ConstantId>,
    finish: Finish,
    result: DataType,
) -> Option<()> {
    let Shared { x, weights, weight_zero_points, window, groups, channels, shape } = shared;
    let order = channels_last(shape.len());
    let y = l.output(node.output.first()?, result, &shape, &order, result == DataType::Int8);
    l.step(Operation::Conv(Conv {
        x: x.id,
        y: y.id,
        row_stride: channels,
        column: 0,
        window,
        channels,
        groups,
        zero_point,
        weights,
        weight_zero_points,
        bias,
        finish,
    }));
    Some(())
}

/// Inputs: x, scale, zero point, w, scale, zero point, scale and zero point of y, bias.
pub fn q_linear_conv(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let shared = shared(l, node, 0, 3, 5)?;
    let zero_point = l.zero_point(node, 2, shared.x.data_type)?;
    let scale = l.scale(node, 1)?;
    let multipliers = l.floats(node, 4)?.iter().map(|w| scale * w).collect();
    let result = l.data_type(node.output.first()?)?;
    let finish = l.quantized_finish(node, multipliers, 6, shared.channels, result)?;
    let bias = l.integer_bias(node, 8, shared.channels)?;
    emit(l, node, shared, zero_point, bias, finish, result)
}

/// Inputs: x, w, zero point of x, zero point of w.
pub fn conv_integer(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let shared = shared(l, node, 0, 1, 3)?;
    let zero_point = l.zero_point(node, 2, shared.x.data_type)?;
    emit(l, node, shared, zero_point, None, Finish::Integer, DataType::Int32)
}

/// Inputs: x, w, scale of x, scale of w, zero point of x, zero point of w, float bias.
pub fn conv_to_float(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let shared = shared(l, node, 0, 1, 5)?;
    let zero_point = l.zero_point(node, 4, shared.x.data_type)?;
    let multipliers = l.real_multipliers(node, zero_point)?;
    let finish = l.float_finish(node, &multipliers, 6, shared.channels)?;
    emit(l, node, shared, zero_point, None, finish, DataType::Float32)
}
