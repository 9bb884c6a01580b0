//! Constants of a plan, read when they are needed, kept once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};
use crate::kernels::conv::ConvWeights;
use crate::kernels::depthwise::DepthwiseWeights;
use crate::kernels::float_conv::FloatWeights;
use crate::kernels::isa::Dot;
use crate::plan::{Constant, ConstantId, Source};
use crate::tensor::{AlignedBytes, Element};

/// What steps share: weights packed for the kernels, and constants as they are.
#[derive(Default)]
pub struct Cache {
    /// As they are in the plan.
    pub plain: HashMap<ConstantId, Arc<AlignedBytes>>,
    /// Packed for convolutions and products.
    pub packed: HashMap<ConstantId, Arc<ConvWeights>>,
    /// Packed for convolutions of floats; by output channels and groups, too.
    pub float: HashMap<(ConstantId, usize, usize), Arc<FloatWeights>>,
    /// Packed for depthwise convolutions.
    pub depthwise: HashMap<ConstantId, Arc<DepthwiseWeights>>,
}

impl Cache {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.plain.values().map(|b| b.as_slice().len()).sum::<usize>()
            + self.packed.values().map(|w| w.bytes()).sum::<usize>()
            + self.float.values().map(|w| w.bytes()).sum::<usize>()
            + self.depthwise.values().map(|w| w.bytes()).sum::<usize>()
    }
}

/// Reads the constants of one plan.
pub struct Loader<'a, S: Source + ?Sized> {
    /// The plan.
    pub source: &'a S,
    /// Where its data starts.
    pub data: usize,
    /// What the data holds.
    pub constants: &'a [Constant],
    /// Shared by all variants: the compiler numbers the constants of a model once.
    pub cache: &'a mut Cache,
    /// How dot products are computed here.
    pub dot: Dot,
}

impl<S: Source + ?Sized> Loader<'_, S> {
    fn constant(&self, id: ConstantId) -> Result<&Constant> {
        let constant = self.constants.get(id as usize);
        constant.ok_or_else(|| Error::new(ErrorCode::InvalidPlan, "a step names a constant that there is not"))
    }

    /// A copy of a constant.
    pub fn read(&self, id: ConstantId) -> Result<AlignedBytes> {
        let Constant { data_type, len, offset } = *self.constant(id)?;
        // Sizes and offsets were checked when the plan was read.
        let mut bytes = AlignedBytes::zeroed(len.saturating_mul(data_type.size()))?;
        self.source.read(self.data.saturating_add(offset), bytes.as_mut_slice())?;
        Ok(bytes)
    }

    /// The elements of a constant, which must be of that type.
    pub fn list<T: Element>(&self, id: ConstantId) -> Result<Vec<T>> {
        if self.constant(id)?.data_type != T::DATA_TYPE {
            return Err(Error::new(ErrorCode::InvalidPlan, "a step names a constant of another type"));
        }
        Ok(bytemuck::cast_slice(self.read(id)?.as_slice()).to_vec())
    }

    /// The elements of a constant that may be absent; then none.
    pub fn optional<T: Element>(&self, id: Option<ConstantId>) -> Result<Vec<T>> {
        id.map_or(Ok(Vec::new()), |id| self.list(id))
    }

    /// The bytes of a constant value, kept for all who read it.
    pub fn shared(&mut self, id: ConstantId) -> Result<Arc<AlignedBytes>> {
        if let Some(bytes) = self.cache.plain.get(&id) {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(self.read(id)?);
        self.cache.plain.insert(id, bytes.clone());
        Ok(bytes)
    }
}
