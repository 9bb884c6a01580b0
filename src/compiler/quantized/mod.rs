//! Our own quantized operators inside tract.
//!
//! tract folds quantized constants to float, runs QDQ graphs in float and knows few of the contrib operators. Here every
//! quantized operator is a [`QuantizedOp`]: opaque to tract's rewriting, never evaluated ahead of time (so constants
//! stay 8 bits wide), computed by [`crate::kernels`]. Operands may be constants or computed; scales and zero points
//! too.

pub mod auto_pad;
pub mod conv;
mod dynamic;
pub mod elementwise;
mod inputs;
pub mod kernels;
mod linear;
pub mod matmul;
pub mod merge;
pub mod pool;

use std::sync::Arc;

use tract_onnx::model::{OnnxOpRegister, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::internal::*;

use super::onnx::resolve_axis;
pub use inputs::Inputs;

/// What an operator computes. Inputs are addressed by their position in the ONNX operator; absent ones are `None`.
pub trait Quantized: std::fmt::Debug + Send + Sync + 'static {
    /// How many outputs there are.
    fn outputs(&self) -> usize {
        1
    }

    /// Output types from input types.
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>>;

    /// Output shapes from input shapes.
    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>>;

    /// Computes. `inputs` have the types and shapes that the two functions above accepted.
    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>>;
}

/// A [`Quantized`] operator as tract sees it, both before and after type inference.
#[derive(Clone, Debug)]
pub struct QuantizedOp {
    name: String,
    op: Arc<dyn Quantized>,
    /// For every ONNX input position, the index among the inputs that are present.
    positions: Vec<Option<usize>>,
    /// Which of the present inputs are constants; known once wired.
    constants: Vec<bool>,
}

impl QuantizedOp {
    fn by_position<T>(&self, present: &[T]) -> Vec<Option<T>>
    where
        T: Clone,
    {
        self.positions.iter().map(|p| p.and_then(|i| present.get(i).cloned())).collect()
    }
}

impl PartialEq for QuantizedOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.op, &other.op) && self.positions == other.positions
    }
}
impl Eq for QuantizedOp {}

impl Op for QuantizedOp {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }
    op_as_typed_op!();
}

impl EvalOp for QuantizedOp {
    not_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.op.eval(&Inputs::new(&self.positions, &self.constants, &inputs))?;
        Ok(outputs.into_iter().map(IntoTValue::into_tvalue).collect())
    }
}

impl TypedOp for QuantizedOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let types: Vec<DatumType> = inputs.iter().map(|f| f.datum_type).collect();
        let shapes: Vec<ShapeFact> = inputs.iter().map(|f| f.shape.clone()).collect();
        let types = self.op.output_types(&self.by_position(&types))?;
        let shapes = self.op.output_shapes(&self.by_position(&shapes))?;
        Ok(types.into_iter().zip(shapes).map(|(t, s)| t.fact(&*s)).collect())
    }
    as_op!();
}

impl Expansion for QuantizedOp {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    fn runs_out_of_plan(&self) -> bool {
        false
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.op.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        s.given_all(inputs.iter().map(|i| &i.datum_type), move |s, types| {
            for (output, t) in outputs.iter().zip(self.op.output_types(&self.by_position(&types))?) {
                s.equals(&output.datum_type, t)?;
            }
            Ok(())
        })?;
        s.given_all(inputs.iter().map(|i| &i.shape), move |s, shapes| {
            let shapes: Vec<ShapeFact> = shapes.into_iter().map(ShapeFact::from_dims).collect();
            for (output, shape) in outputs.iter().zip(self.op.output_shapes(&self.by_position(&shapes))?) {
                s.equals(&output.shape, shape)?;
            }
            Ok(())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let constants =
            inputs.iter().map(|&i| Ok(model.outlet_fact(i)?.konst.is_some())).collect::<TractResult<_>>()?;
        model.wire_node(prefix, Self { constants, ..self.clone() }, inputs)
    }
}

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Wraps an operator for a node.
fn build(node: &NodeProto, op: impl Quantized) -> Built {
    let positions = optional_inputs(node).take(node.input.len()).collect();
    let op = QuantizedOp { name: node.op_type.clone(), op: Arc::new(op), positions, constants: Vec::new() };
    Ok((expand(op), vec![]))
}

/// Adds all of them, replacing tract's.
pub fn register(register: &mut OnnxOpRegister) {
    linear::register(register);
    conv::register(register);
    matmul::register(register);
    dynamic::register(register);
    elementwise::register(register);
    merge::register(register);
    pool::register(register);
}

/// An attribute with a default.
fn attribute<'a, T>(node: &'a NodeProto, name: &str, default: T) -> TractResult<T>
where
    T: tract_onnx::pb_helpers::AttrScalarType<'a>,
{
    Ok(node.get_attr_opt(name)?.unwrap_or(default))
}

/// A dimension as a number; data-dependent sizes have none yet.
fn concrete(dim: &TDim) -> TractResult<usize> {
    Ok(dim.to_usize()?)
}

fn concrete_all<'a>(dims: impl IntoIterator<Item = &'a TDim>) -> TractResult<Vec<usize>> {
    dims.into_iter().map(concrete).collect()
}

/// The shape at a position that must be there.
fn required<'a, T>(inputs: &'a [Option<T>], position: usize, what: &str) -> TractResult<&'a T> {
    inputs.get(position).and_then(Option::as_ref).with_context(|| format!("the input {what} is missing"))
}

/// The type at a position, which must be that of 8-bit quanta.
fn quantum(inputs: &[Option<DatumType>], position: usize) -> TractResult<DatumType> {
    let t = *required(inputs, position, "operand")?;
    ensure!(matches!(t, DatumType::U8 | DatumType::I8), "expected uint8 or int8, got {t:?}");
    Ok(t)
}

/// The dimension that an axis means.
fn dimension(axis: i64, rank: usize) -> TractResult<usize> {
    resolve_axis(axis, rank).with_context(|| format!("the axis {axis} is out of range for rank {rank}"))
}

/// NumPy's broadcast of shapes.
fn broadcast_dims(shapes: &[&[TDim]]) -> TractResult<TVec<TDim>> {
    // tract keeps two different numbers as an expression; that they cannot be broadcast is known now.
    if let Ok(numbers) = shapes.iter().map(|s| concrete_all(*s)).collect::<TractResult<Vec<_>>>() {
        return Ok(multi_broadcast(&numbers)?.iter().map(|d: &usize| d.to_dim()).collect());
    }
    multi_broadcast(shapes)
}
