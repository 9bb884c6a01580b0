//! Convolutions and products with constant weights.

use std::sync::Arc;

use super::kernels::ConvKernel;
use super::{Run, first, first_mut, product};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::engine::parts::{Cut, Part};
use crate::error::Result;
use crate::kernels::conv::{
    ConvShape, ConvWeights, Finish as KernelFinish, Out, PANEL, Prepared as ProductParameters, conv as conv_kernel,
    conv_panels,
};
use crate::kernels::depthwise::{DepthwiseWeights, Prepared as DepthwiseParameters, depthwise as depthwise_kernel};
use crate::plan::{ConstantId, Conv, Finish, Source, ValueId, ZeroPoint};
use crate::tensor::DataType;

/// The lists of a [`Finish`], read.
pub enum Lists {
    /// To `Uint8`.
    Quantized { bias: Vec<i32>, multipliers: Vec<f32>, zero_point: u8, low: u8, high: u8 },
    /// To `Float32`.
    Float { bias: Vec<i32>, multipliers: Vec<f32>, addend: Vec<f32>, low: f32, high: f32 },
    /// To `Int32`.
    Integer { bias: Vec<i32> },
}

/// Reads the lists of a finish.
pub fn static_finish<S: Source + ?Sized>(
    finish: &Finish,
    bias: Option<ConstantId>,
    loader: &Loader<S>,
) -> Result<Lists> {
    let bias = loader.optional(bias)?;
    Ok(match *finish {
        Finish::Quantized { multipliers, zero_point, low, high } => {
            Lists::Quantized { bias, multipliers: loader.list(multipliers)?, zero_point, low, high }
        }
        Finish::Float { multipliers, addend, low, high } => {
            Lists::Float { bias, multipliers: loader.list(multipliers)?, addend: loader.optional(addend)?, low, high }
        }
        Finish::Integer => Lists::Integer { bias },
    })
}

impl Lists {
    /// As kernels take it; `scale` is what was found while running.
    pub fn as_kernel(&self, scale: f32) -> KernelFinish<'_> {
        match self {
            Self::Quantized { bias, multipliers, zero_point, low, high } => {
                KernelFinish::Quantized { bias, multipliers, zero_point: *zero_point, low: *low, high: *high }
            }
            Self::Float { bias, multipliers, addend, low, high } => {
                KernelFinish::Float { bias, multipliers, scale, addend, low: *low, high: *high }
            }
            Self::Integer { bias } => KernelFinish::Integer { bias },
        }
    }

    /// Type of the results.
    pub fn result(&self) -> DataType {
        match self {
            Self::Quantized { .. } => DataType::Uint8,
            Self::Float { .. } => DataType::Float32,
            Self::Integer { .. } => DataType::Int32,
        }
    }
}

/// The first elements of a value, as results of a type.
pub fn out(y: &mut [u8], data_type: DataType, len: usize) -> Result<Out<'_>> {
    Ok(match data_type {
        DataType::Float32 => Out::Float32(first_mut(elements_mut(y)?, len)?),
        DataType::Int32 => Out::Int32(first_mut(elements_mut(y)?, len)?),
        _ => Out::Uint8(first_mut(y, len)?),
    })
}

/// The kernel that serves a convolution, with its weights.
enum Kernel {
    /// Rows gathered and multiplied.
    Product(Arc<ConvWeights>),
    /// One input channel for each output channel.
    Depthwise(Arc<DepthwiseWeights>),
}

/// Parameters of the epilogue, laid out for a kernel.
enum Prepared {
    Product(ProductParameters),
    Depthwise(DepthwiseParameters),
}

/// Where the zero point and the scale of the input come from, if they are found while running.
struct Dynamic {
    lists: Lists,
    parameters: ValueId,
}

impl Kernel {
    fn prepare(&self, zero_point: u8, lists: &Lists) -> Prepared {
        let finish = lists.as_kernel(1.0);
        match self {
            Self::Product(weights) => Prepared::Product(weights.prepare(zero_point, &finish)),
            Self::Depthwise(weights) => Prepared::Depthwise(weights.prepare(zero_point, &finish)),
        }
    }

    fn prepare_again(&self, prepared: &mut Prepared, zero_point: u8, finish: &KernelFinish) {
        match (self, prepared) {
            (Self::Product(weights), Prepared::Product(p)) => weights.prepare_again(p, zero_point, finish),
            (Self::Depthwise(weights), Prepared::Depthwise(p)) => weights.prepare_again(p, zero_point, finish),
            _ => (),
        }
    }
}

struct Convolution {
    plan: Conv,
    kernel: Kernel,
    name: &'static str,
    /// Laid out anew in each run if there are dynamic ones, in the same memory.
    prepared: Prepared,
    dynamic: Option<Dynamic>,
    result: DataType,
    positions: usize,
}

