//! `DynamicQuantizeLinear`.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::tract_hir::internal::*;

use super::inputs::Inputs;
use super::{Quantized, build, required};
use crate::kernels::quantize::{dynamic_params, quantize};

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("DynamicQuantizeLinear", |_, node| build(node, DynamicQuantizeLinear));
}

#[derive(Debug)]
struct DynamicQuantizeLinear;

impl Quantized for DynamicQuantizeLinear {
    fn outputs(&self) -> usize {
        3
    }

    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        let x = *required(inputs, 0, "x")?;
        ensure!(x == DatumType::F32, "DynamicQuantizeLinear takes float32, not {x:?}");
        Ok(tvec![DatumType::U8, DatumType::F32, DatumType::U8])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        Ok(tvec![required(inputs, 0, "x")?.to_tvec(), tvec![], tvec![]])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.slice::<f32>(0)?;
        let params = dynamic_params(x);
        let y: Vec<u8> = x.iter().map(|&v| quantize(v, params)).collect();
        Ok(tvec![
            Tensor::from_shape(inputs.tensor(0)?.shape(), &y)?,
            tensor0(params.scale),
            tensor0(params.zero_point as u8)
        ])
    }
}
