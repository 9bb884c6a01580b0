//! Functions of one quantum, tabulated.

use std::collections::HashSet;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::evaluate::evaluate;
use super::graph::{Graph, int, is_op};
use super::quantization::{Dequantized, Quantized};
use crate::compiler::onnx::raw_tensor;
use crate::kernels::quantize::{dequantize, quantize};
use crate::tensor::DataType;

/// More nodes between a DQ and a Q are no function that anyone wrote down.
const MAX_NODES: usize = 64;

/// Whether every element of the result depends on the same element of the operands only.
fn is_elementwise(node: &NodeProto) -> bool {
    let plain = node.output.len() == 1 && !node.attribute.iter().any(|a| a.name == "axis" || a.name == "broadcast");
    let contrib = ["Gelu", "FastGelu", "QuickGelu"].iter().any(|name| is_op(node, name));
    plain
        && (contrib
            || match node.op_type.as_str() {
                "Abs" | "Add" | "Ceil" | "Celu" | "Clip" | "Cos" | "Div" | "Elu" | "Erf" | "Exp" | "Floor"
                | "HardSigmoid" | "HardSwish" | "Identity" | "LeakyRelu" | "Log" | "Max" | "Min" | "Mish" | "Mul"
                | "Neg" | "PRelu" | "Pow" | "Reciprocal" | "Relu" | "Round" | "Selu" | "Sigmoid" | "Sign" | "Sin"
                | "Softplus" | "Softsign" | "Sqrt" | "Sub" | "Swish" | "Tanh" | "ThresholdedRelu" => true,
                "Cast" => int(node, "to") == Some(DataType::Float32 as i64),
                _ => false,
            })
}

/// Everything between one quantized value and one `QuantizeLinear`.
#[derive(Default)]
struct Function {
    /// In a valid order.
    nodes: Vec<usize>,
    source: Option<Dequantized>,
    /// Names under which the nodes read the source.
    arguments: HashSet<String>,
    /// Dequantized constants of one element, under the names that the nodes read.
    constants: Vec<TensorProto>,
    /// Most dimensions of a constant.
    rank: usize,
    seen: HashSet<String>,
}

impl Function {
    /// Follows a value back to where it is dequantized.
    fn visit(&mut self, graph: &mut Graph, name: &str) -> Option<()> {
        if name.is_empty() || !self.seen.insert(name.to_owned()) {
            return Some(());
        }
        if let Some(dims) = graph.constant_dims(name) {
            self.rank = self.rank.max(dims.len());
            // Of any type: exponents are integers now and then.
            return dims.iter().all(|&d| d == 1).then_some(());
        }
        if let Some(x) = graph.dequantized(name) {
            return self.dequantized(graph, name, x);
        }
        let index = graph.maker(name)?;
        let node = graph.node(index).clone();
        if !is_elementwise(&node) || graph.is_pinned(name) || self.seen.len() > MAX_NODES {
            return None;
        }
        for input in &node.input {
            self.visit(graph, input)?;
        }
        self.nodes.push(index);
        Some(())
    }

    fn dequantized(&mut self, graph: &mut Graph, name: &str, x: Dequantized) -> Option<()> {
        if let Some(dims) = graph.constant_dims(&x.quanta) {
            let dims: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
            let [quantum] = graph.constant_i32(&x.quanta)?[..] else { return None };
            self.rank = self.rank.max(dims.len());
            self.constants.push(raw_tensor(name, &dims, &[dequantize(quantum, x.params())]));
            return Some(());
        }
        if !x.is_activation() {
            return None;
        }
        if let Some(source) = &self.source
            && (source.quanta != x.quanta || source.params() != x.params() || source.data_type != x.data_type)
        {
            return None;
        }
        self.arguments.insert(name.to_owned());
        self.source = Some(x);
        Some(())
    }

    /// Whether nothing else reads what is computed on the way, other than the node `reader`.
    fn is_closed(&self, graph: &Graph, reader: usize) -> bool {
        let inside = |r: &usize| *r == reader || self.nodes.contains(r);
        self.nodes.iter().all(|&n| graph.readers(&graph.node(n).output[0]).iter().all(inside))
    }
}

/// The bytes of all quanta of a type, dequantized.
fn arguments(x: &Dequantized) -> Vec<f32> {
    let quantum = |bits: u8| if x.data_type == DataType::Int8 { i32::from(bits as i8) } else { i32::from(bits) };
    (0..=255).map(|bits| dequantize(quantum(bits), x.params())).collect()
}

fn quanta(values: &[f32], y: &Quantized) -> Option<[u8; 256]> {
    let bits = |&v: &f32| match y.data_type {
        DataType::Int8 => quantize::<i8>(v, y.params) as u8,
        _ => quantize::<u8>(v, y.params),
    };
    values.iter().map(bits).collect::<Vec<u8>>().try_into().ok()
}

/// Whether a constant of that rank leaves a value of its shape when they are combined.
pub fn keeps_rank(graph: &Graph, value: &str, rank: usize) -> bool {
    match graph.rank_of(value) {
        Some(own) => rank <= own,
        // A quantized number that is no tensor at all does not occur.
        None => rank <= 1,
    }
}

/// A `QuantizeLinear` whose operand is a function of one quantized value becomes a table.
pub fn tabulate(graph: &mut Graph, index: usize) -> Option<()> {
    let y = graph.quantizer(index)?;
    let operand = graph.node(index).input.first()?.clone();
    let mut function = Function::default();
    function.visit(graph, &operand)?;
    let x = function.source.clone()?;
    if !keeps_rank(graph, &x.quanta, function.rank) || !function.is_closed(graph, index) {
        return None;
    }
    let arguments = arguments(&x);
    let values = if function.nodes.is_empty() {
        arguments
    } else {
        let nodes = function.nodes.iter().map(|&n| graph.node(n).clone()).collect();
        let mut own = function.constants.clone();
        own.extend(function.arguments.iter().map(|name| raw_tensor(name.clone(), &[256], &arguments)));
        let values = evaluate(graph, nodes, own, &[operand])?;
        crate::compiler::onnx::initializer_f32(values.first()?)?
    };
    let table = quanta(&values, &y)?;
    let place = graph.place(index);
    for node in function.nodes {
        graph.remove(node);
    }
    graph.remove(index);
    graph.table(&x.quanta, table, y.data_type, y.quanta, place);
    Some(())
}
