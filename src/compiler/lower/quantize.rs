//! Between numbers and quanta, and tables.

use std::rc::Rc;

use tract_onnx::pb::NodeProto;

use super::constants::shifted;
use super::values::Lazy;
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::quantize::{Params, lookup_table, quantize as quantize_kernel};
use crate::kernels::{Axis, Quantization};
use crate::plan::Operation;
use crate::tensor::DataType;

/// How the parameters of a node map to the elements of its input as they lie in memory.
fn axis(node: &NodeProto, x: &Value, count: usize) -> Option<Axis> {
    if attribute(node, "block_size").is_some_and(|a| a.i != 0) || count == 0 || x.len() == 0 {
        return None;
    }
    if count == 1 {
        return Some(Axis { count: 1, inner: x.len() });
    }
    let dimension = resolve_axis(attribute(node, "axis").map_or(1, |a| a.i), x.shape.len())?;
    if x.shape[dimension] != count {
        return None;
    }
    let inner = x.physical()[x.position(dimension) + 1..].iter().product();
    Some(Axis { count, inner })
}

fn parameters(l: &Lowering, node: &NodeProto, data_type: DataType) -> Option<(Vec<f32>, Vec<u8>)> {
    let scales = l.floats(node, 1)?;
    let mut zero_points =
        l.zero_points(node, 2)?.into_iter().map(|z| shifted(z, data_type)).collect::<Option<Vec<_>>>()?;
    if zero_points.len() == 1 {
        zero_points = vec![zero_points[0]; scales.len()];
    }
    let usable = scales.iter().all(|s| s.is_finite() && *s > 0.0);
    (usable && zero_points.len() == scales.len()).then_some((scales, zero_points))
}

/// Float to 8 bits.
pub fn quantize(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let output = node.output.first()?;
    let to = l.data_type(output)?;
    let (scales, zero_points) = parameters(l, node, to)?;
    if let (Some(x), [scale], [zero_point]) = (l.lazy_input(node, 0), &scales[..], &zero_points[..])
        && let Some(lazy) = x.lazy.clone()
    {
        let quantization = Params { scale: *scale, zero_point: (*zero_point).into() };
        let table: [u8; 256] = std::array::from_fn(|q| quantize_kernel(lazy.table[q], quantization));
        let x = Value { lazy: None, data_type: to, shifted: to == DataType::Int8, ..x };
        if table.iter().enumerate().all(|(q, &y)| q == y as usize) {
            l.alias(output, x);
        } else {
            l.look_up(&x, output, to, &table);
        }
        return Some(());
    }
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let axis = axis(node, &x, scales.len())?;
    let y = l.output(output, to, &x.shape, &x.order, to == DataType::Int8);
    let (scales, zero_points) = (l.pool.add(&scales), l.pool.add(&zero_points));
    l.step(Operation::Quantize { x: x.id, y: y.id, scales, zero_points, axis });
    Some(())
}

/// 8 or 32 bits to float.
pub fn dequantize(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0)?;
    let output = node.output.first()?;
    if l.data_type(output)? != DataType::Float32 {
        return None;
    }
    if x.data_type == DataType::Int32 {
        let scales = l.floats(node, 1)?;
        if l.zero_points(node, 2)?.iter().any(|&z| z != 0) || !scales.iter().all(|s| s.is_finite()) {
            return None;
        }
        let axis = axis(node, &x, scales.len())?;
        let y = l.output(output, DataType::Float32, &x.shape, &x.order, false);
        let scales = l.pool.add(&scales);
        l.step(Operation::Dequantize { x: x.id, y: y.id, scales, zero_points: None, axis });
        return Some(());
    }
    let x = l.quanta(&x)?;
    let (scales, zero_points) = parameters(l, node, x.data_type)?;
    if let ([scale], [zero_point]) = (&scales[..], &zero_points[..]) {
        let lazy = Lazy::dequantized(Quantization { scale: *scale, zero_point: *zero_point });
        l.alias(output, Value { data_type: DataType::Float32, shifted: false, lazy: Some(Rc::new(lazy)), ..x });
        return Some(());
    }
    let axis = axis(node, &x, scales.len())?;
    let y = l.output(output, DataType::Float32, &x.shape, &x.order, false);
    let (scales, zero_points) = (l.pool.add(&scales), l.pool.add(&zero_points));
    l.step(Operation::Dequantize { x: x.id, y: y.id, scales, zero_points: Some(zero_points), axis });
    Some(())
}

