//! Matrix products.

use tract_onnx::pb::NodeProto;

use super::constants::Recode;
use super::{Lowering, Value};
use crate::compiler::onnx::attribute;
use crate::kernels::{FloatBinary, Window};
use crate::plan::{Broadcast, ConstantId, Conv, Finish, Floats, MatMul, Operation, Quanta, ZeroPoint};
use crate::tensor::DataType;

fn flag(node: &NodeProto, name: &str) -> bool {
    attribute(node, name).is_some_and(|a| a.i != 0)
}

/// A product with a constant matrix.
struct Constant {
    a: Value,
    rows: usize,
    k: usize,
    n: usize,
    weights: ConstantId,
    weight_zero_points: Option<ConstantId>,
    shape: Vec<usize>,
}

/// The left operand, and a constant 2-D right operand, of a node.
fn constant(
    l: &mut Lowering,
    node: &NodeProto,
    a: usize,
    b: usize,
    zero_point: usize,
    [transpose_a, transpose_b]: [bool; 2],
) -> Option<Constant> {
    let a = l.input(node, a)?;
    let a = l.quanta(&a)?;
    let a = if transpose_a { transposed(a)? } else { a };
    let a = l.plain(&a)?;
    let weights = l.weights(node, b, zero_point)?;
    let [rows_b, columns_b] = weights.operand.shape[..] else { return None };
    let (k, n) = if transpose_b { (columns_b, rows_b) } else { (rows_b, columns_b) };
    let (&last, leading) = a.shape.split_last()?;
    if last != k || !(weights.zero_points.len() == 1 || weights.zero_points.len() == n) {
        return None;
    }
    // To [n][k].
    let layout = (!transpose_b).then_some([(n, 1), (1, 0), (k, n)]);
    let rows = leading.iter().product();
    let mut shape = leading.to_vec();
    shape.push(n);
    let recode = Recode { flip: weights.flip, layout };
    let weights_id = l.pool.add_operand(DataType::Int8, weights.operand, recode);
    let weight_zero_points = l.zero_point_list(&weights.zero_points);
    Some(Constant { a, rows, k, n, weights: weights_id, weight_zero_points, shape })
}

fn emit(
    l: &mut Lowering,
    node: &NodeProto,
    product: Constant,
    zero_point: ZeroPoint,
    bias: Option<ConstantId>,
    finish: Finish,
    result: DataType,
) -> Option<()> {
    let Constant { a, rows, k, n, weights, weight_zero_points, shape } = product;
    let order: Vec<usize> = (0..shape.len()).collect();
    let y = l.output(node.output.first()?, result, &shape, &order, result == DataType::Int8);
    l.step(Operation::Conv(Conv {
        x: a.id,
        y: y.id,
        row_stride: n,
        column: 0,
        window: Window {
            input: [1, rows, 1, k],
            output: [rows, 1],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0, 0],
        },
        channels: n,
        groups: 1,
        zero_point,
        weights,
        weight_zero_points,
        bias,
        finish,
    }));
    Some(())
}

/// A matrix with rows and columns exchanged: only called differently.
fn transposed(value: Value) -> Option<Value> {
    let [rows, columns] = value.shape[..] else { return None };
    let order = value.order.iter().map(|&d| 1 - d).collect();
    Some(Value { shape: vec![columns, rows], order, ..value })
}

/// Sizes and strides of a product of two values. A vector is a matrix of one row on the left, of one column on the
/// right; the result lacks that dimension.
struct Sizes {
    batch: Vec<usize>,
    m: usize,
    k: usize,
    n: usize,
    a_strides: Vec<usize>,
    b_strides: Vec<usize>,
    shape: Vec<usize>,
}

fn sizes(a: &Value, b: &Value) -> Option<Sizes> {
    let vectors = [a.shape.len() == 1, b.shape.len() == 1];
    let matrix = |value: &Value, shape: [usize; 2]| match value.shape.len() {
        1 => Value { shape: shape.to_vec(), order: vec![0, 1], ..value.clone() },
        _ => value.clone(),
    };
    let a = &matrix(a, [1, a.len()]);
    let b = &matrix(b, [b.len(), 1]);
    let (ra, rb) = (a.shape.len(), b.shape.len());
    if ra < 2 || rb < 2 || a.shape[ra - 1] != b.shape[rb - 2] {
        return None;
    }
    let rank = ra.max(rb) - 2;
    let (sa, sb) = (a.strides(), b.strides());
    let mut sizes = Sizes {
        batch: Vec::new(),
        m: a.shape[ra - 2],
        k: a.shape[ra - 1],
        n: b.shape[rb - 1],
        a_strides: Vec::new(),
        b_strides: Vec::new(),
        shape: Vec::new(),
    };
    for d in 0..rank {
        let of = |value: &Value, strides: &[usize]| match (d + value.shape.len()).checked_sub(rank + 2) {
            Some(own) => (value.shape[own], if value.shape[own] == 1 { 0 } else { strides[own] }),
            None => (1, 0),
        };
        let ((da, step_a), (db, step_b)) = (of(a, &sa), of(b, &sb));
        if da != db && da != 1 && db != 1 {
            return None;
        }
        sizes.batch.push(if da == 1 { db } else { da });
        sizes.a_strides.push(step_a);
        sizes.b_strides.push(step_b);
    }
    sizes.shape = sizes.batch.clone();
    sizes.shape.extend([sizes.m].iter().filter(|_| !vectors[0]));
    sizes.shape.extend([sizes.n].iter().filter(|_| !vectors[1]));
    sizes.a_strides.extend(&sa[ra - 2..]);
    sizes.b_strides.extend(&sb[rb - 2..]);
    Some(sizes)
}

