//! Pools, means and resizing.

use super::{Run, first, first_mut, product, rowwise, slice};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::load::Loader;
use crate::engine::parts::Cut;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::pool;
use crate::kernels::resize::{LinearTaps, resize_linear, resize_linear_quantized, resize_nearest};
use crate::kernels::{Numbers, Rows, Window};
use crate::plan::{Pooling, Source, Taps, ValueId};
use crate::tensor::DataType;

pub fn pool(x: ValueId, y: ValueId, window: Window, pooling: Pooling, data_type: DataType) -> Box<dyn Run> {
    let from = product(&window.input);
    let rows = window.input[0] * window.output[0];
    let row = product(&[window.output[1], window.input[3]]);
    let taps = product(&[rows, row, window.kernel[0], window.kernel[1]]);
    let cut = |size: usize, speed: usize| Cut::new(y, rows, row.saturating_mul(size), (taps / speed) as u64);
    match pooling {
        Pooling::Max if data_type == DataType::Float32 => {
            rowwise("float max pool", cut(size_of::<f32>(), 2), move |part| {
                let y = first_mut(elements_mut(part.y)?, part.rows.len() * row)?;
                pool::max_pool_f32(window, first(elements(part.values.read(x)?)?, from)?, y, part.rows);
                Ok(())
            })
        }
        Pooling::Max => rowwise("max pool", cut(1, 8), move |part| {
            let y = first_mut(part.y, part.rows.len() * row)?;
            pool::max_pool(window, first(part.values.read(x)?, from)?, y, part.rows);
            Ok(())
        }),
        Pooling::Average { numbers: Numbers::Float, count_include_pad } => {
            rowwise("float average pool", cut(size_of::<f32>(), 2), move |part| {
                let y = first_mut(elements_mut(part.y)?, part.rows.len() * row)?;
                let x = first(elements(part.values.read(x)?)?, from)?;
                pool::average_pool_f32(window, x, y, count_include_pad, part.rows);
                Ok(())
            })
        }
        Pooling::Average { numbers: Numbers::Quantized { from: q, to: r }, count_include_pad } => {
            rowwise("average pool", cut(1, 1), move |part| {
                let y = first_mut(part.y, part.rows.len() * row)?;
                pool::average_pool(window, first(part.values.read(x)?, from)?, y, q, r, count_include_pad, part.rows);
                Ok(())
            })
        }
    }
}

pub fn mean(x: ValueId, y: ValueId, rows: Rows, numbers: Numbers) -> Box<dyn Run> {
    let block = product(&[rows.count, rows.inner]);
    let cut = |size: usize, speed: usize| {
        let time = block.saturating_mul(rows.outer) / speed;
        Cut::new(y, rows.outer, rows.inner.saturating_mul(size), time as u64)
    };
    match numbers {
        Numbers::Float => rowwise("float mean", cut(size_of::<f32>(), 2), move |part| {
            let (at, rows) = (part.rows.start * block, Rows { outer: part.rows.len(), ..rows });
            let x = slice(elements(part.values.read(x)?)?, at..at + rows.outer * block)?;
            pool::mean_f32(rows, x, first_mut(elements_mut(part.y)?, rows.outer * rows.inner)?);
            Ok(())
        }),
        Numbers::Quantized { from: q, to: r } => rowwise("mean", cut(1, 8), move |part| {
            let (at, rows) = (part.rows.start * block, Rows { outer: part.rows.len(), ..rows });
            let x = slice(part.values.read(x)?, at..at + rows.outer * block)?;
            pool::mean(rows, x, first_mut(part.y, rows.outer * rows.inner)?, q, r);
            Ok(())
        }),
    }
}

/// Where the taps of one axis lie, and their weights.
pub struct Positions {
    positions: Vec<[u32; 2]>,
    weights: Vec<[f32; 2]>,
}

/// Reads taps.
pub fn taps<S: Source + ?Sized>(taps: &Taps, loader: &Loader<S>) -> Result<Positions> {
    let positions = loader.list::<u32>(taps.positions)?.as_chunks::<2>().0.to_vec();
    let weights = loader.optional::<f32>(taps.weights)?.as_chunks::<2>().0.to_vec();
    Ok(Positions { positions, weights })
}

pub fn resize(
    x: ValueId,
    y: ValueId,
    input: [usize; 4],
    output: [usize; 2],
    [vertical, horizontal]: [Positions; 2],
    numbers: Numbers,
    data_type: DataType,
) -> Result<Box<dyn Run>> {
    let inside = |p: &Positions, size: usize| p.positions.iter().flatten().all(|&at| (at as usize) < size);
    if !inside(&vertical, input[1]) || !inside(&horizontal, input[2]) {
        return Err(Error::new(ErrorCode::InvalidPlan, "a resize reads outside of its input"));
    }
    let from = product(&input);
    let row = product(&[output[1], input[3]]);
    let rows = input[0] * output[0];
    let size = data_type.size();
    let cut = |speed: usize| {
        let time = row.saturating_mul(rows) / speed;
        Cut::new(y, rows, row.saturating_mul(size), time as u64)
    };
    if vertical.weights.is_empty() {
        return Ok(rowwise("nearest resize", cut(2), move |part| {
            let (x, y) = (first(part.values.read(x)?, from * size)?, first_mut(part.y, part.rows.len() * row * size)?);
            resize_nearest(x, y, size, input, &vertical.positions, &horizontal.positions, part.rows);
            Ok(())
        }));
    }
    Ok(rowwise("linear resize", cut(1), move |part| {
        let x = part.values.read(x)?;
        let len = part.rows.len() * row;
        let v = LinearTaps { positions: &vertical.positions, weights: &vertical.weights };
        let h = LinearTaps { positions: &horizontal.positions, weights: &horizontal.weights };
        match numbers {
            Numbers::Float => {
                let y = first_mut(elements_mut(part.y)?, len)?;
                resize_linear(first(elements(x)?, from)?, y, input, v, h, part.rows);
            }
            Numbers::Quantized { from: q, to: r } => {
                let y = first_mut(part.y, len)?;
                resize_linear_quantized(first(x, from)?, y, input, v, h, [q, r], part.rows);
            }
        }
        Ok(())
    }))
}
