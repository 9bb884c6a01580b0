//! The engine's exports.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Float32Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::source::JsBytes;
use super::tensors::{dims_to_js, field, tensor_from_js, tensor_to_js};
use super::{thrown, to_js};
use crate::engine::{Host, RunOptions, Session};
use crate::error::{Error, ErrorCode, Result};
use crate::image::{self, ImageInput, View};
use crate::kernels::isa;
use crate::plan::Source;
use crate::task::{self, ClassifySpec};
use crate::tensor::Tensor;

#[wasm_bindgen]
extern "C" {
    /// The compiler, as the engine sees it.
    pub type JsHost;

    #[wasm_bindgen(method, catch)]
    fn specialize(this: &JsHost, shapes: &Array) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = runSubgraph)]
    fn run_subgraph(this: &JsHost, id: u32, inputs: &Array) -> std::result::Result<Array, JsValue>;

    /// A plan that is not there as a whole.
    type JsPlan;

    /// Fills `to`, a view of this module's memory, with the bytes from `offset` on.
    #[wasm_bindgen(method, catch)]
    fn read(this: &JsPlan, offset: f64, to: &mut [u8]) -> std::result::Result<(), JsValue>;

    /// Milliseconds; in windows, workers and Node alike.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// What the compiler threw: passed on as it is.
type Thrown = Rc<RefCell<Option<JsValue>>>;

struct Compiler {
    host: JsHost,
    thrown: Thrown,
}

impl Compiler {
    fn failed(&self, cause: JsValue) -> Error {
        *self.thrown.borrow_mut() = Some(cause);
        Error::new(ErrorCode::Internal, "the compiler failed")
    }
}

impl Host for Compiler {
    fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Box<dyn Source>> {
        let shapes: Array = shapes.iter().map(|s| dims_to_js(s)).collect();
        let plan = self.host.specialize(&shapes).map_err(|cause| self.failed(cause))?;
        Ok(source(plan, &self.thrown))
    }

    fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let inputs: Array = inputs.iter().map(|t| tensor_to_js("", t)).collect();
        let outputs = self.host.run_subgraph(id, &inputs).map_err(|cause| self.failed(cause))?;
        outputs.iter().map(|o| Ok(tensor_from_js(&o)?.1)).collect()
    }
}

/// A plan that is made while it is read.
struct Made {
    plan: JsPlan,
    thrown: Thrown,
}

impl Source for Made {
    fn size(&self) -> usize {
        // Casts of floats saturate.
        field(&self.plan, "size").as_f64().unwrap_or(0.0) as usize
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        self.plan.read(offset as f64, to).map_err(|cause| {
            *self.thrown.borrow_mut() = Some(cause);
            Error::new(ErrorCode::Internal, "the compiler failed")
        })
    }
}

/// A plan, as bytes or as something to read from.
fn source(plan: JsValue, thrown: &Thrown) -> Box<dyn Source> {
    match plan.dyn_into::<Uint8Array>() {
        Ok(bytes) => Box::new(JsBytes(bytes)),
        Err(plan) => Box::new(Made { plan: plan.unchecked_into(), thrown: thrown.clone() }),
    }
}

#[cfg(not(feature = "threads"))]
fn open(plan: &dyn Source, host: Option<Box<dyn Host>>) -> Result<Session> {
    Session::new(plan, host)
}

#[cfg(feature = "threads")]
fn open(plan: &dyn Source, host: Option<Box<dyn Host>>) -> Result<Session> {
    use super::threads::{POOL, threads};
    Session::with_threads(plan, host, POOL.clone(), threads())
}

/// A model ready to run.
#[wasm_bindgen]
pub struct EngineSession {
    session: Session,
    thrown: Thrown,
}

#[wasm_bindgen]
impl EngineSession {
    /// From an encoded plan: its bytes, or `{ size, read(offset, to) }`.
    #[wasm_bindgen(constructor)]
    pub fn new(plan: JsValue, host: Option<JsHost>) -> std::result::Result<EngineSession, JsValue> {
        let failure = Thrown::default();
        let host = host.map(|host| Box::new(Compiler { host, thrown: failure.clone() }) as Box<dyn Host>);
        let opened = open(&*source(plan, &failure), host);
        let session = opened.map_err(|error| failure.borrow_mut().take().unwrap_or_else(|| thrown(error)))?;
        Ok(Self { session, thrown: failure })
    }

    /// What the model says of itself.
    pub fn info(&self) -> JsValue {
        to_js(self.session.info())
    }

    /// Whether runs may need the compiler.
    #[wasm_bindgen(js_name = needsHost)]
    pub fn needs_host(&self) -> bool {
        self.session.needs_host()
    }

    /// How many parts of the graph the compiler executes.
    pub fn subgraphs(&self) -> usize {
        self.session.subgraphs()
    }

    /// What the plan consists of: `{ variants: [{ inputShapes, steps, arenaBytes }], weightBytes }`.
    pub fn describe(&self) -> JsValue {
        to_js(&self.session.describe())
    }

    /// The steps of the last run with `profile`: `{ node, opType, kernel, shape, start, microseconds, macs }` each.
    pub fn profile(&self) -> JsValue {
        to_js(self.session.profile())
    }

