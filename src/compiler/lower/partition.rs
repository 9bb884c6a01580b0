//! Which nodes have steps, and in which order steps and subgraphs come.
//!
//! Nodes whose results are known before running are computed first. Of the others each gets a level: at least that of
//! what it reads, one more where it is executed by the other side. So all nodes without a step on one level can form one
//! subgraph, and no path leads out of it and back.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};
use tract_onnx::pb::{TensorShapeProto, TypeProto, tensor_shape_proto};

use super::{Lowering, Pool, Value};
use crate::compiler::fallback::{Known, Subgraph};
use crate::compiler::onnx::raw_bytes;
use crate::compiler::store::{LARGE, Store, in_groups};
use crate::compiler::tensors;
use crate::plan::{Fact, Operation};
use crate::tensor::Tensor;

/// What is executed together.
pub enum Group {
    /// A node that has steps.
    Step(usize),
    /// Nodes that the compiler executes.
    Subgraph(Vec<usize>),
}

/// Names that a node reads, those that the graphs in its attributes take from outside included.
pub fn reads(node: &NodeProto) -> Vec<String> {
    let mut names: Vec<String> = node.input.iter().filter(|i| !i.is_empty()).cloned().collect();
    for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        let mut used = Vec::new();
        let mut own: HashSet<&str> = inner.input.iter().map(|i| i.name.as_str()).collect();
        own.extend(inner.initializer.iter().map(|t| t.name.as_str()));
        for node in &inner.node {
            used.extend(reads(node));
            own.extend(node.output.iter().map(String::as_str));
        }
        used.extend(inner.output.iter().map(|o| o.name.clone()));
        names.extend(used.into_iter().filter(|name| !own.contains(name.as_str())));
    }
    names
}

/// Whether results are the same each time.
fn is_pure(node: &NodeProto) -> bool {
    !node.op_type.starts_with("Random") && !["Multinomial", "Bernoulli", "Dropout"].contains(&node.op_type.as_str())
}

/// For each node, whether its results depend on constants alone.
pub fn constant_nodes(graph: &GraphProto, known: &HashMap<String, Known>) -> Vec<bool> {
    let mut constant: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut result = vec![false; graph.node.len()];
    for (node, result) in graph.node.iter().zip(&mut result) {
        let folded = node.output.iter().all(|o| o.is_empty() || known.get(o).is_some_and(|k| k.value.is_some()));
        *result = folded || is_pure(node) && reads(node).iter().all(|name| constant.contains(name.as_str()));
        if *result {
            constant.extend(node.output.iter().map(String::as_str));
        }
    }
    result
}

/// Computes what constant nodes give to others and inference has not found.
pub fn compute(
    model: &ModelProto,
    store: &Store,
    known: &HashMap<String, Known>,
    constants: &[bool],
) -> Option<HashMap<String, Rc<Tensor>>> {
    let graph = model.graph.as_ref()?;
    let folded = |name: &str| known.get(name).is_some_and(|k| k.value.is_some());
    let mut wanted: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    for (node, _) in graph.node.iter().zip(constants).filter(|(_, constant)| !**constant) {
        wanted.extend(reads(node));
    }
    let mut nodes: Vec<usize> = Vec::new();
    let mut outputs: Vec<String> = Vec::new();
    for (index, node) in graph.node.iter().enumerate().rev().filter(|(i, _)| constants[*i]) {
        let missing: Vec<&String> = node.output.iter().filter(|o| wanted.contains(*o) && !folded(o)).collect();
        if missing.is_empty() {
            continue;
        }
        outputs.extend(missing.into_iter().cloned());
        wanted.extend(reads(node));
        nodes.push(index);
    }
    let is_large = |name: &str| known.get(name).and_then(Known::bytes).is_some_and(|bytes| bytes >= LARGE);
    let mut computed = HashMap::new();
    for outputs in in_groups(outputs, &is_large) {
        let mut wanted: HashSet<String> = outputs.iter().cloned().collect();
        let mut needed: Vec<usize> = Vec::new();
        for &index in &nodes {
            let node = &graph.node[index];
            if node.output.iter().any(|o| wanted.contains(o)) {
                wanted.extend(reads(node));
                needed.push(index);
            }
        }
        needed.reverse();
        let part = graph_of(model, store, known, &HashMap::new(), &needed, &[], &outputs)?;
        let results = Subgraph::new(&part).ok()?.run(&[]).ok()?;
        computed.extend(outputs.into_iter().zip(results.into_iter().map(Rc::new)));
    }
    Some(computed)
}

