//! Pools, means and resizing.

use super::{Run, first, first_mut, product, simple};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::pool;
use crate::kernels::resize::{LinearTaps, resize_linear, resize_linear_quantized, resize_nearest};
use crate::kernels::{Numbers, Rows, Window};
use crate::plan::{Pooling, Source, Taps, ValueId};
use crate::tensor::DataType;

pub fn pool(x: ValueId, y: ValueId, window: Window, pooling: Pooling, data_type: DataType) -> Box<dyn Run> {
    let from = product(&window.input);
    let rows = window.input[0] * window.output[0];
    let to = product(&[window.input[0], window.output[0], window.output[1], window.input[3]]);
    match pooling {
        Pooling::Max if data_type == DataType::Float32 => simple("float max pool", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            pool::max_pool_f32(window, first(elements(x)?, from)?, first_mut(elements_mut(y)?, to)?, 0..rows);
            Ok(())
        }),
        Pooling::Max => simple("max pool", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            pool::max_pool(window, first(x, from)?, first_mut(y, to)?, 0..rows);
            Ok(())
        }),
        Pooling::Average { numbers: Numbers::Float, count_include_pad } => simple("float average pool", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            let y = first_mut(elements_mut(y)?, to)?;
            pool::average_pool_f32(window, first(elements(x)?, from)?, y, count_include_pad, 0..rows);
            Ok(())
        }),
        Pooling::Average { numbers: Numbers::Quantized { from: q, to: r }, count_include_pad } => {
            simple("average pool", move |frame| {
                let ([x], [y], _) = frame.views([x], [y])?;
                pool::average_pool(window, first(x, from)?, first_mut(y, to)?, q, r, count_include_pad, 0..rows);
                Ok(())
            })
        }
    }
}

pub fn mean(x: ValueId, y: ValueId, rows: Rows, numbers: Numbers) -> Box<dyn Run> {
    let from = product(&[rows.outer, rows.count, rows.inner]);
    let to = product(&[rows.outer, rows.inner]);
    match numbers {
        Numbers::Float => simple("float mean", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            pool::mean_f32(rows, first(elements(x)?, from)?, first_mut(elements_mut(y)?, to)?);
            Ok(())
        }),
        Numbers::Quantized { from: q, to: r } => simple("mean", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            pool::mean(rows, first(x, from)?, first_mut(y, to)?, q, r);
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
    let to = product(&[input[0], output[0], output[1], input[3]]);
    let size = data_type.size();
    if vertical.weights.is_empty() {
        return Ok(simple("nearest resize", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            let (x, y) = (first(x, from * size)?, first_mut(y, to * size)?);
            resize_nearest(x, y, size, input, &vertical.positions, &horizontal.positions);
            Ok(())
        }));
    }
    Ok(simple("linear resize", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let v = LinearTaps { positions: &vertical.positions, weights: &vertical.weights };
        let h = LinearTaps { positions: &horizontal.positions, weights: &horizontal.weights };
        match numbers {
            Numbers::Float => resize_linear(first(elements(x)?, from)?, first_mut(elements_mut(y)?, to)?, input, v, h),
            Numbers::Quantized { from: q, to: r } => {
                resize_linear_quantized(first(x, from)?, first_mut(y, to)?, input, v, h, q, r);
            }
        }
        Ok(())
    }))
}
