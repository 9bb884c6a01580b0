//! From operations to kernels.

mod conv;
mod elementwise;
mod float_conv;
mod kernels;
mod matmul;
mod movement;
mod normalise;
mod numbers;
mod quantize;
#[cfg(test)]
mod tests;
mod windows;

use std::ops::Range;

use super::frame::Frame;
use super::load::Loader;
use super::parts::{Cut, Part};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Operation, Source, ValueId, Variant};
use crate::tensor::DataType;

/// A step with everything that can be done ahead of time. A run begins it, then computes its rows: in any order, on any
/// number of threads, all at once or some at a time.
pub trait Run: Send + Sync {
    /// Computes what is not part of any row.
    fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        let _ = frame;
        Ok(())
    }

    /// How the rest can be cut; `None` where there is no rest.
    fn cut(&self) -> Option<Cut> {
        None
    }

    /// Computes some rows.
    fn rows(&self, part: Part<'_>) -> Result<()> {
        let _ = part;
        Ok(())
    }

    /// Name of the kernel that does.
    fn kernel(&self) -> &'static str;

    /// Bytes of scratch memory, for each thread.
    fn scratch(&self) -> usize {
        0
    }

    /// Products that are added up.
    fn macs(&self) -> u64 {
        0
    }
}

/// A step that is never cut: a kernel, and a closure that hands it what it works on.
struct Whole<F> {
    kernel: &'static str,
    run: F,
}

impl<F: FnMut(&mut Frame) -> Result<()> + Send + Sync> Run for Whole<F> {
    fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        (self.run)(frame)
    }

    fn kernel(&self) -> &'static str {
        self.kernel
    }
}

fn whole(kernel: &'static str, run: impl FnMut(&mut Frame) -> Result<()> + Send + Sync + 'static) -> Box<dyn Run> {
    Box::new(Whole { kernel, run })
}

/// A step of rows that need no preparation: what most are.
struct Rowwise<F> {
    kernel: &'static str,
    cut: Cut,
    run: F,
}

impl<F: Fn(Part<'_>) -> Result<()> + Send + Sync> Run for Rowwise<F> {
    fn cut(&self) -> Option<Cut> {
        Some(self.cut)
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        (self.run)(part)
    }

    fn kernel(&self) -> &'static str {
        self.kernel
    }
}

fn rowwise(
    kernel: &'static str,
    cut: Cut,
    run: impl Fn(Part<'_>) -> Result<()> + Send + Sync + 'static,
) -> Box<dyn Run> {
    Box::new(Rowwise { kernel, cut, run })
}

/// Elements that are worked on one by one are cut into rows of so many.
const ELEMENTS: usize = 64;

/// The cut of `len` elements of `size` bytes, of which a nanosecond is enough for `speed`.
fn element_cut(y: ValueId, len: usize, size: usize, speed: usize) -> Cut {
    Cut::new(y, len.div_ceil(ELEMENTS), ELEMENTS.saturating_mul(size), (len / speed.max(1)) as u64)
}

/// The elements of rows of `each` elements, of `len` in all.
fn span(rows: &Range<usize>, each: usize, len: usize) -> Range<usize> {
    rows.start.saturating_mul(each)..rows.end.saturating_mul(each).min(len)
}

fn slice<T>(x: &[T], range: Range<usize>) -> Result<&[T]> {
    x.get(range).ok_or_else(short)
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
        Operation::FloatUnary { function, x, y } => elementwise::float_unary(*function, *x, *y, len_of(variant, *x)?),
        Operation::Table { x, y, table } => elementwise::table(*x, *y, table_of(*table, loader)?, len_of(variant, *x)?),
        Operation::FloatTable { x, y, table } => {
            elementwise::float_table(*x, *y, loader.list(*table)?, len_of(variant, *x)?)
        }
        Operation::Quantize { x, y, scales, zero_points, axis } => {
            let parameters = (loader.list(*scales)?, loader.list(*zero_points)?);
            quantize::quantize(*x, *y, parameters, *axis, len_of(variant, *x)?)
        }
        Operation::Dequantize { x, y, scales, zero_points, axis } => {
            let from = (type_of(variant, *x)?, len_of(variant, *x)?);
            quantize::dequantize(*x, *y, loader.list(*scales)?, *zero_points, *axis, from, loader)?
        }
        Operation::DynamicQuantize { x, y, parameters } => quantize::dynamic(*x, *y, *parameters, len_of(variant, *x)?),
        Operation::Pool { x, y, window, pooling } => windows::pool(*x, *y, *window, *pooling, type_of(variant, *x)?),
        Operation::Mean { x, y, rows, numbers } => windows::mean(*x, *y, *rows, *numbers),
        Operation::Softmax { x, y, rows, numbers } => normalise::softmax(*x, *y, *rows, *numbers),
        Operation::LayerNorm { x, y, scale, bias, outer, epsilon, .. } => {
            let lists = [loader.list(*scale)?, loader.optional(*bias)?];
            normalise::layer_norm(*x, *y, lists, *outer, *epsilon)
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
        Operation::Cast { x, y, from, to } => elementwise::cast(*x, *y, *from, *to, len_of(variant, *x)?)?,
        Operation::Where { condition, condition_strides, operands } => {
            elementwise::select(*condition, condition_strides.clone(), operands, type_of(variant, operands.y)?)
        }
        Operation::NumberBinary { function, operands } => {
            numbers::binary(*function, operands, type_of(variant, operands.a)?)?
        }
        Operation::Reduce { x, y, rows, function } => numbers::reduce(*x, *y, *rows, *function, type_of(variant, *x)?)?,
        Operation::TopK { x, values, places, outer, count, k, largest } => {
            numbers::top_k(*x, [*values, *places], *outer, [*count, *k], *largest)
        }
    }))
}

fn type_of(variant: &Variant, id: ValueId) -> Result<DataType> {
    let fact = variant.values.get(id as usize);
    Ok(fact.ok_or_else(|| Error::new(ErrorCode::InvalidPlan, "a step names a value that there is not"))?.data_type)
}

/// Number of elements of a value, whose shape is known.
fn len_of(variant: &Variant, id: ValueId) -> Result<usize> {
    let fact = variant.values.get(id as usize);
    let len = fact.and_then(|fact| Some(fact.bytes()? / fact.data_type.size().max(1)));
    len.ok_or_else(|| Error::new(ErrorCode::InvalidPlan, "a step needs a value of known size"))
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
