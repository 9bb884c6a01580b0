//! What the driver knows of a kernel: how rows are interleaved and multiplied.

#[cfg(not(target_arch = "wasm32"))]
pub(super) use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
pub(super) use super::simd as arch;

#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
use std::marker::PhantomData;

use crate::kernels::isa::Dot;
use arch::V;

/// Rows that are interleaved.
pub(super) fn rows_of_group(dot: Dot) -> usize {
    match dot {
        Dot::Pairs | Dot::Maddubs => 2,
        Dot::Usdot | Dot::Sdot => 4,
    }
}

/// Most rows of a group.
pub(super) const MOST_ROWS: usize = 4;

/// A way of multiplying interleaved rows.
pub(super) trait Multiply {
    /// `sums` and the products of the rows with their weights, by channel.
    fn dot(sums: V, rows: V, weights: V) -> V;
}

/// A way of interleaving rows.
pub(super) trait Kernel {
    /// Rows that are interleaved.
    const ROWS: usize;
    /// What multiplies them.
    type Dot: Multiply;

    /// Interleaves 16 channels of [`Self::ROWS`] rows, bytes xor `mask`: four vectors of four channels each, `plane`
    /// bytes apart.
    ///
    /// # Safety
    ///
    /// 16 bytes can be read at each of the first [`Self::ROWS`] pointers, and written at each of the places.
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize, mask: u8);
}

/// Two rows of 16-bit numbers, exact everywhere.
pub(super) struct Pairs;

impl Multiply for Pairs {
    #[inline(always)]
    fn dot(sums: V, rows: V, weights: V) -> V {
        arch::dot_pairs(sums, rows, weights)
    }
}

impl Kernel for Pairs {
    const ROWS: usize = 2;
    type Dot = Self;

    #[inline(always)]
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize, _mask: u8) {
        // SAFETY: the same conditions.
        unsafe { arch::interleave_pairs(rows[0], rows[1], to, plane) }
    }
}

/// u8 x s8, for [`Dot::Usdot`].
#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) type Usdot = Bytes<arch::Unsigned>;
/// s8 x s8, for [`Dot::Sdot`].
#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) type Sdot = Bytes<arch::Signed>;
// Tests compute what the instruction would, as the machine they run on may have another.
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd", not(test)))]
pub(super) type Usdot = Bytes<arch::Relaxed>;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd", not(test)))]
pub(super) type Sdot = Bytes<arch::Relaxed>;

/// Four rows of bytes.
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
pub(super) struct Bytes<D>(PhantomData<D>);

#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
impl<D: Multiply> Kernel for Bytes<D> {
    const ROWS: usize = 4;
    type Dot = D;

    #[inline(always)]
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize, mask: u8) {
        // SAFETY: the same conditions.
        unsafe { arch::interleave_fours(rows, to, plane, mask) }
    }
}
