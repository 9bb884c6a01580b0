//! Joins without copies: where a convolution's result is only copied into its place in a join (`Concat`), the
//! convolution writes there itself.

use crate::plan::{Operation, ValueId, Variant};

/// Rewrites a variant.
pub fn join(variant: &mut Variant) {
    let mut index = 0;
    while index < variant.steps.len() {
        if let Some((producer, y, row_stride, column)) = find(variant, index)
            && let Operation::Conv(conv) = &mut variant.steps[producer].operation
        {
            conv.y = y;
            conv.row_stride = row_stride;
            conv.column = column;
            variant.steps.remove(index);
            continue;
        }
        index += 1;
    }
}

/// If the step is such a copy: the convolution, and where it is to write.
fn find(variant: &Variant, index: usize) -> Option<(usize, ValueId, usize, usize)> {
    let Operation::Copy { x, y, shape, from, to, table: None } = &variant.steps[index].operation else { return None };
    let touches =
        |id: ValueId, at: usize| variant.steps[at].reads().contains(&id) || variant.steps[at].writes().contains(&id);
    let mut users = (0..variant.steps.len()).filter(|&at| touches(*x, at));
    let (producer, reader) = (users.next()?, users.next()?);
    let Operation::Conv(conv) = &variant.steps[producer].operation else { return None };
    let channels = conv.channels;
    if reader != index
        || users.next().is_some()
        || conv.y != *x
        || conv.row_stride != channels
        || variant.outputs.contains(x)
        || from.offset != 0
    {
        return None;
    }
    // Whatever else is written to the join are other parts of it; only what sets all of it must come before.
    let refilled = variant.steps[producer..].iter().any(|s| match &s.operation {
        Operation::Fill { y: filled, .. } => filled == y,
        _ => false,
    });
    if refilled {
        return None;
    }
    // All of x, densely, in rows of `channels` that lie `row_stride` apart.
    let dims: Vec<(usize, usize, usize)> = shape
        .iter()
        .zip(from.strides.iter().zip(&to.strides))
        .map(|(&d, (&f, &t))| (d, f, t))
        .filter(|&(d, ..)| d != 1)
        .collect();
    let count: usize = dims.iter().try_fold(1usize, |n, d| n.checked_mul(d.0))?;
    let positions = conv.window.input[0].checked_mul(conv.window.output[0])?.checked_mul(conv.window.output[1])?;
    if count != positions.checked_mul(channels)? {
        return None;
    }
    let mut dense = 1;
    let mut row_stride = None;
    for &(d, from, to) in dims.iter().rev() {
        if from != dense {
            return None;
        }
        if dense < channels {
            // Inside of a row, or over its end: no gaps.
            if to != dense {
                return None;
            }
        } else {
            let row = dense / channels;
            match row_stride {
                None => row_stride = Some(to),
                Some(stride) if to == row * stride => (),
                Some(_) => return None,
            }
        }
        dense = dense.checked_mul(d)?;
        if dense > channels && row_stride.is_none() {
            if !dense.is_multiple_of(channels) {
                return None;
            }
            row_stride = Some(channels);
        }
    }
    let row_stride = row_stride.unwrap_or(channels);
    let column = to.offset;
    (column.checked_add(channels)? <= row_stride).then_some((producer, *y, row_stride, column))
}
