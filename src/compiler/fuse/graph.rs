//! A graph to match patterns in: who makes a value, who reads it, what is known of it.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, type_proto};

use super::Clamp;
use crate::compiler::onnx::{attribute, initializer_f32, initializer_i32, initializer_i64};
use crate::tensor::DataType;

/// The graph while groups are being replaced.
pub struct Graph {
    nodes: Vec<NodeProto>,
    initializers: HashMap<String, TensorProto>,
    /// How many initializers were added, for unique names.
    added: usize,
    input_types: HashMap<String, DataType>,
    producer: HashMap<String, usize>,
    /// How many nodes, subgraphs and graph outputs read a value.
    uses: HashMap<String, usize>,
    consumer: HashMap<String, usize>,
    outputs: HashSet<String>,
}

/// A value behind a `DequantizeLinear` with constant parameters.
#[derive(Clone, Debug)]
pub struct Dequantized {
    /// The quanta.
    pub quanta: String,
    /// Their type.
    pub data_type: DataType,
    /// Name of the scale.
    pub scale: String,
    /// Name of the zero point; made if the node had none.
    pub zero_point: String,
    /// Scales; more than one if per axis.
    pub scales: Vec<f32>,
    /// The attribute `axis`.
    pub axis: i64,
}

impl Dequantized {
    /// One scale and zero point for all.
    pub fn per_tensor(&self) -> bool {
        self.scales.len() == 1
    }

    /// 8 bits wide.
    pub fn is_quantum(&self) -> bool {
        matches!(self.data_type, DataType::Uint8 | DataType::Int8)
    }
}

/// What follows an operator: an activation, if any, and a `QuantizeLinear` with constant per-tensor parameters.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The output of the `QuantizeLinear`.
    pub quanta: String,
    /// Its type.
    pub data_type: DataType,
    /// Name of the scale.
    pub scale: String,
    /// Name of the zero point; made if the node had none.
    pub zero_point: String,
    /// Bounds of the activation.
    pub clamp: Clamp,
    /// The nodes that the group makes superfluous.
    pub nodes: Vec<usize>,
}

/// A replacement for a node and what follows it.
pub struct Fused {
    /// The node that takes its place.
    pub node: NodeProto,
    /// Nodes that go with it.
    pub gone: Vec<usize>,
}

/// Whether the operator is one of the standard's or of its contrib twin.
fn is_op(node: &NodeProto, name: &str) -> bool {
    node.op_type.strip_prefix("com.microsoft.").unwrap_or(&node.op_type) == name
}

