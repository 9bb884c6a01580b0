//! Element by element.

use std::rc::Rc;

use tract_onnx::pb::NodeProto;

use super::conv::bounds;
use super::quantize::requantized;
use super::values::Lazy;
use super::{Lowering, Value};
use crate::compiler::fuse::Clamp;
use crate::compiler::onnx::attribute;
use crate::kernels::float_binary::float_binary as float_binary_kernel;
use crate::kernels::float_unary::float_unary_in_place;
use crate::kernels::{FloatBinary, FloatUnary, QuantizedBinary, Strided};
use crate::plan::{Broadcast, Operation};
use crate::tensor::DataType;

/// NumPy's broadcast of two shapes.
pub fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|d| {
            let of = |shape: &[usize]| (d + shape.len()).checked_sub(rank).map_or(1, |own| shape[own]);
            match (of(a), of(b)) {
                (x, y) if x == y || y == 1 => Some(x),
                (1, y) => Some(y),
                _ => None,
            }
        })
        .collect()
}

/// Steps of a value for the dimensions of a result that it is broadcast to, in the result's order.
pub fn strides_in(value: &Value, shape: &[usize], order: &[usize]) -> Vec<usize> {
    let own = value.strides();
    order
        .iter()
        .map(|&d| match (d + value.shape.len()).checked_sub(shape.len()) {
            Some(at) if value.shape[at] != 1 => own[at],
            _ => 0,
        })
        .collect()
}

/// Two operands and a new value for the result, in the order of the larger operand.
pub fn broadcast(l: &mut Lowering, name: &str, result: DataType, a: &Value, b: &Value) -> Option<Broadcast> {
    let shape = broadcast_shape(&a.shape, &b.shape)?;
    let (mut a, mut b) = (a.clone(), b.clone());
    // The order of the one that has all dimensions; both have the other's when both do.
    let order = if a.shape == shape {
        if b.shape == shape && l.facts.get(b.id as usize)?.constant.is_none() {
            b = l.ordered(&b, &a.order)?;
        }
        a.order.clone()
    } else if b.shape == shape {
        b.order.clone()
    } else {
        (0..shape.len()).collect()
    };
    for value in [&mut a, &mut b] {
        value.id = if value.shifted || !value.is_quanta() { value.id } else { l.quanta(value)?.id };
    }
    let operands = Broadcast {
        a: a.id,
        b: b.id,
        y: 0,
        a_strides: strides_in(&a, &shape, &order),
        b_strides: strides_in(&b, &shape, &order),
        shape: order.iter().map(|&d| shape[d]).collect(),
    };
    let y = l.output(name, result, &shape, &order, result == DataType::Int8);
    Some(Broadcast { y: y.id, ..operands })
}

/// Inputs: a, scale, zero point, b, scale, zero point, scale and zero point of y.
pub fn q_linear_binary(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (a, b) = (l.input(node, 0)?, l.input(node, 3)?);
    let (a, b) = (l.quanta(&a)?, l.quanta(&b)?);
    let result = l.data_type(node.output.first()?)?;
    let from_a = l.quantization(node, 1, a.data_type)?;
    let from_b = l.quantization(node, 4, b.data_type)?;
    let to = l.quantization(node, 6, result)?;
    let function = match node.op_type.as_str() {
        "tractlet.QLinearSub" => QuantizedBinary::Sub,
        "com.microsoft.QLinearMul" => QuantizedBinary::Mul,
        _ => QuantizedBinary::Add,
    };
    let (low, high) = bounds(Clamp::of(node), to.scale, to.zero_point);
    let operands = broadcast(l, node.output.first()?, result, &a, &b)?;
    l.step(Operation::QuantizedBinary { function, operands, a: from_a, b: from_b, y: to, low, high });
    Some(())
}

/// Of two or more floats.
pub fn float_binary(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let function = match node.op_type.as_str() {
        "Add" | "Sum" => FloatBinary::Add,
        "Sub" => FloatBinary::Sub,
        "Mul" => FloatBinary::Mul,
        "Div" => FloatBinary::Div,
        "Pow" => FloatBinary::Pow,
        "Min" => FloatBinary::Min,
        "Max" => FloatBinary::Max,
        _ => return None,
    };
    if let Some(done) = binary_of_quanta(l, node, function) {
        return done;
    }
    let output = node.output.first()?;
    let mut y = l.input(node, 0)?;
    if node.input.len() < 2 || y.data_type != DataType::Float32 {
        return None;
    }
    for position in 1..node.input.len() {
        let mut b = l.input(node, position)?;
        if function == FloatBinary::Pow && matches!(b.data_type, DataType::Int32 | DataType::Int64) {
            // Whole exponents may have a type of their own.
            let exponents: Vec<f32> = l.integers(node, position)?.iter().map(|&e| e as f32).collect();
            b = Value::plain(l.constant_list(&exponents, &b.shape), DataType::Float32, &b.shape);
        }
        if b.data_type != DataType::Float32 {
            return None;
        }
        let operands = broadcast(l, output, DataType::Float32, &y, &b)?;
        l.step(Operation::FloatBinary { function, operands });
        y = l.value(output)?;
    }
    Some(())
}

