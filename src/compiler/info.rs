//! What the file says of the model: names, types, shapes, provenance.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{ModelProto, TensorShapeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};

use super::limits::{MAX_RANK, MAX_TENSOR_BYTES, too_large};
use super::onnx::invalid;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Dim, ModelInfo, OperatorSet, ValueInfo};
use crate::tensor::DataType;

/// Sizes for symbolic dimensions, chosen by the caller.
pub type DimensionOverrides = HashMap<String, usize>;

/// Reads the model's description. Inputs with an initializer are not inputs.
pub fn model_info(model: &ModelProto, overrides: &DimensionOverrides) -> Result<ModelInfo> {
    let graph = model.graph.as_ref().ok_or_else(|| invalid("the model has no graph"))?;
    let constant: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs = graph
        .input
        .iter()
        .filter(|i| !constant.contains(i.name.as_str()))
        .map(|i| value_info(i, overrides, "input"))
        .collect::<Result<Vec<_>>>()?;
    let outputs = graph.output.iter().map(|o| value_info(o, overrides, "output")).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return Err(invalid("the model has no outputs"));
    }
    for name in overrides.keys() {
        let known = graph
            .input
            .iter()
            .filter_map(shape_of)
            .flat_map(|s| &s.dim)
            .any(|d| matches!(&d.value, Some(dimension::Value::DimParam(p)) if p == name));
        if !known {
            return Err(Error::new(
                ErrorCode::InvalidOption,
                format!("freeDimensionOverrides names \"{name}\", which no input has"),
            )
            .with_hint("inputMetadata lists the symbolic dimensions of every input"));
        }
    }
    Ok(ModelInfo {
        inputs,
        outputs,
        graph_name: graph.name.clone(),
        producer_name: model.producer_name.clone(),
        producer_version: model.producer_version.clone(),
        ir_version: u32::try_from(model.ir_version).unwrap_or(0),
        opsets: model
            .opset_import
            .iter()
            .map(|o| OperatorSet { domain: o.domain.clone(), version: u32::try_from(o.version).unwrap_or(0) })
            .collect(),
        description: model.doc_string.clone(),
        metadata: model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
    })
}

pub(super) fn shape_of(value: &ValueInfoProto) -> Option<&TensorShapeProto> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref(),
    }
}

fn value_info(value: &ValueInfoProto, overrides: &DimensionOverrides, what: &str) -> Result<ValueInfo> {
    let name = &value.name;
    let unsupported = |message: String| Error::new(ErrorCode::UnsupportedModel, message);
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(unsupported(format!("the {what} \"{name}\" is not a tensor"))
            .with_hint("sequences, maps and optional values are not supported"));
    };
    let data_type = DataType::from_onnx(tensor.elem_type).ok_or_else(|| {
        unsupported(format!("the {what} \"{name}\" has an element type that is not supported"))
            .expected("float16/32/64, (u)int8/16/32/64, bool or string", format!("ONNX type {}", tensor.elem_type))
            .with_hint("export the model with another type, most often float32")
    })?;
    let Some(shape) = tensor.shape.as_ref() else {
        return Ok(ValueInfo { name: name.clone(), data_type, shape: vec![Dim::Rest] });
    };
    if shape.dim.len() > MAX_RANK {
        return Err(invalid(format!("the {what} \"{name}\" has {} dimensions", shape.dim.len())));
    }
    let mut bytes = data_type.size().max(1) as u64;
    let mut dims = Vec::with_capacity(shape.dim.len());
    for dim in &shape.dim {
        dims.push(match &dim.value {
            Some(dimension::Value::DimValue(n)) if *n >= 0 => {
                bytes = bytes.saturating_mul(*n as u64);
                Dim::Fixed(usize::try_from(*n).map_err(|_| too_large(&format!("the {what} \"{name}\"")))?)
            }
            // Some exporters write -1 for an unknown size.
            Some(dimension::Value::DimValue(-1)) => Dim::Unknown,
            Some(dimension::Value::DimValue(n)) => {
                return Err(invalid(format!("the {what} \"{name}\" has a negative dimension")).expected("0 or more", n));
            }
            Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => match overrides.get(symbol) {
                Some(&size) => Dim::Fixed(size),
                None => Dim::Symbol(symbol.clone()),
            },
            _ => Dim::Unknown,
        });
    }
    if bytes > MAX_TENSOR_BYTES {
        return Err(too_large(&format!("the {what} \"{name}\"")));
    }
    Ok(ValueInfo { name: name.clone(), data_type, shape: dims })
}
