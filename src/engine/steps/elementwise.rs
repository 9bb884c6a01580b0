//! Element by element.

use super::{Run, first, first_mut, product, simple};
use crate::engine::frame::{elements, elements_mut};
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::binary::quantized_binary as quantized_kernel;
use crate::kernels::cast::cast as cast_kernel;
use crate::kernels::float_binary::float_binary as float_kernel;
use crate::kernels::float_unary::{float_unary as unary_kernel, float_unary_in_place};
use crate::kernels::table::{look_up, look_up_in_place};
use crate::kernels::where_::select as select_kernel;
use crate::kernels::{BinaryQuantization, FloatBinary, FloatUnary, NumberType, Quantization, QuantizedBinary, Strided};
use crate::plan::{Broadcast, ValueId};
use crate::tensor::DataType;

pub fn quantized_binary(
    function: QuantizedBinary,
    operands: &Broadcast,
    [a, b, y]: [Quantization; 3],
    [low, high]: [u8; 2],
) -> Box<dyn Run> {
    let parameters = BinaryQuantization { a, b, y, low, high };
    let o = operands.clone();
    let len = product(&o.shape);
    let name = match function {
        QuantizedBinary::Add => "quantized add",
        QuantizedBinary::Sub => "quantized sub",
        QuantizedBinary::Mul => "quantized mul",
    };
    simple(name, move |frame| {
        let ([a, b], [y], _) = frame.views([o.a, o.b], [o.y])?;
        let a = Strided { data: a, strides: &o.a_strides };
        let b = Strided { data: b, strides: &o.b_strides };
        quantized_kernel(function, &parameters, &o.shape, a, b, first_mut(y, len)?);
        Ok(())
    })
}

pub fn float_binary(function: FloatBinary, operands: &Broadcast) -> Box<dyn Run> {
    let o = operands.clone();
    let len = product(&o.shape);
    simple("float binary", move |frame| {
        let ([a, b], [y], _) = frame.views([o.a, o.b], [o.y])?;
        let a = Strided { data: elements(a)?, strides: &o.a_strides };
        let b = Strided { data: elements(b)?, strides: &o.b_strides };
        float_kernel(function, &o.shape, a, b, first_mut(elements_mut(y)?, len)?);
        Ok(())
    })
}

pub fn float_unary(function: FloatUnary, x: ValueId, y: ValueId) -> Box<dyn Run> {
    simple("float unary", move |frame| {
        if x == y {
            let ([], [y], _) = frame.views([], [y])?;
            float_unary_in_place(function, elements_mut(y)?);
        } else {
            let ([x], [y], _) = frame.views([x], [y])?;
            unary_kernel(function, elements(x)?, elements_mut(y)?);
        }
        Ok(())
    })
}

pub fn table(x: ValueId, y: ValueId, table: Box<[u8; 256]>) -> Box<dyn Run> {
    simple("table", move |frame| {
        if x == y {
            let ([], [y], _) = frame.views([], [y])?;
            look_up_in_place(y, &table);
        } else {
            let ([x], [y], _) = frame.views([x], [y])?;
            look_up(x, &table, y);
        }
        Ok(())
    })
}

pub fn float_table(x: ValueId, y: ValueId, table: Vec<f32>) -> Box<dyn Run> {
    simple("float table", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        for (y, &x) in elements_mut(y)?.iter_mut().zip(x) {
            *y = table.get(x as usize).copied().unwrap_or(f32::NAN);
        }
        Ok(())
    })
}

pub fn select(condition: ValueId, strides: Vec<usize>, operands: &Broadcast, data_type: DataType) -> Box<dyn Run> {
    let o = operands.clone();
    let len = product(&o.shape);
    simple("where", move |frame| {
        let ([condition, a, b], [y], _) = frame.views([condition, o.a, o.b], [o.y])?;
        let condition = Strided { data: condition, strides: &strides };
        macro_rules! select {
            ($t:ty) => {
                select_kernel::<$t>(
                    &o.shape,
                    condition,
                    Strided { data: elements(a)?, strides: &o.a_strides },
                    Strided { data: elements(b)?, strides: &o.b_strides },
                    first_mut(elements_mut(y)?, len)?,
                )
            };
        }
        match data_type.size() {
            1 => select!(u8),
            4 => select!(u32),
            _ => select!(u64),
        }
        Ok(())
    })
}

pub fn cast(x: ValueId, y: ValueId, from: DataType, to: DataType) -> Result<Box<dyn Run>> {
    let (from, to) = (number_type(from)?, number_type(to)?);
    Ok(simple("cast", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let len = x.len() / crate::kernels::cast::number_size(from);
        let size = crate::kernels::cast::number_size(to);
        cast_kernel(from, to, first(x, len * crate::kernels::cast::number_size(from))?, first_mut(y, len * size)?);
        Ok(())
    }))
}

fn number_type(data_type: DataType) -> Result<NumberType> {
    Ok(match data_type {
        DataType::Float32 => NumberType::Float32,
        DataType::Int32 => NumberType::Int32,
        DataType::Int64 => NumberType::Int64,
        DataType::Uint8 => NumberType::Uint8,
        DataType::Int8 => NumberType::Int8,
        DataType::Bool => NumberType::Bool,
        other => return Err(Error::new(ErrorCode::InvalidPlan, format!("{other} cannot be cast by the engine"))),
    })
}
