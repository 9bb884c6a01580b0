//! ONNX bytes in, plan out; and the execution of what the engine has no steps for.
//!
//! The way of a model: [`onnx`] decodes, checks and brings it into canonical form; [`fuse`] turns QDQ groups into
//! integer operators; tract infers shapes, with our own [`quantized`] operators in place of its own ([`registry`] says
//! which is which); [`lower`] turns nodes into steps of the plan; [`fallback`] has tract execute what has none.

mod attributes;
mod branches;
mod celu;
mod fallback;
mod fuse;
mod gather;
mod info;
mod join;
mod limits;
mod lower;
mod onnx;
mod pad;
mod quantized;
mod registry;
mod shapes;
mod store;
mod tensors;
mod whole;

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use tract_onnx::pb::tensor_shape_proto::{self, dimension};
use tract_onnx::pb::{ModelProto, TensorProto, type_proto};

use crate::error::{Error, ErrorCode, Result};
use crate::plan::{self, Dim, Fact, MAX_VARIANTS, ModelInfo, Operation, Source, Step, ValueInfo, Variant};
use crate::tensor::Tensor;
use fallback::Subgraph;
use lower::{Lowered, Part, Pool};
use store::Store;

pub use info::DimensionOverrides;
pub use lower::{Encoded, Reason, WithoutStep};
pub use onnx::ExternalData;

/// Choices for compiling.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Sizes for symbolic dimensions of the inputs.
    pub free_dimension_overrides: DimensionOverrides,
}

/// A model that was read and checked, with a plan for every set of input shapes in use.
pub struct CompiledModel {
    info: ModelInfo,
    /// Dropped once it is compiled for good, as models with fixed shapes are.
    proto: Option<ModelProto>,
    /// The large constants.
    store: Store,
    /// The constants of all plans.
    pool: Pool,
    /// Most recently used last; never more than [`MAX_VARIANTS`].
    compiled: Vec<Compiled>,
    next_id: u32,
}

struct Compiled {
    variant: Variant,
    parts: Vec<CompiledPart>,
}

/// A part of the graph that tract executes.
struct CompiledPart {
    id: u32,
    subgraph: Subgraph,
    nodes: Vec<WithoutStep>,
}

/// A part of the graph that the engine has no steps for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// The number that its step in the plan has.
    pub id: u32,
    /// Its nodes.
    pub nodes: Vec<WithoutStep>,
}

impl CompiledModel {
    /// Reads and checks a model. With fixed input shapes it is compiled at once, otherwise by [`Self::specialize`]. Large
    /// constants are not read: they are when a plan is, or a part of the graph is executed here. So the files must not
    /// change.
    ///
    /// # Errors
    /// What is wrong with the bytes, see [`ErrorCode`]; all unknown operators at once.
    pub fn open(file: &Rc<dyn Source>, external: &[ExternalData], options: &CompileOptions) -> Result<Self> {
        let (mut proto, info, mut store) = onnx::import(file, external, &options.free_dimension_overrides)?;
        fuse::fuse(&mut proto, &mut store);
        let fixed: Option<Vec<Vec<usize>>> = info
            .inputs
            .iter()
            .map(|i| i.shape.iter().map(|d| if let Dim::Fixed(n) = d { Some(*n) } else { None }).collect())
            .collect();
        let mut model =
            Self { info, proto: Some(proto), store, pool: Pool::default(), compiled: Vec::new(), next_id: 0 };
        if let Some(shapes) = fixed {
            model.compile(&shapes)?;
            model.proto = None;
            model.store = Store::default();
        }
        Ok(model)
    }

    /// What the model says of itself.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The plan, encoded, with a variant for every set of input shapes in use.
    pub fn plan(&self) -> Encoded {
        self.encoded(&self.compiled)
    }

    fn encoded(&self, compiled: &[Compiled]) -> Encoded {
        let variants: Vec<&Variant> = compiled.iter().map(|c| &c.variant).collect();
        self.pool.encoded(plan::encode_header(&self.info, &self.pool.constants, &variants))
    }

