//! `QuantizeLinear` rises and `DequantizeLinear` sinks through what only moves elements, so that quanta are moved, and
//! that both meet the operators they belong to.

use std::collections::HashMap;

use tract_onnx::pb::NodeProto;

use super::evaluate;
use super::graph::{Fused, Graph, int, is_op, plain};
use super::quantization::{Dequantized, Quantized};
use crate::compiler::onnx::{attribute, raw_tensor};
use crate::compiler::quantized::merge::CONCAT;
use crate::compiler::registry::RESIZE_10;
use crate::kernels::quantize::{Params, dequantize, quantize};
use crate::tensor::DataType;

/// Whether the node does nothing but move, repeat or select elements of its first operand. `MaxPool` selects by order,
/// which quantization with one scale keeps.
fn is_movement(node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Slice" | "Split" | "Gather"
        | "GatherElements" | "GatherND" | "Expand" | "Tile" | "DepthToSpace" | "SpaceToDepth" | "Pad" => true,
        "MaxPool" => node.output.len() == 1,
        // Not in training mode, and without the mask.
        "Dropout" => node.output.len() == 1 && node.input.get(2).is_none_or(String::is_empty),
        "Resize" | RESIZE_10 => {
            let text = |name: &str, default: &'static str| {
                attribute(node, name).map_or(default.as_bytes().to_vec(), |a| a.s.clone())
            };
            text("mode", "nearest") == b"nearest"
                && text("coordinate_transformation_mode", "half_pixel") != b"tf_crop_and_resize"
        }
        _ => false,
    }
}

/// The node on quanta of that type: its first operand is `x`, its outputs are `outputs`. A constant that pads must be
/// quantized too; `exact` says that no other number may come of it.
fn on_quanta(
    graph: &mut Graph,
    node: &NodeProto,
    x: &str,
    outputs: Vec<String>,
    to: (DataType, Params),
    exact: bool,
) -> Option<NodeProto> {
    let mut moved = node.clone();
    *moved.input.first_mut()? = x.to_owned();
    moved.output = outputs;
    if node.op_type == "Dropout" {
        return Some(plain("Identity", vec![x.to_owned()], moved.output.pop()?, &node.name));
    }
    if node.op_type == "Pad" {
        // Before opset 11 everything is an attribute.
        node.input.get(1)?;
        let mode = attribute(node, "mode").map_or(&b"constant"[..], |a| &a.s);
        if mode != b"constant" {
            // A number that nothing is padded with.
            if let Some(number) = moved.input.get_mut(2) {
                number.clear();
            }
            return Some(moved);
        }
        let value = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => *graph.constant_f32(name)?.first()?,
            None => 0.0,
        };
        let (data_type, params) = to;
        let (quantum, bits) = match data_type {
            DataType::Int8 => {
                let q: i8 = quantize(value, params);
                (i32::from(q), q as u8)
            }
            _ => {
                let q: u8 = quantize(value, params);
                (i32::from(q), q)
            }
        };
        if exact && dequantize(quantum, params) != value {
            return None;
        }
        let name = graph.fresh("pad");
        let tensor =
            tract_onnx::pb::TensorProto { data_type: data_type as i32, ..raw_tensor(name.clone(), &[], &[bits]) };
        graph.add(tensor);
        moved.input.resize(moved.input.len().max(3), String::new());
        moved.input[2] = name;
    }
    Some(moved)
}

/// A `DequantizeLinear` with the parameters of another.
fn dequantize_linear(x: &Dequantized, quanta: String, output: String, axis: Option<i64>) -> NodeProto {
    let mut node =
        plain("DequantizeLinear", vec![quanta, x.scale.clone(), x.zero_point.clone()], output.clone(), &output);
    node.attribute.extend(axis.map(|axis| tract_onnx::pb::AttributeProto {
        name: "axis".to_owned(),
        i: axis,
        r#type: tract_onnx::pb::attribute_proto::AttributeType::Int as i32,
        ..Default::default()
    }));
    node
}

/// `move(DequantizeLinear(x))` becomes `DequantizeLinear(move(x))`, from the front to the back.
pub fn sink(graph: &mut Graph) {
    for index in graph.order() {
        let node = graph.node(index);
        if is_movement(node) {
            sink_through(graph, index);
        } else if node.op_type == "Concat" {
            sink_through_concat(graph, index);
        }
    }
}

fn sink_through(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let x = graph.dequantized(node.input.first()?).filter(Dequantized::is_quantum)?;
    let mut axis = None;
    if !x.is_activation() {
        // Weights, in whose transposition an axis goes along.
        let rank = graph.constant_dims(&x.quanta)?.len();
        let own = crate::compiler::onnx::resolve_axis(x.axis, rank)? as i64;
        let perm = attribute(&node, "perm").map_or((0..rank as i64).rev().collect(), |a| a.ints.clone());
        if node.op_type != "Transpose" || x.per_tensor() || perm.len() != rank {
            return None;
        }
        axis = Some(perm.iter().position(|&p| p == own)? as i64);
    }
    let outputs: Vec<String> =
        node.output.iter().map(|o| if o.is_empty() { String::new() } else { graph.fresh("moved") }).collect();
    let to = (x.data_type, Params { scale: x.scales[0], zero_point: x.zero_points[0] });
    let moved = on_quanta(graph, &node, &x.quanta, outputs.clone(), to, true)?;
    let place = graph.place(index);
    graph.replace(index, Fused::alone(moved));
    for (quanta, output) in outputs.into_iter().zip(node.output).filter(|(q, _)| !q.is_empty()) {
        graph.insert(dequantize_linear(&x, quanta, output, axis), place);
    }
    Some(())
}