fn pair(
    l: &mut Lowering,
    node: &NodeProto,
    [a, b]: [usize; 2],
    zero_points: [usize; 2],
    finish: impl FnOnce(&mut Lowering, usize) -> Option<Finish>,
    result: DataType,
) -> Option<()> {
    let (a, b) = (l.input(node, a)?, l.input(node, b)?);
    let (a, b) = (l.quanta(&a)?, l.quanta(&b)?);
    let Some(ZeroPoint::Fixed(a_zero_point)) = l.zero_point(node, zero_points[0], a.data_type) else { return None };
    let Some(ZeroPoint::Fixed(b_zero_point)) = l.zero_point(node, zero_points[1], b.data_type) else { return None };
    let Sizes { batch, m, k, n, a_strides, b_strides, shape } = sizes(&a, &b)?;
    let finish = finish(l, n)?;
    let order: Vec<usize> = (0..shape.len()).collect();
    let y = l.output(node.output.first()?, result, &shape, &order, result == DataType::Int8);
    let kind = Quanta { a_zero_point, b_zero_point, finish };
    l.step(Operation::MatMul(MatMul { a: a.id, b: b.id, y: y.id, batch, m, k, n, a_strides, b_strides, kind }));
    Some(())
}

fn is_constant_matrix(l: &Lowering, node: &NodeProto, position: usize) -> bool {
    let Some(name) = node.input.get(position) else { return false };
    l.is_constant(name) && l.operand(name).is_some_and(|t| t.shape.len() == 2)
}

/// Inputs: a, scale, zero point, b, scale, zero point, scale and zero point of y, bias.
pub fn q_linear_matmul(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let scale = l.scale(node, 1)?;
    let multipliers: Vec<f32> = l.floats(node, 4)?.iter().map(|b| scale * b).collect();
    let result = l.data_type(node.output.first()?)?;
    if is_constant_matrix(l, node, 3) {
        let product = constant(l, node, 0, 3, 5, [false; 2])?;
        let zero_point = l.zero_point(node, 2, product.a.data_type)?;
        let finish = l.quantized_finish(node, multipliers, 6, product.n, result)?;
        let bias = l.integer_bias(node, 8, product.n)?;
        return emit(l, node, product, zero_point, bias, finish, result);
    }
    if node.input.get(8).is_some_and(|n| !n.is_empty()) {
        return None;
    }
    pair(l, node, [0, 3], [2, 5], |l, n| l.quantized_finish(node, multipliers, 6, n, result), result)
}

/// Inputs: a, scale, zero point, b, scale, zero point, bias (int32), scale and zero point of y.
pub fn q_gemm(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let alpha = attribute(node, "alpha").map_or(1.0, |a| a.f);
    let scale = l.scale(node, 1)?;
    let multipliers: Vec<f32> = l.floats(node, 4)?.iter().map(|b| alpha * scale * b).collect();
    let product = constant(l, node, 0, 3, 5, [flag(node, "transA"), flag(node, "transB")])?;
    let zero_point = l.zero_point(node, 2, product.a.data_type)?;
    // A bias for each column: [n] or [1, n].
    let bias = l.integer_bias(node, 6, product.n)?;
    let result = l.data_type(node.output.first()?)?;
    let finish = match result {
        DataType::Float32 => {
            l.usable(&multipliers, product.n)?;
            let multipliers = l.pool.add(&multipliers);
            Finish::Float { multipliers, addend: None, low: f32::NEG_INFINITY, high: f32::INFINITY }
        }
        _ => l.quantized_finish(node, multipliers, 7, product.n, result)?,
    };
    emit(l, node, product, zero_point, bias, finish, result)
}