/// Inputs: x, slope.
pub fn p_relu(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if let Some(done) = binary_of_quanta(l, node, FloatBinary::PRelu) {
        return done;
    }
    let (x, slope) = (l.input(node, 0)?, l.input(node, 1)?);
    if x.data_type != DataType::Float32 || slope.data_type != DataType::Float32 {
        return None;
    }
    let operands = broadcast(l, node.output.first()?, DataType::Float32, &x, &slope)?;
    l.step(Operation::FloatBinary { function: FloatBinary::PRelu, operands });
    Some(())
}

fn unary(l: &mut Lowering, node: &NodeProto, function: FloatUnary) -> Option<()> {
    let x = l.lazy_input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    if let Some(lazy) = &x.lazy {
        let mut table = lazy.table;
        float_unary_in_place(function, &mut table);
        return of_quanta(l, node, x, table);
    }
    let y = l.output(node.output.first()?, DataType::Float32, &x.shape, &x.order, false);
    l.step(Operation::FloatUnary { function, x: x.id, y: y.id });
    Some(())
}

/// Floats that are a function of the same quanta as those of `x`.
fn of_quanta(l: &mut Lowering, node: &NodeProto, x: Value, table: [f32; 256]) -> Option<()> {
    let lazy = Some(Rc::new(Lazy { table, linear: None }));
    l.alias(node.output.first()?, Value { lazy, ..x });
    Some(())
}

/// What a binary operator makes of quanta, where the other operand is one constant number or a function of the same
/// quanta.
fn binary_of_quanta(l: &mut Lowering, node: &NodeProto, function: FloatBinary) -> Option<Option<()>> {
    let [_, _] = node.input[..] else { return None };
    let (a, b) = (l.lazy_input(node, 0)?, l.lazy_input(node, 1)?);
    let rank = a.shape.len().max(b.shape.len());
    let number = |l: &Lowering, position: usize, value: &Value| -> Option<[f32; 256]> {
        let single = value.len() == 1 && value.shape.len() <= rank && l.is_constant(&node.input[position]);
        let number = if single { l.floats(node, position)? } else { return None };
        Some([*number.first()?; 256])
    };
    let (x, left, right) = match (&a.lazy, &b.lazy) {
        (Some(p), Some(q)) if a.id == b.id && a.order == b.order && a.shape == b.shape => (&a, p.table, q.table),
        (Some(p), None) if a.shape.len() == rank => (&a, p.table, number(l, 1, &b)?),
        (None, Some(q)) if b.shape.len() == rank => (&b, number(l, 0, &a)?, q.table),
        _ => return None,
    };
    let mut table = [0f32; 256];
    let of = |data| Strided { data, strides: &[1] };
    float_binary_kernel(function, &[256], of(&left), of(&right), &mut table);
    Some(of_quanta(l, node, x.clone(), table))
}

/// Of one float.
pub fn float_unary(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let number = |name: &str, default: f32| attribute(node, name).map_or(default, |a| a.f);
    let bound = |l: &Lowering, position: usize, name: &str, default: f32| -> Option<f32> {
        match node.input.get(position).filter(|n| !n.is_empty()) {
            Some(_) => {
                let bound = l.floats(node, position)?;
                let [bound] = bound[..] else { return None };
                Some(bound)
            }
            None => Some(number(name, default)),
        }
    };
    let function = match node.op_type.as_str() {
        "Abs" => FloatUnary::Abs,
        "Ceil" => FloatUnary::Ceil,
        "Clip" => {
            let low = bound(l, 1, "min", f32::NEG_INFINITY)?;
            let high = bound(l, 2, "max", f32::INFINITY)?;
            if low.is_nan() || high.is_nan() {
                return None;
            }
            FloatUnary::Clip { low, high }
        }
        "Elu" => FloatUnary::Elu { alpha: number("alpha", 1.0) },
        "Erf" => FloatUnary::Erf,
        "Exp" => FloatUnary::Exp,
        "Floor" => FloatUnary::Floor,
        "Gelu" => match attribute(node, "approximate").map(|a| &a.s[..]) {
            Some(b"tanh") => FloatUnary::GeluTanh,
            _ => FloatUnary::Gelu,
        },
        "HardSigmoid" => FloatUnary::HardSigmoid { alpha: number("alpha", 0.2), beta: number("beta", 0.5) },
        "HardSwish" => FloatUnary::HardSwish,
        "LeakyRelu" => FloatUnary::LeakyRelu { alpha: number("alpha", 0.01) },
        "Log" => FloatUnary::Log,
        "Neg" => FloatUnary::Neg,
        "Reciprocal" => FloatUnary::Reciprocal,
        "Relu" => FloatUnary::Clip { low: 0.0, high: f32::INFINITY },
        "Round" => FloatUnary::Round,
        "Sigmoid" => FloatUnary::Sigmoid,
        "Softplus" => FloatUnary::Softplus,
        "Sqrt" => FloatUnary::Sqrt,
        "Tanh" => FloatUnary::Tanh,
        _ => return None,
    };
    unary(l, node, function)
}

