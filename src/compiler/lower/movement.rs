//! Elements that move and do not change.

use tract_onnx::pb::NodeProto;

use super::quantize::requantized;
use super::values::dense;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::Rows;
use crate::plan::{ConstantId, Operation, View};
use crate::tensor::DataType;

/// No step: the dimensions are called differently.
pub fn transpose(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let rank = x.shape.len();
    let perm: Vec<usize> = match attribute(node, "perm").filter(|a| !a.ints.is_empty()) {
        Some(perm) => {
            perm.ints.iter().map(|&d| usize::try_from(d).ok().filter(|&d| d < rank)).collect::<Option<_>>()?
        }
        None => (0..rank).rev().collect(),
    };
    let mut place = vec![None; rank];
    for (new, &old) in perm.iter().enumerate() {
        place[old] = Some(new);
    }
    let order = x.order.iter().map(|&old| place[old]).collect::<Option<Vec<_>>>()?;
    if order.len() != rank || perm.len() != rank {
        return None;
    }
    let shape = perm.iter().map(|&d| x.shape[d]).collect();
    l.alias(node.output.first()?, Value { shape, order, ..x });
    Some(())
}

/// No step, or one that brings the elements into ONNX's order: Reshape, Flatten, Squeeze, Unsqueeze.
pub fn reshape(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    if shape.iter().product::<usize>() != x.len() || !has_plain_axes(l, node, shape.len().max(x.shape.len())) {
        return None;
    }
    let long = |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    if x.len() > 0 && long(&shape) == long(&x.shape) {
        // Only dimensions of size 1 come and go: the others keep their places in memory.
        let own: Vec<usize> = (0..x.shape.len()).filter(|&d| x.shape[d] != 1).collect();
        let new: Vec<usize> = (0..shape.len()).filter(|&d| shape[d] != 1).collect();
        let mut order: Vec<usize> = (0..shape.len()).filter(|&d| shape[d] == 1).collect();
        for d in x.order.iter().filter(|&&d| x.shape[d] != 1) {
            order.push(new[own.iter().position(|o| o == d)?]);
        }
        l.alias(output, Value { shape, order, ..x });
        return Some(());
    }
    let x = l.plain(&x)?;
    let order = (0..shape.len()).collect();
    l.alias(output, Value { shape, order, ..x });
    Some(())
}

/// Whether the axes of Squeeze and Unsqueeze, if there are any, are different ones.
fn has_plain_axes(l: &Lowering, node: &NodeProto, rank: usize) -> bool {
    if !["Squeeze", "Unsqueeze"].contains(&node.op_type.as_str()) {
        return true;
    }
    let listed = attribute(node, "axes").map(|a| a.ints.clone()).or_else(|| l.integers(node, 1));
    let Some(listed) = listed else { return node.op_type == "Squeeze" && node.input.len() < 2 };
    let mut axes: Vec<Option<usize>> = listed.iter().map(|&a| resolve_axis(a, rank)).collect();
    axes.sort_unstable();
    axes.windows(2).all(|pair| pair[0] != pair[1]) && axes.iter().all(Option::is_some)
}

/// No step. Of Dropout neither the mask, which is a second output, nor training, which the third input may ask for.
pub fn identity(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if [node.output.get(1), node.input.get(2)].into_iter().flatten().any(|name| !name.is_empty()) {
        return None;
    }
    let x = l.lazy_input(node, 0)?;
    l.alias(node.output.first()?, x);
    Some(())
}

/// A copy of some of a value's elements. `from` and `to` are strides for the dimensions of `shape`.
pub fn copy(
    l: &mut Lowering,
    x: u32,
    y: u32,
    shape: &[usize],
    from: (usize, Vec<usize>),
    to: (usize, Vec<usize>),
    table: Option<ConstantId>,
) {
    if shape.contains(&0) {
        return;
    }
    let view = |(offset, strides)| View { offset, strides };
    l.step(Operation::Copy { x, y, shape: shape.to_vec(), from: view(from), to: view(to), table });
}

