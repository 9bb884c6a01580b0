//! Comparisons, logic and arithmetic of integers.

use tract_onnx::pb::NodeProto;

use super::elementwise::{broadcast, float_binary};
use super::{Lowering, Value};
use crate::kernels::NumberBinary;
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

/// Add, Sub, Mul, Div, Min and Max: of floats, or of 32- and 64-bit integers.
pub fn arithmetic(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let function = match node.op_type.as_str() {
        "Add" => NumberBinary::Add,
        "Sub" => NumberBinary::Sub,
        "Mul" => NumberBinary::Mul,
        "Div" => NumberBinary::Div,
        "Min" => NumberBinary::Min,
        _ => NumberBinary::Max,
    };
    let output = node.output.first()?;
    if !matches!(l.data_type(output)?, DataType::Int32 | DataType::Int64) {
        return float_binary(l, node);
    }
    let pair = operands(l, node)?;
    step(l, output, function, pair.each_ref()).map(drop)
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
