//! Sums of a row of output positions, four channels at a time.
//!
//! V8 has 15 vector registers on x86-64. Kernels with 3 or 5 columns go from position to position with their weights and
//! the window in registers, so that each vector of the input is loaded once: two groups of rows of 3 columns take 6
//! weights, 6 vectors of the window, a sum and a product. For 5 columns that is one group, and the sums of the groups are
//! added up in memory. Tiles of several positions, of which the sums stay in registers, were slower: LLVM computes
//! one sum after the other all the same, and then all sums, weights and vectors are alive at once.

use super::driver::{SUMS, VECTOR};
use super::kernel::{Kernel, Multiply, arch};
use super::weights::{BLOCK, QUARTERS, Vector};
use crate::kernels::Window;

/// Positions of a wide tile of kernels of other sizes,
const WIDE: usize = 7;
/// and of a narrow one.
const NARROW: usize = 4;

/// How many wide and narrow tiles make up a row: as few as possible, then as narrow as possible.
fn split(columns: usize) -> (usize, usize) {
    let tiles = columns.div_ceil(WIDE);
    let wides = columns.saturating_sub(tiles * NARROW).div_ceil(WIDE - NARROW);
    (wides, tiles - wides)
}

/// Columns that the tiles of a row compute.
pub(super) fn padded_columns(columns: usize) -> usize {
    let (wides, narrows) = split(columns);
    wides * WIDE + narrows * NARROW
}

/// Interleaved groups of rows.
pub(super) struct Ring<'a> {
    pub bytes: &'a [u8],
    pub slot_bytes: usize,
    pub slots: usize,
    /// Bytes of four channels of a slot.
    pub plane: usize,
    /// Slot of the first group; the next ones follow, and the first slot follows the last.
    pub first: usize,
}

/// Computes the sums of a row of positions, `[ow][16]`, with the bias; those behind the last are not used.
pub(super) fn row<K: Kernel>(
    window: &Window,
    ring: &Ring<'_>,
    groups: usize,
    weights: &[Vector],
    bias: &[i32; BLOCK],
    sums: &mut [u8],
) {
    let ([_, kw], [_, step], [_, dilation]) = (window.kernel, window.strides, window.dilations);
    let columns = window.output[1];
    let padded = padded_columns(columns);
    let touched = ((padded - 1) * step + kw.saturating_sub(1) * dilation + 1) * VECTOR;
    assert!(sums.len() >= padded * SUMS && weights.len() >= QUARTERS * groups * kw);
    assert!(groups <= ring.slots && ring.bytes.len() >= ring.slots * ring.slot_bytes);
    assert!(
        ring.plane >= touched && ring.slot_bytes >= QUARTERS * ring.plane && (groups == 0 || ring.first < ring.slots)
    );
    for quarter in 0..QUARTERS {
        // SAFETY: what the tiles touch lies inside of all slots, and of the weights and sums, just checked.
        unsafe {
            let job = Job {
                ring: ring.bytes.as_ptr().add(quarter * ring.plane),
                slot_bytes: ring.slot_bytes,
                slots: ring.slots,
                first: ring.first,
                groups,
                weights: weights.as_ptr().add(quarter * groups * kw).cast(),
                bias: bias.as_ptr().add(quarter * 4).cast(),
                sums: sums.as_mut_ptr().add(quarter * VECTOR),
            };
            match (kw, step, dilation) {
                (3, 1, 1) => passes::<K, 3, 1>(&job, columns),
                (3, 2, 1) => passes::<K, 3, 2>(&job, columns),
                (5, 1, 1) => passes::<K, 5, 1>(&job, columns),
                (5, 2, 1) => passes::<K, 5, 2>(&job, columns),
                _ => tiles::<K>(&job, columns, &Taps { kw, step, dilation }),
            }
        }
    }
}

/// Four channels of a row.
struct Job {
    /// Their plane of slot 0.
    ring: *const u8,
    slot_bytes: usize,
    slots: usize,
    first: usize,
    groups: usize,
    /// `[groups][kw]` vectors.
    weights: *const u8,
    /// What the sums start with.
    bias: *const u8,
    /// Of the first position.
    sums: *mut u8,
}

impl Job {
    /// The plane of a group.
    fn plane(&self, group: usize) -> *const u8 {
        let slot = self.first + group;
        let slot = if slot < self.slots { slot } else { slot - self.slots };
        self.ring.wrapping_add(slot * self.slot_bytes)
    }
}

