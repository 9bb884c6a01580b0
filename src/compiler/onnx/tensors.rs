//! Constant tensors: declared sizes held against what is there, every encoding turned into `raw_data`, external data
//! inlined or, where it is large, left where it is.

use std::rc::Rc;

use tract_onnx::pb::{GraphProto, TensorProto, tensor_proto};

use super::invalid;
use super::skim::OWN;
use crate::compiler::limits::{MAX_RANK, MAX_TENSOR_BYTES, too_large};
use crate::compiler::store::{Blob, Store};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::Source;
use crate::tensor::{DataType, Element};

/// A file that goes with the model: what `external_data` entries call `location`, and its bytes.
#[derive(Clone)]
pub struct ExternalData {
    /// Path as the model writes it.
    pub path: String,
    /// Content; read piece by piece, when it is needed.
    pub data: Rc<dyn Source>,
}

/// The files that constants of a graph and its subgraphs refer to, in their order, as the model writes them.
fn files<'a>(graph: &'a GraphProto, found: &mut Vec<&'a str>) {
    let attributes = || graph.node.iter().flat_map(|n| &n.attribute);
    for tensor in graph.initializer.iter().chain(attributes().filter_map(|a| a.t.as_ref())) {
        if let Some(location) = is_external(tensor).then(|| external_entry(tensor, "location")).flatten()
            && !found.iter().any(|f| plain(f) == plain(location))
        {
            found.push(location);
        }
    }
    for inner in attributes().filter_map(|a| a.g.as_ref()) {
        files(inner, found);
    }
}

/// Whether all files that the graph refers to are there; says which are not.
pub fn check_external(graph: &GraphProto, external: &[ExternalData]) -> Result<()> {
    let mut wanted = Vec::new();
    files(graph, &mut wanted);
    wanted.retain(|location| *location != OWN && !external.iter().any(|f| plain(&f.path) == plain(location)));
    let quoted = |names: &[&str]| names.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(", ");
    let message = match wanted.as_slice() {
        [] => return Ok(()),
        [one] => format!("the model keeps weights in the file \"{one}\""),
        several => format!("the model keeps weights in {} files: {}", several.len(), quoted(several)),
    };
    let entries: Vec<_> = wanted.iter().map(|f| format!("{{ path: '{f}', data: … }}")).collect();
    let given: Vec<_> = external.iter().map(|f| f.path.as_str()).collect();
    Err(Error::new(ErrorCode::ExternalDataMissing, message)
        .expected(wanted.join(", "), if given.is_empty() { "no external data".to_owned() } else { given.join(", ") })
        .with_hint(format!("pass the data too: {{ externalData: [{}] }}", entries.join(", "))))
}

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(tensor_proto::DataLocation::External as i32)
}

fn external_entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

/// A path as it is compared.
fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// Brings all constants of a graph and its subgraphs into canonical form.
pub fn canonicalise(graph: &mut GraphProto, external: &[ExternalData], store: &mut Store) -> Result<()> {
    all_canonical(graph, external, Some(store))
}

/// Without a store everything stays in the graph, which tract reads by itself where it is part of a node.
fn all_canonical(graph: &mut GraphProto, external: &[ExternalData], mut store: Option<&mut Store>) -> Result<()> {
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::new(ErrorCode::UnsupportedModel, "the model has sparse initializers")
            .with_hint("export it with dense initializers"));
    }
    for tensor in &mut graph.initializer {
        canonical(tensor, external, store.as_deref_mut())?;
    }
    for node in &mut graph.node {
        let label = super::graph::node_label(node);
        for attribute in &mut node.attribute {
            if let Some(tensor) = &mut attribute.t {
                // Becomes an initializer.
                let store = store.as_deref_mut().filter(|_| node.op_type == "Constant" && attribute.name == "value");
                canonical(tensor, external, store).map_err(|e| e.at_node(&*label, &*node.op_type))?;
            }
            if let Some(inner) = &mut attribute.g {
                all_canonical(inner, external, None)?;
            }
        }
    }
    Ok(())
}

