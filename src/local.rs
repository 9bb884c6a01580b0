//! Both halves in one process: what native callers and the tests use.

use std::rc::Rc;

use crate::compiler::{CompileOptions, CompiledModel, ExternalData};
use crate::engine::{Host, Session};
use crate::error::Result;
use crate::plan::Source;
use crate::tensor::Tensor;

impl Host for CompiledModel {
    fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Box<dyn Source>> {
        Ok(Box::new(CompiledModel::specialize(self, shapes)?))
    }

    fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        CompiledModel::run_subgraph(self, id, inputs)
    }
}

/// Compiles a model and makes it ready to run.
///
/// # Errors
/// See [`CompiledModel::open`].
pub fn open(model: &[u8], external: &[ExternalData], options: &CompileOptions) -> Result<Session> {
    let file: Rc<dyn Source> = Rc::new(model.to_vec());
    let model = CompiledModel::open(&file, external, options)?;
    let plan = model.plan();
    Session::new(&plan, Some(Box::new(model)))
}
