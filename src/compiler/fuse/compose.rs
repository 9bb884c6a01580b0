//! Tables of tables, and arithmetic on two functions of the same quantum: `x * Sigmoid(x)` with a `QuantizeLinear` and
//! a `DequantizeLinear` after every operator is one table all the same.

use tract_onnx::pb::NodeProto;

use super::graph::Graph;
use super::table::keeps_rank;
use super::{Clamp, TABLE};
use crate::compiler::quantized::elementwise::{ADD, LEAKY_RELU, MUL, SIGMOID, SUB, Unary};
use crate::compiler::quantized::kernels::elementwise::{Operand, add, mul, sub};
use crate::kernels::quantize::{Params, lookup_table};
use crate::tensor::DataType;

type Table = [u8; 256];

/// The table of a `Table` node.
fn table_of(graph: &Graph, node: &NodeProto) -> Option<Table> {
    graph.constant(node.input.get(1)?)?.raw_data.as_slice().try_into().ok()
}

/// What a value is a function of, and the table of that function.
fn resolve(graph: &Graph, value: &str) -> (String, Table) {
    let found = graph.maker(value).map(|m| graph.node(m)).filter(|n| n.op_type == TABLE);
    match found.and_then(|node| Some((node.input.first()?.clone(), table_of(graph, node)?))) {
        Some(found) => found,
        None => (value.to_owned(), std::array::from_fn(|i| i as u8)),
    }
}

fn params(graph: &Graph, node: &NodeProto, scale: usize) -> Option<(Params, DataType)> {
    let [scale_value] = graph.constant_f32(node.input.get(scale)?)?[..] else { return None };
    let zero_point = node.input.get(scale + 1)?;
    let [zero_point_value] = graph.constant_i32(zero_point)?[..] else { return None };
    Some((Params { scale: scale_value, zero_point: zero_point_value }, graph.type_of(zero_point)?))
}

fn with_type<T>(data_type: DataType, unsigned: impl FnOnce() -> T, signed: impl FnOnce() -> T) -> Option<T> {
    match data_type {
        DataType::Uint8 => Some(unsigned()),
        DataType::Int8 => Some(signed()),
        _ => None,
    }
}

/// Replaces the node by a table, if it is a function of one quantized value.
pub fn compose(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.node(index).clone();
    let (base, table, to) = match node.op_type.as_str() {
        TABLE => {
            let (base, inner) = resolve(graph, node.input.first()?);
            if base == node.input[0] {
                return None;
            }
            let outer = table_of(graph, &node)?;
            let to = graph.type_of(&node.input[1])?;
            (base, inner.map(|q| outer[usize::from(q)]), to)
        }
        SIGMOID | LEAKY_RELU => unary(graph, &node)?,
        ADD | MUL | SUB => binary(graph, &node)?,
        _ => return None,
    };
    let place = graph.place(index);
    graph.remove(index);
    graph.table(&base, table, to, node.output.into_iter().next()?, place);
    Some(())
}

fn unary(graph: &Graph, node: &NodeProto) -> Option<(String, Table, DataType)> {
    let function = if node.op_type == SIGMOID { Unary::Sigmoid } else { Unary::leaky_relu(node).ok()? };
    let ((from, data_type), (to, _)) = (params(graph, node, 1)?, params(graph, node, 3)?);
    let (base, inner) = resolve(graph, node.input.first()?);
    let outer = with_type(
        data_type,
        || lookup_table::<u8, u8>(from, to, |v| function.apply(v)),
        || lookup_table::<i8, i8>(from, to, |v| function.apply(v)).map(|q| q as u8),
    )?;
    Some((base, inner.map(|q| outer[usize::from(q)]), data_type))
}

/// Both operands are functions of the same value, or one is a constant.
fn binary(graph: &Graph, node: &NodeProto) -> Option<(String, Table, DataType)> {
    let ((a, data_type), (b, _), (y, _)) = (params(graph, node, 1)?, params(graph, node, 4)?, params(graph, node, 6)?);
    let constant = |name: &str| {
        let tensor = graph.constant(name)?;
        let [bits] = tensor.raw_data[..] else { return None };
        Some(([bits; 256], tensor.dims.len()))
    };
    let (left, right) = (node.input.first()?, node.input.get(3)?);
    let (base, left, right) = match (constant(left), constant(right)) {
        (None, None) => {
            let ((base, left), (other, right)) = (resolve(graph, left), resolve(graph, right));
            if base != other {
                return None;
            }
            (base, left, right)
        }
        (Some((left, rank)), None) if keeps_rank(graph, right, rank) => {
            let (base, right) = resolve(graph, right);
            (base, left, right)
        }
        (None, Some((right, rank))) if keeps_rank(graph, left, rank) => {
            let (base, left) = resolve(graph, left);
            (base, left, right)
        }
        _ => return None,
    };
    let table = evaluate(node, [left, right], [a, b, y], data_type == DataType::Int8);
    Some((base, table, data_type))
}

/// In a plan all quanta are u8, signed ones shifted by 128: so here, too.
fn evaluate(node: &NodeProto, operands: [Table; 2], parameters: [Params; 3], signed: bool) -> Table {
    let (flip, offset) = if signed { (0x80, 128) } else { (0, 0) };
    let [left, right] = operands.map(|table| table.map(|q| q ^ flip));
    let [a, b, y] = parameters.map(|p| Params { zero_point: p.zero_point + offset, ..p });
    let shape = [256];
    let a = Operand { data: &left, shape: &shape, params: a };
    let b = Operand { data: &right, shape: &shape, params: b };
    let mut out = [0u8; 256];
    match node.op_type.as_str() {
        ADD => add(a, b, y, &shape, &mut out),
        SUB => sub(a, b, y, &shape, &mut out),
        _ => mul(a, b, y, &shape, &mut out),
    }
    let (low, high) = Clamp::of(node).quanta::<u8>(y);
    out.map(|q| i32::from(q).clamp(low, high) as u8 ^ flip)
}
