//! Elements by lists of places that are constants: GatherElements, GatherND, ScatterElements, ScatterND, Trilu. All places
//! are found here, so each is one Gather of rows, from the data or from the data and the updates behind them.

use tract_onnx::pb::NodeProto;

use super::elementwise::chosen;
use super::movement::copy;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::Rows;
use crate::plan::{Fact, Operation, ValueId};
use crate::tensor::DataType;

/// More places than that make a plan too large.
const MOST: usize = 1 << 20;

/// Rows of `inner` elements by number, as the first output of a node.
fn take_rows(l: &mut Lowering, node: &NodeProto, x: &Value, count: usize, inner: usize, places: &[i32]) -> Option<()> {
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    if shape.iter().product::<usize>() != places.len().checked_mul(inner)? || places.is_empty() || x.len() == 0 {
        return None;
    }
    let indices = l.constant_list(places, &[places.len()]);
    let order: Vec<usize> = (0..shape.len()).collect();
    let y = l.like(output, x, &shape, &order);
    let rows = Rows { outer: 1, count, inner };
    l.step(Operation::Gather { x: x.id, indices, y: y.id, rows, indices_count: places.len() });
    Some(())
}

/// A place along an axis; negative ones count from the end.
fn place(index: i64, count: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add(count as i64)? } else { index };
    usize::try_from(from_start).ok().filter(|&at| at < count)
}

/// Constant places and their shape.
fn indices(l: &Lowering, node: &NodeProto) -> Option<(Vec<i64>, Vec<usize>)> {
    let list = l.integers(node, 1)?;
    let shape = l.constant(node.input.get(1)?)?.shape().to_vec();
    (list.len() <= MOST).then_some((list, shape))
}

/// For each of the places that an operator with one index for each element names: the element's number.
fn element_places(list: &[i64], shape: &[usize], x: &[usize], axis: usize) -> Option<Vec<i32>> {
    if shape.len() != x.len() || (0..x.len()).any(|d| d != axis && shape[d] > x[d]) {
        return None;
    }
    let mut places = Vec::with_capacity(list.len());
    for (i, &index) in list.iter().enumerate() {
        let (mut rest, mut step, mut at) = (i, 1, 0);
        for d in (0..x.len()).rev() {
            let own = rest % shape[d];
            rest /= shape[d];
            at += step * if d == axis { place(index, x[d])? } else { own };
            step *= x[d];
        }
        places.push(i32::try_from(at).ok()?);
    }
    Some(places)
}

/// For each list of indices of an operator of slices: the slice's number; and how many there are, and their size.
fn slice_places(list: &[i64], shape: &[usize], x: &[usize]) -> Option<(Vec<i32>, usize, usize)> {
    let &depth = shape.last().filter(|&&depth| depth > 0 && depth <= x.len())?;
    let number = |index: &[i64]| {
        let at = index.iter().zip(x).try_fold(0, |at, (&i, &count)| Some(at * count + place(i, count)?))?;
        i32::try_from(at).ok()
    };
    let places = list.chunks_exact(depth).map(number).collect::<Option<_>>()?;
    Some((places, x[..depth].iter().product(), x[depth..].iter().product()))
}

/// One index for each element of the result.
pub fn gather_elements(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let x = l.plain(&x)?;
    let axis = resolve_axis(attribute(node, "axis").map_or(0, |a| a.i), x.shape.len())?;
    let (list, shape) = indices(l, node)?;
    let places = element_places(&list, &shape, &x.shape, axis)?;
    take_rows(l, node, &x, x.len(), 1, &places)
}

/// A list of indices for each slice of the result.
pub fn gather_nd(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if attribute(node, "batch_dims").is_some_and(|a| a.i != 0) {
        return None;
    }
    let x = l.lazy_input(node, 0)?;
    let x = l.plain(&x)?;
    let (list, shape) = indices(l, node)?;
    let (places, count, inner) = slice_places(&list, &shape, &x.shape)?;
    take_rows(l, node, &x, count, inner, &places)
}

/// ScatterElements and ScatterND: of the data and the updates behind them, what is last written.
pub fn scatter(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if attribute(node, "reduction").is_some_and(|a| a.s != b"none") {
        return None;
    }
    let mut parts = [l.input(node, 0)?, l.input(node, 2)?];
    if parts[0].data_type != parts[1].data_type {
        return None;
    }
    for part in &mut parts {
        let quanta = if part.is_quanta() { l.quanta(part)? } else { part.clone() };
        *part = l.plain(&quanta)?;
    }
    let [x, updates] = parts;
    let (list, shape) = indices(l, node)?;
    let (places, count, inner) = match node.op_type.as_str() {
        "ScatterND" => slice_places(&list, &shape, &x.shape)?,
        _ => {
            let axis = resolve_axis(attribute(node, "axis").map_or(0, |a| a.i), x.shape.len())?;
            (element_places(&list, &shape, &x.shape, axis)?, x.len(), 1)
        }
    };
    if count > MOST || updates.len() != places.len().checked_mul(inner)? {
        return None;
    }
    let mut written: Vec<i32> = (0..count as i32).collect();
    for (update, &place) in places.iter().enumerate() {
        written[place as usize] = (count + update) as i32;
    }
    let both = l.fact(x.memory_type(), &[x.len() + updates.len()]);
    for (part, at) in [(&x, 0), (&updates, x.len())] {
        copy(l, part.id, both, &[part.len()], (0, vec![1]), (at, vec![1]), None);
    }
    let all = Value { id: both, ..x };
    take_rows(l, node, &all, count + places.len(), inner, &written)
}

/// The upper or lower triangle of matrices, and zeros.
pub fn triangle(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0)?;
    let k = match node.input.get(1).filter(|n| !n.is_empty()) {
        Some(_) => *l.integers(node, 1)?.first()?,
        None => 0,
    };
    let upper = attribute(node, "upper").is_none_or(|a| a.i != 0);
    let &[.., rows, columns] = &x.shape[..] else { return None };
    let zero = match x.data_type {
        DataType::Float32 => l.constant_list(&[0f32], &[]),
        DataType::Int32 => l.constant_list(&[0i32], &[]),
        DataType::Int64 => l.constant_list(&[0i64], &[]),
        _ => return None,
    };
    if rows.checked_mul(columns)? > MOST {
        return None;
    }
    let kept = |r: usize, c: usize| {
        let distance = c as i64 - r as i64;
        u8::from(if upper { distance >= k } else { distance <= k })
    };
    let mask: Vec<u8> = (0..rows).flat_map(|r| (0..columns).map(move |c| kept(r, c))).collect();
    let constant = Some(l.pool.add_bytes(DataType::Bool, &mask));
    l.facts.push(Fact { data_type: DataType::Bool, shape: vec![Some(rows), Some(columns)], constant });
    let mask = Value::plain((l.facts.len() - 1) as ValueId, DataType::Bool, &[rows, columns]);
    let zero = Value::plain(zero, x.data_type, &[]);
    chosen(l, node.output.first()?, &mask, &x, &zero, x.data_type)
}