/// Decides who executes what, and when.
pub fn order(
    graph: &GraphProto,
    store: &Store,
    known: &HashMap<String, Known>,
    computed: &HashMap<String, Rc<Tensor>>,
    constants: &[bool],
    input_shapes: &[Vec<usize>],
    opset: i64,
) -> Option<Vec<Group>> {
    // A trial: what has no step gives values in ONNX's order.
    let mut pool = Pool::default();
    let mut walk = Lowering::new(graph, store, known, computed, &mut pool, opset);
    walk.inputs(input_shapes)?;
    let mut level_of: HashMap<&str, (usize, bool)> = HashMap::new();
    let mut levels: Vec<Option<(usize, bool)>> = vec![None; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        if constants[index] {
            continue;
        }
        let has_steps = walk.node(node).is_some();
        if !has_steps {
            walk.adopt(node)?;
        }
        let level = reads(node)
            .iter()
            .filter_map(|name| level_of.get(name.as_str()))
            .map(|&(level, steps)| level + usize::from(steps != has_steps))
            .max()
            .unwrap_or(usize::from(!has_steps));
        levels[index] = Some((level, has_steps));
        level_of.extend(node.output.iter().map(|o| (o.as_str(), (level, has_steps))));
    }
    let mut numbered: Vec<(usize, bool, usize)> =
        levels.iter().enumerate().filter_map(|(i, l)| l.map(|(level, steps)| (level, steps, i))).collect();
    numbered.sort();
    let mut groups: Vec<Group> = Vec::new();
    let mut last = None;
    for (level, has_steps, index) in numbered {
        match groups.last_mut() {
            Some(Group::Subgraph(nodes)) if !has_steps && last == Some(level) => nodes.push(index),
            _ if has_steps => groups.push(Group::Step(index)),
            _ => groups.push(Group::Subgraph(vec![index])),
        }
        last = Some(level);
    }
    Some(groups)
}

