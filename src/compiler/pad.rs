//! `Pad` from opset 11 on. tract's takes negative amounts for huge ones, has no `wrap`, prefers a constant that is given to
//! the mode, and infers no size of dimensions that `axes` leaves out.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad as Core, PadMode, Slice, TypedConcat};
use tract_onnx::tract_hir::internal::*;

use super::onnx::attribute;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

#[derive(Clone, Debug)]
struct Pad {
    mode: Mode,
    /// Which inputs are the number to pad with and the axes.
    constant: Option<usize>,
    axes: Option<usize>,
}

/// Amounts before and after each axis.
fn amounts(rank: usize, pads: &Tensor, axes: Option<&Tensor>) -> TractResult<Vec<(i64, i64)>> {
    let list = |tensor: &Tensor| -> TractResult<Vec<i64>> {
        Ok(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    let pads = list(pads)?;
    let axes = match axes {
        Some(axes) => list(axes)?,
        None => (0..rank as i64).collect(),
    };
    ensure!(pads.len() == 2 * axes.len(), "Pad with {} amounts for {} axes", pads.len(), axes.len());
    let mut amounts = vec![(0, 0); rank];
    for (i, axis) in axes.iter().enumerate() {
        let axis = super::onnx::resolve_axis(*axis, rank);
        let place = axis.and_then(|axis| amounts.get_mut(axis)).context("Pad along an axis that there is not")?;
        *place = (pads[i], pads[i + axes.len()]);
    }
    Ok(amounts)
}

impl Expansion for Pad {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.constant.is_some()) + usize::from(self.axes.is_some()))?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        solver.equals(&inputs[1].rank, 1)?;
        if let Some(constant) = self.constant.filter(|_| self.mode == Mode::Constant) {
            solver.equals(&inputs[0].datum_type, &inputs[constant].datum_type)?;
        }
        let sizes = move |solver: &mut Solver<'r>, rank: i64, pads: &Tensor, axes: Option<&Tensor>| {
            for (d, (before, after)) in amounts(rank as usize, pads, axes)?.into_iter().enumerate() {
                let size = inputs[0].shape[d].bex() + before.to_dim() + after.to_dim();
                solver.equals(&outputs[0].shape[d], size)?;
            }
            Ok(())
        };
        match self.axes {
            Some(axes) => {
                solver.given_3(&inputs[0].rank, &inputs[1].value, &inputs[axes].value, move |s, rank, pads, axes| {
                    sizes(s, rank, &pads, Some(&axes))
                })
            }
            None => solver.given_2(&inputs[0].rank, &inputs[1].value, move |s, rank, pads| sizes(s, rank, &pads, None)),
        }
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let known = |input: usize| -> TractResult<Arc<Tensor>> {
            model.outlet_fact(inputs[input])?.konst.clone().context("Pad by amounts that are not constant")
        };
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axes = self.axes.map(known).transpose()?;
        let amounts = amounts(fact.rank(), &*known(1)?, axes.as_deref())?;
        let mode = match self.mode {
            Mode::Reflect => PadMode::Reflect,
            Mode::Edge => PadMode::Edge,
            _ => PadMode::Constant(match self.constant {
                Some(constant) => known(constant)?.cast_to_dt(fact.datum_type)?.into_owned().into_shape(&[])?.into(),
                None => Tensor::zero_scalar_dt(fact.datum_type)?.into(),
            }),
        };
        let mut wire = inputs[0];
        for (axis, &(before, after)) in amounts.iter().enumerate().filter(|(_, (b, a))| *b < 0 || *a < 0) {
            let end = fact.shape[axis].clone() - after.min(0).unsigned_abs() as usize;
            let slice = Slice::new(axis, before.min(0).unsigned_abs() as usize, end);
            wire = model.wire_node(format!("{prefix}.cut_{axis}"), slice, &[wire])?[0];
        }
        let more = |amount: i64| amount.max(0) as usize;
        if self.mode != Mode::Wrap {
            let pads = amounts.iter().map(|&(before, after)| (more(before), more(after))).collect();
            return model.wire_node(prefix, Core { mode, pads }, &[wire]);
        }
        for (axis, (before, after)) in amounts.iter().map(|&(b, a)| (more(b), more(a))).enumerate() {
            if (before, after) == (0, 0) {
                continue;
            }
            let size = model.outlet_fact(wire)?.shape[axis].to_usize()?;
            ensure!(before <= size && after <= size, "Pad that wraps around more than once");
            let name = |part: &str| format!("{prefix}.{part}_{axis}");
            let last = model.wire_node(name("last"), Slice::new(axis, size - before, size), &[wire])?[0];
            let first = model.wire_node(name("first"), Slice::new(axis, 0, after), &[wire])?[0];
            wire = model.wire_node(name("wrapped"), TypedConcat::new(axis), &[last, wire, first])?[0];
        }
        Ok(tvec!(wire))
    }
}

/// Reads a node, of opset 11 or later.
pub fn pad(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mode = match attribute(node, "mode").map_or(&b"constant"[..], |a| &a.s) {
        b"constant" => Mode::Constant,
        b"edge" => Mode::Edge,
        b"reflect" => Mode::Reflect,
        b"wrap" => Mode::Wrap,
        other => bail!("Pad with the mode {}", String::from_utf8_lossy(other)),
    };
    let mut inputs = optional_inputs(node).skip(2);
    let [constant, axes] = [inputs.next().flatten(), inputs.next().flatten()];
    Ok((expand(Pad { mode, constant, axes }), vec![]))
}
