//! Dynamically quantized products as one step: what onnxruntime writes as ConvInteger or MatMulInteger - Cast - Mul by
//! the product of both scales - Add of a bias - Relu.

use super::Pool;
use crate::kernels::{FloatBinary, FloatUnary};
use crate::plan::{Broadcast, Conv, Finish, Operation, ValueId, Variant, ZeroPoint};
use crate::tensor::DataType;

/// Rewrites a variant.
pub fn fuse(variant: &mut Variant, pool: &mut Pool) {
    for index in 0..variant.steps.len() {
        // What follows is found anew after each change; steps that are gone are marked and dropped at the end.
        if let Some(found) = find(variant, pool, index) {
            apply(variant, pool, index, found);
        }
    }
    drop_gone(variant);
}

/// Marks a step that is no more; `id` is any value.
pub fn gone(id: ValueId) -> Operation {
    Operation::Fill { y: id, value: vec![] }
}

/// Drops the steps that were marked.
pub fn drop_gone(variant: &mut Variant) {
    variant.steps.retain(|step| !matches!(&step.operation, Operation::Fill { value, .. } if value.is_empty()));
}

/// The steps that follow an integer product, and what they do.
struct Found {
    gone: Vec<usize>,
    multipliers: Vec<f32>,
    addend: Option<Vec<f32>>,
    bounds: (f32, f32),
    y: ValueId,
}

/// The only step that reads a value which is no output, and no other step writes.
pub fn only_reader(variant: &Variant, id: ValueId) -> Option<usize> {
    let mut readers = (0..variant.steps.len()).filter(|&i| variant.steps[i].reads().contains(&id));
    let reader = readers.next()?;
    (readers.next().is_none() && !variant.outputs.contains(&id)).then_some(reader)
}

fn writer(variant: &Variant, id: ValueId) -> Option<usize> {
    (0..variant.steps.len()).find(|&i| variant.steps[i].writes().contains(&id))
}

/// The other operand of a step that reads `x`, and its strides, if `x` and the result are dense and alike.
fn other(o: &Broadcast, x: ValueId) -> Option<(ValueId, &[usize])> {
    let dense = super::values::dense(&o.shape);
    let same = |strides: &[usize]| o.shape.iter().zip(strides.iter().zip(&dense)).all(|(&d, (a, b))| d == 1 || a == b);
    if o.a == x && o.b != x && same(&o.a_strides) {
        return Some((o.b, &o.b_strides));
    }
    (o.b == x && o.a != x && same(&o.b_strides)).then_some((o.a, &o.a_strides[..]))
}

/// A constant float for each channel, or one.
fn by_channel(
    variant: &Variant,
    pool: &Pool,
    id: ValueId,
    shape: &[usize],
    strides: &[usize],
    channels: usize,
) -> Option<Vec<f32>> {
    let fact = variant.values.get(id as usize)?;
    let list = pool.floats(fact.constant?)?;
    // Repeated along all dimensions but the last in memory, the channels.
    let (&last_stride, outer) = strides.split_last()?;
    let repeated = outer.iter().zip(shape).all(|(&s, &d)| s == 0 || d == 1);
    let fits = match last_stride {
        0 => list.len() == 1,
        1 => list.len() == channels && shape.last() == Some(&channels),
        _ => channels == 1 && list.len() == 1,
    };
    (repeated && fits).then_some(list)
}

fn find(variant: &Variant, pool: &Pool, index: usize) -> Option<Found> {
    let Operation::Conv(conv) = &variant.steps[index].operation else { return None };
    let Conv { y, channels, zero_point: ZeroPoint::Dynamic(parameters), finish: Finish::Integer, .. } = conv else {
        return None;
    };
    let cast = only_reader(variant, *y)?;
    let Operation::Cast { y: floats, to: DataType::Float32, .. } = variant.steps[cast].operation else { return None };
    let scaled = only_reader(variant, floats)?;
    let Operation::FloatBinary { function: FloatBinary::Mul, operands } = &variant.steps[scaled].operation else {
        return None;
    };
    let (scales, strides) = other(operands, floats)?;
    // The product of the scale that was found and the weights' scales.
    let product = writer(variant, scales)?;
    let Operation::FloatBinary { function: FloatBinary::Mul, operands: both } = &variant.steps[product].operation
    else {
        return None;
    };
    let is_found = |id: ValueId| {
        writer(variant, id).is_some_and(|i| match &variant.steps[i].operation {
            Operation::Copy { x, from, .. } => x == parameters && from.offset == 0,
            _ => false,
        })
    };
    let weights = if is_found(both.a) { both.b } else { both.a };
    if !is_found(both.a) && !is_found(both.b) {
        return None;
    }
    let scale_shape = [*operands.shape.last()?];
    // Strides of the product are those of the weights' scales: it has their shape, or one element.
    let count = pool.constants[variant.values.get(weights as usize)?.constant? as usize].len;
    let weight_strides: Vec<usize> = vec![usize::from(count > 1)];
    let outer_repeats =
        strides.iter().rev().skip(1).zip(operands.shape.iter().rev().skip(1)).all(|(&s, &d)| s == 0 || d == 1);
    let last = *strides.last()?;
    if !outer_repeats || last != usize::from(count > 1) && *channels > 1 {
        return None;
    }
    let multipliers = by_channel(variant, pool, weights, &scale_shape, &weight_strides, *channels)?;
    let mut found = Found {
        gone: vec![cast, scaled],
        multipliers,
        addend: None,
        bounds: (f32::NEG_INFINITY, f32::INFINITY),
        y: operands.y,
    };
    if !found.multipliers.iter().all(|m| m.is_finite()) {
        return None;
    }
    if let Some(next) = only_reader(variant, found.y)
        && let Operation::FloatBinary { function: FloatBinary::Add, operands } = &variant.steps[next].operation
        && let Some((bias, strides)) = other(operands, found.y)
        && let Some(list) = by_channel(variant, pool, bias, &operands.shape, strides, *channels)
    {
        found.addend = Some(if list.len() == 1 { vec![list[0]; *channels] } else { list });
        found.gone.push(next);
        found.y = operands.y;
    }
    if let Some(next) = only_reader(variant, found.y)
        && let Operation::FloatUnary { function: FloatUnary::Clip { low, high }, y, .. } = variant.steps[next].operation
    {
        found.bounds = (low, high);
        found.gone.push(next);
        found.y = y;
    }
    Some(found)
}

fn apply(variant: &mut Variant, pool: &mut Pool, index: usize, found: Found) {
    let multipliers = pool.add(&found.multipliers);
    let addend = found.addend.map(|list| pool.add(&list));
    // The last of them has the name that the result has in the model.
    if let Some(&last) = found.gone.last() {
        variant.steps[index].node = variant.steps[last].node.clone();
    }
    for index in found.gone {
        variant.steps[index].operation = gone(found.y);
    }
    if let Operation::Conv(conv) = &mut variant.steps[index].operation {
        conv.y = found.y;
        conv.finish = Finish::Float { multipliers, addend, low: found.bounds.0, high: found.bounds.1 };
    }
}