fn sink_through_concat(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let parts: Vec<Dequantized> = node.input.iter().map(|i| graph.activation(i)).collect::<Option<_>>()?;
    let first = parts.first()?.clone();
    if parts.iter().any(|p| p.params() != first.params() || p.data_type != first.data_type) {
        return None;
    }
    let quanta = graph.fresh("moved");
    let output = node.output.first()?.clone();
    let joined =
        NodeProto { input: parts.into_iter().map(|p| p.quanta).collect(), output: vec![quanta.clone()], ..node };
    let place = graph.place(index);
    graph.replace(index, Fused::alone(joined));
    graph.insert(dequantize_linear(&first, quanta, output, None), place);
    Some(())
}

/// `QuantizeLinear(move(x))` becomes `move(QuantizeLinear(x))`, from the back to the front.
pub fn rise(graph: &mut Graph) {
    for index in graph.order().into_iter().rev() {
        let node = graph.node(index);
        if is_movement(node) {
            rise_through(graph, index);
        } else if node.op_type == "Concat" {
            rise_through_concat(graph, index);
        }
    }
}

/// What the only readers of all outputs make, if they quantize them with the same parameters.
fn quantizers(graph: &mut Graph, node: &NodeProto) -> Option<Vec<Quantized>> {
    let mut all: Vec<Quantized> = Vec::new();
    for output in node.output.iter().filter(|o| !o.is_empty()) {
        let index = graph.only_reader(output)?;
        if graph.node(index).input.first() != Some(output) {
            return None;
        }
        let y = graph.quantizer(index)?;
        if all.first().is_some_and(|first| first.params != y.params || first.data_type != y.data_type) {
            return None;
        }
        all.push(y);
    }
    (!all.is_empty() && all.len() == node.output.len()).then_some(all)
}

fn quantize_linear(y: &Quantized, x: &str, output: &str) -> NodeProto {
    plain("QuantizeLinear", vec![x.to_owned(), y.scale.clone(), y.zero_point.clone()], output.to_owned(), output)
}

fn rise_through(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let x = node.input.first()?.clone();
    let all = quantizers(graph, &node)?;
    let quanta = graph.fresh("quanta");
    let outputs = all.iter().map(|y| y.quanta.clone()).collect();
    let moved = on_quanta(graph, &node, &quanta, outputs, (all[0].data_type, all[0].params), false)?;
    let place = graph.place(index);
    let gone = all.iter().flat_map(|y| y.nodes.clone()).collect();
    graph.replace(index, Fused { node: moved, gone });
    graph.insert(quantize_linear(&all[0], &x, &quanta), place);
    Some(())
}

fn rise_through_concat(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let all = quantizers(graph, &node)?;
    let y = all.first()?;
    // Quanta throughout are joined by QLinearConcat.
    if node.input.iter().all(|i| graph.activation(i).is_some()) {
        return None;
    }
    let place = graph.place(index);
    let parts: Vec<String> = node.input.iter().map(|_| graph.fresh("quanta")).collect();
    let joined = NodeProto { input: parts.clone(), output: vec![y.quanta.clone()], ..node.clone() };
    graph.replace(index, Fused { node: joined, gone: y.nodes.clone() });
    for (part, quanta) in node.input.iter().zip(&parts) {
        graph.insert(quantize_linear(y, part, quanta), place);
    }
    Some(())
}

/// `Concat` of quanta with other parameters each becomes `QLinearConcat`.
pub fn concat(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let parts: Vec<Dequantized> = node.input.iter().map(|i| graph.activation(i)).collect::<Option<_>>()?;
    let y = graph.quantized(node.output.first()?)?;
    int(&node, "axis")?;
    let place = graph.place(index);
    let mut input = vec![y.scale.clone(), y.zero_point.clone()];
    for part in &parts {
        input.extend(graph.shifted(part, y.data_type, place).names());
    }
    let joined = NodeProto {
        op_type: CONCAT.to_owned(),
        input,
        output: vec![y.quanta.clone()],
        attribute: node.attribute,
        name: node.name,
        ..NodeProto::default()
    };
    graph.replace_then_clamp(index, joined, y);
    Some(())
}

/// One `QuantizeLinear` for all readers of a value that want the same parameters.
pub fn share_quantizers(graph: &mut Graph) {
    let order = graph.order();
    let mut seen: HashMap<(String, u32, i32, bool), String> = HashMap::new();
    for index in order {
        if !is_op(graph.node(index), "QuantizeLinear") {
            continue;
        }
        let Some(y) = graph.quantizer(index) else { continue };
        let Some(x) = graph.node(index).input.first().cloned() else { continue };
        let key = (x, y.params.scale.to_bits(), y.params.zero_point, y.data_type == DataType::Int8);
        match seen.get(&key) {
            Some(first) => graph.bypass(index, &y.quanta, &first.clone()),
            None => {
                seen.insert(key, y.quanta);
            }
        }
    }
}

/// `QuantizeLinear(DequantizeLinear(x))` with equal parameters is `x`.
pub fn cancel(graph: &mut Graph) {
    for index in graph.order() {
        let Some(y) = graph.quantizer(index) else { continue };
        let Some(x) = graph.node(index).input.first().cloned().and_then(|x| graph.activation(&x)) else { continue };
        if x.params() == y.params && x.data_type == y.data_type {
            graph.bypass(index, &y.quanta, &x.quanta);
        }
    }
}

/// All of it.
pub fn move_quanta(graph: &mut Graph) {
    evaluate::fold_constants(graph);
    share_quantizers(graph);
    sink(graph);
    rise(graph);
    share_quantizers(graph);
    cancel(graph);
    graph.prune();
    evaluate::fold_constants(graph);
    graph.prune();
}
