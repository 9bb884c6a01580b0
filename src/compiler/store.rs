//! Large constants. Their elements stay where they are, in the model's file or the files beside it, until something asks
//! for them: most weights are only handed on to the engine. In the graph a large constant has its type and shape, and a
//! reference in place of its data.

use std::borrow::Cow;
use std::rc::Rc;

use tract_onnx::pb::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};

use crate::error::Result;
use crate::plan::Source;
use crate::tensor::DataType;

/// Constants of fewer bytes are kept in the graph: what is computed of shapes, scales and the like.
pub const LARGE: usize = 1 << 16;

/// The key of the reference.
const KEY: &str = "tractlet";

/// Bytes of a large constant.
#[derive(Clone)]
pub struct Blob {
    /// Where they are.
    pub source: Rc<dyn Source>,
    /// Where in it.
    pub offset: usize,
    /// How many.
    pub len: usize,
}

impl Blob {
    /// The bytes from `from` on.
    pub fn read(&self, from: usize, to: &mut [u8]) -> Result<()> {
        self.source.read(self.offset.saturating_add(from), to)
    }

    /// All of them.
    pub fn load(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether these are the same bytes at the same place.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.source, &other.source) && (self.offset, self.len) == (other.offset, other.len)
    }
}

/// The large constants of a model.
#[derive(Default)]
pub struct Store(Vec<Blob>);

impl Store {
    /// Whether a constant is one to keep here: of a bias, or a list of sizes, the compiler wants the elements.
    pub fn takes(tensor: &TensorProto, bytes: usize) -> bool {
        bytes >= LARGE
            && tensor.data_type != DataType::String as i32
            && tensor.dims.iter().filter(|&&d| d > 1).count() > 1
    }

    /// Whether a constant of the canonical graph is kept here.
    pub fn holds(tensor: &TensorProto) -> bool {
        tensor.data_location.is_some()
    }

    /// Gives a constant these bytes.
    pub fn put(&mut self, tensor: &mut TensorProto, blob: Blob) {
        tensor.raw_data = Vec::new();
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data = vec![StringStringEntryProto { key: KEY.to_owned(), value: self.0.len().to_string() }];
        self.0.push(blob);
    }

    /// Takes over the data of a canonical constant, if it is large.
    pub fn keep(&mut self, mut tensor: TensorProto) -> TensorProto {
        if Self::takes(&tensor, tensor.raw_data.len()) {
            let bytes = std::mem::take(&mut tensor.raw_data);
            let len = bytes.len();
            self.put(&mut tensor, Blob { source: Rc::new(bytes), offset: 0, len });
        }
        tensor
    }

    /// The bytes of a constant that is kept here.
    pub fn blob(&self, tensor: &TensorProto) -> Option<&Blob> {
        let entry = tensor.external_data.first().filter(|e| e.key == KEY)?;
        self.0.get(entry.value.parse::<u64>().ok()? as usize)
    }

    /// The bytes of any constant of the canonical graph.
    pub fn bytes<'a>(&self, tensor: &'a TensorProto) -> Option<Cow<'a, [u8]>> {
        if !Self::holds(tensor) {
            return Some(Cow::Borrowed(&tensor.raw_data));
        }
        Some(Cow::Owned(self.blob(tensor)?.load().ok()?))
    }

    /// A constant with its data, as tract wants it.
    pub fn filled(&self, tensor: &TensorProto) -> Option<TensorProto> {
        let mut filled = tensor.clone();
        if Self::holds(tensor) {
            filled.raw_data = self.blob(tensor)?.load().ok()?;
            filled.data_location = None;
            filled.external_data = Vec::new();
        }
        Some(filled)
    }
}

/// Values to compute: the large ones by themselves, as tract makes several copies on the way, and the others together.
pub fn in_groups(values: Vec<String>, is_large: &dyn Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut groups = Vec::new();
    let mut small = Vec::new();
    for value in values {
        if is_large(&value) {
            groups.push(vec![value]);
        } else {
            small.push(value);
        }
    }
    if !small.is_empty() {
        groups.push(small);
    }
    groups
}
