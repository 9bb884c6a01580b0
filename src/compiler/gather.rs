//! `Gather` with a check: tract takes the indices to be in range, be they constants or data.

use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::internal::*;

/// tract's `Gather`, with a check in front.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CheckedGather(Gather);

impl Op for CheckedGather {
    fn name(&self) -> StaticName {
        "Gather".into()
    }
    op_as_typed_op!();
}

impl EvalOp for CheckedGather {
    not_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let size = *inputs[0].shape().get(self.0.axis).context("the axis is out of range")? as i64;
        let indices = inputs[1].cast_to::<i64>()?;
        for &index in indices.try_as_plain_ram()?.as_slice::<i64>()? {
            ensure!((-size..size).contains(&index), "the index {index} is out of range for {size} elements");
        }
        self.0.eval(ctx, inputs)
    }
}

impl TypedOp for CheckedGather {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
    as_op!();
}

/// Puts the check in front of every `Gather`.
pub fn check_indices(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some(gather) = model.node(id).op_as::<Gather>().cloned() else { continue };
        model.nodes_mut()[id].op = Box::new(CheckedGather(gather));
    }
    Ok(())
}
