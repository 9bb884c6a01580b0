//! `Einsum` of two operands: a product of matrices, by what each letter means.

use tract_onnx::pb::NodeProto;

use super::{Lowering, Value};
use crate::compiler::onnx::attribute;
use crate::plan::{Floats, MatMul, Operation};
use crate::tensor::DataType;

/// Letters of both operands and of the result; none twice, and no dots.
fn letters(equation: &[u8]) -> Option<[Vec<u8>; 3]> {
    let equation: Vec<u8> = equation.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    let arrow = equation.windows(2).position(|pair| pair == b"->")?;
    let comma = equation[..arrow].iter().position(|&c| c == b',')?;
    let parts = [&equation[..comma], &equation[comma + 1..arrow], &equation[arrow + 2..]];
    let plain = |part: &[u8]| part.iter().enumerate().all(|(i, c)| c.is_ascii_alphabetic() && !part[..i].contains(c));
    parts.iter().all(|part| plain(part)).then(|| parts.map(<[u8]>::to_vec))
}

/// Inputs: two floats.
pub fn einsum(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let [_, _] = node.input[..] else { return None };
    let [in_a, in_b, out] = letters(&attribute(node, "equation")?.s)?;
    let (a, b) = (l.input(node, 0)?, l.input(node, 1)?);
    if [&a, &b].iter().any(|v| v.data_type != DataType::Float32)
        || [&a, &b].map(|v| v.shape.len()) != [in_a.len(), in_b.len()]
    {
        return None;
    }
    let size = |letter: u8| {
        let of = |value: &Value, list: &[u8]| list.iter().position(|&c| c == letter).map(|d| value.shape[d]);
        match (of(&a, &in_a), of(&b, &in_b)) {
            (Some(x), Some(y)) => (x == y).then_some(x),
            (x, y) => x.or(y),
        }
    };
    let chosen = |keep: &dyn Fn(u8) -> bool| in_a.iter().chain(&in_b).copied().filter(|&c| keep(c)).collect::<Vec<_>>();
    let [both, of_a, of_b] = [
        chosen(&|c| in_a.contains(&c) && in_b.contains(&c)),
        chosen(&|c| !in_b.contains(&c)),
        chosen(&|c| !in_a.contains(&c)),
    ];
    let once: Vec<u8> = both[..both.len() / 2].to_vec();
    let (batch, sums): (Vec<u8>, Vec<u8>) = once.into_iter().partition(|c| out.contains(c));
    // What only one operand has is in the result; what is in the result is in an operand.
    let result = [&batch[..], &of_a, &of_b].concat();
    if of_a.iter().chain(&of_b).any(|c| !out.contains(c)) || result.len() != out.len() {
        return None;
    }
    let places =
        |list: &[u8], of: &[u8]| list.iter().map(|c| of.iter().position(|o| o == c)).collect::<Option<Vec<_>>>();
    // Each group of letters side by side, unless it is one, which may lie anywhere.
    let single = [&of_a, &of_b, &sums].iter().all(|group| group.len() <= 1);
    let (a, b) = match single {
        true => (a.clone(), b.clone()),
        false => (
            l.ordered(&a, &places(&[&batch[..], &of_a, &sums].concat(), &in_a)?)?,
            l.ordered(&b, &places(&[&batch[..], &sums, &of_b].concat(), &in_b)?)?,
        ),
    };
    let product = |group: &[u8]| group.iter().try_fold(1usize, |n, &c| n.checked_mul(size(c)?));
    let (m, n, k) = (product(&of_a)?, product(&of_b)?, product(&sums)?);
    let step = |value: &Value, of: &[u8], group: &[u8]| {
        let strides = value.strides();
        Some(match group.last() {
            Some(c) => strides[of.iter().position(|o| o == c)?],
            None => 0,
        })
    };
    let strides = |value: &Value, of: &[u8], last: [&[u8]; 2]| {
        let mut list: Vec<usize> = batch.iter().map(|c| step(value, of, &[*c])).collect::<Option<_>>()?;
        list.extend([step(value, of, last[0])?, step(value, of, last[1])?]);
        Some(list)
    };
    let (a_strides, b_strides) = (strides(&a, &in_a, [&of_a, &sums])?, strides(&b, &in_b, [&sums, &of_b])?);
    let sizes: Vec<usize> = batch.iter().map(|&c| size(c)).collect::<Option<_>>()?;
    let output = node.output.first()?;
    let shape: Vec<usize> = out.iter().map(|&c| size(c)).collect::<Option<_>>()?;
    if l.shape(output)? != shape || shape.contains(&0) || k == 0 {
        return None;
    }
    // As it lies in memory: batch, rows, columns.
    let order = places(&result, &out)?;
    let y = l.output(output, DataType::Float32, &shape, &order, false);
    let (a, b, y, kind) = (a.id, b.id, y.id, Floats { alpha: 1.0 });
    l.step(Operation::FloatMatMul(MatMul { a, b, y, batch: sizes, m, k, n, a_strides, b_strides, kind }));
    Some(())
}
