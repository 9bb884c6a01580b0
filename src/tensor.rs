//! Tensors as they cross tractlet's borders: an element type, a shape, and contiguous row-major data.

use std::fmt;

use bytemuck::{AnyBitPattern, NoUninit};

use crate::error::{Error, ErrorCode, Result};

/// Element types, numbered as in ONNX's `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum DataType {
    /// 32-bit IEEE float.
    Float32 = 1,
    /// Unsigned byte.
    Uint8 = 2,
    /// Signed byte.
    Int8 = 3,
    /// Unsigned 16-bit integer.
    Uint16 = 4,
    /// Signed 16-bit integer.
    Int16 = 5,
    /// Signed 32-bit integer.
    Int32 = 6,
    /// Signed 64-bit integer.
    Int64 = 7,
    /// UTF-8 string.
    String = 8,
    /// One byte, 0 or 1.
    Bool = 9,
    /// 16-bit IEEE float.
    Float16 = 10,
    /// 64-bit IEEE float.
    Float64 = 11,
    /// Unsigned 32-bit integer.
    Uint32 = 12,
    /// Unsigned 64-bit integer.
    Uint64 = 13,
}

impl DataType {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Float32,
        Self::Uint8,
        Self::Int8,
        Self::Uint16,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::String,
        Self::Bool,
        Self::Float16,
        Self::Float64,
        Self::Uint32,
        Self::Uint64,
    ];

    /// From ONNX's number; `None` for types that are not supported (complex, bfloat16, 8-bit floats, 4-bit integers).
    pub fn from_onnx(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as i32 == code)
    }

    /// The name that onnxruntime-common uses, such as `float32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::String => "string",
            Self::Bool => "bool",
            Self::Float16 => "float16",
            Self::Float64 => "float64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
        }
    }

    /// From onnxruntime-common's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Bytes per element; 0 for strings.
    pub const fn size(self) -> usize {
        match self {
            Self::String => 0,
            Self::Uint8 | Self::Int8 | Self::Bool => 1,
            Self::Uint16 | Self::Int16 | Self::Float16 => 2,
            Self::Float32 | Self::Int32 | Self::Uint32 => 4,
            Self::Int64 | Self::Uint64 | Self::Float64 => 8,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the element of a tensor.
pub trait Element: AnyBitPattern + NoUninit {
    /// Its data type.
    const DATA_TYPE: DataType;
}

macro_rules! element {
    ($($rust:ty => $onnx:ident),* $(,)?) => {
        $(impl Element for $rust { const DATA_TYPE: DataType = DataType::$onnx; })*
    };
}
element! {
    f32 => Float32, u8 => Uint8, i8 => Int8, u16 => Uint16, i16 => Int16, i32 => Int32, i64 => Int64,
    f64 => Float64, u32 => Uint32, u64 => Uint64,
}

/// Number of elements of a shape, or an error when it does not fit in memory.
pub fn element_count(shape: &[usize]) -> Result<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(|| {
        Error::new(ErrorCode::OutOfMemory, format!("a tensor of shape {shape:?} does not fit in memory"))
    })
}

/// Bytes aligned to 16, so that they can be read as any element type and by SIMD loads.
#[derive(Clone, Default)]
pub struct AlignedBytes {
    blocks: Vec<u128>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes. Running out of memory is an error, not a crash.
    pub fn zeroed(len: usize) -> Result<Self> {
        let count = len.div_ceil(16);
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| {
            Error::new(ErrorCode::OutOfMemory, format!("there is no memory for a tensor of {len} bytes"))
                .with_hint("release sessions that are no longer needed, or use smaller inputs")
        })?;
        blocks.resize(count, 0);
        Ok(Self { blocks, len })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// The bytes, to write to.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }
}

#[derive(Clone)]
enum Storage {
    Bytes(AlignedBytes),
    Strings(Vec<String>),
}

/// A dense tensor: row-major, contiguous, owned.
#[derive(Clone)]
pub struct Tensor {
    data_type: DataType,
    shape: Vec<usize>,
    storage: Storage,
}

impl Tensor {
    /// A tensor of zeros. Strings are empty.
    pub fn zeros(data_type: DataType, shape: &[usize]) -> Result<Self> {
        let count = element_count(shape)?;
        let storage = if data_type == DataType::String {
            Storage::Strings(vec![String::new(); count])
        } else {
            let len = count.checked_mul(data_type.size()).ok_or_else(|| {
                Error::new(
                    ErrorCode::OutOfMemory,
                    format!("a {data_type} tensor of shape {shape:?} does not fit in memory"),
                )
            })?;
            Storage::Bytes(AlignedBytes::zeroed(len)?)
        };
        Ok(Self { data_type, shape: shape.to_vec(), storage })
    }

    /// From elements; their number must be that of the shape.
    pub fn from_slice<T: Element>(shape: &[usize], values: &[T]) -> Result<Self> {
        Self::from_bytes(T::DATA_TYPE, shape, bytemuck::cast_slice(values))
    }

    /// From little-endian bytes; their number must be that of the shape times the element size.
    pub fn from_bytes(data_type: DataType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let count = element_count(shape)?;
        if data_type == DataType::String || count.checked_mul(data_type.size()) != Some(bytes.len()) {
            return Err(Error::new(
                ErrorCode::InputShape,
                format!("{} bytes cannot be a {data_type} tensor of shape {shape:?}", bytes.len()),
            ));
        }
        let mut storage = AlignedBytes::zeroed(bytes.len())?;
        storage.as_mut_slice().copy_from_slice(bytes);
        Ok(Self { data_type, shape: shape.to_vec(), storage: Storage::Bytes(storage) })
    }

    /// From strings; their number must be that of the shape.
    pub fn from_strings(shape: &[usize], strings: Vec<String>) -> Result<Self> {
        if element_count(shape)? != strings.len() {
            return Err(Error::new(
                ErrorCode::InputShape,
                format!("{} strings cannot be a tensor of shape {shape:?}", strings.len()),
            ));
        }
        Ok(Self { data_type: DataType::String, shape: shape.to_vec(), storage: Storage::Strings(strings) })
    }

    /// The same elements in another shape, which must have as many.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Self> {
        if element_count(shape)? != self.len() {
            return Err(Error::new(
                ErrorCode::InputShape,
                format!("{} elements cannot be a tensor of shape {shape:?}", self.len()),
            ));
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// Element type.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Shape, outermost dimension first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.storage {
            Storage::Bytes(bytes) => bytes.len / self.data_type.size().max(1),
            Storage::Strings(strings) => strings.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as bytes; empty for strings.
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Bytes(bytes) => bytes.as_slice(),
            Storage::Strings(_) => &[],
        }
    }

    /// The elements as bytes, to write to; empty for strings.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.storage {
            Storage::Bytes(bytes) => bytes.as_mut_slice(),
            Storage::Strings(_) => &mut [],
        }
    }

    /// The strings of a string tensor.
    pub fn strings(&self) -> Option<&[String]> {
        match &self.storage {
            Storage::Bytes(_) => None,
            Storage::Strings(strings) => Some(strings),
        }
    }

    /// The elements, when they are of that type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        (T::DATA_TYPE == self.data_type).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// The elements, to write to, when they are of that type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        (T::DATA_TYPE == self.data_type).then(|| bytemuck::cast_slice_mut(self.bytes_mut()))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.data_type, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn sizes_are_checked_before_memory_is_asked_for() {
        assert_eq!(Tensor::zeros(DataType::Float32, &[usize::MAX, 2]).unwrap_err().code, ErrorCode::OutOfMemory);
        assert_eq!(Tensor::zeros(DataType::Int64, &[usize::MAX]).unwrap_err().code, ErrorCode::OutOfMemory);
        assert_eq!(Tensor::zeros(DataType::Int8, &[usize::MAX]).unwrap_err().code, ErrorCode::OutOfMemory);
        assert!(Tensor::from_bytes(DataType::Float32, &[3], &[0; 11]).is_err());
        assert!(Tensor::from_slice(&[2, 2], &[1i64, 2, 3]).is_err());
    }

    #[test]
    fn elements_are_read_as_their_own_type_only() {
        let t = Tensor::from_slice(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(t.as_slice::<f32>().unwrap(), &[1.0, 2.0, 3.0, 4.0]);
        assert!(t.as_slice::<i32>().is_none());
        let empty = Tensor::from_slice::<i32>(&[0, 4], &[]).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn names_and_codes_are_onnx_s() {
        for t in DataType::ALL {
            assert_eq!(DataType::from_name(t.name()), Some(t));
            assert_eq!(DataType::from_onnx(t as i32), Some(t));
        }
        assert_eq!(DataType::from_onnx(16), None);
    }
}
