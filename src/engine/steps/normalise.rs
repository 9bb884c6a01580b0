//! Softmax and layer normalisation.

use super::{Run, first, first_mut, product, simple};
use crate::engine::frame::{elements, elements_mut};
use crate::kernels::layer_norm::layer_norm as layer_norm_kernel;
use crate::kernels::softmax::{softmax as softmax_kernel, softmax_quantized};
use crate::kernels::{Numbers, Rows};
use crate::plan::ValueId;

pub fn softmax(x: ValueId, y: ValueId, rows: Rows, numbers: Numbers) -> Box<dyn Run> {
    let len = product(&[rows.outer, rows.count, rows.inner]);
    match numbers {
        Numbers::Float => simple("softmax", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            softmax_kernel(first(elements(x)?, len)?, first_mut(elements_mut(y)?, len)?, rows);
            Ok(())
        }),
        Numbers::Quantized { from, to } => simple("quantized softmax", move |frame| {
            let ([x], [y], _) = frame.views([x], [y])?;
            softmax_quantized(first(x, len)?, first_mut(y, len)?, rows, from, to);
            Ok(())
        }),
    }
}

pub fn layer_norm(x: ValueId, y: ValueId, [scale, bias]: [Vec<f32>; 2], len: usize, epsilon: f32) -> Box<dyn Run> {
    simple("layer norm", move |frame| {
        let ([x], [y], _) = frame.views([x], [y])?;
        let bias = Some(&*bias).filter(|b| !b.is_empty());
        layer_norm_kernel(first(elements(x)?, len)?, first_mut(elements_mut(y)?, len)?, &scale, bias, epsilon);
        Ok(())
    })
}
