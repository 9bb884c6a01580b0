//! Contrib operators that reduce: `QLinearAveragePool`, `QLinearGlobalAveragePool`, `QLinearReduceMean`, and
//! `QLinearSoftmax`.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::auto_pad::AutoPad;
use super::inputs::{Inputs, with_quantum};
use super::{Built, Quantized, attribute, build, concrete, dimension, quantum, required};
use crate::compiler::quantized::kernels::average_pool::{average, mean};
use crate::compiler::quantized::kernels::softmax::softmax;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert(AVERAGE_POOL, average_pool);
    register.insert(GLOBAL_AVERAGE_POOL, global_average_pool);
    register.insert(REDUCE_MEAN, reduce_mean);
    register.insert(SOFTMAX, q_linear_softmax);
}

// Qualified names of contrib operators; the fusion of QDQ groups makes such nodes too.
/// Means of windows.
pub const AVERAGE_POOL: &str = "com.microsoft.QLinearAveragePool";
/// Means over all spatial dimensions.
pub const GLOBAL_AVERAGE_POOL: &str = "com.microsoft.QLinearGlobalAveragePool";
/// Means along axes.
pub const REDUCE_MEAN: &str = "com.microsoft.QLinearReduceMean";
/// Softmax along an axis.
pub const SOFTMAX: &str = "com.microsoft.QLinearSoftmax";

// All take: data, scale, zero point, scale and zero point of the result.

fn average_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    build(
        node,
        AveragePool {
            auto_pad: AutoPad::of(node)?,
            ceil_mode: attribute(node, "ceil_mode", 0i64)? != 0,
            count_include_pad: attribute(node, "count_include_pad", 0i64)? != 0,
            channels_last: attribute(node, "channels_last", 0i64)? != 0,
            kernel: node.get_attr_vec("kernel_shape")?,
            pads: node.get_attr_opt_vec("pads")?,
            strides: node.get_attr_opt_vec("strides")?,
        },
    )
}

#[derive(Debug)]
struct AveragePool {
    auto_pad: AutoPad,
    ceil_mode: bool,
    count_include_pad: bool,
    channels_last: bool,
    kernel: Vec<i64>,
    pads: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
}

/// One spatial dimension of a pool.
struct Axis {
    input: usize,
    kernel: usize,
    stride: usize,
    begin: usize,
    output: usize,
}

impl AveragePool {
    fn spatial(&self, rank: usize) -> TractResult<std::ops::Range<usize>> {
        ensure!(rank >= 3, "a pool needs a batch, a channel and spatial dimensions");
        ensure!(self.kernel.len() == rank - 2, "a kernel {:?} does not fit rank {rank}", self.kernel);
        Ok(if self.channels_last { 1..rank - 1 } else { 2..rank })
    }

    fn axes(&self, spatial: &[usize]) -> TractResult<Vec<Axis>> {
        let rank = spatial.len();
        let strides = self.strides.clone().unwrap_or_else(|| vec![1; rank]);
        let pads = self.pads.clone().unwrap_or_else(|| vec![0; 2 * rank]);
        ensure!(strides.len() == rank && strides.iter().all(|&s| s > 0), "strides {strides:?} are not usable");
        ensure!(pads.len() == 2 * rank && pads.iter().all(|&p| p >= 0), "pads {pads:?} are not usable");
        ensure!(self.kernel.iter().all(|&k| k > 0), "a kernel {:?} is not usable", self.kernel);
        (0..rank)
            .map(|d| {
                let (input, kernel, stride) = (spatial[d], self.kernel[d] as usize, strides[d] as usize);
                let (begin, end) = self.auto_pad.pads(pads[d] as usize, pads[rank + d] as usize, input, stride, kernel);
                ensure!(begin < kernel && end < kernel, "padding must be smaller than the kernel");
                let padded = input.checked_add(begin + end).context("padding too large")?;
                ensure!(padded >= kernel, "a kernel of {kernel} does not fit in {padded}");
                let mut output = (padded - kernel) / stride + 1;
                if self.ceil_mode {
                    output = (padded - kernel).div_ceil(stride) + 1;
                    // No window may start in the padding after the end.
                    if (output - 1) * stride >= input + begin {
                        output -= 1;
                    }
                }
                Ok(Axis { input, kernel, stride, begin, output })
            })
            .collect()
    }
}

