//! `Softmax` as tract's rewriting has to see it: tract's own says that an element of the result comes from one element of
//! the input, so a `Slice` behind it would be moved in front of it, along the axis that it sums over.

use tract_onnx::tract_core::ops::nn::Softmax;
use tract_onnx::tract_hir::internal::*;

/// tract's `Softmax`, of whose axes nothing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WholeSoftmax(Softmax);

impl Op for WholeSoftmax {
    fn name(&self) -> StaticName {
        self.0.name()
    }
    op_as_typed_op!();
}

impl EvalOp for WholeSoftmax {
    not_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(ctx, inputs)
    }
}

impl TypedOp for WholeSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
    as_op!();
}

/// Replaces every `Softmax`.
pub fn keep_whole(model: &mut TypedModel) {
    for id in 0..model.nodes().len() {
        let Some(softmax) = model.node(id).op_as::<Softmax>().cloned() else { continue };
        model.nodes_mut()[id].op = Box::new(WholeSoftmax(softmax));
    }
}
