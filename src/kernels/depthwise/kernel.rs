//! What the driver knows of a kernel: how rows are interleaved and multiplied.

#[cfg(not(target_arch = "wasm32"))]
pub(super) use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
pub(super) use super::simd as arch;

use crate::kernels::conv::SIGN;
use crate::kernels::isa::Dot;
use arch::V;

/// Rows that are interleaved.
pub(super) fn rows_of_group(dot: Dot) -> usize {
    match dot {
        Dot::Pairs => Pairs::ROWS,
        Dot::Usdot | Dot::Sdot => Usdot::ROWS,
    }
}

/// Most rows of a group.
pub(super) const MOST_ROWS: usize = 4;

/// A way of multiplying.
pub(super) trait Kernel {
    /// Rows that are interleaved.
    const ROWS: usize;

    /// Interleaves 16 channels of [`Self::ROWS`] rows: four vectors of four channels each, `plane` bytes apart.
    ///
    /// # Safety
    ///
    /// 16 bytes can be read at each of the first [`Self::ROWS`] pointers, and written at each of the places.
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize);

    /// `sums` and the products of the interleaved rows with their weights, by channel.
    fn dot(sums: V, rows: V, weights: V) -> V;
}

/// Two rows of 16-bit numbers, exact everywhere.
pub(super) struct Pairs;

impl Kernel for Pairs {
    const ROWS: usize = 2;

    #[inline(always)]
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize) {
        // SAFETY: the same conditions.
        unsafe { arch::interleave_pairs(rows[0], rows[1], to, plane) }
    }

    #[inline(always)]
    fn dot(sums: V, rows: V, weights: V) -> V {
        arch::dot_pairs(sums, rows, weights)
    }
}

/// Four rows of bytes, u8 x s8, for [`Dot::Usdot`].
pub(super) struct Usdot;

impl Kernel for Usdot {
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize) {
        // SAFETY: the same conditions.
        unsafe { arch::interleave_fours(rows, to, plane, 0) }
    }

    #[inline(always)]
    fn dot(sums: V, rows: V, weights: V) -> V {
        arch::usdot(sums, rows, weights)
    }
}

/// Four rows of bytes, s8 x s8, for [`Dot::Sdot`].
pub(super) struct Sdot;

impl Kernel for Sdot {
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn interleave(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize) {
        // SAFETY: the same conditions.
        unsafe { arch::interleave_fours(rows, to, plane, SIGN) }
    }

    #[inline(always)]
    fn dot(sums: V, rows: V, weights: V) -> V {
        arch::sdot(sums, rows, weights)
    }
}
