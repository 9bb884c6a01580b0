//! Dynamic quantization as quantizers write it: `DynamicQuantizeLinear`, an integer product, `Cast`, `Mul` with the
//! product of both scales, and maybe a bias and an activation.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::graph::{Fused, Graph, int};
use super::{DYNAMIC_CONV, DYNAMIC_MATMUL, bias};
use crate::compiler::onnx::raw_tensor;
use crate::tensor::DataType;

/// `ConvInteger` or `MatMulInteger` with what follows becomes `DynamicConv` or `DynamicMatMul`.
pub fn dynamic(graph: &mut Graph, index: usize) -> Option<Fused> {
    let node = graph.node(index).clone();
    let is_conv = node.op_type == "ConvInteger";
    let (x, w) = (node.input.first()?.clone(), node.input.get(1)?.clone());
    let quantizer = graph.node(graph.maker(&x)?);
    if quantizer.op_type != "DynamicQuantizeLinear" || node.input.get(2) != quantizer.output.get(2) {
        return None;
    }
    let x_scale = quantizer.output.get(1)?.clone();
    let dims = graph.constant_dims(&w)?.to_vec();
    // Output channels or columns, where their dimension stands in the result, counted from the end, and its rank.
    let (channels, at, rank) = if is_conv {
        (*dims.first()?, dims.len().checked_sub(2)?, Some(dims.len()))
    } else {
        (*dims.get(1).filter(|_| dims.len() == 2)?, 0, graph.rank_of(&x))
    };
    let fits = |dims: &[i64]| {
        let own = dims.len().checked_sub(at + 1);
        dims.iter().enumerate().all(|(d, &n)| n == 1 || Some(d) == own && n == channels)
            && (dims.len() <= 1 || rank.is_some_and(|rank| dims.len() <= rank))
    };

    let mut gone = Vec::new();
    let cast = graph.only_reader(node.output.first()?)?;
    if graph.node(cast).op_type != "Cast" || int(graph.node(cast), "to") != Some(DataType::Float32 as i64) {
        return None;
    }
    gone.push(cast);
    let float = graph.node(cast).output.first()?.clone();
    let (scaling, scale) = other_operand(graph, &float, "Mul")?;
    gone.push(scaling);
    let product = graph.node(graph.maker(&scale)?);
    let w_scale = match &product.input[..] {
        [a, b] if product.op_type == "Mul" && *a == x_scale => b.clone(),
        [a, b] if product.op_type == "Mul" && *b == x_scale => a.clone(),
        _ => return None,
    };
    let scales = graph.constant_f32(&w_scale)?;
    if !fits(graph.constant_dims(&w_scale)?) {
        return None;
    }
    let mut value = graph.node(scaling).output.first()?.clone();

    let mut added = None;
    if let Some((add, constant)) = other_operand(graph, &value, "Add")
        && let Some(dims) = bias::shape(graph, &constant)
        && fits(&dims)
        && let Some(name) = bias::in_numbers(graph, &constant, usize::try_from(channels).ok()?, at)
    {
        gone.push(add);
        value = graph.node(add).output.first()?.clone();
        added = Some(name);
    }
    let (clamp, output, activation) = graph.activated(&value);
    gone.extend(activation);

    let scale = graph.fresh("scale");
    graph.add(raw_tensor(scale.clone(), &[scales.len()], &scales));
    let w_zero_point = match node.input.get(3).filter(|n| !n.is_empty()) {
        Some(name) => name.clone(),
        None => {
            let name = graph.fresh("zero_point");
            let data_type = graph.type_of(&w)? as i32;
            graph.add(TensorProto { data_type, ..raw_tensor(name.clone(), &[], &[0u8]) });
            name
        }
    };
    let x_zero_point = node.input[2].clone();
    let mut attribute = node.attribute;
    attribute.extend(clamp.attributes());
    let fused = NodeProto {
        op_type: if is_conv { DYNAMIC_CONV } else { DYNAMIC_MATMUL }.to_owned(),
        input: [x, w, x_scale, scale, x_zero_point, w_zero_point].into_iter().chain(added).collect(),
        output: vec![output],
        attribute,
        name: node.name,
        ..NodeProto::default()
    };
    Some(Fused { node: fused, gone })
}

/// The only reader of a value, if it is that operator, and its other operand.
fn other_operand(graph: &Graph, value: &str, op_type: &str) -> Option<(usize, String)> {
    let index = graph.only_reader(value)?;
    let node = graph.node(index);
    let other = match &node.input[..] {
        [a, b] if a == value => b,
        [a, b] if b == value => a,
        _ => return None,
    };
    (node.op_type == op_type).then(|| (index, other.clone()))
}