impl Quantized for AveragePool {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        Ok(tvec![quantum(inputs, 0)?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let mut shape = required(inputs, 0, "X")?.to_tvec();
        let spatial = self.spatial(shape.len())?;
        let sizes = spatial.clone().map(|d| concrete(&shape[d])).collect::<TractResult<Vec<_>>>()?;
        for (d, axis) in spatial.zip(self.axes(&sizes)?) {
            shape[d] = axis.output.to_dim();
        }
        Ok(tvec![shape])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (from, to) = (inputs.params(1, 2)?, inputs.params(3, 4)?);
        let spatial = self.spatial(x.rank())?;
        let axes = self.axes(&x.shape()[spatial.clone()])?;
        let mut shape: TVec<usize> = x.shape().into();
        spatial.clone().zip(&axes).for_each(|(d, axis)| shape[d] = axis.output);
        let outer: usize = x.shape()[..spatial.start].iter().product();
        let inner: usize = x.shape()[spatial.end..].iter().product();
        let plane: usize = axes.iter().map(|a| a.input).product();
        let whole: usize = axes.iter().map(|a| a.kernel).product();
        let positions: usize = axes.iter().map(|a| a.output).product();
        let y = with_quantum!(x.datum_type(), Q => {
            let x = inputs.slice::<Q>(0)?;
            let mut y = vec![Q::default(); outer * positions * inner];
            for position in 0..positions {
                let taps = window(&axes, position);
                let count = if self.count_include_pad { whole } else { taps.len() };
                for o in 0..outer {
                    for i in 0..inner {
                        let window = taps.iter().map(|&t| x[(o * plane + t) * inner + i]);
                        y[(o * positions + position) * inner + i] = average(window, count, from, to);
                    }
                }
            }
            Tensor::from_shape(&shape, &y)?
        });
        Ok(tvec![y])
    }
}

/// Offsets in the plane of the elements of a window, in row-major order.
fn window(axes: &[Axis], mut position: usize) -> Vec<usize> {
    let mut offsets = vec![0];
    let mut step = 1;
    for axis in axes.iter().rev() {
        let start = position % axis.output * axis.stride;
        position /= axis.output;
        let end = start + axis.kernel;
        let taps = start.max(axis.begin) - axis.begin..end.min(axis.input + axis.begin).max(axis.begin) - axis.begin;
        offsets = taps.flat_map(|t| offsets.iter().map(move |o| o + t * step).collect::<Vec<_>>()).collect();
        step *= axis.input;
    }
    offsets
}

fn global_average_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    let channels_last = attribute(node, "channels_last", 0i64)? != 0;
    build(node, Mean { axes: if channels_last { Axes::SpatialBeforeChannels } else { Axes::Spatial }, keep_dims: true })
}

fn reduce_mean(_: &ParsingContext, node: &NodeProto) -> Built {
    let axes = node.get_attr_opt_vec("axes")?.map_or(Axes::All, Axes::Listed);
    build(node, Mean { axes, keep_dims: attribute(node, "keepdims", 1i64)? != 0 })
}

#[derive(Debug)]
enum Axes {
    All,
    Spatial,
    SpatialBeforeChannels,
    Listed(Vec<i64>),
}

#[derive(Debug)]
struct Mean {
    axes: Axes,
    keep_dims: bool,
}

