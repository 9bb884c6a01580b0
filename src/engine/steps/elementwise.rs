//! Element by element.

use std::ops::Range;

use super::{ELEMENTS, Run, element_cut, first_mut, product, rowwise, short, slice, span};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::parts::{Cut, Part};
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::binary::quantized_binary as quantized_kernel;
use crate::kernels::cast::{cast as cast_kernel, number_size};
use crate::kernels::float_binary::float_binary as float_kernel;
use crate::kernels::float_unary::{float_unary as unary_kernel, float_unary_in_place};
use crate::kernels::table::{look_up, look_up_in_place};
use crate::kernels::where_::select as select_kernel;
use crate::kernels::{BinaryQuantization, FloatBinary, FloatUnary, NumberType, Quantization, QuantizedBinary, Strided};
use crate::plan::{Broadcast, ValueId};
use crate::tensor::DataType;

/// How broadcast operands are cut: along the outermost dimension that has more than one element.
pub(super) struct Outer {
    shape: Vec<usize>,
    axis: usize,
}

impl Outer {
    pub(super) fn new(shape: &[usize]) -> Self {
        let axis = shape.iter().position(|&count| count != 1).unwrap_or(shape.len());
        Self { shape: shape.to_vec(), axis }
    }

    /// Results have `size` bytes; a nanosecond is enough for `speed` of them.
    pub(super) fn cut(&self, y: ValueId, size: usize, speed: usize) -> Cut {
        let row = product(self.shape.get(self.axis + 1..).unwrap_or_default());
        let rows = self.shape.get(self.axis).copied().unwrap_or(1);
        let cut = Cut::new(y, rows, row.saturating_mul(size), (product(&self.shape) / speed) as u64);
        // Rows of few elements are joined where they can be.
        cut.unit(ELEMENTS.div_ceil(row.max(1)))
    }

    /// The shape of some rows.
    pub(super) fn part(&self, rows: &Range<usize>) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(count) = shape.get_mut(self.axis) {
            *count = rows.len();
        }
        shape
    }

    /// An operand, from the first of some rows on.
    pub(super) fn operand<'a, T>(
        &self,
        data: &'a [T],
        strides: &'a [usize],
        rows: &Range<usize>,
    ) -> Result<Strided<'a, T>> {
        let at = rows.start * strides.get(self.axis).copied().unwrap_or(0);
        Ok(Strided { data: data.get(at..).ok_or_else(short)?, strides })
    }
}

pub fn quantized_binary(
    function: QuantizedBinary,
    operands: &Broadcast,
    [a, b, y]: [Quantization; 3],
    [low, high]: [u8; 2],
) -> Box<dyn Run> {
    let parameters = BinaryQuantization { a, b, y, low, high };
    let o = operands.clone();
    let outer = Outer::new(&o.shape);
    let name = match function {
        QuantizedBinary::Add => "quantized add",
        QuantizedBinary::Sub => "quantized sub",
        QuantizedBinary::Mul => "quantized mul",
    };
    rowwise(name, outer.cut(o.y, 1, 3), move |Part { rows, y, values, .. }| {
        let a = outer.operand(values.read(o.a)?, &o.a_strides, &rows)?;
        let b = outer.operand(values.read(o.b)?, &o.b_strides, &rows)?;
        let shape = outer.part(&rows);
        quantized_kernel(function, &parameters, &shape, a, b, first_mut(y, product(&shape))?);
        Ok(())
    })
}

pub fn float_binary(function: FloatBinary, operands: &Broadcast) -> Box<dyn Run> {
    let o = operands.clone();
    let outer = Outer::new(&o.shape);
    rowwise("float binary", outer.cut(o.y, size_of::<f32>(), 2), move |Part { rows, y, values, .. }| {
        let a = outer.operand(elements(values.read(o.a)?)?, &o.a_strides, &rows)?;
        let b = outer.operand(elements(values.read(o.b)?)?, &o.b_strides, &rows)?;
        let shape = outer.part(&rows);
        float_kernel(function, &shape, a, b, first_mut(elements_mut(y)?, product(&shape))?);
        Ok(())
    })
}

