//! The compiler's exports.

use js_sys::{Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use super::tensors::{dims_from_js, field, tensor_from_js, tensor_to_js};
use super::{thrown, to_js};
use crate::compiler::{CompileOptions, CompiledModel as Model, ExternalData};
use crate::error::{Error, ErrorCode, Result};

/// A model as the compiler holds it.
#[wasm_bindgen]
pub struct CompiledModel(Model);

#[wasm_bindgen]
impl CompiledModel {
    /// From the bytes of a `.onnx` file, the files of `[{ path, data }]` that it refers to, and
    /// `{ freeDimensionOverrides }`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        model: Vec<u8>,
        external_data: &Array,
        options: &JsValue,
    ) -> std::result::Result<CompiledModel, JsValue> {
        let external = external_data.iter().map(|f| external_file(&f)).collect::<Result<Vec<_>>>().map_err(thrown)?;
        let options = compile_options(options).map_err(thrown)?;
        Ok(Self(Model::open(model, external, &options).map_err(thrown)?))
    }

    /// The plan, with a variant for every set of input shapes in use.
    pub fn plan(&self) -> Vec<u8> {
        self.0.plan()
    }

    /// The plan for these input shapes.
    pub fn specialize(&mut self, shapes: &Array) -> std::result::Result<Vec<u8>, JsValue> {
        let shapes = shapes.iter().map(|s| dims_from_js(&s)).collect::<Result<Vec<_>>>().map_err(thrown)?;
        self.0.specialize(&shapes).map_err(thrown)
    }

    /// What the engine has no steps for: `[{ id, nodes: [{ node, opType, reason }] }]`.
    pub fn fallbacks(&self) -> JsValue {
        to_js(&self.0.fallbacks())
    }

    /// Runs a part of the graph that the engine has no step for.
    #[wasm_bindgen(js_name = runSubgraph)]
    pub fn run_subgraph(&mut self, id: u32, inputs: &Array) -> std::result::Result<Array, JsValue> {
        let inputs = inputs.iter().map(|i| Ok(tensor_from_js(&i)?.1)).collect::<Result<Vec<_>>>().map_err(thrown)?;
        let inputs: Vec<_> = inputs.iter().collect();
        let outputs = self.0.run_subgraph(id, &inputs).map_err(thrown)?;
        Ok(outputs.iter().map(|t| tensor_to_js("", t)).collect())
    }
}

fn bad_option(message: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, message)
}

fn external_file(value: &JsValue) -> Result<ExternalData> {
    let bad = || bad_option("externalData must be a list of { path, data }");
    let data: Uint8Array = field(value, "data").dyn_into().map_err(|_| bad())?;
    Ok(ExternalData { path: field(value, "path").as_string().ok_or_else(bad)?, data: data.to_vec() })
}

fn compile_options(value: &JsValue) -> Result<CompileOptions> {
    let overrides = field(value, "freeDimensionOverrides");
    let mut options = CompileOptions::default();
    if let Some(overrides) = overrides.dyn_ref::<Object>() {
        for entry in Object::entries(overrides).iter() {
            let pair: Array = entry.unchecked_into();
            let size = dims_from_js(&Array::of1(&pair.get(1)).into())
                .map_err(|_| bad_option("freeDimensionOverrides must give a size, 0 or more, for each name"))?;
            options.free_dimension_overrides.insert(pair.get(0).as_string().unwrap_or_default(), size[0]);
        }
    }
    Ok(options)
}
