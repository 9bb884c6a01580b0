//! Subgraphs that tract executes.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::tract_hir::internal::*;

use super::limits::{MAX_TENSOR_BYTES, too_large};
use super::lower::value_info;
use super::store::Store;
use super::{gather, registry, shapes, tensors, whole};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::Fact;

/// A graph with concrete inputs, ready to run.
pub struct Subgraph {
    plan: Arc<TypedSimplePlan>,
    state: TypedSimpleState,
    /// Facts of the inputs.
    inputs: Vec<Fact>,
    /// Facts of the outputs.
    pub outputs: Vec<Fact>,
}

impl Subgraph {
    /// Has tract infer, simplify and plan the model's graph, whose inputs must have concrete shapes.
    pub fn new(proto: &ModelProto) -> Result<Self> {
        guarded(|| Self::build(proto)).map_err(|problem| problem.into_error(ErrorCode::InvalidModel))
    }

    fn build(proto: &ModelProto) -> Result<Self, Problem> {
        let (inferred, _) = infer(proto)?;
        let mut typed = inferred.into_typed()?;
        check_sizes(&typed)?;
        whole::keep_whole(&mut typed);
        // Where tract's own rewriting fails, the graph as it is still runs.
        let simplified = guarded(|| -> Result<TypedModel, Problem> {
            let model = typed.clone().into_decluttered()?;
            check_sizes(&model)?;
            Ok(model.into_optimized()?)
        });
        let mut model = match simplified {
            Ok(model) => model,
            Err(Problem::Ours(error)) => return Err(Problem::Ours(error)),
            Err(Problem::Tract(_)) => typed,
        };
        gather::check_indices(&mut model)?;
        let outputs =
            model.output_outlets()?.iter().map(|o| fact(model.outlet_fact(*o)?)).collect::<TractResult<_>>()?;
        let inputs = model.input_outlets()?.iter().map(|o| fact(model.outlet_fact(*o)?)).collect::<TractResult<_>>()?;
        let plan = TypedSimplePlan::new(model)?;
        Ok(Self { state: plan.spawn()?, plan, inputs, outputs })
    }

    /// Whether these are inputs of the types and shapes that it was planned for.
    pub fn takes(&self, inputs: &[&crate::tensor::Tensor]) -> bool {
        let fits = |(fact, tensor): (&Fact, &&crate::tensor::Tensor)| {
            let same = |(planned, &size): (&Option<usize>, &usize)| planned.is_none_or(|p| p == size);
            fact.data_type == tensor.data_type()
                && fact.shape.len() == tensor.shape().len()
                && fact.shape.iter().zip(tensor.shape()).all(same)
        };
        self.inputs.len() == inputs.len() && self.inputs.iter().zip(inputs).all(fits)
    }

    /// Runs. The inputs have the types and shapes that the graph was planned for.
    pub fn run(&mut self, inputs: &[&crate::tensor::Tensor]) -> Result<Vec<crate::tensor::Tensor>> {
        let state = &mut self.state;
        let result = guarded(|| -> Result<_, Problem> {
            let inputs =
                inputs.iter().map(|t| Ok(tensors::to_tract(t)?.into_tvalue())).collect::<TractResult<TVec<_>>>()?;
            let outputs = state.run(inputs)?;
            Ok(outputs.iter().map(|t| tensors::from_tract(t)).collect::<TractResult<Vec<_>>>()?)
        });
        result.map_err(|problem| {
            // What a failed run left behind must not meet the next one.
            match guarded(|| Ok(self.plan.spawn()?)) {
                Ok(state) => self.state = state,
                Err(problem) => return problem.into_error(ErrorCode::Internal),
            }
            problem.into_error(ErrorCode::ExecutionFailed)
        })
    }
}

/// What inference knows of a value.
#[derive(Clone, Default)]
pub struct Known {
    /// Element type.
    pub data_type: Option<crate::tensor::DataType>,
    /// Shape, if the rank is known.
    pub dims: Option<Vec<Option<usize>>>,
    /// The value, if it depends on nothing.
    pub value: Option<Arc<Tensor>>,
}

impl Known {
    /// The shape, if all of it is known.
    pub fn shape(&self) -> Option<Vec<usize>> {
        self.dims.as_ref()?.iter().copied().collect()
    }

    /// How many bytes it has, if that is known.
    pub fn bytes(&self) -> Option<usize> {
        let elements = self.shape()?.into_iter().try_fold(1usize, usize::checked_mul)?;
        elements.checked_mul(self.data_type?.size())
    }

    /// Whether its size in memory is known.
    pub fn is_sized(&self) -> bool {
        self.data_type.is_some_and(|t| t.size() > 0) && self.shape().is_some()
    }
}

/// Has tract infer what it can about every value of a model, whose inputs must have concrete shapes. Of large constants it
/// gets to know types and shapes only, as if they were inputs.
pub fn analyse(proto: &mut ModelProto) -> Result<HashMap<String, Known>> {
    let Some(graph) = &mut proto.graph else { return Ok(HashMap::new()) };
    let (large, small): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.initializer).into_iter().partition(Store::holds);
    let inputs = graph.input.len();
    graph.initializer = small;
    for tensor in &large {
        let dims: Vec<Option<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        graph.input.push(value_info(&tensor.name, tensor.data_type, &dims));
    }
    let known = analyse_small(proto);
    if let Some(graph) = &mut proto.graph {
        graph.input.truncate(inputs);
        graph.initializer.extend(large);
    }
    known
}

