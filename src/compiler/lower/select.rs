//! Elements by position along their axes: Slice and Pad. What lies at even distances is copied; what is reversed or
//! mirrored is gathered, by positions that are found here.

use tract_onnx::pb::NodeProto;

use super::movement::{copy, part};
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::Rows;
use crate::plan::{Fact, Operation, ValueId};
use crate::tensor::{DataType, Element};

/// Blocks along one dimension, as the value lies in memory.
pub fn rows(value: &Value, dimension: usize) -> Rows {
    let physical = value.physical();
    let at = value.position(dimension);
    Rows { outer: physical[..at].iter().product(), count: physical[at], inner: physical[at + 1..].iter().product() }
}

impl Lowering<'_> {
    /// A constant that steps can read.
    pub fn constant_list<T: Element>(&mut self, values: &[T], shape: &[usize]) -> ValueId {
        let constant = Some(self.pool.add(values));
        let shape = shape.iter().map(|&d| Some(d)).collect();
        self.facts.push(Fact { data_type: T::DATA_TYPE, shape, constant });
        (self.facts.len() - 1) as ValueId
    }

    /// The elements at these positions along a dimension.
    fn take(&mut self, name: &str, x: &Value, dimension: usize, positions: &[i32]) -> Value {
        let mut shape = x.shape.clone();
        shape[dimension] = positions.len();
        let indices = self.constant_list(positions, &[positions.len()]);
        let y = self.like(name, x, &shape, &x.order);
        let indices_count = positions.len();
        self.step(Operation::Gather { x: x.id, indices, y: y.id, rows: rows(x, dimension), indices_count });
        y
    }
}

/// With constant bounds.
pub fn slice(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let mut x = l.lazy_input(node, 0)?;
    let list = |position: usize, name: &str| match attribute(node, name) {
        Some(a) => Some(a.ints.clone()),
        None => l.integers(node, position),
    };
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let axes = list(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps").unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|&n| n != starts.len()) {
        return None;
    }
    let mut shape = x.shape.clone();
    let (mut first, mut step) = (vec![0; shape.len()], vec![1; shape.len()]);
    let mut backwards: Vec<(usize, Vec<i32>)> = Vec::new();
    for i in 0..starts.len() {
        let axis = resolve_axis(axes[i], shape.len())?;
        let size = x.shape[axis] as i64;
        // Before the first element, for steps that go there.
        let lowest = if steps[i] < 0 { -1 } else { 0 };
        let clamp = |at: i64, highest: i64| {
            let from_start = if at < 0 { at.saturating_add(size) } else { at };
            from_start.clamp(lowest, highest.max(lowest))
        };
        if steps[i] == 0 || steps[i].unsigned_abs() > 1 << 30 || size >= 1 << 30 {
            return None;
        }
        let (from, to) = (clamp(starts[i], size + lowest), clamp(ends[i], size));
        let way = if steps[i] < 0 { from - to } else { to - from };
        let count = if way > 0 { (way - 1) / steps[i].abs() + 1 } else { 0 };
        shape[axis] = count as usize;
        if steps[i] < 0 {
            backwards.push((axis, (0..count).map(|k| (from + k * steps[i]) as i32).collect()));
        } else {
            first[axis] = from as usize;
            step[axis] = steps[i] as usize;
        }
    }
    let output = node.output.first()?;
    if l.shape(output)? != shape || shape.contains(&0) {
        return None;
    }
    for (axis, positions) in &backwards {
        x = l.take(output, &x, *axis, positions);
    }
    if backwards.is_empty() || x.shape != shape {
        part(l, &x, output, &shape, &first, &step);
    }
    Some(())
}

/// What lies outside of a padded axis.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

impl Outside {
    /// The position in an axis of `count` elements that stands for position `at`.
    fn position(self, at: i64, count: i64) -> i64 {
        match self {
            Self::Wrap => at.rem_euclid(count),
            Self::Reflect if count > 1 => {
                let at = at.rem_euclid(2 * (count - 1));
                at.min(2 * (count - 1) - at)
            }
            _ => at.clamp(0, count - 1),
        }
    }
}