pub fn conv<S: Source + ?Sized>(plan: &Conv, loader: &mut Loader<S>) -> Result<Box<dyn Run>> {
    let zero_points = loader.optional(plan.weight_zero_points)?;
    let choice = ConvKernel::of(plan);
    let kernel = if choice == ConvKernel::Depthwise {
        let packed = match loader.cache.depthwise.get(&plan.weights) {
            // The same weights may serve another input size, as long as they are read the same way.
            Some(packed) if *packed.window() == plan.window => packed.clone(),
            _ => {
                let weights = loader.list::<i8>(plan.weights)?;
                let packed = Arc::new(DepthwiseWeights::new(loader.dot, &plan.window, &weights, &zero_points));
                loader.cache.depthwise.insert(plan.weights, packed.clone());
                packed
            }
        };
        Kernel::Depthwise(packed)
    } else {
        let shape = ConvShape { window: plan.window, channels: plan.channels, groups: plan.groups };
        let packed = match loader.cache.packed.get(&plan.weights) {
            Some(packed) if *packed.shape() == shape => packed.clone(),
            _ => {
                let weights = loader.list::<i8>(plan.weights)?;
                let packed = Arc::new(ConvWeights::new(loader.dot, &shape, &weights, &zero_points));
                loader.cache.packed.insert(plan.weights, packed.clone());
                packed
            }
        };
        Kernel::Product(packed)
    };
    let lists = static_finish(&plan.finish, plan.bias, loader)?;
    let result = lists.result();
    let (prepared, dynamic) = match plan.zero_point {
        ZeroPoint::Fixed(zero_point) => (kernel.prepare(zero_point, &lists), None),
        ZeroPoint::Dynamic(parameters) => (kernel.prepare(0, &lists), Some(Dynamic { lists, parameters })),
    };
    let positions = product(&[plan.window.input[0], plan.window.output[0], plan.window.output[1]]);
    let name = choice.name(match &kernel {
        Kernel::Product(weights) => weights.dot(),
        Kernel::Depthwise(_) => loader.dot,
    });
    Ok(Box::new(Convolution { plan: plan.clone(), kernel, name, prepared, dynamic, result, positions }))
}

impl Convolution {
    /// Whether output channels are shared out instead of positions: a single row of a product.
    fn is_row(&self) -> bool {
        self.positions == 1 && self.plan.groups == 1 && matches!(self.kernel, Kernel::Product(_))
    }
}

impl Run for Convolution {
    fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        if let Some(Dynamic { lists, parameters }) = &self.dynamic {
            let ([found], [], _) = frame.views([*parameters], [])?;
            let found: &[f32] = first(elements(found)?, 2)?;
            self.kernel.prepare_again(&mut self.prepared, found[1] as u8, &lists.as_kernel(found[0]));
        }
        Ok(())
    }

    fn cut(&self) -> Option<Cut> {
        let Conv { y, row_stride, column, channels, window, .. } = &self.plan;
        let (size, macs) = (self.result.size(), self.macs());
        if self.is_row() {
            let panels = channels.div_ceil(PANEL);
            let cut = Cut::new(*y, panels, PANEL * size, macs / 16);
            return Some(Cut { offset: column * size, ..cut });
        }
        let row_bytes = row_stride.saturating_mul(size);
        Some(match &self.kernel {
            Kernel::Product(weights) => {
                Cut::new(*y, self.positions, row_bytes, macs / 32).good(weights.block_positions())
            }
            Kernel::Depthwise(weights) => {
                let row_bytes = row_bytes.saturating_mul(window.output[1]);
                Cut::new(*y, weights.rows(), row_bytes, macs / 8).good(4 * window.kernel[0])
            }
        })
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        let Conv { x, row_stride, column, channels, window, .. } = &self.plan;
        let Part { rows, y, scratch, values } = part;
        let x = first(values.read(*x)?, product(&window.input))?;
        match (&self.kernel, &self.prepared) {
            (Kernel::Product(weights), Prepared::Product(prepared)) if self.is_row() => {
                let len = (rows.end * PANEL).min(*channels) - rows.start * PANEL;
                conv_panels(weights, prepared, x, &mut out(y, self.result, len)?, rows, *row_stride, scratch);
            }
            (Kernel::Product(weights), Prepared::Product(prepared)) => {
                // Up to the last result; the rest of a join is not ours.
                let len = rows.len().saturating_sub(1) * row_stride + column + channels;
                conv_kernel(weights, prepared, x, &mut out(y, self.result, len)?, rows, *row_stride, *column, scratch);
            }
            (Kernel::Depthwise(weights), Prepared::Depthwise(prepared)) => {
                let len = (rows.len() * window.output[1]).saturating_sub(1) * row_stride + column + channels;
                let mut y = out(y, self.result, len)?;
                depthwise_kernel(weights, prepared, x, &mut y, rows, *row_stride, *column, scratch);
            }
            _ => (),
        }
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        self.name
    }

    fn scratch(&self) -> usize {
        match &self.kernel {
            Kernel::Product(weights) => weights.scratch_bytes(self.positions),
            Kernel::Depthwise(weights) => weights.scratch_bytes(),
        }
    }

    fn macs(&self) -> u64 {
        let Conv { window, channels, groups, .. } = &self.plan;
        let taps = product(&[window.kernel[0], window.kernel[1], window.input[3] / groups]);
        product(&[self.positions, *channels, taps]) as u64
    }
}