/// Sums of a row, for a kernel with `KW` columns that moves by `S`: as many groups of rows at a time as there are
/// registers for.
///
/// # Safety
///
/// All that the windows touch lies in the slots, and the sums can be written.
unsafe fn passes<K: Kernel, const KW: usize, const S: usize>(job: &Job, columns: usize) {
    let mut group = 0;
    // SAFETY: as the caller promises.
    unsafe {
        while group < job.groups {
            let start = if group == 0 { Start::Bias } else { Start::Sums };
            if KW == 3 && job.groups - group >= 2 {
                pass::<K, KW, S, 2>(job, columns, group, start);
                group += 2;
            } else {
                pass::<K, KW, S, 1>(job, columns, group, start);
                group += 1;
            }
        }
    }
}

/// What a pass adds to.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Bias,
    Sums,
}

/// Adds the products of `G` groups of rows, position by position.
///
/// # Safety
///
/// As [`passes`]; these groups exist.
#[inline(never)]
unsafe fn pass<K: Kernel, const KW: usize, const S: usize, const G: usize>(
    job: &Job,
    columns: usize,
    group: usize,
    start: Start,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut rows: [*const u8; G] = std::array::from_fn(|g| job.plane(group + g));
        let w: [[arch::V; KW]; G] = std::array::from_fn(|g| {
            std::array::from_fn(|kx| arch::load(job.weights.add(((group + g) * KW + kx) * VECTOR)))
        });
        let bias = arch::load(job.bias);
        let mut to = job.sums;
        // The window, where a position left it.
        let mut x: [[arch::V; KW]; G] = std::array::from_fn(|g| {
            std::array::from_fn(|kx| if kx >= S { arch::load(rows[g].add((kx - S) * VECTOR)) } else { bias })
        });
        macro_rules! taps {
            ($sum:ident, $g:literal, $($kx:literal)*) => {
                $(if $g < G && $kx < KW {
                    $sum = K::Dot::dot($sum, x[$g][$kx], w[$g][$kx]);
                })*
            };
        }
        macro_rules! position {
            ($i:literal, $sum:expr) => {
                let before = x;
                x = std::array::from_fn(|g| {
                    std::array::from_fn(|kx| {
                        if kx + S < KW { before[g][kx + S] } else { arch::load(rows[g].add(($i * S + kx) * VECTOR)) }
                    })
                });
                let mut sum = $sum;
                taps!(sum, 0, 0 1 2 3 4);
                taps!(sum, 1, 0 1 2 3 4);
                arch::store(sum, to.add($i * SUMS));
            };
        }
        macro_rules! positions {
            ($sum:expr, $($i:literal)*) => {
                $(position!($i, $sum($i));)*
            };
        }
        macro_rules! all {
            ($sum:expr) => {
                for _ in 0..columns / 4 {
                    positions!($sum, 0 1 2 3);
                    rows = rows.map(|row| row.wrapping_add(4 * S * VECTOR));
                    to = to.wrapping_add(4 * SUMS);
                }
                for _ in 0..columns % 4 {
                    positions!($sum, 0);
                    rows = rows.map(|row| row.wrapping_add(S * VECTOR));
                    to = to.wrapping_add(SUMS);
                }
            };
        }
        if start == Start::Bias {
            all!(|_: usize| bias);
        } else {
            all!(|i: usize| arch::load(to.add(i * SUMS)));
        }
    }
}

/// A row of any kernel.
struct Taps {
    kw: usize,
    step: usize,
    dilation: usize,
}

/// Sums of a row, for any kernel.
///
/// # Safety
///
/// All that the windows of [`padded_columns`] touch lies in the slots, and their sums can be written.
#[inline(never)]
unsafe fn tiles<K: Kernel>(job: &Job, columns: usize, taps: &Taps) {
    let (wides, narrows) = split(columns);
    // SAFETY: as the caller promises.
    unsafe {
        (0..wides).for_each(|i| tile::<K, WIDE>(job, taps, i * WIDE));
        (0..narrows).for_each(|i| tile::<K, NARROW>(job, taps, wides * WIDE + i * NARROW));
    }
}

/// Sums of `C` positions from `column` on.
///
/// # Safety
///
/// As [`tiles`].
#[inline(always)]
unsafe fn tile<K: Kernel, const C: usize>(job: &Job, taps: &Taps, column: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [arch::load(job.bias); C];
        let mut weights = job.weights;
        for group in 0..job.groups {
            let mut rows = job.plane(group).add(column * taps.step * VECTOR);
            for _ in 0..taps.kw {
                let w = arch::load(weights);
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = K::Dot::dot(*sum, arch::load(rows.add(i * taps.step * VECTOR)), w);
                }
                rows = rows.wrapping_add(taps.dilation * VECTOR);
                weights = weights.add(VECTOR);
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            arch::store(sum, job.sums.add((column + i) * SUMS));
        }
    }
}
