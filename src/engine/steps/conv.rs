//! Convolutions and products with constant weights.

use std::cell::RefCell;
use std::rc::Rc;

use super::kernels::ConvKernel;
use super::{Run, first, first_mut, product};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::Result;
use crate::kernels::conv::{
    ConvShape, ConvWeights, Finish as KernelFinish, Out, Prepared as ProductParameters, conv as conv_kernel,
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
    Product(Rc<ConvWeights>),
    /// One input channel for each output channel.
    Depthwise(Rc<DepthwiseWeights>),
}

/// Parameters of the epilogue, laid out for a kernel.
enum Prepared {
    Product(ProductParameters),
    Depthwise(DepthwiseParameters),
}

/// Parameters of the epilogue.
enum Parameters {
    /// Known ahead.
    Fixed(Prepared),
    /// Laid out anew in each run, in the same memory.
    Dynamic(Lists, RefCell<Prepared>, ValueId),
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
    parameters: Parameters,
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
                let packed = Rc::new(DepthwiseWeights::new(loader.dot, &plan.window, &weights, &zero_points));
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
                let packed = Rc::new(ConvWeights::new(loader.dot, &shape, &weights, &zero_points));
                loader.cache.packed.insert(plan.weights, packed.clone());
                packed
            }
        };
        Kernel::Product(packed)
    };
    let lists = static_finish(&plan.finish, plan.bias, loader)?;
    let result = lists.result();
    let parameters = match plan.zero_point {
        ZeroPoint::Fixed(zero_point) => Parameters::Fixed(kernel.prepare(zero_point, &lists)),
        ZeroPoint::Dynamic(id) => {
            let prepared = RefCell::new(kernel.prepare(0, &lists));
            Parameters::Dynamic(lists, prepared, id)
        }
    };
    let positions = product(&[plan.window.input[0], plan.window.output[0], plan.window.output[1]]);
    let name = choice.name(loader.dot);
    Ok(Box::new(Convolution { plan: plan.clone(), kernel, name, parameters, result, positions }))
}

impl Convolution {
    fn compute(&self, prepared: &Prepared, frame: &mut Frame) -> Result<()> {
        let ([x], [y], scratch) = frame.views([self.plan.x], [self.plan.y])?;
        let x = first(x, product(&self.plan.window.input))?;
        let Conv { row_stride, column, channels, .. } = self.plan;
        // Up to the last result; the rest of a join is not ours.
        let len = self.positions.saturating_sub(1) * row_stride + column + channels;
        let mut y = out(y, self.result, if self.positions == 0 { 0 } else { len })?;
        match (&self.kernel, prepared) {
            (Kernel::Product(weights), Prepared::Product(prepared)) => {
                conv_kernel(weights, prepared, x, &mut y, 0..self.positions, row_stride, column, scratch);
            }
            (Kernel::Depthwise(weights), Prepared::Depthwise(prepared)) => {
                depthwise_kernel(weights, prepared, x, &mut y, 0..weights.rows(), row_stride, column, scratch);
            }
            _ => (),
        }
        Ok(())
    }
}

impl Run for Convolution {
    fn run(&self, frame: &mut Frame) -> Result<()> {
        match &self.parameters {
            Parameters::Fixed(prepared) => self.compute(prepared, frame),
            Parameters::Dynamic(lists, prepared, id) => {
                let ([found], [], _) = frame.views([*id], [])?;
                let found: &[f32] = first(elements(found)?, 2)?;
                let mut prepared = prepared.borrow_mut();
                self.kernel.prepare_again(&mut prepared, found[1] as u8, &lists.as_kernel(found[0]));
                self.compute(&prepared, frame)
            }
        }
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
