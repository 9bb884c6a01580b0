//! Between numbers and quanta.

use super::{ELEMENTS, Run, element_cut, first, first_mut, rowwise, slice, span};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::engine::parts::{Cut, Part};
use crate::error::Result;
use crate::kernels::linear::{
    dequantize as dequantize_kernel, dequantize_i32, dynamic_parameters, quantize as quantize_kernel,
};
use crate::kernels::{Axis, Quantization};
use crate::plan::{ConstantId, Source, ValueId};
use crate::tensor::DataType;

/// Elements that a nanosecond is enough for.
const SPEED: usize = 4;

/// Rows of [`ELEMENTS`], or of all that have other parameters each.
fn cut(y: ValueId, len: usize, size: usize, axis: Axis) -> (Cut, usize) {
    let row = if axis.count == 1 { ELEMENTS } else { axis.count.saturating_mul(axis.inner).max(1) };
    let time = (len / SPEED) as u64;
    (Cut::new(y, len.div_ceil(row), row.saturating_mul(size), time), row)
}

pub fn quantize(
    x: ValueId,
    y: ValueId,
    (scales, zero_points): (Vec<f32>, Vec<u8>),
    axis: Axis,
    len: usize,
) -> Box<dyn Run> {
    let (cut, row) = cut(y, len, 1, axis);
    rowwise("quantize", cut, move |Part { rows, y, values, .. }| {
        let x = slice(elements(values.read(x)?)?, span(&rows, row, len))?;
        quantize_kernel(x, &scales, &zero_points, axis, first_mut(y, x.len())?);
        Ok(())
    })
}

pub fn dequantize<S: Source + ?Sized>(
    x: ValueId,
    y: ValueId,
    scales: Vec<f32>,
    zero_points: Option<ConstantId>,
    axis: Axis,
    (from, len): (DataType, usize),
    loader: &Loader<S>,
) -> Result<Box<dyn Run>> {
    let (cut, row) = cut(y, len, size_of::<f32>(), axis);
    if from == DataType::Int32 {
        let zero_points: Vec<i32> = loader.optional(zero_points)?;
        return Ok(rowwise("dequantize", cut, move |Part { rows, y, values, .. }| {
            let x = slice(elements(values.read(x)?)?, span(&rows, row, len))?;
            let zero_points = Some(&*zero_points).filter(|z| !z.is_empty());
            dequantize_i32(x, &scales, zero_points, axis, first_mut(elements_mut(y)?, x.len())?);
            Ok(())
        }));
    }
    let zero_points: Vec<u8> = loader.optional(zero_points)?;
    Ok(rowwise("dequantize", cut, move |Part { rows, y, values, .. }| {
        let x = slice(values.read(x)?, span(&rows, row, len))?;
        let zero_points = Some(&*zero_points).filter(|z| !z.is_empty());
        dequantize_kernel(x, &scales, zero_points, axis, first_mut(elements_mut(y)?, x.len())?);
        Ok(())
    }))
}

/// The range of all elements is found first.
struct Dynamic {
    x: ValueId,
    parameters: ValueId,
    cut: Cut,
    len: usize,
    found: Quantization,
}

pub fn dynamic(x: ValueId, y: ValueId, parameters: ValueId, len: usize) -> Box<dyn Run> {
    let found = Quantization { scale: 1.0, zero_point: 0 };
    Box::new(Dynamic { x, parameters, cut: element_cut(y, len, 1, SPEED), len, found })
}

impl Run for Dynamic {
    fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        let ([x], [parameters], _) = frame.views([self.x], [self.parameters])?;
        self.found = dynamic_parameters(first(elements(x)?, self.len)?);
        let to: &mut [f32] = first_mut(elements_mut(parameters)?, 2)?;
        to.copy_from_slice(&[self.found.scale, self.found.zero_point.into()]);
        Ok(())
    }

    fn cut(&self) -> Option<Cut> {
        Some(self.cut)
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        let x = slice(elements(part.values.read(self.x)?)?, span(&part.rows, ELEMENTS, self.len))?;
        let Quantization { scale, zero_point } = self.found;
        quantize_kernel(x, &[scale], &[zero_point], Axis { count: 1, inner: 1 }, first_mut(part.y, x.len())?);
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "dynamic quantize"
    }
}