/// `com.microsoft` Gelu, BiasGelu, FastGelu (with a bias, maybe) and QuickGelu.
pub fn contrib_gelu(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let function = match node.op_type.as_str() {
        "com.microsoft.Gelu" | "BiasGelu" => FloatUnary::Gelu,
        "FastGelu" => FloatUnary::GeluTanh,
        _ => FloatUnary::Swish { alpha: attribute(node, "alpha").map_or(1.702, |a| a.f) },
    };
    if node.input.get(1).is_none_or(String::is_empty) {
        return unary(l, node, function);
    }
    let output = node.output.first()?;
    let sum = float_sum(l, output, node, &[0, 1])?;
    let y = l.output(output, DataType::Float32, &sum.shape, &sum.order, false);
    l.step(Operation::FloatUnary { function, x: sum.id, y: y.id });
    Some(())
}

/// The sum of some of a node's inputs, by a name that it may have.
pub fn float_sum(l: &mut Lowering, name: &str, node: &NodeProto, positions: &[usize]) -> Option<Value> {
    let mut sum: Option<Value> = None;
    for &position in positions {
        let x = l.input(node, position).filter(|x| x.data_type == DataType::Float32)?;
        sum = Some(match sum {
            Some(left) => {
                let operands = broadcast(l, name, DataType::Float32, &left, &x)?;
                l.extra_step("Add", Operation::FloatBinary { function: FloatBinary::Add, operands });
                l.value(name)?
            }
            None => x,
        });
    }
    sum
}

/// Inputs: condition, a, scale, zero point, b, scale, zero point, scale and zero point of y.
pub fn q_linear_where(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let condition = l.input(node, 0).filter(|c| c.data_type == DataType::Bool)?;
    let output = node.output.first()?;
    let result = l.data_type(output)?;
    let to = l.quantization(node, 7, result)?;
    let mut operands = Vec::new();
    for position in [1, 4] {
        let x = l.input(node, position)?;
        let x = l.quanta(&x)?;
        let from = l.quantization(node, position + 1, x.data_type)?;
        // In the parameters of the result.
        let y = l.fact(DataType::Uint8, &x.physical());
        let table = l.pool.add(&requantized(from, to, |v| v)[..]);
        l.extra_step("QuantizeLinear", Operation::Table { x: x.id, y, table });
        operands.push(Value { id: y, ..x });
    }
    let [a, b] = &operands[..] else { return None };
    chosen(l, output, &condition, a, b, result)
}

/// Inputs: condition, a, b.
pub fn select(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (condition, a, b) = (l.input(node, 0)?, l.input(node, 1)?, l.input(node, 2)?);
    let data_type = a.data_type;
    if a.is_quanta() && b.data_type == data_type && condition.data_type == DataType::Bool {
        let (a, b) = (l.quanta(&a)?, l.quanta(&b)?);
        return chosen(l, node.output.first()?, &condition, &a, &b, data_type);
    }
    let sized = matches!(data_type, DataType::Float32 | DataType::Int32 | DataType::Int64 | DataType::Bool);
    if condition.data_type != DataType::Bool || b.data_type != data_type || !sized {
        return None;
    }
    chosen(l, node.output.first()?, &condition, &a, &b, data_type)
}

/// `condition ? a : b`, broadcast.
pub fn chosen(l: &mut Lowering, output: &str, condition: &Value, a: &Value, b: &Value, result: DataType) -> Option<()> {
    let shape = broadcast_shape(&broadcast_shape(&a.shape, &b.shape)?, &condition.shape)?;
    let order: Vec<usize> = [a, b, condition]
        .into_iter()
        .find(|v| v.shape == shape)
        .map_or_else(|| (0..shape.len()).collect(), |v| v.order.clone());
    let strides = |value: &Value| strides_in(value, &shape, &order);
    let (condition_strides, a_strides, b_strides) = (strides(condition), strides(a), strides(b));
    let y = l.output(output, result, &shape, &order, result == DataType::Int8);
    let shape = order.iter().map(|&d| shape[d]).collect();
    let operands = Broadcast { a: a.id, b: b.id, y: y.id, shape, a_strides, b_strides };
    l.step(Operation::Where { condition: condition.id, condition_strides, operands });
    Some(())
}

/// Between numbers that the engine converts.
pub fn cast(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0)?;
    let to = l.data_type(node.output.first()?)?;
    let known = |t| {
        use DataType::{Bool, Float32, Int8, Int32, Int64, Uint8};
        matches!(t, Float32 | Int32 | Int64 | Uint8 | Int8 | Bool)
    };
    if !known(x.data_type) || !known(to) {
        return None;
    }
    let x = l.unshifted(&x)?;
    let y = l.output(node.output.first()?, to, &x.shape, &x.order, false);
    l.step(Operation::Cast { x: x.id, y: y.id, from: x.data_type, to });
    Some(())
}
