//! Pools and means.

use tract_onnx::pb::NodeProto;

use super::values::channels_last;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::compiler::quantized::auto_pad::AutoPad;
use crate::kernels::{Numbers, Rows, Window};
use crate::plan::{Operation, Pooling};
use crate::tensor::DataType;

fn ints(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    attribute(node, name).map(|a| a.ints.clone()).filter(|v| !v.is_empty())
}

/// The window of a pool over a value whose channels are the second dimension.
fn window(node: &NodeProto, x: &Value, output: &[usize]) -> Option<Window> {
    let rank = x.shape.len();
    let spatial = rank.checked_sub(2)?;
    let kernel = ints(node, "kernel_shape")?;
    let list = |name: &str| ints(node, name).unwrap_or_else(|| vec![1; spatial]);
    let (strides, dilations) = (list("strides"), list("dilations"));
    let pads = ints(node, "pads").unwrap_or_else(|| vec![0; 2 * spatial]);
    let auto_pad = AutoPad::of(node).ok()?;
    if !(1..=2).contains(&spatial)
        || [kernel.len(), strides.len(), dilations.len(), output.len().checked_sub(2)?].iter().any(|&n| n != spatial)
        || pads.len() != 2 * spatial
        || pads.iter().any(|&p| p < 0)
        || kernel.iter().chain(&strides).chain(&dilations).any(|&v| !(1..1 << 30).contains(&v))
    {
        return None;
    }
    let mut window = Window {
        input: [x.shape[0], 1, x.shape[rank - 1], x.shape[1]],
        output: [1, output[rank - 1]],
        kernel: [1, 1],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [0, 0],
    };
    for d in 0..spatial {
        let to = d + 2 - spatial;
        let covered = ((kernel[d] - 1) * dilations[d] + 1) as usize;
        let (begin, _) =
            auto_pad.pads(pads[d] as usize, pads[spatial + d] as usize, x.shape[2 + d], strides[d] as usize, covered);
        window.input[1 + to] = x.shape[2 + d];
        window.output[to] = output[2 + d];
        window.kernel[to] = kernel[d] as usize;
        window.strides[to] = strides[d] as usize;
        window.dilations[to] = dilations[d] as usize;
        window.pads[to] = begin;
        // Every window has something in it.
        if begin >= covered
            || (output[2 + d].checked_sub(1)?).checked_mul(strides[d] as usize)? >= x.shape[2 + d] + begin
        {
            return None;
        }
    }
    Some(window)
}

fn pool(l: &mut Lowering, node: &NodeProto, x: &Value, pooling: Pooling) -> Option<()> {
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let order = channels_last(x.shape.len());
    let x = l.ordered(x, &order)?;
    let window = window(node, &x, &shape)?;
    let y = l.like(output, &x, &shape, &order);
    l.step(Operation::Pool { x: x.id, y: y.id, window, pooling });
    Some(())
}

/// Of quanta and floats.
pub fn max_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if node.output.get(1).is_some_and(|o| !o.is_empty()) {
        return None;
    }
    let mut x = l.lazy_input(node, 0)?;
    // The largest quantum means the largest float where larger ones mean larger ones.
    if x.lazy.as_ref().is_some_and(|lazy| lazy.table.windows(2).any(|pair| pair[0].is_nan() || pair[0] > pair[1])) {
        x = l.input(node, 0)?;
    }
    let x = if x.is_quanta() { l.quanta(&x)? } else { x };
    if !x.is_quanta() && x.data_type != DataType::Float32 {
        return None;
    }
    pool(l, node, &x, Pooling::Max)
}

fn includes_pads(node: &NodeProto) -> bool {
    attribute(node, "count_include_pad").is_some_and(|a| a.i != 0)
}

/// Whether counting what lies outside is simple: no window reaches beyond the padding, as those of `ceil_mode` may.
fn countable(node: &NodeProto) -> bool {
    !(includes_pads(node) && attribute(node, "ceil_mode").is_some_and(|a| a.i != 0))
}

/// In float.
pub fn average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32 && countable(node))?;
    let pooling = Pooling::Average { numbers: Numbers::Float, count_include_pad: includes_pads(node) };
    pool(l, node, &x, pooling)
}

fn quantized(l: &mut Lowering, node: &NodeProto) -> Option<(Value, Numbers)> {
    let x = l.input(node, 0)?;
    let x = l.quanta(&x)?;
    let from = l.quantization(node, 1, x.data_type)?;
    let to = l.quantization(node, 3, x.data_type)?;
    Some((x, Numbers::Quantized { from, to }))
}

fn is_channels_last(node: &NodeProto) -> bool {
    attribute(node, "channels_last").is_some_and(|a| a.i != 0)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if is_channels_last(node) {
        return None;
    }
    let (x, numbers) = quantized(l, node)?;
    pool(l, node, &x, Pooling::Average { numbers, count_include_pad: includes_pads(node) })
}

/// The mean over some dimensions, which must lie side by side in memory.
fn mean(l: &mut Lowering, node: &NodeProto, x: &Value, axes: &[usize], numbers: Numbers) -> Option<()> {
    let output = node.output.first()?;
    let shape = l.shape(output)?;
    let reduced = |d: usize| axes.contains(&d);
    let side_by_side = |value: &Value| {
        let long: Vec<bool> = value.order.iter().filter(|&&d| value.shape[d] != 1).map(|&d| reduced(d)).collect();
        long.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 2
            && !(long.first() == Some(&true) && long.last() == Some(&true) && long.contains(&false))
    };
    let mut x = x.clone();
    if !side_by_side(&x) {
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
    if rows.count == 0 || x.len() == 0 {
        return None;
    }
    // The kept dimensions keep their order in memory.
    let keeps = shape.len() == x.shape.len();
    let kept: Vec<usize> = (0..x.shape.len()).filter(|&d| keeps || !reduced(d)).collect();
    let order: Vec<usize> = x.order.iter().filter_map(|d| kept.iter().position(|k| k == d)).collect();
    if order.len() != shape.len() || shape.iter().product::<usize>() != rows.outer * rows.inner {
        return None;
    }
    let y = l.like(output, &x, &shape, &order);
    l.step(Operation::Mean { x: x.id, y: y.id, rows, numbers });
    Some(())
}

/// In float.
pub fn global_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let axes: Vec<usize> = (2..x.shape.len()).collect();
    mean(l, node, &x, &axes, Numbers::Float)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_global_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (x, numbers) = quantized(l, node)?;
    let rank = x.shape.len();
    let spatial = if is_channels_last(node) { 1..rank.saturating_sub(1) } else { 2..rank };
    let axes: Vec<usize> = spatial.collect();
    mean(l, node, &x, &axes, numbers)
}

/// The axes of a reduction: an attribute, a constant input, or all.
fn axes(l: &Lowering, node: &NodeProto, input: usize, rank: usize) -> Option<Vec<usize>> {
    let listed = match (attribute(node, "axes"), node.input.get(input).filter(|n| !n.is_empty())) {
        (Some(axes), _) => axes.ints.clone(),
        (None, Some(_)) => l.integers(node, input)?,
        (None, None) => Vec::new(),
    };
    if listed.is_empty() {
        let nothing = attribute(node, "noop_with_empty_axes").is_some_and(|a| a.i != 0);
        return (!nothing).then(|| (0..rank).collect());
    }
    listed.into_iter().map(|a| resolve_axis(a, rank)).collect()
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
