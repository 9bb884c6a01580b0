//! Operators that tract's rewriting gets wrong, hidden from it.
//!
//! * `Softmax` says that an element of the result comes from one element of the input, so a `Slice` behind it would be
//!   moved in front of it, along the axis that it sums over.
//! * `c - Conv(x)` becomes a convolution with the bias `c - bias`, of which the kernel is not negated; `c / Conv(x)` one of
//!   which the kernel is `c / kernel`.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::math::{Div, Sub};
use tract_onnx::tract_core::ops::nn::Softmax;
use tract_onnx::tract_hir::internal::*;

/// An operator of tract's of which nothing is said but what it computes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole<T>(T);

impl<T: TypedOp + Clone + PartialEq + Eq> Op for Whole<T> {
    fn name(&self) -> StaticName {
        self.0.name()
    }
    op_as_typed_op!();
}

impl<T: TypedOp + Clone + PartialEq + Eq> EvalOp for Whole<T> {
    not_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(ctx, inputs)
    }
}

impl<T: TypedOp + Clone + PartialEq + Eq> TypedOp for Whole<T> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
    as_op!();
}

/// Hides all of them.
pub fn keep_whole(model: &mut TypedModel) {
    for id in 0..model.nodes().len() {
        let hidden: Option<Box<dyn TypedOp>> = if let Some(softmax) = model.node(id).op_as::<Softmax>() {
            Some(Box::new(Whole(softmax.clone())))
        } else if let Some(binary) = model.node(id).op_as::<TypedBinOp>() {
            let directed = binary.0.is::<Sub>() || binary.0.is::<Div>();
            (directed && is_convolution(model, id)).then(|| Box::new(Whole(binary.clone())) as Box<dyn TypedOp>)
        } else {
            None
        };
        if let Some(op) = hidden {
            model.nodes_mut()[id].op = op;
        }
    }
}

/// Whether the right operand of a node is the result of a convolution, or that with other axes.
fn is_convolution(model: &TypedModel, id: usize) -> bool {
    let Some(mut outlet) = model.node(id).inputs.get(1) else { return false };
    loop {
        let node = model.node(outlet.node);
        match node.inputs.first() {
            Some(input) if node.op_is::<AxisOp>() => outlet = input,
            _ => return node.op_is::<Conv>(),
        }
    }
}
