//! What is found along axes: means, sums, the largest and the smallest, and where they are.

use tract_onnx::pb::NodeProto;

use super::pool::{is_channels_last, quantized};
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{FloatBinary, FloatUnary, Numbers, Reduction, Rows};
use crate::plan::{Operation, ValueId};
use crate::tensor::DataType;

/// A value whose dimensions to reduce lie side by side in memory, and how many elements are before, in and behind them.
fn side_by_side(l: &mut Lowering, x: &Value, axes: &[usize]) -> Option<(Value, Rows)> {
    let reduced = |d: usize| axes.contains(&d);
    let long: Vec<bool> = x.order.iter().filter(|&&d| x.shape[d] != 1).map(|&d| reduced(d)).collect();
    let changes = long.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let mut x = x.clone();
    if changes > 2 || changes == 2 && long.first() == Some(&true) {
        // The kept ones first.
        let mut order: Vec<usize> = (0..x.shape.len()).filter(|&d| !reduced(d)).collect();
        order.extend((0..x.shape.len()).filter(|&d| reduced(d)));
        x = l.ordered(&x, &order)?;
    }
    let physical: Vec<(usize, bool)> =
        x.order.iter().filter(|&&d| x.shape[d] != 1).map(|&d| (x.shape[d], reduced(d))).collect();
    let first = physical.iter().position(|p| p.1).unwrap_or(physical.len());
    let last = physical.iter().rposition(|p| p.1).map_or(first, |p| p + 1);
    let size = |part: &[(usize, bool)]| part.iter().map(|p| p.0).product::<usize>();
    let rows =
        Rows { outer: size(&physical[..first]), count: size(&physical[first..last]), inner: size(&physical[last..]) };
    (x.len() > 0).then_some((x, rows))
}

/// Reduces dimensions, which stay as dimensions of size 1 if they are kept.
fn reduced(
    l: &mut Lowering,
    name: &str,
    x: &Value,
    axes: &[usize],
    keep: bool,
    places: bool,
    operation: impl FnOnce(ValueId, ValueId, Rows) -> Operation,
) -> Option<Value> {
    let (x, rows) = side_by_side(l, x, axes)?;
    // The kept dimensions keep their order in memory.
    let kept: Vec<usize> = (0..x.shape.len()).filter(|d| keep || !axes.contains(d)).collect();
    let order: Vec<usize> = x.order.iter().filter_map(|d| kept.iter().position(|k| k == d)).collect();
    let shape: Vec<usize> = kept.iter().map(|&d| if axes.contains(&d) { 1 } else { x.shape[d] }).collect();
    let y = match places {
        true => l.output(name, DataType::Int64, &shape, &order, false),
        false => l.like(name, &x, &shape, &order),
    };
    l.step(operation(x.id, y.id, rows));
    Some(y)
}

impl Lowering<'_> {
    /// The mean of floats over some dimensions, which stay with the size 1.
    pub fn mean_over(&mut self, name: &str, x: &Value, axes: &[usize]) -> Option<Value> {
        let mean = |x, y, rows| Operation::Mean { x, y, rows, numbers: Numbers::Float };
        reduced(self, name, x, axes, true, false, mean)
    }

    /// Reduces some dimensions, which stay with the size 1 if they are kept.
    pub fn reduce_over(
        &mut self,
        name: &str,
        x: &Value,
        axes: &[usize],
        keep: bool,
        function: Reduction,
    ) -> Option<Value> {
        let places = matches!(function, Reduction::ArgMax { .. } | Reduction::ArgMin { .. });
        reduced(self, name, x, axes, keep, places, |x, y, rows| Operation::Reduce { x, y, rows, function })
    }
}

/// The first output of a node, if it is what inference expects.
fn named(l: &mut Lowering, node: &NodeProto, y: Value) -> Option<()> {
    let output = node.output.first()?;
    (l.shape(output)? == y.shape).then(|| l.alias(output, y))
}

fn mean(l: &mut Lowering, node: &NodeProto, x: &Value, axes: &[usize], numbers: Numbers) -> Option<()> {
    let output = node.output.first()?;
    let keep = l.shape(output)?.len() == x.shape.len();
    let y = reduced(l, output, x, axes, keep, false, |x, y, rows| Operation::Mean { x, y, rows, numbers })?;
    named(l, node, y)
}

/// In float.
pub fn global_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let axes: Vec<usize> = (2..x.shape.len()).collect();
    mean(l, node, &x, &axes, Numbers::Float)
}

/// Of floats and quanta.
pub fn global_max_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = increasing(l, node)?;
    let axes: Vec<usize> = (2..x.shape.len()).collect();
    let y = l.reduce_over(node.output.first()?, &x, &axes, true, Reduction::Max)?;
    named(l, node, y)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_global_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (x, numbers) = quantized(l, node)?;
    let rank = x.shape.len();
    let spatial = if is_channels_last(node) { 1..rank.saturating_sub(1) } else { 2..rank };
    let axes: Vec<usize> = spatial.collect();
    mean(l, node, &x, &axes, numbers)
}

/// The axes of a reduction: an attribute, a constant input, or all; none where a flag says so.
fn axes(l: &Lowering, node: &NodeProto, input: usize, rank: usize) -> Option<Vec<usize>> {
    let listed = match (attribute(node, "axes"), node.input.get(input).filter(|n| !n.is_empty())) {
        (Some(axes), _) => axes.ints.clone(),
        (None, Some(_)) => l.integers(node, input)?,
        (None, None) => Vec::new(),
    };
    if listed.is_empty() {
        let nothing = attribute(node, "noop_with_empty_axes").is_some_and(|a| a.i != 0);
        return Some(if nothing { Vec::new() } else { (0..rank).collect() });
    }
    listed.into_iter().map(|a| resolve_axis(a, rank)).collect()
}

