//! Comparisons, logic, integer arithmetic, and what is found along an axis.

use super::elementwise::{Outer, number_type};
use super::{Run, first, first_mut, product, rowwise, slice};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::parts::Cut;
use crate::error::Result;
use crate::kernels::cast::number_size;
use crate::kernels::numbers::number_binary;
use crate::kernels::pool::sum_f32;
use crate::kernels::reduce::{reduce as reduce_kernel, reduced_size};
use crate::kernels::top_k::top_k as top_k_kernel;
use crate::kernels::{NumberBinary, NumberType, Reduction, Rows, Strided};
use crate::plan::{Broadcast, ValueId};
use crate::tensor::DataType;

pub fn binary(function: NumberBinary, operands: &Broadcast, data_type: DataType) -> Result<Box<dyn Run>> {
    let o = operands.clone();
    let outer = Outer::new(&o.shape);
    let of = number_type(data_type)?;
    let size = number_size(of);
    let result = if function.is_arithmetic() { size } else { 1 };
    Ok(rowwise("numbers", outer.cut(o.y, result, 1), move |part| {
        let bytes = |strides: &[usize]| strides.iter().map(|s| s * size).collect::<Vec<_>>();
        let [a_bytes, b_bytes] = [bytes(&o.a_strides), bytes(&o.b_strides)];
        let a = outer.operand(part.values.read(o.a)?, &a_bytes, &part.rows)?.data;
        let b = outer.operand(part.values.read(o.b)?, &b_bytes, &part.rows)?.data;
        let shape = outer.part(&part.rows);
        let [a, b] = [(a, &o.a_strides), (b, &o.b_strides)].map(|(data, strides)| Strided { data, strides });
        number_binary(function, of, &shape, a, b, first_mut(part.y, product(&shape) * result)?);
        Ok(())
    }))
}

pub fn reduce(x: ValueId, y: ValueId, rows: Rows, function: Reduction, data_type: DataType) -> Result<Box<dyn Run>> {
    let of = number_type(data_type)?;
    let block = product(&[rows.count, rows.inner, number_size(of)]);
    let row = product(&[rows.inner, reduced_size(function, of)]);
    let time = product(&[rows.outer, rows.count, rows.inner]).saturating_mul(2);
    Ok(rowwise("reduce", Cut::new(y, rows.outer, row, time as u64), move |part| {
        let x = slice(part.values.read(x)?, part.rows.start * block..part.rows.end * block)?;
        let rows = Rows { outer: part.rows.len(), ..rows };
        if (function, of) == (Reduction::Sum, NumberType::Float32) {
            sum_f32(rows, elements(x)?, first_mut(elements_mut(part.y)?, rows.outer * rows.inner)?);
            return Ok(());
        }
        reduce_kernel(function, of, rows, x, first_mut(part.y, rows.outer * row)?);
        Ok(())
    }))
}

struct TopK {
    x: ValueId,
    y: [ValueId; 2],
    outer: usize,
    sizes: [usize; 2],
    largest: bool,
}

pub fn top_k(x: ValueId, y: [ValueId; 2], outer: usize, sizes: [usize; 2], largest: bool) -> Box<dyn Run> {
    Box::new(TopK { x, y, outer, sizes, largest })
}

impl Run for TopK {
    fn begin(&mut self, frame: &mut Frame) -> Result<()> {
        let [count, k] = self.sizes;
        let ([x], [values, places], scratch) = frame.views([self.x], self.y)?;
        let x = first(elements(x)?, self.outer * count)?;
        let values = first_mut(elements_mut(values)?, self.outer * k)?;
        let places = first_mut(elements_mut(places)?, self.outer * k)?;
        top_k_kernel(x, values, places, self.sizes, self.largest, first_mut(elements_mut(scratch)?, count)?);
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "top k"
    }

    fn scratch(&self) -> usize {
        self.sizes[0].saturating_mul(size_of::<u32>())
    }
}
