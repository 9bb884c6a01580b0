//! Between numbers and quanta.

use super::{Run, first_mut, simple};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::Result;
use crate::kernels::Axis;
use crate::kernels::linear::{
    dequantize as dequantize_kernel, dequantize_i32, dynamic_quantize, quantize as quantize_kernel,
};
use crate::plan::{ConstantId, Source, ValueId};
use crate::tensor::DataType;

pub fn quantize(x: ValueId, y: ValueId, scales: Vec<f32>, zero_points: Vec<u8>, axis: Axis) -> Box<dyn Run> {
    simple("quantize", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let x = elements(x)?;
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
    from: DataType,
    loader: &Loader<S>,
) -> Result<Box<dyn Run>> {
    if from == DataType::Int32 {
        let zero_points: Vec<i32> = loader.optional(zero_points)?;
        return Ok(simple("dequantize", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            let x = elements(x)?;
            let zero_points = Some(&*zero_points).filter(|z| !z.is_empty());
            dequantize_i32(x, &scales, zero_points, axis, first_mut(elements_mut(y)?, x.len())?);
            Ok(())
        }));
    }
    let zero_points: Vec<u8> = loader.optional(zero_points)?;
    Ok(simple("dequantize", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let zero_points = Some(&*zero_points).filter(|z| !z.is_empty());
        dequantize_kernel(x, &scales, zero_points, axis, first_mut(elements_mut(y)?, x.len())?);
        Ok(())
    }))
}

pub fn dynamic(x: ValueId, y: ValueId, parameters: ValueId) -> Box<dyn Run> {
    simple("dynamic quantize", move |frame| {
        let ([x], [y, parameters], _) = frame.views([x], [y, parameters])?;
        let x = elements(x)?;
        let found = dynamic_quantize(x, first_mut(y, x.len())?);
        let to: &mut [f32] = first_mut(elements_mut(parameters)?, 2)?;
        to.copy_from_slice(&[found.scale, found.zero_point.into()]);
        Ok(())
    })
}
