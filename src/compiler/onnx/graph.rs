//! Names and order: every name defined once, every use resolved, nodes sorted, no cycles. In subgraphs (the bodies of
//! `If`, `Loop`, `Scan`) the names of the outer graphs are visible too.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto};

use super::invalid;
use crate::error::{Error, Result};

/// Nesting of subgraphs beyond which a model is taken for hostile.
const MAX_DEPTH: usize = 32;

/// Checks a graph and its subgraphs and sorts their nodes.
pub fn check(graph: &mut GraphProto) -> Result<()> {
    check_scope(graph, &HashSet::new(), 0)
}

/// How an error names a node.
pub fn node_label(node: &NodeProto) -> String {
    if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() }
}

/// The attribute of that name.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// A node that makes no sense.
pub fn bad_node(node: &NodeProto, problem: &str) -> Error {
    let label = node_label(node);
    invalid(format!("{} of \"{label}\": {problem}", node.op_type)).at_node(label, &node.op_type)
}

/// The dimension that an axis means, which counts from the end when negative.
pub fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let own = if axis < 0 { axis.checked_add_unsigned(rank as u64)? } else { axis };
    usize::try_from(own).ok().filter(|&d| d < rank)
}

fn check_scope(graph: &mut GraphProto, outer: &HashSet<String>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(invalid("subgraphs are nested too deeply"));
    }
    let mut defined: HashSet<String> = HashSet::new();
    for input in &graph.input {
        if !defined.insert(input.name.clone()) {
            return Err(invalid(format!("two graph inputs are called \"{}\"", input.name)));
        }
    }
    let mut initializers = HashSet::new();
    for initializer in &graph.initializer {
        if !initializers.insert(initializer.name.as_str()) {
            return Err(invalid(format!("two initializers are called \"{}\"", initializer.name)));
        }
        defined.insert(initializer.name.clone());
    }
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if defined.contains(output) || producer.insert(output, index).is_some() {
                return Err(invalid(format!("the value \"{output}\" is defined twice"))
                    .at_node(node_label(node), &node.op_type));
            }
        }
    }

    // Kahn's algorithm, keeping the file's order where it is valid.
    let mut waiting: Vec<usize> = vec![0; graph.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            if let Some(&from) = producer.get(input.as_str()) {
                waiting[index] += 1;
                readers[from].push(index);
            } else if !defined.contains(input) && !outer.contains(input) {
                return Err(invalid(format!("the input \"{input}\" of a node is defined nowhere"))
                    .at_node(node_label(node), &node.op_type));
            }
        }
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            for name in free_names(inner) {
                if let Some(&from) = producer.get(name.as_str())
                    && from != index
                {
                    waiting[index] += 1;
                    readers[from].push(index);
                }
            }
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..waiting.len()).filter(|&i| waiting[i] == 0).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &reader in &readers[index] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() < graph.node.len() {
        let stuck = graph.node.iter().zip(&waiting).find(|(_, w)| **w > 0).map(|(n, _)| n);
        let error = invalid("the graph has a cycle");
        return Err(match stuck {
            Some(node) => error.at_node(node_label(node), &node.op_type),
            None => error,
        });
    }
    for output in &graph.output {
        if !producer.contains_key(output.name.as_str())
            && !defined.contains(&output.name)
            && !outer.contains(&output.name)
        {
            return Err(invalid(format!("nothing produces the graph output \"{}\"", output.name)));
        }
    }
    defined.extend(producer.into_keys().map(str::to_owned));

    let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
    graph.node = order.into_iter().filter_map(|i| nodes[i].take()).collect();

    if graph.node.iter().any(|n| n.attribute.iter().any(|a| a.g.is_some())) {
        defined.extend(outer.iter().cloned());
        for node in &mut graph.node {
            for attribute in &mut node.attribute {
                if let Some(inner) = &mut attribute.g {
                    check_scope(inner, &defined, depth + 1)?;
                }
            }
        }
    }
    Ok(())
}

/// Names a subgraph uses and does not define.
fn free_names(graph: &GraphProto) -> HashSet<String> {
    let mut used: HashSet<String> = HashSet::new();
    let mut defined: HashSet<&str> = HashSet::new();
    defined.extend(graph.input.iter().map(|i| i.name.as_str()));
    defined.extend(graph.initializer.iter().map(|i| i.name.as_str()));
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        defined.extend(node.output.iter().map(String::as_str));
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            used.extend(free_names(inner));
        }
    }
    used.extend(graph.output.iter().map(|o| o.name.clone()));
    used.retain(|name| !name.is_empty() && !defined.contains(name.as_str()));
    used
}
