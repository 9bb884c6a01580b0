//! From operations to kernels.

mod conv;
mod elementwise;
mod float_conv;
mod kernels;
mod matmul;
mod movement;
mod normalise;
mod quantize;
mod windows;

use super::frame::Frame;
use super::load::Loader;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Operation, Source, ValueId, Variant};
use crate::tensor::DataType;

/// A step with everything that can be done ahead of time.
pub trait Run {
    /// Computes.
    fn run(&self, frame: &mut Frame) -> Result<()>;

    /// Name of the kernel that does.
    fn kernel(&self) -> &'static str;

    /// Bytes of scratch memory.
    fn scratch(&self) -> usize {
        0
    }

    /// Products that are added up.
    fn macs(&self) -> u64 {
        0
    }
}

/// What most steps are: a kernel, and a closure that hands it what it works on.
struct Simple<F> {
    kernel: &'static str,
    run: F,
}

impl<F: Fn(&mut Frame) -> Result<()>> Run for Simple<F> {
    fn run(&self, frame: &mut Frame) -> Result<()> {
        (self.run)(frame)
    }

    fn kernel(&self) -> &'static str {
        self.kernel
    }
}

fn simple(kernel: &'static str, run: impl Fn(&mut Frame) -> Result<()> + 'static) -> Box<dyn Run> {
    Box::new(Simple { kernel, run })
}

/// Prepares a step of a variant that was checked; `None` for what the compiler executes.
pub fn prepare<S: Source + ?Sized>(
    operation: &Operation,
    variant: &Variant,
    loader: &mut Loader<S>,
) -> Result<Option<Box<dyn Run>>> {
    Ok(Some(match operation {
        Operation::Subgraph { .. } => return Ok(None),
        Operation::Conv(conv) => conv::conv(conv, loader)?,
        Operation::FloatConv(conv) => float_conv::float_conv(conv, loader)?,
        Operation::MatMul(product) => matmul::quantized(product, loader)?,
        Operation::FloatMatMul(product) => matmul::float(product),
        Operation::QuantizedBinary { function, operands, a, b, y, low, high } => {
            elementwise::quantized_binary(*function, operands, [*a, *b, *y], [*low, *high])
        }
        Operation::FloatBinary { function, operands } => elementwise::float_binary(*function, operands),
        Operation::FloatUnary { function, x, y } => elementwise::float_unary(*function, *x, *y),
        Operation::Table { x, y, table } => elementwise::table(*x, *y, table_of(*table, loader)?),
        Operation::FloatTable { x, y, table } => elementwise::float_table(*x, *y, loader.list(*table)?),
        Operation::Quantize { x, y, scales, zero_points, axis } => {
            quantize::quantize(*x, *y, loader.list(*scales)?, loader.list(*zero_points)?, *axis)
        }
        Operation::Dequantize { x, y, scales, zero_points, axis } => {
            quantize::dequantize(*x, *y, loader.list(*scales)?, *zero_points, *axis, type_of(variant, *x)?, loader)?
        }
        Operation::DynamicQuantize { x, y, parameters } => quantize::dynamic(*x, *y, *parameters),
        Operation::Pool { x, y, window, pooling } => windows::pool(*x, *y, *window, *pooling, type_of(variant, *x)?),
        Operation::Mean { x, y, rows, numbers } => windows::mean(*x, *y, *rows, *numbers),
        Operation::Softmax { x, y, rows, numbers } => normalise::softmax(*x, *y, *rows, *numbers),
        Operation::LayerNorm { x, y, scale, bias, outer, count, epsilon } => {
            let lists = [loader.list(*scale)?, loader.optional(*bias)?];
            normalise::layer_norm(*x, *y, lists, outer * count, *epsilon)
        }
        Operation::Copy { x, y, shape, from, to, table } => {
            let table = table.map(|id| table_of(id, loader)).transpose()?;
            movement::copy(*x, *y, type_of(variant, *x)?.size(), shape.clone(), from.clone(), to.clone(), table)
        }
        Operation::Fill { y, value } => movement::fill(*y, value.clone()),
        Operation::Gather { x, indices, y, rows, indices_count } => {
            let types = [type_of(variant, *x)?, type_of(variant, *indices)?];
            movement::gather(*x, *indices, *y, *rows, *indices_count, types)
        }
        Operation::Resize { x, y, input, output, vertical, horizontal, numbers } => {
            let taps = [windows::taps(vertical, loader)?, windows::taps(horizontal, loader)?];
            windows::resize(*x, *y, *input, *output, taps, *numbers, type_of(variant, *x)?)?
        }
        Operation::Cast { x, y, from, to } => elementwise::cast(*x, *y, *from, *to)?,
        Operation::Where { condition, condition_strides, operands } => {
            elementwise::select(*condition, condition_strides.clone(), operands, type_of(variant, operands.y)?)
        }
    }))
}

fn type_of(variant: &Variant, id: ValueId) -> Result<DataType> {
    let fact = variant.values.get(id as usize);
    Ok(fact.ok_or_else(|| Error::new(ErrorCode::InvalidPlan, "a step names a value that there is not"))?.data_type)
}

fn table_of<S: Source + ?Sized>(id: crate::plan::ConstantId, loader: &Loader<S>) -> Result<Box<[u8; 256]>> {
    let table: Vec<u8> = loader.list(id)?;
    table.try_into().map_err(|_| Error::new(ErrorCode::InvalidPlan, "a table must have 256 entries"))
}

/// The product of sizes, which were checked with the plan.
fn product(sizes: &[usize]) -> usize {
    sizes.iter().fold(1usize, |n, &d| n.saturating_mul(d))
}

/// The first elements of a value. Sizes were checked with the plan, so there are as many.
fn first<T>(elements: &[T], len: usize) -> Result<&[T]> {
    elements.get(..len).ok_or_else(short)
}

fn first_mut<T>(elements: &mut [T], len: usize) -> Result<&mut [T]> {
    elements.get_mut(..len).ok_or_else(short)
}

fn short() -> Error {
    Error::new(ErrorCode::Internal, "a value is smaller than its step needs")
}
