//! A graph to match patterns in and to rewrite: who makes a value, who reads it, what is known of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, type_proto};

use crate::compiler::onnx::{attribute, initializer_f32, initializer_i32, initializer_i64};
use crate::compiler::store::Store;
use crate::tensor::DataType;

/// The graph while groups are being replaced.
pub struct Graph {
    /// Removed nodes stay as empty ones, so that indices hold.
    nodes: Vec<NodeProto>,
    /// Where a node stands: new ones take the place of what they replace. Order in the file, not always a valid one.
    places: Vec<usize>,
    initializers: HashMap<String, TensorProto>,
    /// The data of large ones.
    store: Store,
    /// How many names were made.
    fresh: usize,
    input_types: HashMap<String, DataType>,
    input_ranks: HashMap<String, usize>,
    producer: HashMap<String, usize>,
    /// Nodes that read a value, one entry for each time.
    readers: HashMap<String, Vec<usize>>,
    /// Values that are read under their names: outputs of the graph, and what subgraphs use.
    pinned: HashSet<String>,
    outputs: Vec<String>,
    opsets: Vec<OperatorSetIdProto>,
}

/// A replacement for a node and what follows it.
pub struct Fused {
    /// The node that takes its place.
    pub node: NodeProto,
    /// Nodes that go with it.
    pub gone: Vec<usize>,
}

impl Fused {
    /// Nothing but the node itself is replaced.
    pub fn alone(node: NodeProto) -> Self {
        Self { node, gone: vec![] }
    }
}

/// Whether the operator is one of the standard's or of its contrib twin.
pub fn is_op(node: &NodeProto, name: &str) -> bool {
    node.op_type.strip_prefix("com.microsoft.").unwrap_or(&node.op_type) == name
}

/// A node without attributes.
pub fn plain(op_type: &str, input: Vec<String>, output: String, name: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.to_owned(),
        input,
        output: vec![output],
        name: name.to_owned(),
        ..NodeProto::default()
    }
}

