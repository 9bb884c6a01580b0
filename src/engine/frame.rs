//! The values of a run and where they are.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;

use super::arena;
use super::pool::Pool;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::ValueId;
use crate::tensor::{AlignedBytes, Tensor};

/// Where a value is kept.
#[derive(Clone)]
pub enum Place {
    /// In the arena.
    Arena(Range<usize>),
    /// It never changes.
    Constant(Arc<AlignedBytes>),
    /// In a tensor of its own: inputs of the model, and what the compiler computes.
    Loose,
}

/// A tensor outside of the arena.
#[derive(Default)]
pub enum Loose<'a> {
    /// Nothing yet.
    #[default]
    Absent,
    /// The caller's.
    Borrowed(&'a Tensor),
    /// Computed in this run.
    Owned(Tensor),
}

impl Loose<'_> {
    /// The tensor, if there is one.
    pub fn get(&self) -> Option<&Tensor> {
        match self {
            Self::Absent => None,
            Self::Borrowed(tensor) => Some(tensor),
            Self::Owned(tensor) => Some(tensor),
        }
    }
}

/// What the steps of a run work on.
pub struct Frame<'a> {
    /// For every value.
    pub places: &'a [Place],
    /// Values in the arena, and scratch memory.
    pub arena: &'a mut [u8],
    /// For every value whose place is [`Place::Loose`].
    pub loose: Vec<Loose<'a>>,
    /// Scratch memory of the step that runs.
    pub scratch: Range<usize>,
    /// Who works on steps that can be cut.
    pub pool: &'a Pool,
    /// How many of them, at most.
    pub threads: usize,
}

/// What a step reads, what it writes, and its scratch memory.
pub type Views<'f, const R: usize, const W: usize> = ([&'f [u8]; R], [&'f mut [u8]; W], &'f mut [u8]);

impl Frame<'_> {
    /// The bytes of values, and the step's scratch memory.
    ///
    /// # Errors
    /// `INTERNAL` if one is not there or not to be written.
    pub fn views<const R: usize, const W: usize>(
        &mut self,
        reads: [ValueId; R],
        writes: [ValueId; W],
    ) -> Result<Views<'_, R, W>> {
        let places = self.places;
        let place = |id: ValueId| places.get(id as usize).ok_or_else(missing);
        let mut from: [Range<usize>; R] = std::array::from_fn(|_| 0..0);
        for (range, &id) in from.iter_mut().zip(&reads) {
            if let Place::Arena(place) = place(id)? {
                *range = place.clone();
            }
        }
        let mut to: [Range<usize>; W] = std::array::from_fn(|_| 0..0);
        for (range, &id) in to.iter_mut().zip(&writes) {
            let Place::Arena(place) = place(id)? else { return Err(missing()) };
            *range = place.clone();
        }
        let (mut inputs, outputs, scratch) = arena::split(self.arena, from, to, self.scratch.clone())?;
        for (bytes, &id) in inputs.iter_mut().zip(&reads) {
            match place(id)? {
                Place::Arena(_) => (),
                Place::Constant(constant) => *bytes = constant.as_slice(),
                Place::Loose => {
                    let tensor = self.loose.get(id as usize).and_then(Loose::get);
                    *bytes = tensor.ok_or_else(missing)?.bytes();
                }
            }
        }
        Ok((inputs, outputs, scratch))
    }

    /// The bytes of a value to write to, the step's scratch memory, and all other values to read.
    ///
    /// # Errors
    /// `INTERNAL` if it is not to be written.
    pub fn cut(&mut self, y: ValueId) -> Result<(Values<'_>, &mut [u8], &mut [u8])> {
        let Some(Place::Arena(range)) = self.places.get(y as usize) else { return Err(missing()) };
        let (y, scratch, around) = arena::around(self.arena, range.clone(), self.scratch.clone())?;
        Ok((Values { places: self.places, loose: &self.loose, around }, y, scratch))
    }
}

/// The values that a step does not write to, for any number of threads.
pub struct Values<'f> {
    places: &'f [Place],
    loose: &'f [Loose<'f>],
    around: arena::Around<'f>,
}

impl<'f> Values<'f> {
    /// The bytes of a value.
    ///
    /// # Errors
    /// `INTERNAL` if it is not there, `INVALID_PLAN` if the step writes to it.
    pub fn read(&self, id: ValueId) -> Result<&'f [u8]> {
        match self.places.get(id as usize).ok_or_else(missing)? {
            Place::Constant(constant) => Ok(constant.as_slice()),
            Place::Loose => Ok(self.loose.get(id as usize).and_then(Loose::get).ok_or_else(missing)?.bytes()),
            Place::Arena(range) if range.is_empty() => Ok(&[]),
            Place::Arena(range) => {
                let inside = |&(at, bytes): &(usize, &'f [u8])| {
                    bytes.get(range.start.checked_sub(at)?..range.end.checked_sub(at)?)
                };
                let found = self.around.iter().find_map(inside);
                found.ok_or_else(|| Error::new(ErrorCode::InvalidPlan, "a step writes to what it reads"))
            }
        }
    }
}

fn missing() -> Error {
    Error::new(ErrorCode::Internal, "a step reads a value that nothing has written")
}

/// Bytes as elements. Values are aligned and their sizes were checked with the plan.
pub fn elements<T: Pod>(bytes: &[u8]) -> Result<&[T]> {
    bytemuck::try_cast_slice(bytes).map_err(|_| misfit())
}

/// Bytes as elements, to write to.
pub fn elements_mut<T: Pod>(bytes: &mut [u8]) -> Result<&mut [T]> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| misfit())
}

fn misfit() -> Error {
    Error::new(ErrorCode::Internal, "a value has another type than the step that uses it")
}
