//! Products of two activations.

use super::conv::{out, static_finish};
use super::{Run, first_mut, product};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::Result;
use crate::kernels::conv::{MatMul as Kernel, MatMulShape, Out};
use crate::kernels::float_gemm::{Product, float_matmul};
use crate::plan::{Floats, MatMul, Quanta, Source};
use crate::tensor::DataType;

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
    fn run(&self, frame: &mut Frame) -> Result<()> {
        let plan = &self.plan;
        let each = plan.m * plan.n;
        let ([a, b], [y], scratch) = frame.views([plan.a, plan.b], [plan.y])?;
        let len = product(&plan.batch) * each;
        let mut y = out(y, self.result, len)?;
        for (index, (at, bt)) in offsets(&plan.batch, &plan.a_strides, &plan.b_strides).enumerate() {
            let (from, to) = (index * each, (index + 1) * each);
            let mut part = match &mut y {
                Out::Uint8(y) => Out::Uint8(&mut y[from..to]),
                Out::Float32(y) => Out::Float32(&mut y[from..to]),
                Out::Int32(y) => Out::Int32(&mut y[from..to]),
            };
            self.kernel.run(&a[at..], &b[bt..], &mut part, scratch);
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

/// Where the matrices of each pair start. Sizes were checked with the plan.
fn offsets<'a>(batch: &'a [usize], a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + 'a {
    (0..product(batch)).map(move |index| {
        let (mut rest, mut at, mut bt) = (index, 0, 0);
        for (d, &size) in batch.iter().enumerate().rev() {
            at += rest % size * a[d];
            bt += rest % size * b[d];
            rest /= size;
        }
        (at, bt)
    })
}

struct Float(MatMul<Floats>);

pub fn float(plan: &MatMul<Floats>) -> Box<dyn Run> {
    Box::new(Float(plan.clone()))
}

impl Run for Float {
    fn run(&self, frame: &mut Frame) -> Result<()> {
        let MatMul { a, b, y, batch, m, k, n, a_strides, b_strides, kind } = &self.0;
        let ([a, b], [y], _) = frame.views([*a, *b], [*y])?;
        let shape = Product { batch, m: *m, k: *k, n: *n, a_strides, b_strides };
        let y = first_mut(elements_mut(y)?, product(batch) * m * n)?;
        float_matmul(shape, kind.alpha, elements(a)?, elements(b)?, y);
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "float matmul"
    }

    fn macs(&self) -> u64 {
        product(&[product(&self.0.batch), self.0.m, self.0.k, self.0.n]) as u64
    }
}
