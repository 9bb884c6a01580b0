//! Elements that move and do not change.

use super::{Run, first, first_mut, product, simple};
use crate::engine::frame::elements;
use crate::error::{Error, ErrorCode};
use crate::kernels::Rows;
use crate::kernels::copy::{Place, copy as copy_kernel, fill as fill_kernel};
use crate::kernels::gather::{Indices, gather as gather_kernel};
use crate::plan::{ValueId, View};
use crate::tensor::DataType;

pub fn copy(
    x: ValueId,
    y: ValueId,
    size: usize,
    shape: Vec<usize>,
    from: View,
    to: View,
    table: Option<Box<[u8; 256]>>,
) -> Box<dyn Run> {
    simple("copy", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let from = Place { offset: from.offset, strides: &from.strides };
        let to = Place { offset: to.offset, strides: &to.strides };
        copy_kernel(x, y, size, &shape, from, to, table.as_deref());
        Ok(())
    })
}

pub fn fill(y: ValueId, value: Vec<u8>) -> Box<dyn Run> {
    simple("fill", move |frame| {
        let ([], [y], _) = frame.views([], [y])?;
        fill_kernel(y, &value);
        Ok(())
    })
}

pub fn gather(
    x: ValueId,
    indices: ValueId,
    y: ValueId,
    rows: Rows,
    count: usize,
    [data_type, index_type]: [DataType; 2],
) -> Box<dyn Run> {
    let size = data_type.size();
    let from = product(&[rows.outer, rows.count, rows.inner, size]);
    let to = product(&[rows.outer, count, rows.inner, size]);
    simple("gather", move |frame| {
        let ([x, indices], [y], _) = frame.views([x, indices], [y])?;
        let indices = match index_type {
            DataType::Int32 => Indices::Int32(first(elements(indices)?, count)?),
            _ => Indices::Int64(first(elements(indices)?, count)?),
        };
        gather_kernel(first(x, from)?, size, rows, indices, first_mut(y, to)?).map_err(|index| {
            Error::new(
                ErrorCode::ExecutionFailed,
                format!("the index {index} is out of range for an axis of {} elements", rows.count),
            )
            .expected(format!("{}..{}", -(rows.count as i64), rows.count), index)
            .with_hint("check the values of the inputs that are used as indices, token numbers for instance")
        })
    })
}