/// Inputs: a, b, scale of a, scale of b, zero point of a, zero point of b, float bias.
pub fn matmul_to_float(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if is_constant_matrix(l, node, 1) {
        let product = constant(l, node, 0, 1, 5, [false; 2])?;
        let zero_point = l.zero_point(node, 4, product.a.data_type)?;
        let multipliers = l.real_multipliers(node, zero_point)?;
        let finish = l.float_finish(node, &multipliers, 6, product.n)?;
        return emit(l, node, product, zero_point, None, finish, DataType::Float32);
    }
    // `pair` takes no zero points that are found while running.
    let multipliers = l.real_multipliers(node, ZeroPoint::Fixed(0))?;
    pair(l, node, [0, 1], [4, 5], |l, n| l.float_finish(node, &multipliers, 6, n), DataType::Float32)
}

/// Inputs: a, b, zero points.
pub fn matmul_integer(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    if is_constant_matrix(l, node, 1) {
        let product = constant(l, node, 0, 1, 3, [false; 2])?;
        let zero_point = l.zero_point(node, 2, product.a.data_type)?;
        return emit(l, node, product, zero_point, None, Finish::Integer, DataType::Int32);
    }
    pair(l, node, [0, 1], [2, 3], |_, _| Some(Finish::Integer), DataType::Int32)
}

/// Inputs: a (float), b, scale of b, zero point of b, bias.
pub fn dynamic_quantize_matmul(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let a = l.input(node, 0).filter(|a| a.data_type == DataType::Float32)?;
    let quanta = l.fact(DataType::Uint8, &a.physical());
    let parameters = l.fact(DataType::Float32, &[2]);
    l.extra_step("DynamicQuantizeLinear", Operation::DynamicQuantize { x: a.id, y: quanta, parameters });
    let name = format!("tractlet.quanta.{}", node.output.first()?);
    l.alias(&name, Value { id: quanta, data_type: DataType::Uint8, ..a });
    let mut quantized = node.clone();
    quantized.input[0] = name;
    let product = constant(l, &quantized, 0, 1, 3, [false; 2])?;
    let scales = l.floats(node, 2)?;
    let finish = l.float_finish(node, &scales, 4, product.n)?;
    emit(l, node, product, ZeroPoint::Dynamic(parameters), None, finish, DataType::Float32)
}

fn float_product(l: &mut Lowering, name: &str, a: &Value, b: &Value, alpha: f32) -> Option<Value> {
    if a.data_type != DataType::Float32 || b.data_type != DataType::Float32 || !alpha.is_finite() {
        return None;
    }
    let Sizes { batch, m, k, n, a_strides, b_strides, shape } = sizes(a, b)?;
    let order: Vec<usize> = (0..shape.len()).collect();
    let y = l.output(name, DataType::Float32, &shape, &order, false);
    let kind = Floats { alpha };
    l.step(Operation::FloatMatMul(MatMul { a: a.id, b: b.id, y: y.id, batch, m, k, n, a_strides, b_strides, kind }));
    Some(y)
}

/// In float.
pub fn matmul(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let (a, b) = (l.input(node, 0)?, l.input(node, 1)?);
    float_product(l, node.output.first()?, &a, &b, 1.0).map(|_| ())
}

/// In float.
pub fn gemm(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let operand = |l: &mut Lowering, position: usize, name: &str| {
        let value = l.input(node, position).filter(|v| v.shape.len() == 2)?;
        if flag(node, name) { transposed(value) } else { Some(value) }
    };
    let (a, b) = (operand(l, 0, "transA")?, operand(l, 1, "transB")?);
    let alpha = attribute(node, "alpha").map_or(1.0, |a| a.f);
    let beta = attribute(node, "beta").map_or(1.0, |a| a.f);
    let has_bias = node.input.get(2).is_some_and(|n| !n.is_empty());
    let output = node.output.first()?;
    let y = float_product(l, output, &a, &b, alpha)?;
    if has_bias && beta != 0.0 {
        let bias = l.input(node, 2).filter(|b| b.data_type == DataType::Float32)?;
        let bias = if beta == 1.0 { bias } else { scaled(l, node, &bias, beta)? };
        let operands: Broadcast = super::elementwise::broadcast(l, output, DataType::Float32, &y, &bias)?;
        l.step(Operation::FloatBinary { function: FloatBinary::Add, operands });
    }
    Some(())
}

/// A constant times a factor.
fn scaled(l: &mut Lowering, node: &NodeProto, value: &Value, factor: f32) -> Option<Value> {
    let list: Vec<f32> = l.floats(node, 2)?.iter().map(|b| factor * b).collect();
    let constant = Some(l.pool.add(&list));
    let shape = value.shape.iter().map(|&d| Some(d)).collect();
    l.facts.push(crate::plan::Fact { data_type: DataType::Float32, shape, constant });
    Some(Value::plain((l.facts.len() - 1) as u32, DataType::Float32, &value.shape))
}