    /// A plan for these input shapes, in the order of the inputs, encoded. Constants keep the numbers that they had.
    ///
    /// # Errors
    /// `INPUT_SHAPE` if the model cannot take them.
    pub fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Encoded> {
        let at = match self.compiled.iter().position(|c| c.variant.input_shapes == shapes) {
            Some(at) => at,
            None => self.compile(shapes)?,
        };
        Ok(self.encoded(&self.compiled[at..=at]))
    }

    fn compile(&mut self, shapes: &[Vec<usize>]) -> Result<usize> {
        let wrong = || {
            Error::new(ErrorCode::InputShape, "the model takes other input shapes")
                .with_hint("inputMetadata lists the shape of every input")
        };
        let proto = self.proto.as_mut().ok_or_else(wrong)?;
        let ranks = |(input, shape): (&ValueInfo, &Vec<usize>)| {
            input.takes_rank(shape.len()) && shape.len() <= limits::MAX_RANK
        };
        if shapes.len() != self.info.inputs.len() || !self.info.inputs.iter().zip(shapes).all(ranks) {
            return Err(wrong());
        }
        set_input_shapes(proto, &self.info, shapes)?;
        let unranked = self.info.inputs.iter().any(ValueInfo::is_unranked);
        // What does not fit together may be the model's fault or, where it declares no shape, that of the input.
        let blame = |problem: Error| match problem.code {
            ErrorCode::InvalidModel if unranked => Error::new(ErrorCode::InputShape, &problem.message)
                .with_hint("the model declares no shape for an input, and does not go with the one that it was given"),
            _ => problem,
        };
        if unranked && let Some(graph) = &proto.graph {
            // Axes could not be held against ranks before.
            attributes::check(graph).map_err(blame)?;
        }
        let known = fallback::analyse(proto).map_err(blame)?;
        limits::check_values(&known)?;
        check_outputs(proto, &self.info, &known)?;
        let (store, pool, next_id) = (&self.store, &mut self.pool, &mut self.next_id);
        let compiled = match lowered(proto, store, &self.info, &known, shapes, pool, next_id)? {
            Some(compiled) => compiled,
            None => whole(proto, store, &self.info, &known, shapes, next_id)?,
        };
        if self.compiled.len() == MAX_VARIANTS {
            self.compiled.remove(0);
        }
        self.compiled.push(compiled);
        Ok(self.compiled.len() - 1)
    }

    /// What the engine has no steps for, and why, for every set of input shapes in use.
    pub fn fallbacks(&self) -> Vec<Fallback> {
        let parts = self.compiled.iter().flat_map(|c| &c.parts);
        parts.map(|p| Fallback { id: p.id, nodes: p.nodes.clone() }).collect()
    }

    /// Runs the subgraph that a step names, with inputs in the step's order.
    ///
    /// # Errors
    /// `EXECUTION_FAILED` with the node concerned; the model stays usable.
    pub fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let at = self.compiled.iter().position(|c| c.parts.iter().any(|p| p.id == id)).ok_or_else(|| {
            Error::new(ErrorCode::Internal, format!("the plan names a subgraph {id} that this model does not have"))
        })?;
        // Most recently used last.
        let mut compiled = self.compiled.remove(at);
        let result = match compiled.parts.iter_mut().find(|p| p.id == id) {
            Some(part) if part.subgraph.takes(inputs) => part.subgraph.run(inputs),
            _ => {
                let message = format!("subgraph {id} was handed values that it was not planned for");
                Err(Error::new(ErrorCode::Internal, message))
            }
        };
        self.compiled.push(compiled);
        result
    }
}

/// Outputs must be of the types that the model declares.
fn check_outputs(proto: &ModelProto, info: &ModelInfo, known: &HashMap<String, fallback::Known>) -> Result<()> {
    let names = proto.graph.iter().flat_map(|g| &g.output).map(|o| &o.name);
    for (name, output) in names.zip(&info.outputs) {
        if let Some(found) = known.get(name).and_then(|k| k.data_type)
            && found != output.data_type
        {
            return Err(onnx::invalid(format!("the output \"{}\" has another type than declared", output.name))
                .expected(output.data_type, found));
        }
    }
    Ok(())
}

