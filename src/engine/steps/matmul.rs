//! Products of two activations.

use super::conv::{out, static_finish};
use super::{Run, first_mut, product, short};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::load::Loader;
use crate::engine::parts::{Cut, Part};
use crate::error::Result;
use crate::kernels::conv::{MatMul as Kernel, MatMulShape};
use crate::kernels::float_gemm::{Product, ROW_BLOCK, float_matmul};
use crate::plan::{Floats, MatMul, Quanta, Source};
use crate::tensor::DataType;

/// Rows that packing the right operand is worth.
const GOOD_ROWS: usize = 60;

struct Quantized {
    plan: MatMul<Quanta>,
    kernel: Kernel,
    result: DataType,
}

pub fn quantized<S: Source + ?Sized>(plan: &MatMul<Quanta>, loader: &Loader<S>) -> Result<Box<dyn Run>> {
    let rank = plan.batch.len();
    let shape = MatMulShape {
        m: plan.m,
        k: plan.k,
        n: plan.n,
        a_strides: [plan.a_strides[rank], plan.a_strides[rank + 1]],
        b_strides: [plan.b_strides[rank], plan.b_strides[rank + 1]],
    };
    let finish = static_finish(&plan.kind.finish, None, loader)?;
    let kernel =
        Kernel::new(loader.dot, &shape, plan.kind.a_zero_point, plan.kind.b_zero_point, &finish.as_kernel(1.0));
    Ok(Box::new(Quantized { plan: plan.clone(), kernel, result: finish.result() }))
}

impl Run for Quantized {
    fn cut(&self) -> Option<Cut> {
        let MatMul { y, batch, m, n, .. } = &self.plan;
        let rows = product(batch).saturating_mul(*m);
        let row_bytes = n.saturating_mul(self.result.size());
        // The right operand is packed for each part.
        Some(Cut::new(*y, rows, row_bytes, self.macs() / 24).good((*m).max(GOOD_ROWS)))
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        let MatMul { batch, m, n, a_strides, b_strides, .. } = &self.plan;
        let Part { rows, y, scratch, values } = part;
        let (a, b) = (values.read(self.plan.a)?, values.read(self.plan.b)?);
        let mut y = out(y, self.result, rows.len() * n)?;
        let mut row = rows.start;
        while row < rows.end {
            let index = row / m;
            let end = rows.end.min((index + 1) * m);
            let [at, bt] = [a_strides, b_strides].map(|strides| offset(batch, strides, index));
            let to = &mut y.from((row - rows.start) * n);
            self.kernel.run(&a[at..], &b[bt..], row - index * m..end - index * m, to, scratch);
            row = end;
        }
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "quantized matmul"
    }

    fn scratch(&self) -> usize {
        self.kernel.scratch_bytes()
    }

    fn macs(&self) -> u64 {
        product(&[product(&self.plan.batch), self.plan.m, self.plan.k, self.plan.n]) as u64
    }
}

/// Where a matrix starts. Sizes were checked with the plan.
fn offset(batch: &[usize], strides: &[usize], index: usize) -> usize {
    let (mut rest, mut at) = (index, 0);
    for (&size, stride) in batch.iter().zip(strides).rev() {
        at += rest % size * stride;
        rest /= size;
    }
    at
}

struct Float(MatMul<Floats>);

pub fn float(plan: &MatMul<Floats>) -> Box<dyn Run> {
    Box::new(Float(plan.clone()))
}

impl Float {
    /// Whether columns are shared out: there is one row only.
    fn is_row(&self) -> bool {
        product(&self.0.batch).saturating_mul(self.0.m) == 1
    }
}

impl Run for Float {
    fn cut(&self) -> Option<Cut> {
        let MatMul { y, batch, m, n, .. } = &self.0;
        let time = self.macs() / 6;
        if self.is_row() {
            return Some(Cut::new(*y, n.div_ceil(ROW_BLOCK), ROW_BLOCK * size_of::<f32>(), time));
        }
        let row_bytes = n.saturating_mul(size_of::<f32>());
        Some(Cut::new(*y, product(batch).saturating_mul(*m), row_bytes, time).good((*m).max(GOOD_ROWS)))
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        let MatMul { a, b, batch, m, k, n, a_strides, b_strides, kind, .. } = &self.0;
        let Part { rows, y, values, .. } = part;
        let (a, mut b) = (elements(values.read(*a)?)?, elements(values.read(*b)?)?);
        let (mut shape, mut rows) = (Product { batch, m: *m, k: *k, n: *n, a_strides, b_strides }, rows);
        if self.is_row() {
            let columns = rows.start * ROW_BLOCK..(rows.end * ROW_BLOCK).min(*n);
            b = b.get(columns.start * b_strides[batch.len() + 1]..).ok_or_else(short)?;
            (shape.n, rows) = (columns.len(), 0..1);
        }
        let y = first_mut(elements_mut(y)?, rows.len() * shape.n)?;
        float_matmul(shape, kind.alpha, a, b, rows, y);
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "float matmul"
    }

    fn macs(&self) -> u64 {
        product(&[product(&self.0.batch), self.0.m, self.0.k, self.0.n]) as u64
    }
}
