//! `QLinearConcat`.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::inputs::{Inputs, with_quantum};
use super::{Built, Quantized, build, dimension, required};
use crate::compiler::quantized::kernels::elementwise::look_up;
use crate::kernels::quantize::lookup_table;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert(CONCAT, concat);
}

/// Qualified name of the contrib operator; the fusion of QDQ groups makes such nodes too.
pub const CONCAT: &str = "com.microsoft.QLinearConcat";

fn concat(_: &ParsingContext, node: &NodeProto) -> Built {
    ensure!(
        node.input.len() >= 5 && (node.input.len() - 2).is_multiple_of(3),
        "QLinearConcat with {} inputs",
        node.input.len()
    );
    build(node, Concat { axis: node.get_attr("axis")?, count: (node.input.len() - 2) / 3 })
}

/// Inputs: scale and zero point of the result, then tensor, scale and zero point of every part.
#[derive(Debug)]
struct Concat {
    axis: i64,
    count: usize,
}

impl Quantized for Concat {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        let first = *required(inputs, 2, "tensor")?;
        for i in 0..self.count {
            let t = *required(inputs, 2 + 3 * i, "tensor")?;
            ensure!(t == first, "all parts must be of one type, {first:?}, not {t:?}");
        }
        Ok(tvec![first])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let mut shape = required(inputs, 2, "tensor")?.to_tvec();
        let axis = dimension(self.axis, shape.len())?;
        for i in 1..self.count {
            let part = required(inputs, 2 + 3 * i, "tensor")?;
            ensure!(
                part.rank() == shape.len() && (0..shape.len()).all(|d| d == axis || part[d] == shape[d]),
                "parts of shapes {shape:?} and {part:?} cannot be joined along axis {axis}"
            );
            shape[axis] = shape[axis].clone() + &part[axis];
        }
        Ok(tvec![shape])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let to = inputs.params(0, 1)?;
        let first = inputs.tensor(2)?;
        let axis = dimension(self.axis, first.rank())?;
        let y = with_quantum!(first.datum_type(), Q => {
            let parts = (0..self.count)
                .map(|i| {
                    let position = 2 + 3 * i;
                    let from = inputs.params(position + 1, position + 2)?;
                    let x = inputs.slice::<Q>(position)?;
                    let mut part = Tensor::zero::<Q>(inputs.tensor(position)?.shape())?;
                    let mut plain = part.try_as_plain_ram_mut()?;
                    let y = plain.as_slice_mut::<Q>()?;
                    // Equal parameters copy, whatever rounding would do.
                    if from == to {
                        y.copy_from_slice(x);
                    } else {
                        look_up(x, &lookup_table::<Q, Q>(from, to, |v| v), y);
                    }
                    Ok(part)
                })
                .collect::<TractResult<Vec<Tensor>>>()?;
            Tensor::stack_tensors(axis, &parts)?
        });
        Ok(tvec![y])
    }
}
