//! Values while lowering: where they are, in which order their dimensions lie in memory, and conversions.

use std::rc::Rc;

use super::Lowering;
use crate::kernels::quantize::{Params, dequantize};
use crate::kernels::{Axis, Quantization};
use crate::plan::{Operation, ValueId, View};
use crate::tensor::DataType;

/// An ONNX value and where it is.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its number in the plan.
    pub id: ValueId,
    /// Element type that ONNX knows.
    pub data_type: DataType,
    /// Shape that ONNX knows.
    pub shape: Vec<usize>,
    /// Dimension `i` in memory is dimension `order[i]` of the shape.
    pub order: Vec<usize>,
    /// An `Int8` that is kept as `Uint8`, 128 larger.
    pub shifted: bool,
    /// A `Float32` that is kept as `Uint8` quanta.
    pub lazy: Option<Rc<Lazy>>,
}

/// Floats that are not computed yet: a function of quanta. What only moves elements moves the quanta, functions of one
/// operand change the table, and QuantizeLinear makes it a look-up; so they never come to be unless a float step reads
/// them.
#[derive(Debug, PartialEq)]
pub struct Lazy {
    /// The float for each quantum.
    pub table: [f32; 256],
    /// Set if the table is that of DequantizeLinear.
    pub linear: Option<Quantization>,
}

impl Lazy {
    /// What DequantizeLinear gives.
    pub fn dequantized(q: Quantization) -> Self {
        let from = Params { scale: q.scale, zero_point: q.zero_point.into() };
        Self { table: std::array::from_fn(|i| dequantize(i as i32, from)), linear: Some(q) }
    }
}

/// Channels last, for a shape of that rank.
pub fn channels_last(rank: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        order.remove(1);
        order.push(1);
    }
    order
}

impl Value {
    /// A value in ONNX's order.
    pub fn plain(id: ValueId, data_type: DataType, shape: &[usize]) -> Self {
        Self { id, data_type, shape: shape.to_vec(), order: (0..shape.len()).collect(), shifted: false, lazy: None }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape in memory.
    pub fn physical(&self) -> Vec<usize> {
        self.order.iter().map(|&d| self.shape[d]).collect()
    }

    /// Steps in memory, for the dimensions of the shape.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.shape.len()];
        let mut step = 1;
        for &d in self.order.iter().rev() {
            strides[d] = step;
            step *= self.shape[d];
        }
        strides
    }

    /// Whether the elements lie as if the dimensions had that order; those of size 1 do not matter.
    pub fn lies_in(&self, order: &[usize]) -> bool {
        let long = |order: &[usize]| order.iter().copied().filter(|&d| self.shape[d] != 1).collect::<Vec<_>>();
        self.len() <= 1 || long(&self.order) == long(order)
    }

    /// Whether the elements are bytes that a quantized step can read.
    pub fn is_quanta(&self) -> bool {
        self.data_type == DataType::Uint8 || self.data_type == DataType::Int8
    }

    /// Position of a dimension in memory.
    pub fn position(&self, dimension: usize) -> usize {
        self.order.iter().position(|&d| d == dimension).unwrap_or(0)
    }

    /// The memory type.
    pub fn memory_type(&self) -> DataType {
        if self.shifted || self.lazy.is_some() { DataType::Uint8 } else { self.data_type }
    }
}

