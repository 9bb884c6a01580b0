//! Softmax and layer normalisation.

use super::{Run, first, first_mut, product, rowwise, short};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::parts::Cut;
use crate::error::Result;
use crate::kernels::layer_norm::layer_norm as layer_norm_kernel;
use crate::kernels::softmax::{softmax as softmax_kernel, softmax_quantized};
use crate::kernels::{Numbers, Rows};
use crate::plan::ValueId;

pub fn softmax(x: ValueId, y: ValueId, rows: Rows, numbers: Numbers) -> Box<dyn Run> {
    let block = product(&[rows.count, rows.inner]);
    let len = block.saturating_mul(rows.outer);
    match numbers {
        Numbers::Float => {
            let cut = Cut::new(y, rows.outer, block.saturating_mul(size_of::<f32>()), len as u64);
            rowwise("softmax", cut, move |part| {
                let rows = Rows { outer: part.rows.len(), ..rows };
                let x = blocks(elements(part.values.read(x)?)?, part.rows.start, rows.outer, block)?;
                softmax_kernel(x, first_mut(elements_mut(part.y)?, x.len())?, rows);
                Ok(())
            })
        }
        Numbers::Quantized { from, to } => {
            let cut = Cut::new(y, rows.outer, block, len as u64);
            rowwise("quantized softmax", cut, move |part| {
                let rows = Rows { outer: part.rows.len(), ..rows };
                let x = blocks(part.values.read(x)?, part.rows.start, rows.outer, block)?;
                softmax_quantized(x, first_mut(part.y, x.len())?, rows, from, to);
                Ok(())
            })
        }
    }
}

pub fn layer_norm(x: ValueId, y: ValueId, [scale, bias]: [Vec<f32>; 2], outer: usize, epsilon: f32) -> Box<dyn Run> {
    let count = scale.len();
    let cut = Cut::new(y, outer, count.saturating_mul(size_of::<f32>()), (outer.saturating_mul(count) / 2) as u64);
    rowwise("layer norm", cut, move |part| {
        let x = blocks(elements(part.values.read(x)?)?, part.rows.start, part.rows.len(), count)?;
        let bias = Some(&*bias).filter(|b| !b.is_empty());
        layer_norm_kernel(x, first_mut(elements_mut(part.y)?, x.len())?, &scale, bias, epsilon);
        Ok(())
    })
}

/// Some blocks of `size` elements.
fn blocks<T>(x: &[T], start: usize, count: usize, size: usize) -> Result<&[T]> {
    first(x.get(start * size..).ok_or_else(short)?, count * size)
}