fn keeps(node: &NodeProto) -> bool {
    attribute(node, "keepdims").is_none_or(|a| a.i != 0)
}

/// In float.
pub fn reduce_mean(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let axes = axes(l, node, 1, x.shape.len())?;
    mean(l, node, &x, &axes, Numbers::Float)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_reduce_mean(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (x, numbers) = quantized(l, node)?;
    let axes = axes(l, node, usize::MAX, x.shape.len())?;
    mean(l, node, &x, &axes, numbers)
}

/// Numbers that steps compare: floats may be quanta that grow as they do. Signed quanta may be shifted.
fn increasing(l: &mut Lowering, node: &NodeProto) -> Option<Value> {
    let x = l.lazy_input(node, 0)?;
    let increases = x.lazy.as_ref().is_none_or(|lazy| lazy.table.windows(2).all(|pair| pair[0] < pair[1]));
    let x = if increases { x } else { l.input(node, 0)? };
    use DataType::{Float32, Int8, Int32, Int64, Uint8};
    matches!(x.data_type, Float32 | Int32 | Int64 | Uint8 | Int8).then_some(x)
}

/// ReduceMax and ReduceMin.
pub fn reduce_extreme(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = increasing(l, node)?;
    let axes = axes(l, node, 1, x.shape.len())?;
    let function = if node.op_type == "ReduceMax" { Reduction::Max } else { Reduction::Min };
    let y = l.reduce_over(node.output.first()?, &x, &axes, keeps(node), function)?;
    named(l, node, y)
}

/// ArgMax and ArgMin.
pub fn arg_extreme(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = increasing(l, node)?;
    let axis = resolve_axis(attribute(node, "axis").map_or(0, |a| a.i), x.shape.len())?;
    let last = attribute(node, "select_last_index").is_some_and(|a| a.i != 0);
    let function = if node.op_type == "ArgMax" { Reduction::ArgMax { last } } else { Reduction::ArgMin { last } };
    let y = l.reduce_over(node.output.first()?, &x, &[axis], keeps(node), function)?;
    named(l, node, y)
}

/// ReduceSum, of floats or integers; ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp of floats.
pub fn reduce_sum(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let mut x = l.input(node, 0)?;
    let output = node.output.first()?;
    let axes = axes(l, node, 1, x.shape.len())?;
    let keep = keeps(node);
    let kind = node.op_type.as_str();
    let integers = matches!(x.data_type, DataType::Int32 | DataType::Int64) && kind == "ReduceSum";
    if x.data_type != DataType::Float32 && !integers {
        return None;
    }
    if kind == "ReduceLogSumExp" {
        // Of differences to the largest, which are no larger than 0.
        let largest = l.reduce_over(&l.unnamed(), &x, &axes, true, Reduction::Max)?;
        let less = l.binary(FloatBinary::Sub, &x, &largest)?;
        let powers = l.unary(FloatUnary::Exp, &less);
        let sum = l.reduce_over(&l.unnamed(), &powers, &axes, true, Reduction::Sum)?;
        let log = l.unary(FloatUnary::Log, &sum);
        let y = l.binary(FloatBinary::Add, &log, &largest)?;
        let (shape, plain) = (l.shape(output)?, l.plain(&y)?);
        let order = (0..shape.len()).collect();
        l.alias(output, Value { shape, order, ..plain });
        return Some(());
    }
    x = match kind {
        "ReduceL1" => l.unary(FloatUnary::Abs, &x),
        "ReduceL2" | "ReduceSumSquare" => l.binary(FloatBinary::Mul, &x, &x)?,
        _ => x,
    };
    let y = l.reduce_over(output, &x, &axes, keep, Reduction::Sum)?;
    let y = match kind {
        "ReduceL2" => l.unary(FloatUnary::Sqrt, &y),
        "ReduceLogSum" => l.unary(FloatUnary::Log, &y),
        _ => y,
    };
    named(l, node, y)
}

/// Inputs: x, how many.
pub fn top_k(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let rank = x.shape.len();
    let axis = resolve_axis(attribute(node, "axis").map_or(-1, |a| a.i), rank)?;
    let k = match attribute(node, "k") {
        Some(k) => k.i,
        None => *l.integers(node, 1)?.first()?,
    };
    let k = usize::try_from(k).ok().filter(|&k| k <= x.shape[axis])?;
    let largest = attribute(node, "largest").is_none_or(|a| a.i != 0);
    let mut order: Vec<usize> = x.order.iter().copied().filter(|&d| d != axis).collect();
    order.push(axis);
    let x = l.ordered(&x, &order)?;
    let count = x.shape[axis];
    if count == 0 || k == 0 {
        return None;
    }
    let mut shape = x.shape.clone();
    shape[axis] = k;
    let mut names = node.output.iter().map(|name| if name.is_empty() { l.unnamed() } else { name.clone() });
    let names = [names.next()?, names.next().unwrap_or_else(|| "tractlet.places".to_owned())];
    let values = l.output(&names[0], DataType::Float32, &shape, &order, false).id;
    let places = l.output(&names[1], DataType::Int64, &shape, &order, false).id;
    let outer = x.len() / count;
    l.step(Operation::TopK { x: x.id, values, places, outer, count, k, largest });
    Some(())
}