/// By constant amounts; negative ones cut off.
pub fn pad(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.lazy_input(node, 0)?;
    let outside = match attribute(node, "mode").map_or(&b"constant"[..], |a| &a.s) {
        b"constant" => Outside::Constant,
        b"edge" => Outside::Edge,
        b"reflect" => Outside::Reflect,
        b"wrap" => Outside::Wrap,
        _ => return None,
    };
    let rank = x.shape.len();
    let pads = match attribute(node, "pads") {
        Some(pads) => pads.ints.clone(),
        None => l.integers(node, 1)?,
    };
    let axes: Vec<usize> = match node.input.get(3).filter(|n| !n.is_empty()) {
        Some(_) => l.integers(node, 3)?.into_iter().map(|a| resolve_axis(a, rank)).collect::<Option<_>>()?,
        None => (0..rank).collect(),
    };
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    if pads.len() != 2 * axes.len() || shape.len() != rank || pads.iter().any(|p| p.unsigned_abs() > 1 << 30) {
        return None;
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i], pads[axes.len() + i]);
    }
    if (0..rank).any(|d| x.shape[d] as i64 + before[d] + after[d] != shape[d] as i64) {
        return None;
    }
    if outside == Outside::Constant {
        return pad_with_constant(l, node, x, &shape, &before, &after);
    }
    let mut x = x;
    for d in 0..rank {
        // What is cut off is no longer there to be repeated.
        let cut = |pad: i64| (-pad).max(0);
        let (size, start) = (x.shape[d] as i64, cut(before[d]));
        let left = size - start - cut(after[d]);
        if left <= 0 || size >= 1 << 30 {
            return None;
        }
        let at = |i: i64| start + outside.position(i - before[d].max(0), left);
        let positions: Vec<i32> = (0..shape[d] as i64).map(|i| at(i) as i32).collect();
        if (before[d], after[d]) != (0, 0) {
            x = l.take(output, &x, d, &positions);
        }
    }
    l.alias(output, x);
    Some(())
}

fn pad_with_constant(
    l: &mut Lowering,
    node: &NodeProto,
    mut x: Value,
    shape: &[usize],
    before: &[i64],
    after: &[i64],
) -> Option<()> {
    let size = x.data_type.size();
    let value = match node.input.get(2).filter(|n| !n.is_empty()) {
        Some(name) => {
            let value = l.constant(name)?;
            let bytes = value.bytes().to_vec();
            if value.data_type() != x.data_type || bytes.len() != size {
                return None;
            }
            bytes
        }
        None => match attribute(node, "value") {
            Some(value) if x.data_type == DataType::Float32 => value.f.to_le_bytes().to_vec(),
            Some(_) => return None,
            None => vec![0; size],
        },
    };
    let value = match &x.lazy {
        Some(lazy) => {
            // A quantum that means the same, if there is one.
            let wanted = f32::from_le_bytes(value[..].try_into().ok()?);
            match lazy.table.iter().position(|&v| v == wanted) {
                Some(quantum) => vec![quantum as u8],
                None => {
                    x = l.input(node, 0)?;
                    value
                }
            }
        }
        None if x.shifted => vec![value[0] ^ 0x80],
        None => value,
    };
    let y = l.like(node.output.first()?, &x, shape, &x.order);
    if before.iter().chain(after).any(|&p| p > 0) {
        l.step(Operation::Fill { y: y.id, value });
    }
    let (from, to) = (x.strides(), y.strides());
    let (mut dims, mut start, mut end) = (Vec::new(), 0, 0);
    for &d in &x.order {
        let kept = x.shape[d] as i64 + before[d].min(0) + after[d].min(0);
        dims.push(kept.max(0) as usize);
        start += (-before[d]).max(0) as usize * from[d];
        end += before[d].max(0) as usize * to[d];
    }
    let along = |strides: &[usize]| x.order.iter().map(|&d| strides[d]).collect::<Vec<_>>();
    copy(l, x.id, y.id, &dims, (start, along(&from)), (end, along(&to)), None);
    Some(())
}
