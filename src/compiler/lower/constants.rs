//! Constants: what the graph holds, read in the types that steps need, and the pool that plans share.

use std::collections::HashMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{Lowering, Value};
use crate::compiler::onnx::{initializer_f32, initializer_i32, initializer_i64};
use crate::compiler::tensors;
use crate::kernels::Quantization;
use crate::plan::{ALIGNMENT, Constant, ConstantId, Fact};
use crate::tensor::{DataType, Element};

/// The constants of all plans of a model. Numbers never change, so that the engine can keep what it has packed.
#[derive(Default)]
pub struct Pool {
    /// What [`Self::data`] holds.
    pub constants: Vec<Constant>,
    /// The bytes.
    pub data: Vec<u8>,
    by_content: HashMap<(DataType, u64, usize), Vec<ConstantId>>,
}

impl Pool {
    /// Adds elements, unless they are there.
    pub fn add<T: Element>(&mut self, values: &[T]) -> ConstantId {
        self.add_bytes(T::DATA_TYPE, bytemuck::cast_slice(values))
    }

    /// Adds little-endian elements of a type, unless they are there.
    pub fn add_bytes(&mut self, data_type: DataType, bytes: &[u8]) -> ConstantId {
        let key = (data_type, hash(bytes), bytes.len());
        let same = self.by_content.entry(key).or_default();
        for &id in same.iter() {
            let offset = self.constants[id as usize].offset;
            if self.data[offset..offset + bytes.len()] == *bytes {
                return id;
            }
        }
        let id = self.constants.len() as ConstantId;
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        let len = bytes.len() / data_type.size().max(1);
        self.constants.push(Constant { data_type, len, offset: self.data.len() });
        self.data.extend_from_slice(bytes);
        same.push(id);
        id
    }
}

/// FNV-1a over words; only to find equals quickly.
fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|w| u64::from_le_bytes(*w)).chain(rest.iter().map(|&b| b.into()));
    words.fold(0xcbf2_9ce4_8422_2325, |h, w| (h ^ w).wrapping_mul(0x100_0000_01b3))
}

impl Lowering<'_> {
    fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.initializers.get(name).map(|&i| &self.graph.initializer[i])
    }

    /// Whether a value is known before running.
    pub fn is_constant(&self, name: &str) -> bool {
        self.tensor(name).is_some()
            || self.computed.contains_key(name)
            || self.known.get(name).is_some_and(|k| k.value.is_some())
    }

    /// A constant as it is: type, shape, elements.
    pub fn constant(&self, name: &str) -> Option<crate::tensor::Tensor> {
        if let Some(tensor) = self.tensor(name) {
            let shape: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
            return crate::tensor::Tensor::from_bytes(DataType::from_onnx(tensor.data_type)?, &shape, &tensor.raw_data)
                .ok();
        }
        if let Some(tensor) = self.computed.get(name) {
            return Some(tensor.clone());
        }
        tensors::from_tract(self.known.get(name)?.value.as_deref()?).ok()
    }

    /// A constant as a value that steps can read.
    pub fn constant_value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.constant_values.get(name) {
            return Some(value.clone());
        }
        let tensor = self.constant(name).filter(|t| t.data_type() != DataType::String)?;
        let constant = self.pool.add_bytes(tensor.data_type(), tensor.bytes());
        let shape = tensor.shape().iter().map(|&d| Some(d)).collect();
        self.facts.push(Fact { data_type: tensor.data_type(), shape, constant: Some(constant) });
        let value = Value::plain((self.facts.len() - 1) as u32, tensor.data_type(), tensor.shape());
        self.constant_values.insert(name.to_owned(), value.clone());
        Some(value)
    }

    /// Constant floats at an input of a node.
    pub fn floats(&self, node: &NodeProto, position: usize) -> Option<Vec<f32>> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        match self.tensor(name) {
            Some(tensor) => initializer_f32(tensor),
            None => self.constant(name)?.as_slice().map(<[f32]>::to_vec),
        }
    }

    /// Constant integers at an input of a node.
    pub fn integers(&self, node: &NodeProto, position: usize) -> Option<Vec<i64>> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        if let Some(tensor) = self.tensor(name) {
            let wide = initializer_i64(tensor);
            return wide.or_else(|| Some(initializer_i32(tensor)?.into_iter().map(i64::from).collect()));
        }
        let tensor = self.constant(name)?;
        let bytes = tensor.bytes();
        Some(match tensor.data_type() {
            DataType::Int64 => tensor.as_slice::<i64>()?.to_vec(),
            DataType::Int32 => tensor.as_slice::<i32>()?.iter().map(|&v| v.into()).collect(),
            DataType::Uint8 => bytes.iter().map(|&v| v.into()).collect(),
            DataType::Int8 => bytes.iter().map(|&v| (v as i8).into()).collect(),
            _ => return None,
        })
    }

    /// Zero points at an input of a node: absent ones are 0. Element type, and values as they are.
    pub fn zero_points(&self, node: &NodeProto, position: usize) -> Option<Vec<i64>> {
        match node.input.get(position).filter(|n| !n.is_empty()) {
            Some(_) => self.integers(node, position),
            None => Some(vec![0]),
        }
    }

    /// One scale at an input of a node.
    pub fn scale(&self, node: &NodeProto, position: usize) -> Option<f32> {
        let scales = self.floats(node, position)?;
        let [scale] = scales[..] else { return None };
        (scale.is_finite() && scale > 0.0).then_some(scale)
    }

    /// Scale and zero point of quanta of a type, as steps know them.
    pub fn quantization(&self, node: &NodeProto, position: usize, data_type: DataType) -> Option<Quantization> {
        let scale = self.scale(node, position)?;
        let zero_points = self.zero_points(node, position + 1)?;
        let [zero_point] = zero_points[..] else { return None };
        Some(Quantization { scale, zero_point: shifted(zero_point, data_type)? })
    }
}

/// A quantum as `Uint8`.
pub fn shifted(quantum: i64, data_type: DataType) -> Option<u8> {
    let shift = match data_type {
        DataType::Uint8 => 0,
        DataType::Int8 => 128,
        _ => return None,
    };
    u8::try_from(quantum + shift).ok()
}