fn canonical(tensor: &mut TensorProto, external: &[ExternalData], store: Option<&mut Store>) -> Result<()> {
    let name = tensor.name.clone();
    let data_type = DataType::from_onnx(tensor.data_type).ok_or_else(|| {
        let error = if tensor_proto::DataType::try_from(tensor.data_type).is_ok_and(|t| t as i32 != 0)
            || (17..=32).contains(&tensor.data_type)
        {
            Error::new(
                ErrorCode::UnsupportedModel,
                format!("the tensor \"{name}\" has an element type that is not supported"),
            )
            .with_hint("supported are float16/32/64, (u)int8/16/32/64, bool and string")
        } else {
            invalid(format!("the tensor \"{name}\" has an element type that does not exist"))
        };
        error.expected("an ONNX element type", tensor.data_type)
    })?;
    if tensor.dims.len() > MAX_RANK {
        return Err(invalid(format!("the tensor \"{name}\" has {} dimensions", tensor.dims.len())));
    }
    let mut count = 1u64;
    for &dim in &tensor.dims {
        let dim = u64::try_from(dim).map_err(|_| invalid(format!("the tensor \"{name}\" has a negative dimension")))?;
        count = count.saturating_mul(dim);
    }
    let bytes = count.saturating_mul(data_type.size().max(1) as u64);
    if bytes > MAX_TENSOR_BYTES {
        return Err(too_large(&format!("the tensor \"{name}\" of shape {:?}", tensor.dims)));
    }
    let mismatch = |found: usize| {
        invalid(format!("the tensor \"{name}\" has another amount of data than its shape says"))
            .expected(format!("{count} elements of {data_type}"), format!("{found}"))
    };

    if is_external(tensor) {
        let blob = find_external(tensor, bytes, external)?;
        if blob.len as u64 == bytes
            && Store::takes(tensor, blob.len)
            && let Some(store) = store
        {
            store.put(tensor, blob);
            return Ok(());
        }
        tensor.raw_data = blob.load()?;
        tensor.external_data.clear();
    }
    tensor.data_location = None;
    if data_type == DataType::String {
        if tensor.string_data.len() as u64 != count {
            return Err(mismatch(tensor.string_data.len()));
        }
        if let Some(bad) = tensor.string_data.iter().find(|s| std::str::from_utf8(s).is_err()) {
            return Err(invalid(format!("the tensor \"{name}\" has a string that is not UTF-8: {bad:?}")));
        }
        return Ok(());
    }
    if tensor.raw_data.is_empty() && count > 0 {
        let wide = |n: usize| if n as u64 == count { Ok(()) } else { Err(mismatch(n)) };
        let ints = &tensor.int32_data;
        tensor.raw_data = match data_type {
            DataType::Float32 => wide(tensor.float_data.len()).map(|()| le_bytes(&tensor.float_data))?,
            DataType::Float64 => wide(tensor.double_data.len()).map(|()| le_bytes(&tensor.double_data))?,
            DataType::Int64 => wide(tensor.int64_data.len()).map(|()| le_bytes(&tensor.int64_data))?,
            DataType::Uint64 => wide(tensor.uint64_data.len()).map(|()| le_bytes(&tensor.uint64_data))?,
            // onnx.proto3: uint32 lives in uint64_data, everything narrower in int32_data.
            DataType::Uint32 => wide(tensor.uint64_data.len())
                .map(|()| tensor.uint64_data.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect())?,
            DataType::Int32 => wide(ints.len()).map(|()| le_bytes(ints))?,
            DataType::Uint16 | DataType::Int16 | DataType::Float16 => {
                wide(ints.len()).map(|()| ints.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect())?
            }
            DataType::Uint8 | DataType::Int8 => wide(ints.len()).map(|()| ints.iter().map(|&v| v as u8).collect())?,
            DataType::Bool => wide(ints.len()).map(|()| ints.iter().map(|&v| u8::from(v != 0)).collect())?,
            DataType::String => Vec::new(),
        };
    }
    if tensor.raw_data.len() as u64 != bytes {
        return Err(mismatch(tensor.raw_data.len() / data_type.size().max(1)));
    }
    tensor.float_data = Vec::new();
    tensor.double_data = Vec::new();
    tensor.int32_data = Vec::new();
    tensor.int64_data = Vec::new();
    tensor.uint64_data = Vec::new();
    if let Some(store) = store {
        *tensor = store.keep(std::mem::take(tensor));
    }
    Ok(())
}

