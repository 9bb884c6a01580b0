//! The compiler's exports.

use std::rc::Rc;

use js_sys::{Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use super::source::{JsBytes, offset_from_js};
use super::tensors::{dims_from_js, field, tensor_from_js, tensor_to_js};
use super::{thrown, to_js};
use crate::compiler::{CompileOptions, CompiledModel as Model, Encoded, ExternalData};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::Source;

/// An encoded plan. Large constants are made when they are read.
#[wasm_bindgen]
pub struct CompiledPlan(Encoded);

#[wasm_bindgen]
impl CompiledPlan {
    /// How many bytes it has.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> f64 {
        self.0.size() as f64
    }

    /// Fills an array with the bytes from `offset` on.
    pub fn read(&self, offset: f64, to: &Uint8Array) -> std::result::Result<(), JsValue> {
        self.read_pieces(offset_from_js(offset), to).map_err(thrown)
    }

    fn read_pieces(&self, offset: usize, to: &Uint8Array) -> Result<()> {
        let end = offset.saturating_add(to.length() as usize);
        let mut at = offset;
        while at < end {
            let next = self.0.piece(at).clamp(at + 1, end);
            let mut piece = vec![0; next - at];
            self.0.read(at, &mut piece)?;
            to.subarray((at - offset) as u32, (next - offset) as u32).copy_from(&piece);
            at = next;
        }
        Ok(())
    }
}

/// A model as the compiler holds it.
#[wasm_bindgen]
pub struct CompiledModel(Model);

#[wasm_bindgen]
impl CompiledModel {
    /// From the bytes of a `.onnx` file, the files of `[{ path, data }]` that it refers to, and
    /// `{ freeDimensionOverrides }`. The bytes stay where they are, and must not change as long as there is the model or
    /// a plan of it.
    #[wasm_bindgen(constructor)]
    pub fn new(
        model: Uint8Array,
        external_data: &Array,
        options: &JsValue,
    ) -> std::result::Result<CompiledModel, JsValue> {
        let external = external_data.iter().map(|f| external_file(&f)).collect::<Result<Vec<_>>>().map_err(thrown)?;
        let options = compile_options(options).map_err(thrown)?;
        let file: Rc<dyn Source> = Rc::new(JsBytes(model));
        Ok(Self(Model::open(&file, &external, &options).map_err(thrown)?))
    }

    /// The plan, with a variant for every set of input shapes in use.
    pub fn plan(&self) -> CompiledPlan {
        CompiledPlan(self.0.plan())
    }

    /// The plan for these input shapes.
    pub fn specialize(&mut self, shapes: &Array) -> std::result::Result<CompiledPlan, JsValue> {
        let shapes = shapes.iter().map(|s| dims_from_js(&s)).collect::<Result<Vec<_>>>().map_err(thrown)?;
        self.0.specialize(&shapes).map(CompiledPlan).map_err(thrown)
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
    Ok(ExternalData { path: field(value, "path").as_string().ok_or_else(bad)?, data: Rc::new(JsBytes(data)) })
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