impl Graph {
    /// Takes nodes and initializers out of the graph; [`Self::finish`] puts them back.
    pub fn new(proto: &mut GraphProto) -> Self {
        let nodes = std::mem::take(&mut proto.node);
        let initializers = std::mem::take(&mut proto.initializer).into_iter().map(|t| (t.name.clone(), t)).collect();
        let input_types = proto.input.iter().filter_map(|i| Some((i.name.clone(), input_type(i)?))).collect();
        let mut graph = Self {
            nodes,
            initializers,
            added: 0,
            input_types,
            producer: HashMap::new(),
            uses: HashMap::new(),
            consumer: HashMap::new(),
            outputs: proto.output.iter().map(|o| o.name.clone()).collect(),
        };
        for output in &graph.outputs {
            *graph.uses.entry(output.clone()).or_default() += 1;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in &node.output {
                graph.producer.insert(output.clone(), index);
            }
            for input in &node.input {
                *graph.uses.entry(input.clone()).or_default() += 1;
                graph.consumer.insert(input.clone(), index);
            }
            for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                names_in(inner, &mut |name| *graph.uses.entry(name.to_owned()).or_default() += 1);
            }
        }
        graph
    }

    /// How many nodes there are, replaced ones included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The operator of a node.
    pub fn op_type(&self, index: usize) -> &str {
        &self.nodes[index].op_type
    }

    /// A node.
    pub fn node(&self, index: usize) -> &NodeProto {
        &self.nodes[index]
    }

    /// Constant 32-bit floats.
    pub fn constant_f32(&self, name: &str) -> Option<Vec<f32>> {
        initializer_f32(self.initializers.get(name)?)
    }

    /// Constant integers.
    pub fn constant_i32(&self, name: &str) -> Option<Vec<i32>> {
        initializer_i32(self.initializers.get(name)?)
    }

    /// Constant 64-bit integers.
    pub fn constant_i64(&self, name: &str) -> Option<Vec<i64>> {
        initializer_i64(self.initializers.get(name)?)
    }

    /// The shape of a constant.
    pub fn constant_dims(&self, name: &str) -> Option<&[i64]> {
        Some(&self.initializers.get(name)?.dims)
    }

    /// The type of a value, if the graph tells without inference.
    fn type_of(&self, name: &str) -> Option<DataType> {
        if let Some(tensor) = self.initializers.get(name) {
            return DataType::from_onnx(tensor.data_type);
        }
        if let Some(&t) = self.input_types.get(name) {
            return Some(t);
        }
        let node = self.nodes.get(*self.producer.get(name)?)?;
        // The zero point of a QuantizeLinear tells; its absence means uint8 unless an attribute says otherwise.
        if !is_op(node, "QuantizeLinear") || node.attribute.iter().any(|a| a.name == "output_dtype") {
            return None;
        }
        match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(zero_point) => DataType::from_onnx(self.initializers.get(zero_point)?.data_type),
            None => Some(DataType::Uint8),
        }
    }

    /// Scale and zero point of a Q or DQ node, both constant: (zero point's name, scales).
    fn parameters(&mut self, node: &NodeProto, data_type: DataType) -> Option<(String, Vec<f32>)> {
        if node.attribute.iter().any(|a| a.name == "block_size" && a.i != 0) {
            return None;
        }
        let scales = self.constant_f32(node.input.get(1)?)?;
        if scales.is_empty() {
            return None;
        }
        let zero_point = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) if self.constant_i32(name)?.len() == scales.len() => name.clone(),
            Some(_) => return None,
            None => {
                let dims: Vec<i64> = if scales.len() == 1 { vec![] } else { vec![scales.len() as i64] };
                let name = format!("tractlet.zero_point.{}", self.added);
                self.add(TensorProto {
                    raw_data: vec![0; scales.len() * data_type.size()],
                    data_type: data_type as i32,
                    name: name.clone(),
                    dims,
                    ..TensorProto::default()
                });
                name
            }
        };
        Some((zero_point, scales))
    }

    /// Adds an initializer.
    pub fn add(&mut self, tensor: TensorProto) {
        self.initializers.insert(tensor.name.clone(), tensor);
        self.added += 1;
    }

    /// How many initializers were added, for unique names.
    pub fn added(&self) -> usize {
        self.added
    }

    /// The value, if it is dequantized with constant parameters.
    pub fn dequantized(&mut self, name: &str) -> Option<Dequantized> {
        let node = self.nodes.get(*self.producer.get(name)?)?;
        if !is_op(node, "DequantizeLinear") {
            return None;
        }
        let node = node.clone();
        let quanta = node.input.first()?.clone();
        let data_type = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(zero_point) => DataType::from_onnx(self.initializers.get(zero_point)?.data_type)?,
            None => self.type_of(&quanta)?,
        };
        let (zero_point, scales) = self.parameters(&node, data_type)?;
        let axis = attribute(&node, "axis").map_or(1, |a| a.i);
        Some(Dequantized { quanta, data_type, scale: node.input[1].clone(), zero_point, scales, axis })
    }

    /// What makes quanta of an operator's only output.
    pub fn quantized(&mut self, output: &str) -> Option<Quantized> {
        let mut clamp = Clamp::default();
        let mut nodes = Vec::new();
        let mut value = output.to_owned();
        loop {
            let index = self.only_consumer(&value)?;
            let node = self.nodes[index].clone();
            nodes.push(index);
            if is_op(&node, "QuantizeLinear") && node.input.first() == Some(&value) {
                if node.attribute.iter().any(|a| a.name == "output_dtype" && a.i != 0) && node.input.get(2).is_none() {
                    return None;
                }
                let data_type = match node.input.get(2).filter(|n| !n.is_empty()) {
                    Some(zero_point) => DataType::from_onnx(self.initializers.get(zero_point)?.data_type)?,
                    None => DataType::Uint8,
                };
                if !matches!(data_type, DataType::Uint8 | DataType::Int8) {
                    return None;
                }
                let (zero_point, scales) = self.parameters(&node, data_type)?;
                if scales.len() != 1 {
                    return None;
                }
                return Some(Quantized {
                    quanta: node.output.first()?.clone(),
                    data_type,
                    scale: node.input[1].clone(),
                    zero_point,
                    clamp,
                    nodes,
                });
            }
            // One activation at most.
            if nodes.len() > 1 {
                return None;
            }
            clamp = self.activation(&node)?;
            value = node.output.first()?.clone();
        }
    }

    fn activation(&self, node: &NodeProto) -> Option<Clamp> {
        match node.op_type.as_str() {
            "Relu" => Some(Clamp { low: Some(0.0), high: None }),
            "Clip" => {
                let bound = |position: usize, name| match node.input.get(position).filter(|n| !n.is_empty()) {
                    Some(input) => self.constant_f32(input).filter(|v| v.len() == 1).map(|v| Some(v[0])),
                    None => Some(attribute(node, name).map(|a| a.f)),
                };
                let clamp = Clamp { low: bound(1, "min")?, high: bound(2, "max")? };
                // Where the bounds cross, Clip gives the upper one; leave such graphs to the operator itself.
                let crossed = matches!((clamp.low, clamp.high), (Some(low), Some(high)) if low.partial_cmp(&high).is_none_or(Ordering::is_gt));
                (!crossed).then_some(clamp)
            }
            _ => None,
        }
    }

    fn only_consumer(&self, value: &str) -> Option<usize> {
        (self.uses.get(value) == Some(&1) && !self.outputs.contains(value))
            .then(|| self.consumer.get(value).copied())?
    }

    /// Puts a fused node in the place of the last node it replaces, where all its operands exist.
    pub fn replace(&mut self, index: usize, fused: Fused) {
        let place = fused.gone.iter().copied().max().unwrap_or(index).max(index);
        for &gone in fused.gone.iter().chain([&index]) {
            self.nodes[gone] = NodeProto::default();
        }
        for output in &fused.node.output {
            self.producer.insert(output.clone(), place);
        }
        self.nodes[place] = fused.node;
    }

    /// Puts what is still needed back into the graph.
    pub fn finish(self, proto: &mut GraphProto) {
        let mut needed = self.outputs;
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.into_iter().rev() {
            // A replaced node has no outputs.
            if node.output.iter().any(|o| needed.contains(o)) {
                needed.extend(node.input.iter().filter(|i| !i.is_empty()).cloned());
                for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                    names_in(inner, &mut |name| {
                        needed.insert(name.to_owned());
                    });
                }
                kept.push(node);
            }
        }
        kept.reverse();
        proto.node = kept;
        let mut initializers: Vec<TensorProto> =
            self.initializers.into_values().filter(|t| needed.contains(&t.name)).collect();
        // Hash maps have no order of their own; the plan must not depend on chance.
        initializers.sort_by(|a, b| a.name.cmp(&b.name));
        proto.initializer = initializers;
    }
}

fn input_type(input: &tract_onnx::pb::ValueInfoProto) -> Option<DataType> {
    match input.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => DataType::from_onnx(tensor.elem_type),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

fn names_in(graph: &GraphProto, f: &mut impl FnMut(&str)) {
    for node in &graph.node {
        node.input.iter().filter(|i| !i.is_empty()).for_each(|i| f(i));
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            names_in(inner, f);
        }
    }
    graph.output.iter().for_each(|o| f(&o.name));
}