/// Joins values along a dimension; each with a table, maybe.
fn join(
    l: &mut Lowering,
    output: &str,
    parts: &[(Value, Option<ConstantId>)],
    axis: usize,
    result: DataType,
) -> Option<()> {
    let first = &parts.first()?.0;
    let order = parts.iter().map(|p| &p.0).max_by_key(|v| v.len())?.order.clone();
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for (part, _) in parts {
        let fits =
            part.shape.len() == shape.len() && (0..shape.len()).all(|d| d == axis || part.shape[d] == first.shape[d]);
        if !fits {
            return None;
        }
        shape[axis] += part.shape[axis];
    }
    let y = match first.lazy {
        Some(_) => l.like(output, first, &shape, &order),
        None => l.output(output, result, &shape, &order, result == DataType::Int8),
    };
    let to = y.strides();
    let mut at = 0;
    for (part, table) in parts {
        let from = part.strides();
        let dims: Vec<usize> = order.iter().map(|&d| part.shape[d]).collect();
        let pick = |strides: &[usize]| order.iter().map(|&d| strides[d]).collect::<Vec<_>>();
        copy(l, part.id, y.id, &dims, (0, pick(&from)), (at * to[axis], pick(&to)), *table);
        at += part.shape[axis];
    }
    Some(())
}

/// Along an axis.
pub fn concat(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let result = l.data_type(node.output.first()?)?;
    let mut parts = Vec::new();
    // Quanta that all mean the same floats stay quanta.
    let first = l.lazy_input(node, 0)?;
    let mut alike = first.lazy.is_some();
    for position in 0..node.input.len() {
        let part = l.lazy_input(node, position)?;
        alike &= part.lazy == first.lazy;
        parts.push((part, None));
    }
    if alike {
        let axis = resolve_axis(attribute(node, "axis")?.i, first.shape.len())?;
        return join(l, node.output.first()?, &parts, axis, result);
    }
    parts.clear();
    for position in 0..node.input.len() {
        let part = l.input(node, position).filter(|p| p.data_type == result)?;
        let part = if part.data_type == DataType::Int8 { l.quanta(&part)? } else { part };
        parts.push((part, None));
    }
    let axis = resolve_axis(attribute(node, "axis")?.i, parts.first()?.0.shape.len())?;
    join(l, node.output.first()?, &parts, axis, result)
}

/// Inputs: scale and zero point of y, then tensor, scale, zero point of every part.
pub fn q_linear_concat(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let output = node.output.first()?;
    let result = l.data_type(output)?;
    let to = l.quantization(node, 0, result)?;
    let mut parts = Vec::new();
    for position in (2..node.input.len()).step_by(3) {
        let part = l.input(node, position)?;
        let part = l.quanta(&part)?;
        let from = l.quantization(node, position + 1, part.data_type)?;
        let table = (from != to).then(|| l.pool.add(&requantized(from, to, |v| v)[..]));
        parts.push((part, table));
    }
    let axis = resolve_axis(attribute(node, "axis")?.i, parts.first()?.0.shape.len())?;
    join(l, output, &parts, axis, result)
}

/// Part of a value: first element and step for each dimension.
pub fn part(l: &mut Lowering, x: &Value, output: &str, shape: &[usize], start: &[usize], step: &[usize]) {
    let strides = x.strides();
    let offset = start.iter().zip(&strides).map(|(a, b)| a * b).sum();
    let y = l.like(output, x, shape, &x.order);
    let dims = y.physical();
    let from = x.order.iter().map(|&d| strides[d] * step[d]).collect();
    copy(l, x.id, y.id, &dims, (offset, from), (0, dense(&dims)), None);
}

/// Into the shapes that inference found.
pub fn split(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let axis = resolve_axis(attribute(node, "axis").map_or(0, |a| a.i), x.shape.len())?;
    let (mut first, step) = (vec![0; x.shape.len()], vec![1; x.shape.len()]);
    for output in &node.output {
        let shape = l.shape(output)?;
        if shape.len() != x.shape.len() || shape.contains(&0) {
            return None;
        }
        part(l, &x, output, &shape, &first, &step);
        first[axis] += shape[axis];
    }
    (first[axis] == x.shape[axis]).then_some(())
}

