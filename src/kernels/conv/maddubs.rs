//! The kernel for machines that add up products of bytes two at a time, in 16 bits.

use std::marker::PhantomData;

use super::bytes::ByteRows;
use super::kernel::{Kernel, Sums};
#[cfg(not(target_arch = "wasm32"))]
use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
use super::simd_maddubs as arch;

/// u8 x s8, for [`crate::kernels::isa::Dot::Maddubs`].
#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) type Maddubs = Programmed<arch::Saturating>;
// Tests compute what the instruction would, as the machine they run on may have another.
#[cfg(all(target_arch = "wasm32", not(test)))]
pub(super) type Maddubs = Programmed<arch::Relaxed>;

/// Rows of bytes, and programs, see [`super::program`].
pub(super) struct Programmed<P>(PhantomData<P>);

impl<P: arch::PairSums> Kernel for Programmed<P> {
    type Rows = ByteRows;
    const WIDE: bool = false;
    const FEW: usize = 4;

    #[inline(always)]
    unsafe fn tile<const M: usize>(a: *const u8, stride: usize, b: *const u8, _steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions; the program of the panel knows no other steps.
        unsafe { arch::tile_program::<P, M>(a, stride, b, first) }
    }

    #[inline(always)]
    unsafe fn few<const M: usize>(a: *const u8, stride: usize, b: *const u8, _steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions.
        unsafe { arch::tile_program::<P, M>(a, stride, b, first) }
    }
}