impl Lowering<'_> {
    /// An input of a node that must be there: computed, or constant.
    pub fn input(&mut self, node: &tract_onnx::pb::NodeProto, position: usize) -> Option<Value> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        self.value(name)
    }

    /// An input of a node, maybe as quanta that stand for floats.
    pub fn lazy_input(&mut self, node: &tract_onnx::pb::NodeProto, position: usize) -> Option<Value> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        self.lazy_value(name)
    }

    /// A value by name; floats as such.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        let value = self.lazy_value(name)?;
        self.computed_value(value)
    }

    /// The value with its floats computed.
    pub fn computed_value(&mut self, value: Value) -> Option<Value> {
        let Some(lazy) = value.lazy.clone() else { return Some(value) };
        let mut result = Value { lazy: None, shifted: false, ..value.clone() };
        if let Some((_, id)) = self.computed_floats.iter().find(|((id, table), _)| *id == value.id && *table == lazy) {
            result.id = *id;
            return Some(result);
        }
        result.id = self.fact(DataType::Float32, &value.physical());
        let operation = match lazy.linear {
            Some(q) => Operation::Dequantize {
                x: value.id,
                y: result.id,
                scales: self.pool.add(&[q.scale]),
                zero_points: Some(self.pool.add(&[q.zero_point])),
                axis: Axis { count: 1, inner: value.len().max(1) },
            },
            None => Operation::FloatTable { x: value.id, y: result.id, table: self.pool.add(&lazy.table) },
        };
        self.extra_step("DequantizeLinear", operation);
        self.computed_floats.push(((value.id, lazy), result.id));
        Some(result)
    }

    /// A value by name, maybe as quanta that stand for floats.
    pub fn lazy_value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.values.get(name) {
            // Values without a size are for subgraphs alone.
            let sized = self.facts.get(value.id as usize)?.bytes().is_some();
            return sized.then(|| value.clone());
        }
        self.constant_value(name)
    }

    /// Makes a value for an output of a node.
    pub fn output(
        &mut self,
        name: &str,
        data_type: DataType,
        shape: &[usize],
        order: &[usize],
        shifted: bool,
    ) -> Value {
        let memory = if shifted { DataType::Uint8 } else { data_type };
        let physical: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
        let id = self.fact(memory, &physical);
        let value = Value { id, data_type, shape: shape.to_vec(), order: order.to_vec(), shifted, lazy: None };
        self.values.insert(name.to_owned(), value.clone());
        value
    }

    /// Makes a value for an output of a node, with elements like those of another value.
    pub fn like(&mut self, name: &str, other: &Value, shape: &[usize], order: &[usize]) -> Value {
        let physical: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
        let id = self.fact(other.memory_type(), &physical);
        let value = Value { id, shape: shape.to_vec(), order: order.to_vec(), ..other.clone() };
        self.values.insert(name.to_owned(), value.clone());
        value
    }

    /// Gives an output of a node the memory of another value.
    pub fn alias(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// The shape that inference found.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.known.get(name)?.shape()
    }

    /// The element type that inference found.
    pub fn data_type(&self, name: &str) -> Option<DataType> {
        self.known.get(name)?.data_type
    }

    /// The value with its dimensions in that order in memory.
    pub fn ordered(&mut self, value: &Value, order: &[usize]) -> Option<Value> {
        if value.lies_in(order) {
            return Some(Value { order: order.to_vec(), ..value.clone() });
        }
        let key = (value.id, [&value.order[..], order].concat(), value.shifted);
        let mut result = Value { order: order.to_vec(), ..value.clone() };
        if let Some(&id) = self.converted.get(&key) {
            result.id = id;
            return Some(result);
        }
        let physical = result.physical();
        result.id = self.fact(value.memory_type(), &physical);
        let strides = value.strides();
        let from = order.iter().map(|&d| strides[d]).collect();
        let copy = Operation::Copy {
            x: value.id,
            y: result.id,
            to: View { offset: 0, strides: dense(&physical) },
            shape: physical,
            from: View { offset: 0, strides: from },
            table: None,
        };
        self.extra_step("Transpose", copy);
        self.converted.insert(key, result.id);
        Some(result)
    }

    /// The value in ONNX's order.
    pub fn plain(&mut self, value: &Value) -> Option<Value> {
        let order: Vec<usize> = (0..value.shape.len()).collect();
        self.ordered(value, &order)
    }

    /// 8-bit quanta as `Uint8`.
    pub fn quanta(&mut self, value: &Value) -> Option<Value> {
        match value.data_type {
            DataType::Uint8 => Some(value.clone()),
            DataType::Int8 if value.shifted => Some(value.clone()),
            DataType::Int8 => self.shift(value),
            _ => None,
        }
    }

    /// The value as ONNX knows it, whatever its order.
    pub fn unshifted(&mut self, value: &Value) -> Option<Value> {
        if value.shifted { self.shift(value) } else { Some(value.clone()) }
    }

    fn shift(&mut self, value: &Value) -> Option<Value> {
        let mut result = Value { shifted: !value.shifted, ..value.clone() };
        let key = (value.id, Vec::new(), value.shifted);
        if let Some(&id) = self.converted.get(&key) {
            result.id = id;
            return Some(result);
        }
        let physical = value.physical();
        result.id = self.fact(result.memory_type(), &physical);
        let flipped: Vec<u8> = (0..=255u8).map(|b| b ^ 0x80).collect();
        let table = self.pool.add(&flipped);
        self.extra_step("Cast", Operation::Table { x: value.id, y: result.id, table });
        self.converted.insert(key, result.id);
        Some(result)
    }
}

/// Steps of a dense array.
pub fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1usize;
    for (stride, &d) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul(d);
    }
    strides
}
