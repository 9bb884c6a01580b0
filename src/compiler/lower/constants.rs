//! Constants: what the graph holds, read in the types that steps need, and the pool that plans share.

use std::collections::HashMap;
use std::rc::Rc;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{Lowering, Value};
use crate::compiler::limits::too_large;
use crate::compiler::onnx::{initializer_f32, initializer_i32, initializer_i64};
use crate::compiler::store::{Blob, Store};
use crate::compiler::tensors;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::Quantization;
use crate::plan::{ALIGNMENT, Constant, ConstantId, Fact, Source};
use crate::tensor::{DataType, Element, Tensor};

/// Elements that the graph holds, or that are in a file.
pub struct Operand {
    /// Element type.
    pub data_type: DataType,
    /// Shape.
    pub shape: Vec<usize>,
    bytes: Bytes,
}

enum Bytes {
    Here(Rc<Tensor>),
    There(Blob),
}

/// The elements of three dimensions, each with its size and its step in what is read; the last varies fastest.
pub type Layout = [(usize, usize); 3];

/// How weights become those of a plan.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Recode {
    /// `Uint8` to `Int8`, 128 smaller.
    pub flip: bool,
    /// In another order.
    pub layout: Option<Layout>,
}

impl Recode {
    fn apply(&self, size: usize, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(layout) = self.layout {
            bytes = match size {
                1 => reordered(&bytes, layout),
                _ => reordered(bytes.as_chunks::<4>().0, layout).into_flattened(),
            };
        }
        if self.flip {
            bytes.iter_mut().for_each(|b| *b ^= 0x80);
        }
        bytes
    }
}

/// How many rows are written side by side: as many bytes as are fetched at once.
const SIDE_BY_SIDE: usize = 64;

fn reordered<T: Copy>(from: &[T], [(a, step_a), (b, step_b), (c, step_c)]: Layout) -> Vec<T> {
    // All of it is written over.
    let mut to = from.to_vec();
    for block in (0..a).step_by(SIDE_BY_SIDE) {
        for j in 0..b {
            for k in 0..c {
                for i in block..a.min(block + SIDE_BY_SIDE) {
                    to[(i * b + j) * c + k] = from[i * step_a + j * step_b + k * step_c];
                }
            }
        }
    }
    to
}

/// Where the bytes of a constant are.
#[derive(Clone)]
enum Content {
    Here(Rc<Vec<u8>>),
    Computed(Rc<Tensor>),
    /// With the size of an element.
    There(Blob, Recode, usize),
}

impl Content {
    /// None if they are elsewhere.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Computed(tensor) => tensor.bytes(),
            Self::There(..) => &[],
        }
    }
}

/// The constants of all plans of a model. Numbers never change, so that the engine can keep what it has packed.
#[derive(Default)]
pub struct Pool {
    /// What it holds.
    pub constants: Vec<Constant>,
    contents: Vec<Content>,
    /// Bytes of all of them.
    size: u64,
    by_content: HashMap<(DataType, u64, usize), Vec<ConstantId>>,
}

impl Pool {
    /// Adds elements, unless they are there.
    pub fn add<T: Element>(&mut self, values: &[T]) -> ConstantId {
        self.add_bytes(T::DATA_TYPE, bytemuck::cast_slice(values))
    }

    /// Adds little-endian elements of a type, unless they are there.
    pub fn add_bytes(&mut self, data_type: DataType, bytes: &[u8]) -> ConstantId {
        self.add_content(data_type, bytes.len(), Content::Here(Rc::new(bytes.to_vec())))
    }

    fn add_content(&mut self, data_type: DataType, len: usize, content: Content) -> ConstantId {
        let key = (data_type, hash(content.bytes()), len);
        let same = self.by_content.entry(key).or_default();
        for &id in same.iter() {
            if self.contents[id as usize].bytes() == content.bytes() {
                return id;
            }
        }
        same.push(self.constants.len() as ConstantId);
        self.push(data_type, len, content)
    }

    /// Adds the elements of an operand as that type, recoded, unless they are there.
    pub fn add_operand(&mut self, data_type: DataType, operand: Operand, recode: Recode) -> ConstantId {
        match operand.bytes {
            Bytes::Here(tensor) if recode == Recode::default() => {
                self.add_content(data_type, tensor.bytes().len(), Content::Computed(tensor))
            }
            Bytes::Here(tensor) => self.add_bytes(data_type, &recode.apply(data_type.size(), tensor.bytes().to_vec())),
            Bytes::There(blob) => {
                let same = |(constant, content): (&Constant, &Content)| {
                    constant.data_type == data_type
                        && matches!(content, Content::There(other, way, _) if other.is(&blob) && *way == recode)
                };
                match self.constants.iter().zip(&self.contents).position(same) {
                    Some(at) => at as ConstantId,
                    None => self.push(data_type, blob.len, Content::There(blob, recode, data_type.size())),
                }
            }
        }
    }

