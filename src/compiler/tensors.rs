//! Between our tensors and tract's.

use tract_onnx::tract_hir::internal as tract;
use tract_onnx::tract_hir::internal::{DatumType, TractResult, bail};

use crate::tensor::{DataType, Tensor};

/// The type of tract's that has the same elements.
pub fn datum_type(data_type: DataType) -> DatumType {
    match data_type {
        DataType::Float32 => DatumType::F32,
        DataType::Uint8 => DatumType::U8,
        DataType::Int8 => DatumType::I8,
        DataType::Uint16 => DatumType::U16,
        DataType::Int16 => DatumType::I16,
        DataType::Int32 => DatumType::I32,
        DataType::Int64 => DatumType::I64,
        DataType::String => DatumType::String,
        DataType::Bool => DatumType::Bool,
        DataType::Float16 => DatumType::F16,
        DataType::Float64 => DatumType::F64,
        DataType::Uint32 => DatumType::U32,
        DataType::Uint64 => DatumType::U64,
    }
}

/// Our type of the same elements. tract's symbolic dimensions are 64-bit integers to everyone else.
pub fn data_type(datum_type: DatumType) -> TractResult<DataType> {
    Ok(match datum_type.unquantized() {
        DatumType::F32 => DataType::Float32,
        DatumType::U8 => DataType::Uint8,
        DatumType::I8 => DataType::Int8,
        DatumType::U16 => DataType::Uint16,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 | DatumType::TDim => DataType::Int64,
        DatumType::String => DataType::String,
        DatumType::Bool => DataType::Bool,
        DatumType::F16 => DataType::Float16,
        DatumType::F64 => DataType::Float64,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        other => bail!("values of type {other:?} cannot leave the graph"),
    })
}

/// To tract's.
pub fn to_tract(tensor: &Tensor) -> TractResult<tract::Tensor> {
    if let Some(strings) = tensor.strings() {
        let array = tract::tract_ndarray::ArrayD::from_shape_vec(tensor.shape(), strings.to_vec())?;
        return Ok(array.into());
    }
    let mut to = tract::Tensor::zero_dt(datum_type(tensor.data_type()), tensor.shape())?;
    if tensor.data_type() == DataType::Bool {
        // Any byte may come in; a Rust bool is 0 or 1.
        let mut plain = to.try_as_plain_ram_mut()?;
        for (to, &from) in plain.as_slice_mut::<bool>()?.iter_mut().zip(tensor.bytes()) {
            *to = from != 0;
        }
    } else if !tensor.is_empty() {
        to.as_bytes_mut().copy_from_slice(tensor.bytes());
    }
    Ok(to)
}

/// From tract's.
pub fn from_tract(tensor: &tract::Tensor) -> TractResult<Tensor> {
    let data_type = data_type(tensor.datum_type())?;
    if data_type == DataType::String {
        let strings = tensor.try_as_plain_ram()?.as_slice::<String>()?.to_vec();
        return Ok(Tensor::from_strings(tensor.shape(), strings)?);
    }
    let widened;
    let tensor = if tensor.datum_type() == DatumType::TDim {
        widened = tensor.cast_to::<i64>()?.into_owned();
        &widened
    } else {
        tensor
    };
    let bytes = if tensor.len() == 0 { &[][..] } else { tensor.as_bytes() };
    Ok(Tensor::from_bytes(data_type, tensor.shape(), bytes)?)
}
