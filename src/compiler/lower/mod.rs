//! From the canonical graph to the steps of a plan.
//!
//! Two walks. The first finds out which nodes have steps ([`partition`]); the second writes steps, level by level, with
//! what has none in between as subgraphs for the compiler to execute. A function of [`operator`] lowers a node or
//! answers `None`: the node has no step.

mod clamps;
mod compose;
mod constants;
mod conv;
mod dynamic;
mod einsum;
mod elementwise;
mod matmul;
mod movement;
mod normalise;
mod numbers;
mod partition;
mod places;
mod pool;
mod quantize;
mod reason;
mod reduce;
mod resize;
mod select;
#[cfg(all(test, feature = "engine", not(target_arch = "wasm32")))]
mod tests;
mod transposed;
mod values;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::fallback::Known;
use super::join::join;
use super::onnx::node_label;
use super::store::Store;
use crate::plan::{Fact, Operation, Step, ValueId, Variant};
use crate::tensor::DataType;

pub use constants::{Encoded, Pool};
pub use partition::value_info;
pub use reason::{Reason, WithoutStep};
pub use values::Value;

/// A subgraph that the compiler executes, by the number that its step has.
pub struct Part {
    /// Number.
    pub id: u32,
    /// The graph.
    pub proto: ModelProto,
    /// Its nodes, and why they have no step.
    pub nodes: Vec<WithoutStep>,
}

/// What became of a graph.
pub struct Lowered {
    /// Steps.
    pub variant: Variant,
    /// What the compiler executes.
    pub parts: Vec<Part>,
}

/// State of a walk.
pub struct Lowering<'a> {
    graph: &'a GraphProto,
    store: &'a Store,
    known: &'a HashMap<String, Known>,
    initializers: HashMap<&'a str, usize>,
    /// Values that were computed ahead of time.
    computed: &'a HashMap<String, Rc<crate::tensor::Tensor>>,
    pool: &'a mut Pool,
    facts: Vec<Fact>,
    steps: Vec<Step>,
    values: HashMap<String, Value>,
    /// Values in another order of dimensions, or shifted: made once.
    converted: HashMap<(ValueId, Vec<usize>, bool), ValueId>,
    constant_values: HashMap<String, Value>,
    /// Floats that were computed from quanta after all.
    computed_floats: Vec<((ValueId, Rc<values::Lazy>), ValueId)>,
    /// Scale and zero point that a DynamicQuantizeLinear finds, by the names of both outputs.
    parameters: HashMap<String, ValueId>,
    /// Version of the standard's operators.
    opset: i64,
    node: String,
    op_type: String,
}

type Lower = fn(&mut Lowering, &NodeProto) -> Option<()>;