    fn push(&mut self, data_type: DataType, bytes: usize, content: Content) -> ConstantId {
        let offset = self.size.next_multiple_of(ALIGNMENT as u64);
        self.size = offset + bytes as u64;
        self.contents.push(content);
        // What does not fit is refused when all constants are known.
        let constant = Constant { data_type, len: bytes / data_type.size().max(1), offset: offset as usize };
        self.constants.push(constant);
        (self.constants.len() - 1) as ConstantId
    }

    /// Bytes of all constants; an error if they are more than a plan can have.
    pub fn size(&self) -> Result<usize> {
        // The header needs its place, too.
        let all = self.size + (1 << 24);
        if u32::try_from(all).is_ok() { Ok(self.size as usize) } else { Err(too_large("the model's weights")) }
    }

    /// The bytes of a constant; none if they are elsewhere.
    pub fn bytes(&self, id: ConstantId) -> Option<&[u8]> {
        Some(self.contents.get(id as usize)?.bytes())
    }

    /// The elements of a constant, if they are floats and few.
    pub fn floats(&self, id: ConstantId) -> Option<Vec<f32>> {
        let constant = self.constants.get(id as usize).filter(|c| c.data_type == DataType::Float32)?;
        let bytes = self.contents.get(id as usize)?.bytes();
        (bytes.len() == 4 * constant.len)
            .then(|| bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// The plan with this header.
    pub fn encoded(&self, header: Vec<u8>) -> Encoded {
        let offsets = self.constants.iter().map(|c| c.offset).collect();
        Encoded { header, offsets, contents: self.contents.clone(), size: self.size as usize }
    }
}

/// How much of a plan is read at once where any amount would do.
const PIECE: usize = 1 << 22;

/// An encoded plan, of which the large constants are made when they are read.
pub struct Encoded {
    header: Vec<u8>,
    offsets: Vec<usize>,
    contents: Vec<Content>,
    size: usize,
}

impl Source for Encoded {
    fn size(&self) -> usize {
        self.header.len() + self.size
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        // The part of `to` that these bytes cover, which begin at `start`.
        let end = offset.saturating_add(to.len());
        if end > Source::size(self) {
            return Err(Error::new(ErrorCode::Internal, "there is no more of the plan"));
        }
        let covered = |start: usize, len: usize| {
            let (from, until) = (offset.max(start), end.min(start + len));
            (from < until).then(|| (from - offset..until - offset, from - start))
        };
        to.fill(0);
        if let Some((part, at)) = covered(0, self.header.len()) {
            let len = part.len();
            to[part].copy_from_slice(&self.header[at..at + len]);
        }
        // Ordered by offset.
        let first = self.offsets.partition_point(|o| o + self.header.len() <= offset).saturating_sub(1);
        for (own, content) in self.offsets.iter().zip(&self.contents).skip(first) {
            let start = own + self.header.len();
            if start >= end {
                break;
            }
            match content {
                Content::Here(_) | Content::Computed(_) => {
                    let bytes = content.bytes();
                    if let Some((part, at)) = covered(start, bytes.len()) {
                        let len = part.len();
                        to[part].copy_from_slice(&bytes[at..at + len]);
                    }
                }
                Content::There(blob, recode, size) => {
                    let Some((part, at)) = covered(start, blob.len) else { continue };
                    if *recode == Recode::default() {
                        blob.read(at, &mut to[part])?;
                    } else {
                        let len = part.len();
                        to[part].copy_from_slice(&recode.apply(*size, blob.load()?)[at..at + len]);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Encoded {
    /// All of its bytes.
    ///
    /// # Errors
    /// As reading from the files of the model has.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.size()];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Where the piece that begins at `offset` ends, if it is to be read piece by piece: after a constant, or some
    /// megabytes.
    pub fn piece(&self, offset: usize) -> usize {
        let end = offset.saturating_add(PIECE).min(self.size());
        let starts = self.offsets.iter().map(|o| o + self.header.len());
        // What is recoded is made as a whole.
        let mut within = false;
        for (start, content) in starts.zip(&self.contents) {
            let recoded = matches!(content, Content::There(_, recode, _) if *recode != Recode::default());
            if start > offset && (within || recoded && start < end) {
                return start;
            }
            within = recoded && start <= offset;
        }
        if within { self.size() } else { end }
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
    pub fn constant(&self, name: &str) -> Option<Tensor> {
        if let Some(tensor) = self.tensor(name) {
            let shape: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
            let bytes = self.store.bytes(tensor)?;
            return Tensor::from_bytes(DataType::from_onnx(tensor.data_type)?, &shape, &bytes).ok();
        }
        if let Some(tensor) = self.computed.get(name) {
            return Some((**tensor).clone());
        }
        tensors::from_tract(self.known.get(name)?.value.as_deref()?).ok()
    }

    /// A constant whose elements only the engine needs; no strings.
    pub fn operand(&self, name: &str) -> Option<Operand> {
        if let Some(tensor) = self.tensor(name)
            && let Some(blob) = self.store.blob(tensor)
        {
            let shape = tensor.dims.iter().map(|&d| d as usize).collect();
            let data_type = DataType::from_onnx(tensor.data_type)?;
            return Some(Operand { data_type, shape, bytes: Bytes::There(blob.clone()) });
        }
        let tensor = match self.computed.get(name) {
            Some(tensor) => tensor.clone(),
            None => Rc::new(self.constant(name)?),
        };
        let data_type = tensor.data_type();
        (data_type != DataType::String).then(|| Operand {
            data_type,
            shape: tensor.shape().to_vec(),
            bytes: Bytes::Here(tensor),
        })
    }

    /// A constant as a value that steps can read.
    pub fn constant_value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.constant_values.get(name) {
            return Some(value.clone());
        }
        let operand = self.operand(name)?;
        let Operand { data_type, ref shape, .. } = operand;
        let fact = shape.iter().map(|&d| Some(d)).collect();
        let value = Value::plain(self.facts.len() as u32, data_type, shape);
        let constant = Some(self.pool.add_operand(data_type, operand, Recode::default()));
        self.facts.push(Fact { data_type, shape: fact, constant });
        self.constant_values.insert(name.to_owned(), value.clone());
        Some(value)
    }

    /// Constant floats at an input of a node.
    pub fn floats(&self, node: &NodeProto, position: usize) -> Option<Vec<f32>> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        match self.tensor(name) {
            Some(tensor) if !Store::holds(tensor) => initializer_f32(tensor),
            _ => self.constant(name)?.as_slice().map(<[f32]>::to_vec),
        }
    }

    /// Constant integers at an input of a node.
    pub fn integers(&self, node: &NodeProto, position: usize) -> Option<Vec<i64>> {
        let name = node.input.get(position).filter(|n| !n.is_empty())?;
        if let Some(tensor) = self.tensor(name).filter(|t| !Store::holds(t)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_the_same_read_at_once_or_in_pieces() {
        let source: Rc<dyn Source> = Rc::new((0..=255u8).cycle().take(3000).collect::<Vec<u8>>());
        let there = |offset, shape: &[usize], size: usize| {
            let len = shape.iter().product::<usize>() * size;
            let bytes = Bytes::There(Blob { source: source.clone(), offset, len });
            Operand { data_type: DataType::Int8, shape: shape.to_vec(), bytes }
        };
        let mut pool = Pool::default();
        pool.add(&[1u8, 2, 3]);
        let turned = Recode { flip: true, layout: Some([(70, 1), (1, 0), (9, 70)]) };
        let a = pool.add_operand(DataType::Int8, there(5, &[9, 70], 1), turned);
        pool.add_operand(DataType::Float32, there(700, &[100], 4), Recode::default());
        let floats = Recode { flip: false, layout: Some([(2, 50), (5, 1), (10, 5)]) };
        let b = pool.add_operand(DataType::Float32, there(1200, &[2, 10, 5], 4), floats);
        pool.add(&[7i64]);
        assert_eq!(pool.add_operand(DataType::Int8, there(5, &[9, 70], 1), turned), a, "once is enough");

        let plan = pool.encoded(vec![9; 48]);
        let whole = plan.to_vec().unwrap();
        let start = |id: ConstantId| 48 + pool.constants[id as usize].offset;
        // Column 3, row 2 of the one; channel 1, tap 4, depth 7 of the other.
        assert_eq!(whole[start(a) + 3 * 9 + 2], (5 + 2 * 70 + 3) as u8 ^ 0x80);
        assert_eq!(whole[start(b) + 4 * (50 + 4 * 10 + 7)], ((1200 + 4 * (50 + 7 * 5 + 4)) % 256) as u8);
        let mut pieces = Vec::new();
        while pieces.len() < whole.len() {
            let at = pieces.len();
            let end = plan.piece(at);
            assert!(end > at && end <= whole.len());
            pieces.resize(end, 0);
            plan.read(at, &mut pieces[at..]).unwrap();
        }
        assert_eq!(pieces, whole);
        for (from, len) in [(0, 1), (40, 100), (start(a) + 1, 7), (start(b) + 3, 120), (whole.len() - 1, 1)] {
            let mut part = vec![1; len];
            plan.read(from, &mut part).unwrap();
            assert_eq!(part, whole[from..from + len], "{len} from {from}");
        }
        assert!(plan.read(whole.len(), &mut [0]).is_err());
    }
}
