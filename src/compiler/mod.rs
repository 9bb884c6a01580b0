//! ONNX bytes in, plan out; and the execution of what the engine has no steps for.
//!
//! The way of a model: [`onnx`] decodes, checks and brings it into canonical form; [`fuse`] turns QDQ groups into
//! integer operators; tract infers shapes and simplifies, with our own [`quantized`] operators in place of its own
//! ([`registry`] says which is which); [`fallback`] has tract execute the result.

mod attributes;
mod fallback;
mod fuse;
mod gather;
mod info;
mod limits;
mod onnx;
mod quantized;
mod registry;
mod shapes;
mod tensors;

use tract_onnx::pb::{ModelProto, tensor_shape_proto::dimension, type_proto};

use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Dim, Fact, MAX_VARIANTS, ModelInfo, Operation, Plan, Step, Variant};
use crate::tensor::Tensor;
use fallback::Subgraph;

pub use info::DimensionOverrides;
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
    /// Most recently used last; never more than [`MAX_VARIANTS`].
    compiled: Vec<Compiled>,
    next_id: u32,
}

struct Compiled {
    variant: Variant,
    id: u32,
    subgraph: Subgraph,
}

impl CompiledModel {
    /// Reads and checks a model. With fixed input shapes it is compiled at once, otherwise by [`Self::specialize`].
    ///
    /// # Errors
    /// What is wrong with the bytes, see [`ErrorCode`]; all unknown operators at once.
    pub fn open(bytes: impl AsRef<[u8]>, external: &[ExternalData], options: &CompileOptions) -> Result<Self> {
        let (mut proto, info) = onnx::import(bytes.as_ref(), external, &options.free_dimension_overrides)?;
        // Owned bytes are not needed beside what was decoded from them.
        drop(bytes);
        fuse::fuse(&mut proto);
        let fixed: Option<Vec<Vec<usize>>> = info
            .inputs
            .iter()
            .map(|i| i.shape.iter().map(|d| if let Dim::Fixed(n) = d { Some(*n) } else { None }).collect())
            .collect();
        let mut model = Self { info, proto: Some(proto), compiled: Vec::new(), next_id: 0 };
        if let Some(shapes) = fixed {
            model.compile(&shapes)?;
            model.proto = None;
        }
        Ok(model)
    }

    /// What the model says of itself.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The plan, with a variant for every set of input shapes in use.
    pub fn plan(&self) -> Plan {
        Plan {
            info: self.info.clone(),
            variants: self.compiled.iter().map(|c| c.variant.clone()).collect(),
            ..Plan::default()
        }
    }

    /// A plan for these input shapes, in the order of the inputs.
    ///
    /// # Errors
    /// `INPUT_SHAPE` if the model cannot take them.
    pub fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Plan> {
        let at = match self.compiled.iter().position(|c| c.variant.input_shapes == shapes) {
            Some(at) => at,
            None => self.compile(shapes)?,
        };
        Ok(Plan { info: self.info.clone(), variants: vec![self.compiled[at].variant.clone()], ..Plan::default() })
    }

    fn compile(&mut self, shapes: &[Vec<usize>]) -> Result<usize> {
        let wrong = || {
            Error::new(ErrorCode::InputShape, "the model takes other input shapes")
                .with_hint("inputMetadata lists the shape of every input")
        };
        let proto = self.proto.as_mut().ok_or_else(wrong)?;
        if shapes.len() != self.info.inputs.len() {
            return Err(wrong());
        }
        set_input_shapes(proto, &self.info, shapes)?;
        let subgraph = Subgraph::new(proto)?;
        let inputs: Vec<u32> = (0..).take(shapes.len()).collect();
        let outputs: Vec<u32> = (shapes.len() as u32..).take(subgraph.outputs.len()).collect();
        let id = self.next_id;
        self.next_id += 1;
        let fact = |(input, shape): (&crate::plan::ValueInfo, &Vec<usize>)| Fact {
            data_type: input.data_type,
            shape: shape.iter().map(|&d| Some(d)).collect(),
            constant: None,
        };
        let mut values: Vec<Fact> = self.info.inputs.iter().zip(shapes).map(fact).collect();
        values.extend(subgraph.outputs.iter().cloned());
        let variant = Variant {
            input_shapes: shapes.to_vec(),
            values,
            output_shapes: subgraph.outputs.iter().map(|o| o.shape.clone()).collect(),
            steps: vec![Step {
                node: self.info.graph_name.clone(),
                op_type: "Subgraph".to_owned(),
                operation: Operation::Subgraph { id, inputs: inputs.clone(), outputs: outputs.clone() },
            }],
            inputs,
            outputs,
        };
        if self.compiled.len() == MAX_VARIANTS {
            self.compiled.remove(0);
        }
        self.compiled.push(Compiled { variant, id, subgraph });
        Ok(self.compiled.len() - 1)
    }

    /// Runs the subgraph that a step names, with inputs in the step's order.
    ///
    /// # Errors
    /// `EXECUTION_FAILED` with the node concerned; the model stays usable.
    pub fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let at = self.compiled.iter().position(|c| c.id == id).ok_or_else(|| {
            Error::new(ErrorCode::Internal, format!("the plan names a subgraph {id} that this model does not have"))
        })?;
        // Most recently used last.
        let mut compiled = self.compiled.remove(at);
        let facts = &compiled.variant.values;
        let fits = inputs.len() == compiled.variant.input_shapes.len()
            && inputs.iter().zip(facts).all(|(tensor, fact)| {
                tensor.data_type() == fact.data_type
                    && tensor.shape().iter().map(|&d| Some(d)).eq(fact.shape.iter().copied())
            });
        let result = if fits {
            compiled.subgraph.run(inputs)
        } else {
            Err(Error::new(ErrorCode::Internal, format!("subgraph {id} was handed values that it was not planned for")))
        };
        self.compiled.push(compiled);
        result
    }
}

/// Writes concrete shapes into the graph's inputs.
fn set_input_shapes(proto: &mut ModelProto, info: &ModelInfo, shapes: &[Vec<usize>]) -> Result<()> {
    let graph = proto.graph.as_mut().ok_or_else(|| onnx::invalid("the model has no graph"))?;
    for (input, shape) in info.inputs.iter().zip(shapes) {
        let tensor =
            graph.input.iter_mut().find(|i| i.name == input.name).and_then(|i| i.r#type.as_mut()?.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = tensor else { continue };
        let Some(declared) = tensor.shape.as_mut() else { continue };
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
