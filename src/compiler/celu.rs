//! `Celu`, which tract computes without the factor alpha where x is negative.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::activations::Elu;

use super::onnx::attribute;

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`, as `alpha * Elu(x / alpha)`.
#[derive(Clone, Debug)]
struct Celu(f32);

impl Expansion for Celu {
    fn name(&self) -> StaticName {
        "Celu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let alpha = tensor0(self.0).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
        let alpha = model.add_const(format!("{prefix}.alpha"), alpha)?;
        let part = model.wire_node(format!("{prefix}.part"), math::div(), &[inputs[0], alpha])?;
        let elu = Elu(1.0).wire(&format!("{prefix}.elu"), model, &part)?;
        model.wire_node(prefix, math::mul(), &[elu[0], alpha])
    }
}

/// Reads a node.
pub fn celu(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let alpha = attribute(node, "alpha").map_or(1.0, |a| a.f);
    ensure!(alpha != 0.0, "Celu with alpha 0");
    Ok((expand(Celu(alpha)), vec![]))
}
