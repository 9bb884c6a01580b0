//! From untrusted bytes to a checked `ModelProto` in one canonical form, which the rest of the compiler may rely on:
//!
//! * every name is defined once and resolves, nodes stand in topological order, no graph has a cycle;
//! * initializers and tensor attributes carry `raw_data` of exactly the size they declare (strings excepted); large
//!   initializers have theirs in the [`Store`]; there is no external data besides;
//! * operators are known, contrib operators carry their domain in `op_type`, `Constant` nodes are initializers;
//! * `value_info` is gone: its symbolic shapes contradict concrete inputs, and shape inference finds them anyway.

mod decode;
mod graph;
mod normalise;
mod skim;
mod tensors;

use std::rc::Rc;

use tract_onnx::pb::ModelProto;

use super::info::{DimensionOverrides, model_info};
use super::store::Store;
use super::{attributes, limits, registry};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{ModelInfo, Source};

pub use graph::{attribute, bad_node, node_label, resolve_axis};
pub use tensors::{ExternalData, initializer_f32, initializer_i32, initializer_i64, raw_bytes, raw_tensor};

/// Decodes and checks a model and brings it into canonical form. The description keeps the file's names.
pub fn import(
    file: &Rc<dyn Source>,
    external: &[ExternalData],
    overrides: &DimensionOverrides,
) -> Result<(ModelProto, ModelInfo, Store)> {
    let bytes = match skim::skim(&**file)? {
        Some(bytes) => bytes,
        None => {
            let mut bytes = vec![0; file.size()];
            file.read(0, &mut bytes)?;
            bytes
        }
    };
    let mut model = decode::decode(&bytes)?;
    drop(bytes);
    let mut store = Store::default();
    let Some(graph) = &mut model.graph else {
        return Err(invalid("the model has no graph"));
    };
    graph::check(graph)?;
    // Operators before weights: the answer to "can this run at all" must not wait for gigabytes.
    registry::check_operators(graph)?;
    tensors::check_external(graph, external)?;
    let own = ExternalData { path: skim::OWN.to_owned(), data: file.clone() };
    tensors::canonicalise(graph, &[external, &[own]].concat(), &mut store)?;
    let info = model_info(&model, overrides)?;
    normalise::normalise(&mut model)?;
    if let Some(graph) = &model.graph {
        limits::check(graph)?;
        attributes::check(graph)?;
    }
    Ok((model, info, store))
}

/// A damaged or inconsistent model.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidModel, message)
        .with_hint("export the model again, or check it with onnx.checker; if it was downloaded, compare its size")
}
