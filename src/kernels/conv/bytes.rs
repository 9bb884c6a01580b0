//! The kernel for machines that multiply bytes.

use std::marker::PhantomData;

use super::kernel::{Kernel, Rows, Sums};
#[cfg(not(target_arch = "wasm32"))]
use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
use super::simd_bytes as arch;

/// u8 x s8, for [`crate::kernels::isa::Dot::Usdot`].
#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) type Usdot = Bytes<arch::model::Unsigned>;
/// s8 x s8, for [`crate::kernels::isa::Dot::Sdot`].
#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) type Sdot = Bytes<arch::model::Signed>;
// Tests compute what the instruction would, as the machine they run on may have another.
#[cfg(all(target_arch = "wasm32", not(test)))]
pub(super) type Usdot = Bytes<arch::Relaxed>;
#[cfg(all(target_arch = "wasm32", not(test)))]
pub(super) type Sdot = Bytes<arch::Relaxed>;

/// Rows of bytes.
pub(super) struct ByteRows;

impl Rows for ByteRows {
    const ELEMENT: usize = 1;
    const CHUNK: usize = arch::COPY_CHUNK;

    #[inline(always)]
    unsafe fn copy(from: *const u8, to: *mut u8, len: usize, mask: u8) {
        // SAFETY: the same conditions.
        unsafe { arch::copy_run(from, to, len, mask) }
    }

    fn put(row: &mut [u8], element: usize, byte: u8) {
        row[element] = byte;
    }

    fn sum(row: &[u8], mask: u8) -> i32 {
        // e as signed is (e ^ 128) - 128.
        arch::sum_run(row, mask).wrapping_sub((row.len() as i32).wrapping_mul(mask as i32))
    }
}

/// Rows of bytes, and panels as they are packed.
pub(super) struct Bytes<D>(PhantomData<D>);

impl<D: arch::ByteDot> Kernel for Bytes<D> {
    type Rows = ByteRows;
    const WIDE: bool = false;
    const FEW: usize = 12;

    #[inline(always)]
    unsafe fn tile<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions.
        unsafe { arch::tile_bytes::<D, M>(a, stride, b, steps, first) }
    }

    #[inline(always)]
    unsafe fn few<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions.
        unsafe { arch::few_bytes::<D, M>(a, stride, b, steps, first) }
    }
}