impl Lowering<'_> {
    /// Values for what a subgraph gives.
    fn adopt(&mut self, node: &NodeProto) -> Option<()> {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            self.loose(output)?;
        }
        Some(())
    }

    fn loose(&mut self, name: &str) -> Option<u32> {
        let known = self.known.get(name)?;
        let (data_type, dims) = (known.data_type?, known.dims.clone()?);
        let shape: Vec<usize> = dims.iter().map(|d| d.unwrap_or(0)).collect();
        self.facts.push(Fact { data_type, shape: dims, constant: None });
        let id = (self.facts.len() - 1) as u32;
        self.values.insert(name.to_owned(), Value::plain(id, data_type, &shape));
        Some(id)
    }

    /// Adds a step for nodes that the compiler executes, and gives their graph.
    pub fn subgraph(&mut self, model: &ModelProto, nodes: &[usize], id: u32) -> Option<ModelProto> {
        let inside: HashSet<usize> = nodes.iter().copied().collect();
        let made: HashSet<&str> =
            nodes.iter().flat_map(|&i| self.graph.node[i].output.iter().map(String::as_str)).collect();
        let mut used: HashSet<String> = self.graph.output.iter().map(|o| o.name.clone()).collect();
        for (index, node) in self.graph.node.iter().enumerate() {
            if !inside.contains(&index) {
                used.extend(reads(node));
            }
        }
        let mut names: Vec<String> = Vec::new();
        for name in nodes.iter().flat_map(|&i| reads(&self.graph.node[i])) {
            if !made.contains(name.as_str()) && !self.is_constant(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        let outputs: Vec<String> = nodes
            .iter()
            .flat_map(|&i| self.graph.node[i].output.iter())
            .filter(|o| !o.is_empty() && used.contains(*o))
            .cloned()
            .collect();
        let last = &self.graph.node[*nodes.last()?];
        self.node = super::node_label(last);
        self.op_type = super::display_name(&last.op_type).to_owned();
        let mut inputs = Vec::new();
        for name in &names {
            inputs.push(match self.value(name) {
                Some(value) => {
                    let value = self.unshifted(&value)?;
                    self.exact(&value)?.id
                }
                // Without a size: from one subgraph to another.
                None => self.values.get(name)?.id,
            });
        }
        let ids = outputs.iter().map(|name| self.loose(name)).collect::<Option<Vec<_>>>()?;
        self.step(Operation::Subgraph { id, inputs, outputs: ids });
        graph_of(model, self.store, self.known, self.computed, nodes, &names, &outputs)
    }

    /// The value in ONNX's order, with ONNX's own shape in its fact.
    fn exact(&mut self, value: &Value) -> Option<Value> {
        let plain = self.plain(value)?;
        let shape: Vec<Option<usize>> = plain.shape.iter().map(|&d| Some(d)).collect();
        let fact = self.facts.get(plain.id as usize)?;
        if fact.shape == shape {
            return Some(plain);
        }
        // The same memory under another shape: a copy, as a value has one shape.
        let id = self.fact(plain.data_type, &plain.shape);
        let strides = super::values::dense(&plain.shape);
        let view = crate::plan::View { offset: 0, strides };
        let copy = Operation::Copy {
            x: plain.id,
            y: id,
            shape: plain.shape.clone(),
            from: view.clone(),
            to: view,
            table: None,
        };
        self.extra_step("Reshape", copy);
        Some(Value { id, ..plain })
    }
}

/// A model of some of a graph's nodes.
fn graph_of(
    model: &ModelProto,
    store: &Store,
    known: &HashMap<String, Known>,
    computed: &HashMap<String, Rc<Tensor>>,
    nodes: &[usize],
    inputs: &[String],
    outputs: &[String],
) -> Option<ModelProto> {
    let graph = model.graph.as_ref()?;
    let made: HashSet<&str> = nodes.iter().flat_map(|&i| graph.node[i].output.iter().map(String::as_str)).collect();
    let initializers: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut part = GraphProto { name: graph.name.clone(), ..GraphProto::default() };
    let mut seen: HashSet<String> = inputs.iter().cloned().collect();
    for name in nodes.iter().flat_map(|&i| reads(&graph.node[i])) {
        if made.contains(name.as_str()) || !seen.insert(name.clone()) {
            continue;
        }
        let tensor = match (initializers.get(name.as_str()), computed.get(&name)) {
            (Some(tensor), _) => store.filled(tensor)?,
            (None, Some(tensor)) => raw_bytes(&name, tensor.data_type(), tensor.shape(), tensor.bytes()),
            (None, None) => {
                let tensor = tensors::from_tract(known.get(&name)?.value.as_deref()?).ok()?;
                raw_bytes(&name, tensor.data_type(), tensor.shape(), tensor.bytes())
            }
        };
        part.initializer.push(tensor);
    }
    part.node = nodes.iter().map(|&i| graph.node[i].clone()).collect();
    for name in inputs {
        let known = known.get(name)?;
        part.input.push(value_info(name, known.data_type? as i32, known.dims.as_deref()?));
    }
    for name in outputs {
        part.output.push(ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() });
    }
    Some(ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import.clone(),
        graph: Some(part),
        ..ModelProto::default()
    })
}

/// A value of that type and shape.
pub fn value_info(name: &str, elem_type: i32, dims: &[Option<usize>]) -> ValueInfoProto {
    let dim = |d: &Option<usize>| tensor_shape_proto::Dimension {
        value: d.map(|d| tensor_shape_proto::dimension::Value::DimValue(d as i64)),
        ..tensor_shape_proto::Dimension::default()
    };
    let tensor =
        type_proto::Tensor { elem_type, shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