fn le_bytes<T: Element>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn find_external(tensor: &TensorProto, bytes: u64, external: &[ExternalData]) -> Result<Blob> {
    let entry = |key: &str| external_entry(tensor, key);
    let location = entry("location")
        .ok_or_else(|| invalid(format!("the tensor \"{}\" is external, but names no file", tensor.name)))?;
    let file = external.iter().find(|f| plain(&f.path) == plain(location)).ok_or_else(|| {
        Error::new(ErrorCode::ExternalDataMissing, format!("the model keeps weights in the file \"{location}\""))
    })?;
    let number = |key: &str| -> Result<Option<u64>> {
        entry(key)
            .map(|v| v.parse().map_err(|_| invalid(format!("the tensor \"{}\" has a bad external {key}", tensor.name))))
            .transpose()
    };
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(bytes);
    let size = file.data.size();
    match offset.checked_add(length).filter(|&end| end <= size as u64) {
        Some(_) => Ok(Blob { source: file.data.clone(), offset: offset as usize, len: length as usize }),
        None => Err(invalid(format!("the tensor \"{}\" lies outside of \"{location}\"", tensor.name))
            .expected(format!("{length} bytes at {offset}"), format!("a file of {size} bytes"))
            .with_hint("pass the file that belongs to this model")),
    }
}

/// A canonical initializer's elements, when they are f32 and it is not large.
pub fn initializer_f32(tensor: &TensorProto) -> Option<Vec<f32>> {
    (tensor.data_type == DataType::Float32 as i32 && !Store::holds(tensor))
        .then(|| tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// A canonical initializer's elements, when they are 8-bit or 32-bit integers and it is not large.
pub fn initializer_i32(tensor: &TensorProto) -> Option<Vec<i32>> {
    let raw = &tensor.raw_data;
    if Store::holds(tensor) {
        return None;
    }
    match DataType::from_onnx(tensor.data_type)? {
        DataType::Uint8 => Some(raw.iter().map(|&b| b.into()).collect()),
        DataType::Int8 => Some(raw.iter().map(|&b| (b as i8).into()).collect()),
        DataType::Int32 => Some(raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect()),
        _ => None,
    }
}

/// A canonical initializer's elements, when they are 64-bit integers and it is not large.
pub fn initializer_i64(tensor: &TensorProto) -> Option<Vec<i64>> {
    (tensor.data_type == DataType::Int64 as i32 && !Store::holds(tensor))
        .then(|| tensor.raw_data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

/// A canonical tensor of these elements.
pub fn raw_tensor<T: Element>(name: impl Into<String>, dims: &[usize], values: &[T]) -> TensorProto {
    raw_bytes(name, T::DATA_TYPE, dims, bytemuck::cast_slice(values))
}

/// A canonical tensor of these little-endian bytes.
pub fn raw_bytes(name: impl Into<String>, data_type: DataType, dims: &[usize], bytes: &[u8]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: data_type as i32,
        raw_data: bytes.to_vec(),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, NodeProto, StringStringEntryProto};

    use super::*;

    fn external(location: &str) -> TensorProto {
        TensorProto {
            data_location: Some(tensor_proto::DataLocation::External as i32),
            external_data: vec![StringStringEntryProto { key: "location".into(), value: location.into() }],
            ..Default::default()
        }
    }

    #[test]
    fn all_missing_files_are_named_once() {
        let inner = GraphProto { initializer: vec![external("c"), external("./a")], ..Default::default() };
        let attributes = vec![
            AttributeProto { t: Some(external("d")), ..Default::default() },
            AttributeProto { g: Some(inner), ..Default::default() },
        ];
        let graph = GraphProto {
            initializer: vec![external("a"), TensorProto::default(), external("b"), external("a")],
            node: vec![NodeProto { attribute: attributes, ..Default::default() }],
            ..Default::default()
        };
        let file = |path: &str| ExternalData { path: path.into(), data: Rc::new(Vec::new()) };
        let error = check_external(&graph, &[file("./b"), file("x")]).unwrap_err();
        assert_eq!(error.code, ErrorCode::ExternalDataMissing);
        assert_eq!(error.message, "the model keeps weights in 3 files: \"a\", \"d\", \"c\"");
        assert_eq!(error.expected.as_deref(), Some("a, d, c"));
        assert_eq!(error.actual.as_deref(), Some("./b, x"));
        let hint = error.hint.as_deref().unwrap();
        assert!(hint.contains("{ path: 'a', data: … }, { path: 'd', data: … }, { path: 'c', data: … }"), "{hint}");
        assert!(check_external(&graph, &["a", "b", "./c", "d"].map(file)).is_ok());
    }
}