impl Graph {
    /// Takes nodes and initializers out of the model's graph; [`Self::finish`] puts them back.
    pub fn new(model: &mut ModelProto, store: Store) -> Self {
        let opsets = model.opset_import.clone();
        let mut nothing = GraphProto::default();
        let proto = model.graph.as_mut().unwrap_or(&mut nothing);
        let nodes = std::mem::take(&mut proto.node);
        let initializers = std::mem::take(&mut proto.initializer).into_iter().map(|t| (t.name.clone(), t)).collect();
        let outputs: Vec<String> = proto.output.iter().map(|o| o.name.clone()).collect();
        let rank = |i| Some(crate::compiler::info::shape_of(i)?.dim.len());
        let mut graph = Self {
            nodes: Vec::with_capacity(nodes.len()),
            places: Vec::with_capacity(nodes.len()),
            initializers,
            store,
            fresh: 0,
            input_types: proto.input.iter().filter_map(|i| Some((i.name.clone(), input_type(i)?))).collect(),
            input_ranks: proto.input.iter().filter_map(|i| Some((i.name.clone(), rank(i)?))).collect(),
            producer: HashMap::new(),
            readers: HashMap::new(),
            pinned: outputs.iter().cloned().collect(),
            outputs,
            opsets,
        };
        for (place, node) in nodes.into_iter().enumerate() {
            for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                names_in(inner, &mut |name| {
                    graph.pinned.insert(name.to_owned());
                });
            }
            graph.insert(node, place);
        }
        graph
    }

    /// Nodes in a valid order, only those that an output depends on.
    pub fn order(&self) -> Vec<usize> {
        let dependencies = |index: usize| {
            let node = &self.nodes[index];
            let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
            let mut inner_names = Vec::new();
            for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                names_in(inner, &mut |name| inner_names.push(name.to_owned()));
            }
            names.extend(inner_names.iter().map(String::as_str));
            let mut makers: Vec<usize> = names.iter().filter_map(|n| self.producer.get(*n).copied()).collect();
            makers.retain(|&m| m != index);
            makers
        };
        let mut waiting: HashMap<usize, usize> = HashMap::new();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut stack: Vec<usize> = self.outputs.iter().filter_map(|o| self.producer.get(o).copied()).collect();
        while let Some(index) = stack.pop() {
            if waiting.contains_key(&index) {
                continue;
            }
            let makers = dependencies(index);
            waiting.insert(index, makers.len());
            for maker in makers {
                followers.entry(maker).or_default().push(index);
                stack.push(maker);
            }
        }
        let mut ready: BTreeSet<(usize, usize)> =
            waiting.iter().filter(|(_, n)| **n == 0).map(|(&i, _)| (self.places[i], i)).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some((_, index)) = ready.pop_first() {
            order.push(index);
            for follower in followers.get(&index).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(follower) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert((self.places[*follower], *follower));
                    }
                }
            }
        }
        order
    }

    /// The operator of a node.
    pub fn op_type(&self, index: usize) -> &str {
        &self.nodes[index].op_type
    }

    /// A node.
    pub fn node(&self, index: usize) -> &NodeProto {
        &self.nodes[index]
    }

    /// The node that makes a value.
    pub fn maker(&self, name: &str) -> Option<usize> {
        self.producer.get(name).copied()
    }

    /// The nodes that read a value, one entry for each time.
    pub fn readers(&self, name: &str) -> &[usize] {
        self.readers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the value must keep its name.
    pub fn is_pinned(&self, name: &str) -> bool {
        self.pinned.contains(name)
    }

    /// The only reader of a value that nothing else needs.
    pub fn only_reader(&self, name: &str) -> Option<usize> {
        match self.readers(name) {
            [reader] if !self.is_pinned(name) => Some(*reader),
            _ => None,
        }
    }

    /// Versions of the operator sets.
    pub fn opsets(&self) -> &[OperatorSetIdProto] {
        &self.opsets
    }

    /// Version of the standard's operators.
    pub fn opset(&self) -> i64 {
        self.opsets.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx").map_or(0, |o| o.version)
    }

    /// The constant of that name.
    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.initializers.get(name)
    }

    /// A constant with its data, large or not.
    pub fn filled(&self, name: &str) -> Option<TensorProto> {
        self.store.filled(self.constant(name)?)
    }

    /// Constant 32-bit floats.
    pub fn constant_f32(&self, name: &str) -> Option<Vec<f32>> {
        initializer_f32(self.constant(name)?)
    }

    /// Constant integers of 8 or 32 bits.
    pub fn constant_i32(&self, name: &str) -> Option<Vec<i32>> {
        initializer_i32(self.constant(name)?)
    }

    /// Constant 64-bit integers.
    pub fn constant_i64(&self, name: &str) -> Option<Vec<i64>> {
        initializer_i64(self.constant(name)?)
    }

    /// The shape of a constant.
    pub fn constant_dims(&self, name: &str) -> Option<&[i64]> {
        Some(&self.constant(name)?.dims)
    }

    /// The type of a value, if the graph tells without inference.
    pub fn type_of(&self, name: &str) -> Option<DataType> {
        if let Some(tensor) = self.constant(name) {
            return DataType::from_onnx(tensor.data_type);
        }
        if let Some(&t) = self.input_types.get(name) {
            return Some(t);
        }
        let node = self.nodes.get(self.maker(name)?)?;
        // The zero point of a QuantizeLinear tells; its absence means uint8 unless an attribute says otherwise.
        if !is_op(node, "QuantizeLinear") || node.attribute.iter().any(|a| a.name == "output_dtype") {
            return None;
        }
        match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(zero_point) => DataType::from_onnx(self.constant(zero_point)?.data_type),
            None => Some(DataType::Uint8),
        }
    }

    /// The rank of a value, if it follows from its maker and a few nodes before it.
    pub fn rank_of(&self, name: &str) -> Option<usize> {
        let mut name = name;
        for _ in 0..64 {
            if let Some(tensor) = self.constant(name) {
                return Some(tensor.dims.len());
            }
            if let Some(&rank) = self.input_ranks.get(name) {
                return Some(rank);
            }
            let node = self.nodes.get(self.maker(name)?)?;
            let input = |position: usize| node.input.get(position).map(String::as_str);
            match node.op_type.as_str() {
                "Conv" | "ConvInteger" | "tractlet.ConvIntegerToFloat" | "tractlet.DynamicConv" => {
                    return Some(self.constant(input(1)?)?.dims.len());
                }
                "QLinearConv" | super::CONV => return Some(self.constant(input(3)?)?.dims.len()),
                "Flatten" | "Gemm" | "com.microsoft.QGemm" => return Some(2),
                "Reshape" => return usize::try_from(*self.constant_dims(input(1)?)?.first()?).ok(),
                "QuantizeLinear"
                | "DequantizeLinear"
                | "Relu"
                | "Clip"
                | "Sigmoid"
                | "HardSigmoid"
                | "HardSwish"
                | "LeakyRelu"
                | "Transpose"
                | "MaxPool"
                | "AveragePool"
                | "GlobalAveragePool"
                | "Resize"
                | "Pad"
                | "Slice"
                | "Split"
                | "Concat"
                | "Softmax"
                | "Identity"
                | super::TABLE
                | "com.microsoft.QLinearSoftmax"
                | "com.microsoft.QLinearAveragePool"
                | "com.microsoft.QLinearGlobalAveragePool" => name = input(0)?,
                "com.microsoft.QLinearConcat" => name = input(2)?,
                _ => return None,
            }
        }
        None
    }

    /// A name that nothing has.
    pub fn fresh(&mut self, what: &str) -> String {
        self.fresh += 1;
        format!("tractlet.{what}.{}", self.fresh)
    }

    /// Adds an initializer.
    pub fn add(&mut self, tensor: TensorProto) {
        self.initializers.insert(tensor.name.clone(), self.store.keep(tensor));
    }

    /// Adds a node, to stand where `place` says (see [`Self::place`]) or as soon as its operands exist.
    pub fn insert(&mut self, node: NodeProto, place: usize) -> usize {
        let index = self.nodes.len();
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            self.producer.insert(output.clone(), index);
        }
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            self.readers.entry(input.clone()).or_default().push(index);
        }
        self.nodes.push(node);
        self.places.push(place);
        index
    }

    /// Where a node stands.
    pub fn place(&self, index: usize) -> usize {
        self.places[index]
    }

    /// Takes a node out.
    pub fn remove(&mut self, index: usize) {
        let node = std::mem::take(&mut self.nodes[index]);
        for output in &node.output {
            if self.producer.get(output) == Some(&index) {
                self.producer.remove(output);
            }
        }
        for input in &node.input {
            if let Some(readers) = self.readers.get_mut(input)
                && let Some(at) = readers.iter().position(|&r| r == index)
            {
                readers.swap_remove(at);
            }
        }
    }

    /// Takes out what no output depends on, so that it does not count as a reader.
    pub fn prune(&mut self) {
        let needed: HashSet<usize> = self.order().into_iter().collect();
        for index in 0..self.nodes.len() {
            if !needed.contains(&index) && !self.nodes[index].output.is_empty() {
                self.remove(index);
            }
        }
    }

    /// Removes a node and what goes with it; the new one stands where the last of them stood.
    pub fn replace(&mut self, index: usize, fused: Fused) {
        let place = fused.gone.iter().map(|&g| self.places[g]).fold(self.places[index], usize::max);
        for &gone in fused.gone.iter().chain([&index]) {
            self.remove(gone);
        }
        self.insert(fused.node, place);
    }

    /// A node that goes: whoever reads its output `from` reads `to` instead.
    pub fn bypass(&mut self, index: usize, from: &str, to: &str) {
        let place = self.places[index];
        self.remove(index);
        for reader in self.readers.remove(from).unwrap_or_default() {
            for input in self.nodes[reader].input.iter_mut().filter(|i| *i == from) {
                to.clone_into(input);
            }
            self.readers.entry(to.to_owned()).or_default().push(reader);
        }
        if self.is_pinned(from) {
            self.insert(plain("Identity", vec![to.to_owned()], from.to_owned(), from), place);
        }
    }

    /// Puts what is still needed back into the graph. Gives the data of large constants back.
    pub fn finish(mut self, model: &mut ModelProto) -> Store {
        let Some(proto) = model.graph.as_mut() else { return self.store };
        let order = self.order();
        proto.node = order.into_iter().map(|i| std::mem::take(&mut self.nodes[i])).collect();
        let mut needed: HashSet<String> = self.outputs.into_iter().collect();
        for node in &proto.node {
            needed.extend(node.input.iter().filter(|i| !i.is_empty()).cloned());
            for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                names_in(inner, &mut |name| {
                    needed.insert(name.to_owned());
                });
            }
        }
        let mut initializers: Vec<TensorProto> =
            self.initializers.into_values().filter(|t| needed.contains(&t.name)).collect();
        // Hash maps have no order of their own; the plan must not depend on chance.
        initializers.sort_by(|a, b| a.name.cmp(&b.name));
        proto.initializer = initializers;
        self.store
    }
}

/// The attribute of that name as a number, if there is one.
pub fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|a| a.i)
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
