//! What the driver knows of a kernel, and the one that works everywhere.

#[cfg(not(target_arch = "wasm32"))]
use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
use super::simd as arch;

pub(super) use arch::{Epilogue, Sums, initial, interleave, sum_columns, widen_panel};

/// How rows of the left operand are held.
pub(super) trait Rows {
    /// Bytes of an element.
    const ELEMENT: usize;
    /// Elements that [`Self::copy`] works on at a time.
    const CHUNK: usize;

    /// Brings `len` bytes, each xor `mask`, into a row.
    ///
    /// # Safety
    ///
    /// `len`, rounded up to [`Self::CHUNK`], elements can be read at `from` and written at `to`.
    unsafe fn copy(from: *const u8, to: *mut u8, len: usize, mask: u8);

    /// Writes one byte into a row.
    fn put(row: &mut [u8], element: usize, byte: u8);

    /// Sum of the elements of a row; bytes are read as signed where there is a `mask`.
    fn sum(row: &[u8], mask: u8) -> i32;
}

/// How rows are multiplied.
///
/// All pointers: rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`.
pub(super) trait Kernel {
    /// What the rows are.
    type Rows: Rows;
    /// Whether tiles take a panel that was widened first.
    const WIDE: bool;
    /// Blocks with fewer rows are better off without tiles. At least the height of a tile.
    const FEW: usize;

    /// Products of `M` rows with a panel, widened if so said, added to `first`.
    ///
    /// # Safety
    ///
    /// See above; `32 * steps` bytes can be read at `b`, or `64 * steps` of a widened panel.
    unsafe fn tile<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M];

    /// Products of one or two rows with a packed panel, added to `first`.
    ///
    /// # Safety
    ///
    /// See above; `32 * steps` bytes can be read at `b`.
    unsafe fn few<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M];
}

/// Rows of 16-bit numbers.
pub(super) struct WideRows;

impl Rows for WideRows {
    const ELEMENT: usize = 2;
    const CHUNK: usize = arch::WIDEN_CHUNK;

    #[inline(always)]
    unsafe fn copy(from: *const u8, to: *mut u8, len: usize, _mask: u8) {
        // SAFETY: the same conditions.
        unsafe { arch::widen_run(from, to, len) }
    }

    fn put(row: &mut [u8], element: usize, byte: u8) {
        row[2 * element..][..2].copy_from_slice(&[byte, 0]);
    }

    fn sum(row: &[u8], _mask: u8) -> i32 {
        row.chunks_exact(2).fold(0i32, |sum, e| sum.wrapping_add(i16::from_le_bytes([e[0], e[1]]) as i32))
    }
}

/// Rows and panels of 16-bit numbers.
pub(super) struct Pairs;

impl Kernel for Pairs {
    type Rows = WideRows;
    const WIDE: bool = true;
    const FEW: usize = 15;

    #[inline(always)]
    unsafe fn tile<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions.
        unsafe { arch::tile_pairs::<M>(a, stride, b, steps, first) }
    }

    #[inline(always)]
    unsafe fn few<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize, first: Sums) -> [Sums; M] {
        // SAFETY: the same conditions.
        unsafe { arch::few_pairs::<M>(a, stride, b, steps, first) }
    }
}
