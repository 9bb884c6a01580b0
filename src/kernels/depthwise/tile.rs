//! Sums of a row of output positions.
//!
//! A tile is a few neighbouring positions of four channels, whose sums stay in registers. V8 has 15 vector registers on
//! x86-64. LLVM computes one sum after the other, so a kernel of `k` columns takes `k` weights, `k` vectors of the input,
//! the sums and a product: 7 sums fit with 3 columns, 4 or 5 with 5. Each vector of the input is loaded once for all the
//! taps that it meets.

use super::driver::{SUMS, VECTOR};
use super::kernel::{Kernel, Multiply, arch};
use super::weights::{BLOCK, QUARTERS, Vector};
use crate::kernels::Window;

/// Positions of a wide tile, unless the kernel has 5 columns,
const WIDE: usize = 7;
/// of a wide tile if it has,
const WIDE_5: usize = 5;
/// and of a narrow one.
const NARROW: usize = 4;

/// How many wide and narrow tiles make up a row: as few as possible, then as narrow as possible.
fn split(columns: usize, wide: usize) -> (usize, usize) {
    let tiles = columns.div_ceil(wide);
    let wides = columns.saturating_sub(tiles * NARROW).div_ceil(wide - NARROW);
    (wides, tiles - wides)
}

/// Columns that the tiles of a row compute at most.
pub(super) fn padded_columns(columns: usize) -> usize {
    let padded = |wide| {
        let (wides, narrows) = split(columns, wide);
        wides * wide + narrows * NARROW
    };
    padded(WIDE).max(padded(WIDE_5))
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
                _ => tiles::<K, Any, WIDE>(&job, columns, &Any { kw, step, dilation }),
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

/// A row of the kernel.
trait Taps {
    fn step(&self) -> usize;

    /// Sums of `C` positions, the first of which reads from byte `at` of a plane on.
    ///
    /// # Safety
    ///
    /// All that the windows touch lies in the slots.
    unsafe fn tile<K: Kernel, const C: usize>(&self, job: &Job, at: usize) -> [arch::V; C];
}

/// Sums of a row.
///
/// # Safety
///
/// All that the windows of [`padded_columns`] touch lies in the slots, and their sums can be written.
#[inline(never)]
unsafe fn tiles<K: Kernel, T: Taps, const W: usize>(job: &Job, columns: usize, taps: &T) {
    let (wides, narrows) = split(columns, W);
    let step = taps.step() * VECTOR;
    // SAFETY: as the caller promises.
    unsafe {
        for tile in 0..wides {
            put(taps.tile::<K, W>(job, tile * W * step), job.sums.add(tile * W * SUMS));
        }
        for tile in 0..narrows {
            let column = wides * W + tile * NARROW;
            put(taps.tile::<K, NARROW>(job, column * step), job.sums.add(column * SUMS));
        }
    }
}

/// Stores the sums of four channels of neighbouring positions.
///
/// # Safety
///
/// They can be written.
#[inline(always)]
unsafe fn put<const C: usize>(sums: [arch::V; C], to: *mut u8) {
    for (i, &s) in sums.iter().enumerate() {
        // SAFETY: as the caller promises.
        unsafe { arch::store(s, to.add(i * SUMS)) }
    }
}

/// Sums of a row, for a kernel with `KW` columns that moves by `S`: two groups of rows at a time, or as many as there are
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
        let mut rows: [*const u8; G] = std::array::from_fn(|g| {
            let slot = job.first + group + g;
            job.ring.add(if slot < job.slots { slot } else { slot - job.slots } * job.slot_bytes)
        });
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

/// Any other kernel.
struct Any {
    kw: usize,
    step: usize,
    dilation: usize,
}

impl Taps for Any {
    fn step(&self) -> usize {
        self.step
    }

    #[inline(always)]
    unsafe fn tile<K: Kernel, const C: usize>(&self, job: &Job, at: usize) -> [arch::V; C] {
        // SAFETY: a vector.
        let mut sums = [unsafe { arch::load(job.bias) }; C];
        let mut slot = job.first;
        let mut weights = job.weights;
        for _ in 0..job.groups {
            // SAFETY: as the caller promises.
            unsafe {
                let mut rows = job.ring.add(slot * job.slot_bytes + at);
                for _ in 0..self.kw {
                    let w = arch::load(weights);
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = K::Dot::dot(*sum, arch::load(rows.add(i * self.step * VECTOR)), w);
                    }
                    rows = rows.wrapping_add(self.dilation * VECTOR);
                    weights = weights.add(VECTOR);
                }
            }
            slot += 1;
            if slot == job.slots {
                slot = 0;
            }
        }
        sums
    }
}
