//! Elements that move and do not change.

use super::{Run, first, first_mut, product, rowwise, short, whole};
use crate::engine::frame::elements;
use crate::engine::parts::Cut;
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
    let Some(axis) = outermost(&shape, &to.strides) else {
        return whole("copy", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            let from = Place { offset: from.offset, strides: &from.strides };
            let to = Place { offset: to.offset, strides: &to.strides };
            copy_kernel(x, y, size, &shape, from, to, table.as_deref());
            Ok(())
        });
    };
    let bytes = product(&shape).saturating_mul(size);
    let cut = Cut::new(y, shape[axis], to.strides[axis].saturating_mul(size), (bytes / 4) as u64);
    // Tiles of transpositions are 16 rows high.
    let cut = Cut { offset: to.offset.saturating_mul(size), ..cut.good(16) };
    rowwise("copy", cut, move |part| {
        let mut shape = shape.clone();
        shape[axis] = part.rows.len();
        let start = from.strides[axis].checked_mul(part.rows.start).and_then(|at| at.checked_add(from.offset));
        let from = Place { offset: start.ok_or_else(short)?, strides: &from.strides };
        let to = Place { offset: 0, strides: &to.strides };
        copy_kernel(part.values.read(x)?, part.y, size, &shape, from, to, table.as_deref());
        Ok(())
    })
}

/// The dimension whose steps are the largest, if those of all others together lie within one of them.
fn outermost(shape: &[usize], strides: &[usize]) -> Option<usize> {
    let dims = || shape.iter().zip(strides).enumerate().filter(|&(_, (&count, _))| count > 1);
    let (axis, (_, &step)) = dims().max_by_key(|&(_, (_, &step))| step)?;
    let others = dims().filter(|&(d, _)| d != axis);
    let reach =
        others.fold(1usize, |reach, (_, (&count, &step))| reach.saturating_add((count - 1).saturating_mul(step)));
    (reach <= step && !shape.contains(&0)).then_some(axis)
}

pub fn fill(y: ValueId, value: Vec<u8>) -> Box<dyn Run> {
    whole("fill", move |frame| {
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
    whole("gather", move |frame| {
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