pub fn float_unary(function: FloatUnary, x: ValueId, y: ValueId, len: usize) -> Box<dyn Run> {
    let cut = element_cut(y, len, size_of::<f32>(), 1);
    rowwise("float unary", cut, move |Part { rows, y, values, .. }| {
        let range = span(&rows, ELEMENTS, len);
        let to = first_mut(elements_mut(y)?, range.len())?;
        if cut.y == x {
            float_unary_in_place(function, to);
        } else {
            unary_kernel(function, slice(elements(values.read(x)?)?, range)?, to);
        }
        Ok(())
    })
}

pub fn table(x: ValueId, y: ValueId, table: Box<[u8; 256]>, len: usize) -> Box<dyn Run> {
    let cut = element_cut(y, len, 1, 2);
    rowwise("table", cut, move |Part { rows, y, values, .. }| {
        let range = span(&rows, ELEMENTS, len);
        let to = first_mut(y, range.len())?;
        if cut.y == x {
            look_up_in_place(to, &table);
        } else {
            look_up(slice(values.read(x)?, range)?, &table, to);
        }
        Ok(())
    })
}

pub fn float_table(x: ValueId, y: ValueId, table: Vec<f32>, len: usize) -> Box<dyn Run> {
    rowwise("float table", element_cut(y, len, size_of::<f32>(), 1), move |Part { rows, y, values, .. }| {
        let x = slice(values.read(x)?, span(&rows, ELEMENTS, len))?;
        for (y, &x) in elements_mut(y)?.iter_mut().zip(x) {
            *y = table.get(x as usize).copied().unwrap_or(f32::NAN);
        }
        Ok(())
    })
}

pub fn select(condition: ValueId, strides: Vec<usize>, operands: &Broadcast, data_type: DataType) -> Box<dyn Run> {
    let o = operands.clone();
    let outer = Outer::new(&o.shape);
    let size = data_type.size();
    rowwise("where", outer.cut(o.y, size, 2), move |Part { rows, y, values, .. }| {
        let condition = outer.operand(values.read(condition)?, &strides, &rows)?;
        let (a, b) = (values.read(o.a)?, values.read(o.b)?);
        let shape = outer.part(&rows);
        macro_rules! select {
            ($t:ty) => {
                select_kernel::<$t>(
                    &shape,
                    condition,
                    outer.operand(elements(a)?, &o.a_strides, &rows)?,
                    outer.operand(elements(b)?, &o.b_strides, &rows)?,
                    first_mut(elements_mut(y)?, product(&shape))?,
                )
            };
        }
        match size {
            1 => select!(u8),
            4 => select!(u32),
            _ => select!(u64),
        }
        Ok(())
    })
}

pub fn cast(x: ValueId, y: ValueId, from: DataType, to: DataType, len: usize) -> Result<Box<dyn Run>> {
    let (from, to) = (number_type(from)?, number_type(to)?);
    let [size, result] = [from, to].map(number_size);
    Ok(rowwise("cast", element_cut(y, len, result, 1), move |Part { rows, y, values, .. }| {
        let range = span(&rows, ELEMENTS, len);
        let x = slice(values.read(x)?, range.start * size..range.end * size)?;
        cast_kernel(from, to, x, first_mut(y, range.len() * result)?);
        Ok(())
    }))
}

pub(super) fn number_type(data_type: DataType) -> Result<NumberType> {
    Ok(match data_type {
        DataType::Float32 => NumberType::Float32,
        DataType::Int32 => NumberType::Int32,
        DataType::Int64 => NumberType::Int64,
        DataType::Uint8 => NumberType::Uint8,
        DataType::Int8 => NumberType::Int8,
        DataType::Bool => NumberType::Bool,
        other => return Err(Error::new(ErrorCode::InvalidPlan, format!("the engine does not compute with {other}"))),
    })
}
