//! Pools.

use tract_onnx::pb::NodeProto;

use super::values::channels_last;
use super::{Lowering, Value};
use crate::compiler::onnx::attribute;
use crate::compiler::quantized::auto_pad::AutoPad;
use crate::kernels::{Numbers, Window};
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
    let shape = l.shape(node.output.first()?)?;
    pool_to(l, node, x, pooling, shape).map(drop)
}

fn pool_to(l: &mut Lowering, node: &NodeProto, x: &Value, pooling: Pooling, shape: Vec<usize>) -> Option<Value> {
    let output = node.output.first()?;
    let order = channels_last(x.shape.len());
    let x = l.ordered(x, &order)?;
    let window = window(node, &x, &shape)?;
    let y = l.like(output, &x, &shape, &order);
    l.step(Operation::Pool { x: x.id, y: y.id, window, pooling });
    Some(y)
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

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn quantized(l: &mut Lowering, node: &NodeProto) -> Option<(Value, Numbers)> {
    let x = l.input(node, 0)?;
    let x = l.quanta(&x)?;
    let from = l.quantization(node, 1, x.data_type)?;
    let to = l.quantization(node, 3, x.data_type)?;
    Some((x, Numbers::Quantized { from, to }))
}

pub fn is_channels_last(node: &NodeProto) -> bool {
    attribute(node, "channels_last").is_some_and(|a| a.i != 0)
}

/// Inputs: x, scale, zero point, scale and zero point of y.
pub fn q_linear_average_pool(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (x, numbers) = quantized(l, node)?;
    let pooling = Pooling::Average { numbers, count_include_pad: includes_pads(node) };
    if !is_channels_last(node) {
        return pool(l, node, &x, pooling);
    }
    // The same, with the dimensions called differently.
    let rank = x.shape.len();
    let mut named: Vec<usize> = (0..rank).collect();
    named.insert(1, named.len().checked_sub(1)?);
    named.pop();
    let first: Vec<usize> = (0..rank).map(|d| named.iter().position(|&n| n == d)).collect::<Option<_>>()?;
    let called = |value: &Value, names: &[usize], places: &[usize]| Value {
        shape: names.iter().map(|&d| value.shape[d]).collect(),
        order: value.order.iter().map(|&d| places[d]).collect(),
        ..value.clone()
    };
    let shape = l.shape(node.output.first()?).filter(|s| s.len() == rank)?;
    let shape = named.iter().map(|&d| shape[d]).collect();
    let y = pool_to(l, node, &called(&x, &named, &first), pooling, shape)?;
    l.alias(node.output.first()?, called(&y, &first, &named));
    Some(())
}