/// Which function lowers which operator.
fn operator(op_type: &str) -> Option<Lower> {
    Some(match op_type {
        "tractlet.QLinearConv" | "QLinearConv" => conv::q_linear_conv,
        "ConvInteger" => conv::conv_integer,
        "Conv" => conv::float_conv,
        "ConvTranspose" => transposed::conv_transpose,
        "tractlet.ConvIntegerToFloat" | "tractlet.DynamicConv" => conv::conv_to_float,
        "QLinearMatMul" | "tractlet.QLinearMatMul" => matmul::q_linear_matmul,
        "com.microsoft.QGemm" => matmul::q_gemm,
        "com.microsoft.MatMulIntegerToFloat" | "tractlet.DynamicMatMul" => matmul::matmul_to_float,
        "MatMulInteger" => matmul::matmul_integer,
        "com.microsoft.DynamicQuantizeMatMul" => matmul::dynamic_quantize_matmul,
        "MatMul" => matmul::matmul,
        "Gemm" => matmul::gemm,
        "DynamicQuantizeLinear" => quantize::dynamic,
        "QuantizeLinear" | "com.microsoft.QuantizeLinear" => quantize::quantize,
        "DequantizeLinear" | "com.microsoft.DequantizeLinear" => quantize::dequantize,
        "tractlet.Table" => quantize::table,
        "com.microsoft.QLinearSigmoid" => quantize::sigmoid,
        "com.microsoft.QLinearLeakyRelu" => quantize::leaky_relu,
        "com.microsoft.QLinearAdd" | "com.microsoft.QLinearMul" | "tractlet.QLinearSub" => elementwise::q_linear_binary,
        "com.microsoft.QLinearConcat" => movement::q_linear_concat,
        "com.microsoft.QLinearAveragePool" => pool::q_linear_average_pool,
        "com.microsoft.QLinearGlobalAveragePool" => reduce::q_linear_global_average_pool,
        "com.microsoft.QLinearReduceMean" => reduce::q_linear_reduce_mean,
        "com.microsoft.QLinearSoftmax" => normalise::q_linear_softmax,
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Mod" => numbers::arithmetic,
        "Abs" | "Clip" | "Neg" => numbers::unary,
        "CumSum" => numbers::cumulative_sum,
        "Einsum" => einsum::einsum,
        "Pow" | "Sum" => elementwise::float_binary,
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" => numbers::compare,
        "Not" => numbers::not,
        "IsNaN" => numbers::is_nan,
        "PRelu" => elementwise::p_relu,
        "Celu" | "Mish" | "Selu" | "Softsign" | "ThresholdedRelu" => compose::activation,
        "Ceil" | "Elu" | "Erf" | "Exp" | "Floor" | "Gelu" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "Log"
        | "Reciprocal" | "Relu" | "Round" | "Sigmoid" | "Softplus" | "Sqrt" | "Tanh" => elementwise::float_unary,
        "com.microsoft.Gelu" | "BiasGelu" | "FastGelu" | "QuickGelu" => elementwise::contrib_gelu,
        "Where" => elementwise::select,
        "com.microsoft.QLinearWhere" => elementwise::q_linear_where,
        "Cast" => elementwise::cast,
        "BatchNormalization" => normalise::batch_normalization,
        "Softmax" => normalise::softmax,
        "LogSoftmax" => compose::log_softmax,
        "InstanceNormalization" | "GroupNormalization" => compose::group_normalization,
        "LRN" => compose::local_response_normalization,
        "LpNormalization" => compose::lp_normalization,
        "LayerNormalization" => normalise::layer_normalization,
        "SkipLayerNormalization" => normalise::skip_layer_normalization,
        "MaxPool" => pool::max_pool,
        "AveragePool" => pool::average_pool,
        "GlobalAveragePool" => reduce::global_average_pool,
        "ReduceMean" => reduce::reduce_mean,
        "ReduceMax" | "ReduceMin" => reduce::reduce_extreme,
        "ReduceSum" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => {
            reduce::reduce_sum
        }
        "ArgMax" | "ArgMin" => reduce::arg_extreme,
        "TopK" => reduce::top_k,
        "GlobalMaxPool" => reduce::global_max_pool,
        "Resize" | "tractlet.Resize10" => resize::resize,
        "Transpose" => movement::transpose,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => movement::reshape,
        "Identity" | "Dropout" => movement::identity,
        "Concat" => movement::concat,
        "Slice" => select::slice,
        "Split" => movement::split,
        "Expand" => movement::expand,
        "Tile" => movement::tile,
        "Pad" => select::pad,
        "Gather" => movement::gather,
        "GatherElements" => places::gather_elements,
        "GatherND" => places::gather_nd,
        "ScatterElements" | "ScatterND" => places::scatter,
        "Trilu" => places::triangle,
        "DepthToSpace" | "SpaceToDepth" => movement::depth_and_space,
        _ => return None,
    })
}

/// Lowers a graph whose inputs have these shapes. `None`: it cannot be split; execute it as a whole.
pub fn lower(
    model: &ModelProto,
    store: &Store,
    known: &HashMap<String, Known>,
    input_shapes: &[Vec<usize>],
    pool: &mut Pool,
    next_id: &mut u32,
) -> Option<Lowered> {
    let graph = model.graph.as_ref()?;
    let constants = partition::constant_nodes(graph, known);
    let computed = partition::compute(model, store, known, &constants)?;
    let opset =
        model.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx").map_or(0, |o| o.version);
    let order = partition::order(graph, store, known, &computed, &constants, input_shapes, opset)?;
    let mut walk = Lowering::new(graph, store, known, &computed, pool, opset);
    walk.inputs(input_shapes)?;
    let mut parts = Vec::new();
    for group in order {
        match group {
            partition::Group::Step(index) => walk.node(&graph.node[index])?,
            partition::Group::Subgraph(nodes) => {
                let id = *next_id;
                *next_id += 1;
                let proto = walk.subgraph(model, &nodes, id)?;
                let without = |&index: &usize| WithoutStep::new(&graph.node[index], known, Reason::Form);
                parts.push(Part { id, proto, nodes: nodes.iter().map(without).collect() });
            }
        }
    }
    let variant = walk.finish(input_shapes)?;
    Some(Lowered { variant, parts })
}

impl<'a> Lowering<'a> {
    fn new(
        graph: &'a GraphProto,
        store: &'a Store,
        known: &'a HashMap<String, Known>,
        computed: &'a HashMap<String, Rc<crate::tensor::Tensor>>,
        pool: &'a mut Pool,
        opset: i64,
    ) -> Self {
        let initializers = graph.initializer.iter().enumerate().map(|(i, t)| (t.name.as_str(), i)).collect();
        Self {
            graph,
            store,
            known,
            initializers,
            computed,
            pool,
            facts: Vec::new(),
            steps: Vec::new(),
            values: HashMap::new(),
            converted: HashMap::new(),
            constant_values: HashMap::new(),
            computed_floats: Vec::new(),
            parameters: HashMap::new(),
            opset,
            node: String::new(),
            op_type: String::new(),
        }
    }

