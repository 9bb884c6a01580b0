//! Convolutions and products with constant weights.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Run, first, first_mut, product};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::Result;
use crate::kernels::conv::{ConvShape, ConvWeights, Finish as KernelFinish, Out, Prepared, conv as conv_kernel};
use crate::plan::{ConstantId, Conv, Finish, Source, ZeroPoint};
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
pub fn static_finish<S: Source + ?Sized>(finish: &Finish, bias: Option<ConstantId>, loader: &Loader<S>) -> Result<Lists> {
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

/// Parameters of the epilogue.
enum Parameters {
    /// Known ahead.
    Fixed(Prepared),
    /// Laid out anew in each run, in the same memory.
    Dynamic(Lists, RefCell<Prepared>, crate::plan::ValueId),
}

struct Product {
    plan: Conv,
    weights: Rc<ConvWeights>,
    parameters: Parameters,
    result: DataType,
    positions: usize,
}

pub fn conv<S: Source + ?Sized>(plan: &Conv, loader: &mut Loader<S>) -> Result<Box<dyn Run>> {
    let shape = ConvShape { window: plan.window, channels: plan.channels, groups: plan.groups };
    let zero_points = loader.optional(plan.weight_zero_points)?;
    let weights = match loader.cache.packed.get(&plan.weights) {
        // The same weights may serve another input size, as long as they are read the same way.
        Some(packed) if *packed.shape() == shape => packed.clone(),
        _ => {
            let packed = Rc::new(ConvWeights::new(loader.dot, &shape, &loader.list::<i8>(plan.weights)?, &zero_points));
            loader.cache.packed.insert(plan.weights, packed.clone());
            packed
        }
    };
    let lists = static_finish(&plan.finish, plan.bias, loader)?;
    let result = lists.result();
    let parameters = match plan.zero_point {
        ZeroPoint::Fixed(zero_point) => Parameters::Fixed(weights.prepare(zero_point, &lists.as_kernel(1.0))),
        ZeroPoint::Dynamic(id) => {
            let prepared = weights.prepare(0, &lists.as_kernel(1.0));
            Parameters::Dynamic(lists, RefCell::new(prepared), id)
        }
    };
    let positions = weights.positions();
    Ok(Box::new(Product { plan: plan.clone(), weights, parameters, result, positions }))
}

impl Product {
    fn compute(&self, prepared: &Prepared, frame: &mut Frame) -> Result<()> {
        let ([x], [y], scratch) = frame.views([self.plan.x], [self.plan.y])?;
        let x = first(x, product(&self.plan.window.input))?;
        let Conv { row_stride, column, channels, .. } = self.plan;
        // Up to the last result; the rest of a join is not ours.
        let len = self.positions.saturating_sub(1) * row_stride + column + channels;
        let mut y = out(y, self.result, if self.positions == 0 { 0 } else { len })?;
        conv_kernel(&self.weights, prepared, x, &mut y, 0..self.positions, row_stride, column, scratch);
        Ok(())
    }
}

impl Run for Product {
    fn run(&self, frame: &mut Frame) -> Result<()> {
        match &self.parameters {
            Parameters::Fixed(prepared) => self.compute(prepared, frame),
            Parameters::Dynamic(lists, prepared, id) => {
                let ([found], [], _) = frame.views([*id], [])?;
                let found: &[f32] = first(elements(found)?, 2)?;
                let mut prepared = prepared.borrow_mut();
                self.weights.prepare_again(&mut prepared, found[1] as u8, &lists.as_kernel(found[0]));
                self.compute(&prepared, frame)
            }
        }
    }

    fn kernel(&self) -> &'static str {
        "conv"
    }

    fn scratch(&self) -> usize {
        self.weights.scratch_bytes(self.positions)
    }

    fn macs(&self) -> u64 {
        let Conv { window, channels, groups, .. } = &self.plan;
        let taps = product(&[window.kernel[0], window.kernel[1], window.input[3] / groups]);
        product(&[self.positions, *channels, taps]) as u64
    }
}