/// Repeats dimensions of size 1.
pub fn expand(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    if x.shape.len() > shape.len() {
        return None;
    }
    let order: Vec<usize> = (0..shape.len()).collect();
    let from = super::elementwise::strides_in(&x, &shape, &order);
    let y = l.like(output, &x, &shape, &order);
    copy(l, x.id, y.id, &shape, (0, from), (0, dense(&shape)), None);
    Some(())
}

/// Along an axis, by constant or computed indices.
pub fn gather(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let x = l.plain(&x)?;
    let indices = l.input(node, 1)?;
    let indices = l.plain(&indices)?;
    if !matches!(indices.data_type, DataType::Int32 | DataType::Int64) {
        return None;
    }
    let axis = resolve_axis(attribute(node, "axis").map_or(0, |a| a.i), x.shape.len())?;
    let output = node.output.first()?;
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    let order: Vec<usize> = (0..shape.len()).collect();
    let y = l.like(output, &x, &shape, &order);
    let rows = Rows {
        outer: x.shape[..axis].iter().product(),
        count: x.shape[axis],
        inner: x.shape[axis + 1..].iter().product(),
    };
    l.step(Operation::Gather { x: x.id, indices: indices.id, y: y.id, rows, indices_count: indices.len() });
    Some(())
}

/// DepthToSpace and SpaceToDepth: a transposition of six dimensions.
pub fn depth_and_space(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let [n, c, h, w] = x.shape[..] else { return None };
    let block = usize::try_from(attribute(node, "blocksize")?.i).ok().filter(|&b| b > 0)?;
    let square = block.checked_mul(block)?;
    let s = x.strides();
    let to_space = node.op_type == "DepthToSpace";
    let divides = if to_space { c.is_multiple_of(square) } else { h.is_multiple_of(block) && w.is_multiple_of(block) };
    if !divides {
        return None;
    }
    let column_first = attribute(node, "mode").is_some_and(|a| a.s == b"CRD");
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let y = l.like(output, &x, &shape, &x.order);
    let t = y.strides();
    // [n][depth][block row][block column][row][column] on both sides.
    let (dims, from, to) = if to_space {
        let depth = c / square;
        let (row, column, d) = if column_first { (block, 1, square) } else { (block * depth, depth, 1) };
        (
            [n, depth, block, block, h, w],
            [s[0], d * s[1], row * s[1], column * s[1], s[2], s[3]],
            [t[0], t[1], t[2], t[3], block * t[2], block * t[3]],
        )
    } else {
        (
            [n, c, block, block, h / block, w / block],
            [s[0], s[1], s[2], s[3], block * s[2], block * s[3]],
            [t[0], t[1], block * c * t[1], c * t[1], t[2], t[3]],
        )
    };
    copy(l, x.id, y.id, &dims, (0, from.to_vec()), (0, to.to_vec()), None);
    Some(())
}

/// Repeats along dimensions, as often as a constant says.
pub fn tile(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let repeats = l.integers(node, 1)?;
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let fits = repeats.len() == x.shape.len()
        && shape.len() == x.shape.len()
        && (0..shape.len())
            .all(|d| usize::try_from(repeats[d]).ok().and_then(|r| r.checked_mul(x.shape[d])) == Some(shape[d]));
    if !fits {
        return None;
    }
    let from = x.strides();
    let y = l.like(output, &x, &shape, &x.order);
    let to = y.strides();
    let (mut dims, mut from_strides, mut to_strides) = (Vec::new(), Vec::new(), Vec::new());
    for &d in &x.order {
        // Which repetition, and where in it.
        dims.extend([repeats[d] as usize, x.shape[d]]);
        from_strides.extend([0, from[d]]);
        to_strides.extend([x.shape[d].saturating_mul(to[d]), to[d]]);
    }
    copy(l, x.id, y.id, &dims, (0, from_strides), (0, to_strides), None);
    Some(())
}
