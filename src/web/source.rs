//! Bytes that stay in JavaScript's memory: only what is needed of them is copied, piece by piece.

use js_sys::Uint8Array;

use crate::error::{Error, ErrorCode, Result};
use crate::plan::Source;

/// A file, or a plan.
pub struct JsBytes(pub Uint8Array);

impl Source for JsBytes {
    fn size(&self) -> usize {
        self.0.length() as usize
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(to.len()).filter(|&end| end <= self.size());
        let Some(end) = end else { return Err(Error::new(ErrorCode::InvalidPlan, "the bytes are cut short")) };
        self.0.subarray(offset as u32, end as u32).copy_to(to);
        Ok(())
    }
}

/// An offset as JavaScript has it; what is out of range is no offset of anything.
#[cfg(feature = "compiler")]
pub fn offset_from_js(offset: f64) -> usize {
    // Casts of floats saturate.
    offset as usize
}