    /// Runs the model. Options: `allowNaN`, `profile`.
    pub fn run(
        &mut self,
        inputs: &Array,
        outputs: Option<Vec<String>>,
        options: &JsValue,
    ) -> std::result::Result<Array, JsValue> {
        let inputs = tensors_from_js(inputs).map_err(thrown)?;
        let outputs = self.session.run(&inputs, outputs.as_deref(), run_options(options));
        self.give(outputs)
    }

    /// Begins a run that `advance` carries out, with the arguments of `run`.
    pub fn begin(
        &mut self,
        inputs: &Array,
        outputs: Option<Vec<String>>,
        options: &JsValue,
    ) -> std::result::Result<(), JsValue> {
        let inputs = tensors_from_js(inputs).map_err(thrown)?;
        let begun = self.session.begin(inputs, outputs.as_deref(), run_options(options));
        begun.map_err(|error| self.failed(error))
    }

    /// Goes on with the run that was begun, for about so many milliseconds: true when it is at its end.
    pub fn advance(&mut self, milliseconds: f64) -> std::result::Result<bool, JsValue> {
        let ended = self.session.advance(&microseconds, milliseconds * 1000.0);
        ended.map_err(|error| self.failed(error))
    }

    /// The outputs of the run that was begun and is at its end.
    pub fn finish(&mut self) -> std::result::Result<Array, JsValue> {
        let outputs = self.session.finish();
        self.give(outputs)
    }

    /// Gives up the run that was begun.
    pub fn cancel(&mut self) {
        self.session.cancel();
    }

    fn give(&self, outputs: Result<Vec<(String, Tensor)>>) -> std::result::Result<Array, JsValue> {
        let outputs = outputs.map_err(|error| self.failed(error))?;
        Ok(outputs.iter().map(|(name, tensor)| tensor_to_js(name, tensor)).collect())
    }

    /// The error, or what the compiler threw.
    fn failed(&self, error: Error) -> JsValue {
        self.thrown.borrow_mut().take().unwrap_or_else(|| thrown(error))
    }
}

/// What clocks of runs tell.
fn microseconds() -> f64 {
    performance_now() * 1000.0
}

fn run_options(options: &JsValue) -> RunOptions<'static> {
    RunOptions {
        allow_nan: field(options, "allowNaN").is_truthy(),
        profile: field(options, "profile").is_truthy().then_some(&microseconds),
    }
}

fn tensors_from_js(tensors: &Array) -> Result<Vec<(String, Tensor)>> {
    tensors.iter().map(|tensor| tensor_from_js(&tensor)).collect()
}

/// Version of the package that this module belongs to, which build it is, and how it multiplies here:
/// `0.1.0+relaxed.usdot`.
#[wasm_bindgen]
pub fn version() -> String {
    let build = if cfg!(target_feature = "relaxed-simd") { "relaxed" } else { "simd128" };
    format!("{}+{build}.{}", env!("CARGO_PKG_VERSION"), isa::probe().name())
}

/// RGBA pixels to the input tensor of a model. `view` is an object `{ orientation, region, rotation }`; all of the picture
/// when it is left out.
#[wasm_bindgen]
pub fn preprocess(
    rgba: &[u8],
    width: u32,
    height: u32,
    spec: JsValue,
    view: JsValue,
) -> std::result::Result<JsValue, JsValue> {
    let spec = ImageInput::from_deserializer(serde_wasm_bindgen::Deserializer::from(spec)).map_err(thrown)?;
    let view = if view.is_undefined() {
        View::default()
    } else {
        View::from_deserializer(serde_wasm_bindgen::Deserializer::from(view)).map_err(thrown)?
    };
    let tensor = image::preprocess(rgba, width, height, &spec, &view).map_err(thrown)?;
    Ok(tensor_to_js("", &tensor))
}

/// Scores to the best classes of every row.
#[wasm_bindgen]
pub fn classify(scores: &JsValue, spec: JsValue) -> std::result::Result<JsValue, JsValue> {
    let spec = ClassifySpec::from_deserializer(serde_wasm_bindgen::Deserializer::from(spec)).map_err(thrown)?;
    let (_, scores) = tensor_from_js(scores).map_err(thrown)?;
    Ok(to_js(&task::classify(&scores, &spec).map_err(thrown)?))
}

/// Scores of a picture of a stream to its best classes, averaged with the earlier pictures' scores in `average`, of which
/// `keep` is the weight. Gives `{ best, average }`, the latter for the next picture.
#[wasm_bindgen(js_name = classifySmoothed)]
pub fn classify_smoothed(
    scores: &JsValue,
    spec: JsValue,
    average: Option<Vec<f32>>,
    keep: f64,
) -> std::result::Result<JsValue, JsValue> {
    let spec = ClassifySpec::from_deserializer(serde_wasm_bindgen::Deserializer::from(spec)).map_err(thrown)?;
    let (_, scores) = tensor_from_js(scores).map_err(thrown)?;
    let mut average = average.unwrap_or_default();
    let best = task::classify_smoothed(&scores, &spec, &mut average, keep).map_err(thrown)?;
    let result = Object::new();
    for (key, value) in [("best", to_js(&best)), ("average", Float32Array::from(&average[..]).into())] {
        // Setting a field of a fresh plain object cannot fail.
        let _ = Reflect::set(&result, &key.into(), &value);
    }
    Ok(result.into())
}
