//! `QLinearConv`, the fused form of DQ-Conv-Q, `ConvInteger`, and convolutions of quanta whose result is float.

use std::sync::OnceLock;

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::auto_pad::AutoPad;
use super::inputs::{Inputs, with_quantum};
use super::{Built, Quantized, build, concrete_all, quantum, required};
use crate::compiler::fuse::{self, Clamp};
use crate::compiler::quantized::kernels::conv::{Geometry, Scratch, Weights, convolve};
use crate::kernels::quantize::{Params, Quantum, quantize, requantize};

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("QLinearConv", q_linear_conv);
    register.insert(fuse::CONV, q_linear_conv);
    register.insert("ConvInteger", conv_integer);
    register.insert(fuse::CONV_TO_FLOAT, conv_to_float);
    register.insert(fuse::DYNAMIC_CONV, conv_to_float);
}

fn q_linear_conv(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, QLinearConv { attributes: Attributes::of(node)?, clamp: Clamp::of(node), weights: OnceLock::new() })
}

fn conv_integer(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, ConvSums { attributes: Attributes::of(node)?, float: None, weights: OnceLock::new() })
}

fn conv_to_float(_: &ParsingContext, node: &NodeProto) -> Built {
    let float = Some(Clamp::of(node));
    build(node, ConvSums { attributes: Attributes::of(node)?, float, weights: OnceLock::new() })
}

/// The attributes of a convolution.
#[derive(Debug)]
pub struct Attributes {
    auto_pad: AutoPad,
    dilations: Option<Vec<i64>>,
    /// Into how many independent parts the channels are split.
    pub group: usize,
    pads: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
}

impl Attributes {
    /// From a node.
    pub fn of(node: &NodeProto) -> TractResult<Self> {
        let group: i64 = super::attribute(node, "group", 1)?;
        ensure!(group > 0, "group must be positive");
        Ok(Self {
            auto_pad: AutoPad::of(node)?,
            dilations: node.get_attr_opt_vec("dilations")?,
            group: group as usize,
            pads: node.get_attr_opt_vec("pads")?,
            strides: node.get_attr_opt_vec("strides")?,
        })
    }

    /// Geometry from the input's and the weights' shapes, everything checked.
    pub fn geometry(&self, x: &[usize], w: &[usize]) -> TractResult<Geometry> {
        ensure!(x.len() >= 3 && w.len() == x.len(), "a convolution of {x:?} with {w:?} is not possible");
        ensure!(
            w[1].checked_mul(self.group) == Some(x[1]) && w[0].is_multiple_of(self.group),
            "input channels {} and weights {w:?} do not fit {} groups",
            x[1],
            self.group
        );
        let rank = x.len() - 2;
        let positive = |list: &Option<Vec<i64>>| -> TractResult<Vec<usize>> {
            let list = list.clone().unwrap_or_else(|| vec![1; rank]);
            ensure!(list.len() == rank && list.iter().all(|&v| v > 0), "strides or dilations {list:?} are not usable");
            Ok(list.into_iter().map(|v| v as usize).collect())
        };
        let (strides, dilations) = (positive(&self.strides)?, positive(&self.dilations)?);
        let pads = self.pads.clone().unwrap_or_else(|| vec![0; 2 * rank]);
        ensure!(pads.len() == 2 * rank && pads.iter().all(|&p| p >= 0), "pads {pads:?} are not usable");
        let (mut pads_begin, mut output) = (vec![], vec![]);
        for d in 0..rank {
            let (input, kernel, stride) = (x[2 + d], w[2 + d], strides[d]);
            ensure!(kernel > 0, "a kernel must not be empty");
            let window =
                (kernel - 1).checked_mul(dilations[d]).and_then(|n| n.checked_add(1)).context("kernel too large")?;
            let (begin, end) = self.auto_pad.pads(pads[d] as usize, pads[rank + d] as usize, input, stride, window);
            let padded = input.checked_add(begin).and_then(|n| n.checked_add(end)).context("padding too large")?;
            ensure!(padded >= window, "a kernel of {window} does not fit in {padded}");
            pads_begin.push(begin);
            output.push((padded - window) / stride + 1);
        }
        Ok(Geometry { input: x[2..].to_vec(), kernel: w[2..].to_vec(), strides, dilations, pads_begin, output })
    }

    fn output_shape(&self, x: &ShapeFact, w: &ShapeFact) -> TractResult<TVec<TDim>> {
        let w = concrete_all(w.iter())?;
        ensure!(x.rank() >= 2, "a convolution needs a batch and a channel dimension");
        let mut x_shape = vec![1];
        x_shape.extend(concrete_all(x.iter().skip(1))?);
        let geometry = self.geometry(&x_shape, &w)?;
        let mut shape: TVec<TDim> = tvec![x[0].clone(), w[0].to_dim()];
        shape.extend(geometry.output.iter().map(|d| d.to_dim()));
        Ok(shape)
    }