impl Mean {
    /// Which dimensions are averaged over.
    fn reduced(&self, rank: usize) -> TractResult<Vec<bool>> {
        Ok(match &self.axes {
            Axes::All => vec![true; rank],
            Axes::Spatial => (0..rank).map(|d| d >= 2).collect(),
            Axes::SpatialBeforeChannels => (0..rank).map(|d| d >= 1 && d + 1 < rank).collect(),
            Axes::Listed(axes) => {
                let mut reduced = vec![false; rank];
                for &axis in axes {
                    reduced[dimension(axis, rank)?] = true;
                }
                if axes.is_empty() {
                    reduced.fill(true);
                }
                reduced
            }
        })
    }
}

impl Quantized for Mean {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        Ok(tvec![quantum(inputs, 0)?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let x = required(inputs, 0, "X")?;
        let mut shape = tvec![];
        for (reduced, dim) in self.reduced(x.rank())?.into_iter().zip(x.iter()) {
            match reduced {
                false => shape.push(dim.clone()),
                true if self.keep_dims => shape.push(1.to_dim()),
                true => (),
            }
        }
        Ok(tvec![shape])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (from, to) = (inputs.params(1, 2)?, inputs.params(3, 4)?);
        let reduced = self.reduced(x.rank())?;
        let mut shape: TVec<usize> = tvec![];
        let (mut count, mut outputs) = (1, 1);
        for (&reduced, &dim) in reduced.iter().zip(x.shape()) {
            if reduced {
                count *= dim;
            } else {
                outputs *= dim;
            }
            if !reduced || self.keep_dims {
                shape.push(if reduced { 1 } else { dim });
            }
        }
        ensure!(count > 0 || outputs == 0, "the mean of no elements is undefined");
        let y = with_quantum!(x.datum_type(), Q => {
            let mut sums = vec![0i32; outputs];
            for (i, &q) in inputs.slice::<Q>(0)?.iter().enumerate() {
                let (mut rest, mut to, mut step) = (i, 0, 1);
                for (&reduced, &dim) in reduced.iter().zip(x.shape()).rev() {
                    if !reduced {
                        to += rest % dim * step;
                        step *= dim;
                    }
                    rest /= dim;
                }
                sums[to] += Into::<i32>::into(q) - from.zero_point;
            }
            let y: Vec<Q> = sums.into_iter().map(|sum| mean(sum, count, from, to)).collect();
            Tensor::from_shape(&shape, &y)?
        });
        Ok(tvec![y])
    }
}

fn q_linear_softmax(_: &ParsingContext, node: &NodeProto) -> Built {
    // The attribute `opset` says which Softmax the quantizer replaced; before 13 everything from the axis on is one set.
    let coerced = attribute(node, "opset", 13i64)? < 13;
    build(node, Softmax { axis: attribute(node, "axis", -1)?, coerced })
}

#[derive(Debug)]
struct Softmax {
    axis: i64,
    coerced: bool,
}

impl Quantized for Softmax {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        Ok(tvec![quantum(inputs, 0)?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        Ok(tvec![required(inputs, 0, "X")?.to_tvec()])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (from, to) = (inputs.params(1, 2)?, inputs.params(3, 4)?);
        let axis = dimension(self.axis, x.rank())?;
        let (outer, count, inner): (usize, usize, usize) = if self.coerced {
            (x.shape()[..axis].iter().product(), x.shape()[axis..].iter().product(), 1)
        } else {
            (x.shape()[..axis].iter().product(), x.shape()[axis], x.shape()[axis + 1..].iter().product())
        };
        let y = with_quantum!(x.datum_type(), Q => {
            let mut y = vec![Q::default(); x.len()];
            let data = inputs.slice::<Q>(0)?;
            for o in 0..outer {
                for i in 0..inner {
                    softmax(data, &mut y, o * count * inner + i, count, inner, from, to);
                }
            }
            Tensor::from_shape(x.shape(), &y)?
        });
        Ok(tvec![y])
    }
}
