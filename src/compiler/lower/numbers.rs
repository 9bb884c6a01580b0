//! Comparisons, logic and arithmetic of integers.

use tract_onnx::pb::NodeProto;

use super::elementwise::{broadcast, float_binary, float_unary};
use super::movement::copy;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{FloatBinary, NumberBinary};
use crate::plan::Operation;
use crate::tensor::DataType;

/// Two numbers of one type. Signed quanta are compared as unsigned ones, 128 larger.
fn operands(l: &mut Lowering, node: &NodeProto) -> Option<[Value; 2]> {
    let [_, _] = node.input[..] else { return None };
    let (a, b) = (l.input(node, 0)?, l.input(node, 1)?);
    (a.data_type == b.data_type).then_some([a, b])
}

fn step(l: &mut Lowering, name: &str, function: NumberBinary, [a, b]: [&Value; 2]) -> Option<Value> {
    let result = if function.is_arithmetic() { a.data_type } else { DataType::Bool };
    let operands = broadcast(l, name, result, a, b)?;
    l.step(Operation::NumberBinary { function, operands });
    l.value(name)
}

/// Add, Sub, Mul, Div, Min and Max: of floats, or of 32- and 64-bit integers; Mod of these.
pub fn arithmetic(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let function = match node.op_type.as_str() {
        "Add" => NumberBinary::Add,
        "Sub" => NumberBinary::Sub,
        "Mul" => NumberBinary::Mul,
        "Div" => NumberBinary::Div,
        "Mod" => NumberBinary::Mod,
        "Min" => NumberBinary::Min,
        _ => NumberBinary::Max,
    };
    let output = node.output.first()?;
    if !matches!(l.data_type(output)?, DataType::Int32 | DataType::Int64) {
        return float_binary(l, node);
    }
    if attribute(node, "fmod").is_some_and(|a| a.i != 0) {
        return None;
    }
    let pair = operands(l, node)?;
    step(l, output, function, pair.each_ref()).map(drop)
}

/// Abs, Clip and Neg: of floats, or of 32- and 64-bit integers.
pub fn unary(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let output = node.output.first()?;
    let data_type = l.data_type(output)?;
    if !matches!(data_type, DataType::Int32 | DataType::Int64) {
        return float_unary(l, node);
    }
    let mut x = l.input(node, 0)?;
    if node.op_type == "Clip" {
        for (position, function) in [(1, NumberBinary::Max), (2, NumberBinary::Min)] {
            if node.input.get(position).is_some_and(|n| !n.is_empty()) {
                let bound = l.input(node, position).filter(|b| b.data_type == data_type)?;
                let name = l.unnamed();
                x = step(l, &name, function, [&x, &bound])?;
            }
        }
        l.alias(output, x);
        return Some(());
    }
    let zero = match data_type {
        DataType::Int32 => l.constant_list(&[0i32], &[]),
        _ => l.constant_list(&[0i64], &[]),
    };
    let zero = Value::plain(zero, data_type, &[]);
    let name = l.unnamed();
    let negative = step(l, &name, NumberBinary::Sub, [&zero, &x])?;
    let y = match node.op_type.as_str() {
        "Abs" => step(l, output, NumberBinary::Max, [&x, &negative])?,
        _ => negative,
    };
    l.alias(output, y);
    Some(())
}

/// Sums of all that is before, or behind: of ever longer distances, so that there are few steps.
pub fn cumulative_sum(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let mut x = l.input(node, 0)?;
    let zero = match x.data_type {
        DataType::Float32 | DataType::Int32 => vec![0; 4],
        DataType::Int64 => vec![0; 8],
        _ => return None,
    };
    let axis = resolve_axis(*l.integers(node, 1)?.first()?, x.shape.len())?;
    let flag = |name: &str| attribute(node, name).is_some_and(|a| a.i != 0);
    let count = x.shape[axis];
    let moved = |l: &mut Lowering, x: &Value, distance: usize| {
        let y = l.output(&l.unnamed(), x.data_type, &x.shape, &x.order, false);
        l.step(Operation::Fill { y: y.id, value: zero.clone() });
        let strides = x.strides();
        let by = distance * strides[axis];
        let dims = x.order.iter().map(|&d| if d == axis { count.saturating_sub(distance) } else { x.shape[d] });
        let dims: Vec<usize> = dims.collect();
        let along: Vec<usize> = x.order.iter().map(|&d| strides[d]).collect();
        let (from, to) = if flag("reverse") { (by, 0) } else { (0, by) };
        copy(l, x.id, y.id, &dims, (from, along.clone()), (to, along), None);
        y
    };
    if x.len() == 0 {
        return None;
    }
    if flag("exclusive") {
        x = moved(l, &x, 1);
    }
    let mut distance = 1;
    while distance < count {
        let other = moved(l, &x, distance);
        let name = l.unnamed();
        x = match x.data_type {
            DataType::Float32 => l.binary(FloatBinary::Add, &x, &other)?,
            _ => step(l, &name, NumberBinary::Add, [&x, &other])?,
        };
        distance *= 2;
    }
    l.alias(node.output.first()?, x);
    Some(())
}

/// Equal, Greater, GreaterOrEqual, Less, LessOrEqual; And, Or, Xor.
pub fn compare(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let [a, b] = operands(l, node)?;
    let (function, swapped) = match node.op_type.as_str() {
        "Equal" => (NumberBinary::Equal, false),
        "Less" => (NumberBinary::Less, false),
        "LessOrEqual" => (NumberBinary::LessOrEqual, false),
        "Greater" => (NumberBinary::Less, true),
        "GreaterOrEqual" => (NumberBinary::LessOrEqual, true),
        "And" => (NumberBinary::And, false),
        "Or" => (NumberBinary::Or, false),
        _ => (NumberBinary::Xor, false),
    };
    use DataType::{Bool, Float32, Int8, Int32, Int64, Uint8};
    let fits = match a.data_type {
        Float32 | Int32 | Int64 | Uint8 | Int8 => function.is_comparison(),
        Bool => !function.is_comparison() || function == NumberBinary::Equal,
        _ => false,
    };
    if !fits {
        return None;
    }
    let pair = if swapped { [&b, &a] } else { [&a, &b] };
    step(l, node.output.first()?, function, pair).map(drop)
}

/// A look-up of bytes.
pub fn not(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Bool)?;
    negated(l, node, &x)
}

fn negated(l: &mut Lowering, node: &NodeProto, x: &Value) -> Option<()> {
    let mut table = [0; 256];
    table[0] = 1;
    l.look_up(x, node.output.first()?, DataType::Bool, &table);
    Some(())
}

/// What is not equal to itself.
pub fn is_nan(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let name = l.unnamed();
    let equal = step(l, &name, NumberBinary::Equal, [&x, &x])?;
    negated(l, node, &equal)
}