/// The graph as steps, with subgraphs where there are none. `None`: it cannot be split.
fn lowered(
    proto: &ModelProto,
    store: &Store,
    info: &ModelInfo,
    known: &HashMap<String, fallback::Known>,
    shapes: &[Vec<usize>],
    pool: &mut Pool,
    next_id: &mut u32,
) -> Result<Option<Compiled>> {
    let Some(Lowered { variant, parts }) = lower::lower(proto, store, known, shapes, pool, next_id) else {
        return Ok(None);
    };
    if plan::check_variant(info, &pool.constants, pool.size()?, &variant).is_err() {
        return Ok(None);
    }
    let parts = parts
        .into_iter()
        .map(|Part { id, proto, nodes }| Some(CompiledPart { id, subgraph: Subgraph::new(&proto).ok()?, nodes }))
        .collect::<Option<Vec<_>>>();
    Ok(parts.map(|parts| Compiled { variant, parts }))
}

/// The graph as one subgraph.
fn whole(
    proto: &mut ModelProto,
    store: &Store,
    info: &ModelInfo,
    known: &HashMap<String, fallback::Known>,
    shapes: &[Vec<usize>],
    next_id: &mut u32,
) -> Result<Compiled> {
    // Only for tract.
    let filled: Option<Vec<_>> =
        proto.graph.iter().flat_map(|g| &g.initializer).map(|tensor| store.filled(tensor)).collect();
    let filled = filled.ok_or_else(|| Error::new(ErrorCode::Internal, "a weight could not be read"))?;
    let initializers = swap_initializers(proto, filled);
    let subgraph = Subgraph::new(proto);
    swap_initializers(proto, initializers);
    let subgraph = subgraph?;
    let inputs: Vec<u32> = (0..).take(shapes.len()).collect();
    let outputs: Vec<u32> = (shapes.len() as u32..).take(subgraph.outputs.len()).collect();
    let id = *next_id;
    *next_id += 1;
    let fact = |(input, shape): (&ValueInfo, &Vec<usize>)| Fact {
        data_type: input.data_type,
        shape: shape.iter().map(|&d| Some(d)).collect(),
        constant: None,
    };
    let mut values: Vec<Fact> = info.inputs.iter().zip(shapes).map(fact).collect();
    values.extend(subgraph.outputs.iter().cloned());
    let variant = Variant {
        input_shapes: shapes.to_vec(),
        values,
        output_shapes: subgraph.outputs.iter().map(|o| o.shape.clone()).collect(),
        steps: vec![Step {
            node: info.graph_name.clone(),
            op_type: "Subgraph".to_owned(),
            operation: Operation::Subgraph { id, inputs: inputs.clone(), outputs: outputs.clone() },
        }],
        inputs,
        outputs,
    };
    let nodes = proto.graph.iter().flat_map(|g| &g.node).map(|n| WithoutStep::new(n, known, Reason::Whole)).collect();
    Ok(Compiled { variant, parts: vec![CompiledPart { id, subgraph, nodes }] })
}

fn swap_initializers(proto: &mut ModelProto, initializers: Vec<TensorProto>) -> Vec<TensorProto> {
    proto.graph.as_mut().map_or_else(Vec::new, |g| std::mem::replace(&mut g.initializer, initializers))
}

/// Writes concrete shapes into the graph's inputs.
fn set_input_shapes(proto: &mut ModelProto, info: &ModelInfo, shapes: &[Vec<usize>]) -> Result<()> {
    let graph = proto.graph.as_mut().ok_or_else(|| onnx::invalid("the model has no graph"))?;
    for (input, shape) in info.inputs.iter().zip(shapes) {
        let tensor =
            graph.input.iter_mut().find(|i| i.name == input.name).and_then(|i| i.r#type.as_mut()?.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = tensor else { continue };
        let declared = tensor.shape.get_or_insert_default();
        if input.is_unranked() {
            declared.dim = vec![tensor_shape_proto::Dimension::default(); shape.len()];
        }
        let mut bytes = input.data_type.size().max(1) as u64;
        for (dim, &size) in declared.dim.iter_mut().zip(shape) {
            bytes = bytes.saturating_mul(size as u64);
            dim.value = Some(dimension::Value::DimValue(size as i64));
        }
        if bytes > limits::MAX_TENSOR_BYTES {
            return Err(limits::too_large(&format!("the input \"{}\"", input.name)));
        }
    }
    Ok(())
}