/// Outputs: quanta, scale, zero point. The last two are read by products, which take both together.
pub fn dynamic(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0).filter(|x| x.data_type == DataType::Float32)?;
    let [quanta, scale, zero_point] = [0, 1, 2].map(|i| node.output.get(i).cloned().unwrap_or_default());
    let y = l.output(&quanta, DataType::Uint8, &x.shape, &x.order, false);
    let parameters = l.fact(DataType::Float32, &[2]);
    l.step(Operation::DynamicQuantize { x: x.id, y: y.id, parameters });
    for name in [&scale, &zero_point] {
        l.parameters.insert(name.clone(), parameters);
    }
    if !scale.is_empty() {
        let first = l.output(&scale, DataType::Float32, &[], &[], false);
        l.step(copy_scalar(parameters, first.id, 0));
    }
    if !zero_point.is_empty() {
        let second = l.fact(DataType::Float32, &[]);
        l.step(copy_scalar(parameters, second, 1));
        let z = l.output(&zero_point, DataType::Uint8, &[], &[], false);
        l.step(Operation::Cast { x: second, y: z.id, from: DataType::Float32, to: DataType::Uint8 });
    }
    Some(())
}

fn copy_scalar(x: u32, y: u32, offset: usize) -> Operation {
    let view = |offset| crate::plan::View { offset, strides: vec![] };
    Operation::Copy { x, y, shape: vec![], from: view(offset), to: view(0), table: None }
}

impl Lowering<'_> {
    /// A look-up; the table is by `Uint8` quanta.
    pub fn look_up(&mut self, x: &Value, output: &str, to: DataType, table: &[u8; 256]) {
        let y = self.output(output, to, &x.shape, &x.order, to == DataType::Int8);
        let table = self.pool.add(&table[..]);
        self.step(Operation::Table { x: x.id, y: y.id, table });
    }

    /// A function of one quantized operand: inputs x, scale, zero point, scale and zero point of y.
    fn function(&mut self, node: &NodeProto, f: impl Fn(f32) -> f32) -> Option<()> {
        let x = self.input(node, 0)?;
        let x = self.quanta(&x)?;
        let to_type = self.data_type(node.output.first()?)?;
        let from = self.quantization(node, 1, x.data_type)?;
        let to = self.quantization(node, 3, to_type)?;
        let table = requantized(from, to, f);
        self.look_up(&x, node.output.first()?, to_type, &table);
        Some(())
    }
}

/// Dequantize, apply, quantize, for every quantum.
pub fn requantized(from: Quantization, to: Quantization, f: impl Fn(f32) -> f32) -> [u8; 256] {
    let params = |q: Quantization| Params { scale: q.scale, zero_point: q.zero_point.into() };
    lookup_table::<u8, u8>(params(from), params(to), f)
}

/// Inputs: quanta, 256 quanta by bit pattern.
pub fn table(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.input(node, 0)?;
    let x = l.quanta(&x)?;
    let table = l.constant(node.input.get(1)?)?;
    let entries: &[u8; 256] = table.bytes().try_into().ok()?;
    let to = table.data_type();
    let (flip_in, flip_out) =
        (if x.data_type == DataType::Int8 { 0x80 } else { 0 }, if to == DataType::Int8 { 0x80 } else { 0u8 });
    let shifted: [u8; 256] = std::array::from_fn(|q| entries[q ^ flip_in] ^ flip_out);
    l.look_up(&x, node.output.first()?, to, &shifted);
    Some(())
}

/// `1 / (1 + exp(-v))`.
pub fn sigmoid(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    l.function(node, |v| 1.0 / (1.0 + (-v).exp()))
}

/// `v >= 0 ? v : alpha * v`.
pub fn leaky_relu(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let alpha = attribute(node, "alpha").map_or(0.01, |a| a.f);
    l.function(node, |v| if v >= 0.0 { v } else { alpha * v })
}