    /// Packed weights: made once when they are constant.
    fn weights<'a>(
        &self,
        inputs: &Inputs,
        position: usize,
        zero_points: &[i32],
        cache: &'a OnceLock<Weights>,
        local: &'a mut Option<Weights>,
    ) -> TractResult<&'a Weights> {
        let w = inputs.tensor(position)?;
        let shape = w.shape();
        ensure!(
            zero_points.len() == 1 || zero_points.len() == shape[0],
            "{} zero points for {} output channels",
            zero_points.len(),
            shape[0]
        );
        let taps = shape[2..].iter().product();
        let pack = || -> TractResult<Weights> {
            Ok(with_quantum!(w.datum_type(), W => {
                Weights::new(inputs.slice::<W>(position)?, zero_points, self.group, shape[0], shape[1], taps)
            }))
        };
        if inputs.is_constant(position) {
            if cache.get().is_none() {
                let _ = cache.set(pack()?);
            }
            cache.get().context("packed weights")
        } else {
            Ok(local.insert(pack()?))
        }
    }
}

// Positions of QLinearConv's inputs.
const X: usize = 0;
const X_SCALE: usize = 1;
const X_ZERO_POINT: usize = 2;
const W: usize = 3;
const W_SCALE: usize = 4;
const W_ZERO_POINT: usize = 5;
const Y_SCALE: usize = 6;
const Y_ZERO_POINT: usize = 7;
const BIAS: usize = 8;

#[derive(Debug)]
struct QLinearConv {
    attributes: Attributes,
    clamp: Clamp,
    weights: OnceLock<Weights>,
}

impl Quantized for QLinearConv {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        quantum(inputs, X)?;
        quantum(inputs, W)?;
        let output = inputs.get(Y_ZERO_POINT).copied().flatten().unwrap_or(DatumType::U8);
        ensure!(matches!(output, DatumType::U8 | DatumType::I8), "expected uint8 or int8, got {output:?}");
        Ok(tvec![output])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let w = required(inputs, W, "w")?;
        for position in [W_SCALE, W_ZERO_POINT, BIAS] {
            let count = inputs.get(position).and_then(Option::as_ref).and_then(|s| s.volume().to_usize().ok());
            let (Some(count), Some(channels)) = (count, w.first().and_then(|d| d.to_usize().ok())) else { continue };
            ensure!(
                count == channels || count == 1 && position != BIAS,
                "{count} parameters (input {position}) for {channels} output channels"
            );
        }
        Ok(tvec![self.attributes.output_shape(required(inputs, X, "x")?, w)?])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(X)?;
        let geometry = self.attributes.geometry(x.shape(), inputs.tensor(W)?.shape())?;
        let w_zero_points = inputs.zero_points(W_ZERO_POINT)?;
        let mut local = None;
        let weights = self.attributes.weights(inputs, W, &w_zero_points, &self.weights, &mut local)?;
        let channels = weights.channels_out;
        let x_params = inputs.params(X_SCALE, X_ZERO_POINT)?;
        let y_params = inputs.params(Y_SCALE, Y_ZERO_POINT)?;
        let w_scales = inputs.scales(W_SCALE)?;
        ensure!(w_scales.len() == 1 || w_scales.len() == channels, "{} scales for {channels} channels", w_scales.len());
        let multipliers: Vec<f32> = (0..channels)
            .map(|o| x_params.scale * w_scales[if w_scales.len() == 1 { 0 } else { o }] / y_params.scale)
            .collect();
        let bias = match inputs.get(BIAS) {
            Some(_) => inputs.slice::<i32>(BIAS)?.to_vec(),
            None => vec![0; channels],
        };
        ensure!(bias.len() == channels, "{} biases for {channels} channels", bias.len());
        let mut shape: TVec<usize> = tvec![x.shape()[0], channels];
        shape.extend(geometry.output.iter().copied());
        let output = inputs.get(Y_ZERO_POINT).map_or(DatumType::U8, Tensor::datum_type);
        let y = with_quantum!(x.datum_type(), X8 => {
            with_quantum!(output, Y8 => {
                let y = run::<X8, Y8>(
                    inputs.slice::<X8>(X)?, x_params.zero_point, weights, &geometry, &multipliers, &bias, y_params, self.clamp,
                );
                Tensor::from_shape(&shape, &y)?
            })
        });
        Ok(tvec![y])
    }
}

#[allow(clippy::too_many_arguments)]
fn run<X: Quantum, Y: Quantum>(
    x: &[X],
    x_zero_point: i32,
    weights: &Weights,
    geometry: &Geometry,
    multipliers: &[f32],
    bias: &[i32],
    y_params: Params,
    clamp: Clamp,
) -> Vec<Y> {
    let positions = geometry.positions();
    let image_out = weights.channels_out * positions;
    let image_in = weights.channels_in() * geometry.plane();
    let batch = x.len().checked_div(image_in).unwrap_or(0);
    let mut y = vec![Y::default(); batch * image_out];
    let (low, high) = clamp.quanta::<Y>(y_params);
    let mut scratch = Scratch::default();
    for (x, y) in x.chunks_exact(image_in.max(1)).zip(y.chunks_exact_mut(image_out.max(1))) {
        convolve(x, x_zero_point, weights, geometry, &mut scratch, |o, p, acc| {
            let (multiplier, bias) = (multipliers[o], bias[o]);
            for (y, &acc) in y[o * positions + p..].iter_mut().zip(acc) {
                let q: Y = requantize(acc.wrapping_add(bias), multiplier, y_params.zero_point);
                *y = Y::saturate(Into::<i32>::into(q).clamp(low, high));
            }
        });
    }
    y
}