    /// Gives the model's inputs the first numbers.
    fn inputs(&mut self, shapes: &[Vec<usize>]) -> Option<()> {
        for (input, shape) in self.graph.input.iter().zip(shapes) {
            let data_type = self.known.get(&input.name)?.data_type?;
            let id = self.fact(data_type, shape);
            self.values.insert(input.name.clone(), Value::plain(id, data_type, shape));
        }
        Some(())
    }

    /// Lowers a node, or leaves everything as it was.
    fn node(&mut self, node: &NodeProto) -> Option<()> {
        let lower = operator(&node.op_type)?;
        // Values without a size in memory have no steps.
        let sized = |name: &String| self.known.get(name).is_some_and(Known::is_sized);
        if !node.output.iter().filter(|o| !o.is_empty()).all(sized) {
            return None;
        }
        let (facts, steps) = (self.facts.len(), self.steps.len());
        self.node = node_label(node);
        self.op_type = display_name(&node.op_type).to_owned();
        let done = lower(self, node);
        if done.is_none() {
            self.facts.truncate(facts);
            self.steps.truncate(steps);
            self.converted.retain(|_, &mut id| (id as usize) < facts);
            self.constant_values.retain(|_, value| (value.id as usize) < facts);
            self.computed_floats.retain(|&(_, id)| (id as usize) < facts);
            for output in &node.output {
                self.values.remove(output);
            }
        }
        done
    }

    /// A new value.
    fn fact(&mut self, data_type: DataType, shape: &[usize]) -> ValueId {
        self.facts.push(Fact { data_type, shape: shape.iter().map(|&d| Some(d)).collect(), constant: None });
        (self.facts.len() - 1) as ValueId
    }

    /// A new value: a constant list of floats.
    fn constant_fact(&mut self, list: &[f32]) -> ValueId {
        let id = self.fact(DataType::Float32, &[list.len()]);
        self.facts[id as usize].constant = Some(self.pool.add(list));
        id
    }

    /// Adds a step for the node at hand.
    fn step(&mut self, operation: Operation) {
        self.steps.push(Step { node: self.node.clone(), op_type: self.op_type.clone(), operation });
    }

    /// Adds a step that the model does not have.
    fn extra_step(&mut self, op_type: &str, operation: Operation) {
        self.steps.push(Step { node: self.node.clone(), op_type: op_type.to_owned(), operation });
    }

    fn finish(mut self, input_shapes: &[Vec<usize>]) -> Option<Variant> {
        self.node = self.graph.name.clone();
        let (mut outputs, mut output_shapes) = (Vec::new(), Vec::new());
        for output in &self.graph.output {
            let value = match self.value(&output.name) {
                Some(value) => {
                    let value = self.unshifted(&value)?;
                    self.plain(&value)?
                }
                None => self.values.get(&output.name)?.clone(),
            };
            outputs.push(value.id);
            output_shapes.push(self.known.get(&output.name)?.dims.clone()?);
        }
        let mut variant = Variant {
            input_shapes: input_shapes.to_vec(),
            values: self.facts,
            inputs: (0..).take(input_shapes.len()).collect(),
            outputs,
            output_shapes,
            steps: self.steps,
        };
        dynamic::fuse(&mut variant, self.pool);
        clamps::fuse(&mut variant);
        resize::fuse(&mut variant, self.pool);
        drop_dead(&mut variant);
        join(&mut variant);
        Some(variant)
    }
}

/// An operator's name without our prefixes.
fn display_name(op_type: &str) -> &str {
    match op_type {
        "tractlet.QLinearConv" | "tractlet.ConvIntegerToFloat" | "tractlet.DynamicConv" => "Conv",
        "tractlet.DynamicMatMul" | "tractlet.QLinearMatMul" => "MatMul",
        "tractlet.Resize10" => "Resize",
        _ => op_type.rsplit('.').next().unwrap_or(op_type),
    }
}

/// Drops steps whose results nobody reads. Values keep their numbers.
fn drop_dead(variant: &mut Variant) {
    let mut needed: HashSet<ValueId> = variant.outputs.iter().copied().collect();
    let mut keep = vec![false; variant.steps.len()];
    for (keep, step) in keep.iter_mut().zip(&variant.steps).rev() {
        if step.writes().iter().any(|id| needed.contains(id)) {
            *keep = true;
            needed.extend(step.reads());
        }
    }
    let mut keep = keep.into_iter();
    variant.steps.retain(|_| keep.next().unwrap_or(false));
}