fn analyse_small(proto: &ModelProto) -> Result<HashMap<String, Known>> {
    guarded(|| {
        let (model, outlets) = infer(proto)?;
        let mut all = HashMap::new();
        for (name, outlet) in outlets {
            let fact = model.outlet_fact(outlet)?;
            let size = |d: &DimFact| usize::try_from(d.concretize()?.to_i64().ok()?).ok();
            let dims = (!fact.shape.is_open()).then(|| fact.shape.dims().map(size).collect());
            let data_type = fact.datum_type.concretize().and_then(|t| tensors::data_type(t).ok());
            // Values of shape arithmetic may hold symbols.
            let value = fact.value.concretize().filter(|v| tensors::from_tract(v).is_ok());
            all.insert(name, Known { data_type, dims, value });
        }
        Ok(all)
    })
    .map_err(|problem| problem.into_error(ErrorCode::InvalidModel))
}

/// Parses and infers.
fn infer(proto: &ModelProto) -> Result<(InferenceModel, HashMap<String, OutletId>), Problem> {
    let framework = Onnx { op_register: registry::operators(), ignore_value_info: true, ..Onnx::default() }
        .with_ignore_output_shapes(true);
    let parsed = framework.parse(proto, None)?;
    let mut inferred = parsed.model;
    inferred.analyse(false)?;
    if let Some(graph) = &proto.graph {
        shapes::check(graph, &inferred, &parsed.outlets_by_name)?;
    }
    Ok((inferred, parsed.outlets_by_name))
}

fn fact(fact: &TypedFact) -> TractResult<Fact> {
    let shape = fact.shape.iter().map(|d| d.to_usize().ok()).collect();
    Ok(Fact { data_type: tensors::data_type(fact.datum_type)?, shape, constant: None })
}

fn check_sizes(model: &TypedModel) -> Result<()> {
    for node in model.nodes() {
        for output in &node.outputs {
            // Inputs have numbers for shapes, so a broadcast that is left over is one of two different numbers.
            if let Some(dim) = output
                .fact
                .shape
                .iter()
                .find(|d| matches!(d, TDim::Broadcast(parts) if parts.iter().all(|p| p.to_usize().is_ok())))
            {
                return Err(super::onnx::invalid(format!("shapes do not fit each other: {dim}"))
                    .at_node(&*node.name, node.op.name()));
            }
            let mut bytes = output.fact.datum_type.size_of() as u64;
            for dim in output.fact.shape.iter().filter_map(|d| d.to_i64().ok()) {
                bytes = bytes.saturating_mul(u64::try_from(dim).unwrap_or(0));
            }
            if bytes > MAX_TENSOR_BYTES {
                return Err(too_large("the output of a node").at_node(&*node.name, node.op.name()));
            }
        }
    }
    Ok(())
}

/// A failure in tract, or one that we have already put into words.
enum Problem {
    Tract(TractError),
    Ours(Error),
}

impl From<TractError> for Problem {
    fn from(error: TractError) -> Self {
        Self::Tract(error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Problem {
    fn into_error(self, code: ErrorCode) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Tract(error) => describe(&error, code),
        }
    }
}

/// tract reports a chain: outermost where, innermost why. The reason goes first, the node into its own field.
fn describe(error: &TractError, code: ErrorCode) -> Error {
    if let Some(own) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        return own.clone();
    }
    let reason = error.root_cause().to_string();
    let reason = reason.lines().next().unwrap_or_default().trim();
    let unsupported = error.chain().any(|cause| {
        let text = cause.to_string();
        text.contains("not supported")
            || text.contains("is variable")
            || text.contains("as a constant")
            || text.contains("nimplemented")
            || text.contains("not implemented")
    });
    let code = if unsupported && code == ErrorCode::InvalidModel { ErrorCode::UnsupportedModel } else { code };
    let message = match code {
        ErrorCode::ExecutionFailed => format!("the model failed while running: {reason}"),
        ErrorCode::UnsupportedModel => format!("the model uses something that is not supported: {reason}"),
        _ => format!("the model does not make sense: {reason}"),
    };
    let hint = match code {
        ErrorCode::ExecutionFailed => {
            "check the values of the inputs; if onnxruntime runs them, please report this model"
        }
        _ => "if onnxruntime runs this model, please report it",
    };
    let result = Error::new(code, message).with_hint(hint);
    // tract quotes nodes as `#12 "name" Op`.
    match error.chain().find_map(|cause| node_in(&cause.to_string())) {
        Some((name, op)) => result.at_node(name, op),
        None => result,
    }
}

fn node_in(text: &str) -> Option<(String, String)> {
    let (_, after) = text.split_once("#")?;
    let (number, after) = after.split_once(" \"")?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (name, after) = after.split_once("\" ")?;
    let op = after.split(|c: char| c.is_whitespace() || c == ',').next()?;
    Some((name.to_owned(), op.to_owned()))
}

/// Runs tract's code; a panic in it becomes an error. WebAssembly cannot unwind: there a panic ends the worker, which
/// is replaced.
fn guarded<T>(f: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    #[cfg(target_arch = "wasm32")]
    return f();
    #[cfg(not(target_arch = "wasm32"))]
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Problem::Tract(format_err!("{}", text.unwrap_or("unknown reason"))))
    })
}