impl Clamp {
    /// The bounds as quanta: quantizing is monotonic, so clamping before or after gives the same.
    pub fn quanta<Q: Quantum>(self, params: Params) -> (i32, i32) {
        let bound = |b: Option<f32>, default: i32| b.map_or(default, |b| quantize::<Q>(b, params).into());
        let (low, high) = (bound(self.low, Q::MIN), bound(self.high, Q::MAX));
        (low.min(high), high)
    }
}

/// The sums themselves, or numbers made of them. Inputs: x, w, for numbers the scales of both, the zero points of both,
/// for numbers a bias.
#[derive(Debug)]
struct ConvSums {
    attributes: Attributes,
    /// The result is float, within these bounds.
    float: Option<Clamp>,
    weights: OnceLock<Weights>,
}

impl ConvSums {
    /// Where the zero points are.
    fn zero_points(&self) -> [usize; 2] {
        if self.float.is_some() { [4, 5] } else { [2, 3] }
    }

    /// Computes, handing `(image, channel, first position, sums)` to `emit`.
    fn run(&self, inputs: &Inputs, mut emit: impl FnMut(usize, usize, usize, &[i32])) -> TractResult<()> {
        let x = inputs.tensor(0)?;
        let geometry = self.attributes.geometry(x.shape(), inputs.tensor(1)?.shape())?;
        let [x_at, w_at] = self.zero_points();
        let (x_zero_point, w_zero_points) = (inputs.zero_point(x_at)?, inputs.zero_points(w_at)?);
        let mut local = None;
        let weights = if inputs.get(w_at).is_none() || inputs.is_constant(w_at) {
            self.attributes.weights(inputs, 1, &w_zero_points, &self.weights, &mut local)?
        } else {
            let uncached = OnceLock::new();
            local = Some(self.attributes.weights(inputs, 1, &w_zero_points, &uncached, &mut None)?.clone());
            local.as_ref().context("packed weights")?
        };
        let image = weights.channels_in() * geometry.plane();
        let mut scratch = Scratch::default();
        with_quantum!(x.datum_type(), X8 => {
            for (i, x) in inputs.slice::<X8>(0)?.chunks_exact(image.max(1)).enumerate() {
                convolve(x, x_zero_point, weights, &geometry, &mut scratch, |o, p, acc| emit(i, o, p, acc));
            }
        });
        Ok(())
    }

    /// One element of the result for each sum.
    fn collect<T: Datum + Copy + Default>(
        &self,
        inputs: &Inputs,
        shape: &[usize],
        f: impl Fn(usize, i32) -> T,
    ) -> TractResult<Tensor> {
        let mut y = vec![T::default(); shape.iter().product()];
        let positions: usize = shape[2..].iter().product();
        self.run(inputs, |image, channel, first, sums| {
            let start = (image * shape[1] + channel) * positions + first;
            for (y, &sum) in y[start..].iter_mut().zip(sums) {
                *y = f(channel, sum);
            }
        })?;
        Tensor::from_shape(shape, &y)
    }
}

impl Quantized for ConvSums {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        quantum(inputs, 0)?;
        quantum(inputs, 1)?;
        Ok(tvec![if self.float.is_some() { DatumType::F32 } else { DatumType::I32 }])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        Ok(tvec![self.attributes.output_shape(required(inputs, 0, "x")?, required(inputs, 1, "w")?)?])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let (x, w) = (inputs.tensor(0)?.shape(), inputs.tensor(1)?.shape());
        let geometry = self.attributes.geometry(x, w)?;
        let mut shape = vec![x[0], w[0]];
        shape.extend(geometry.output);
        let Some(clamp) = self.float else {
            return Ok(tvec![self.collect(inputs, &shape, |_, sum| sum)?]);
        };
        let (x_scale, w_scales) = (inputs.scale(2)?, inputs.scales(3)?);
        let bias = inputs.get(6).map(|_| inputs.slice::<f32>(6)).transpose()?;
        for count in [Some(w_scales.len()).filter(|&n| n > 1), bias.map(<[f32]>::len)].into_iter().flatten() {
            ensure!(count == w[0], "{count} parameters for {} output channels", w[0]);
        }
        let at = |channel: usize| if w_scales.len() == 1 { 0 } else { channel };
        let y = self.collect(inputs, &shape, |channel, sum| {
            let y = sum as f32 * (x_scale * w_scales[at(channel)]);
            clamp.apply(bias.map_or(y, |bias| y + bias[channel]))
        })?;
        Ok(tvec![y])
    }
}
