//! Sums of a row of output positions.
//!
//! A tile is a few neighbouring positions of four channels, whose sums stay in registers. V8 has 15 vector registers on
//! x86-64: 7 sums, up to 5 weights (a row of the kernel), a vector of the input and a product. Each vector of the input
//! is loaded once for all the taps that it meets. Many image sizes are multiples of 7.

use super::driver::{SUMS, VECTOR};
use super::kernel::{Kernel, Multiply, arch};
use super::weights::{BLOCK, QUARTERS, Vector};
use crate::kernels::Window;

/// Positions of a tile,
const WIDE: usize = 7;
/// and of the last one, if so many are enough.
const NARROW: usize = 4;

/// Columns that the tiles of a row compute.
pub(super) fn padded_columns(columns: usize) -> usize {
    columns / WIDE * WIDE
        + match columns % WIDE {
            0 => 0,
            rest if rest <= NARROW => NARROW,
            _ => WIDE,
        }
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
            if groups > FEW {
                tiles::<K, Any>(&job, columns, &Any { kw, step, dilation });
                continue;
            }
            let slot = |i: usize| (ring.first + i) % ring.slots;
            let few: [*const u8; FEW] =
                std::array::from_fn(|i| if i < groups { job.ring.add(slot(i) * ring.slot_bytes) } else { job.ring });
            match (kw, step, dilation) {
                (3, 1, 1) => tiles::<K, Fixed<3, 1>>(&job, columns, &Fixed(few)),
                (3, 2, 1) => tiles::<K, Fixed<3, 2>>(&job, columns, &Fixed(few)),
                (5, 1, 1) => tiles::<K, Fixed<5, 1>>(&job, columns, &Fixed(few)),
                (5, 2, 1) => tiles::<K, Fixed<5, 2>>(&job, columns, &Fixed(few)),
                _ => tiles::<K, Any>(&job, columns, &Any { kw, step, dilation }),
            }
        }
    }
}

/// Groups of rows that fast tiles can take.
const FEW: usize = 3;

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

#[inline(never)]
unsafe fn tiles<K: Kernel, T: Taps>(job: &Job, columns: usize, taps: &T) {
    let mut column = 0;
    // SAFETY: as the caller promises.
    unsafe {
        while columns - column > NARROW {
            let sums = taps.tile::<K, WIDE>(job, column * taps.step() * VECTOR);
            let to = job.sums.add(column * SUMS);
            for (i, &s) in sums.iter().enumerate() {
                arch::store(s, to.add(i * SUMS));
            }
            column += WIDE;
            if column >= columns {
                return;
            }
        }
        let sums = taps.tile::<K, NARROW>(job, column * taps.step() * VECTOR);
        let to = job.sums.add(column * SUMS);
        for (i, &s) in sums.iter().enumerate() {
            arch::store(s, to.add(i * SUMS));
        }
    }
}

/// A kernel with `KW` columns that moves by `S`, and touches up to [`FEW`] groups of rows, of which these are the planes.
struct Fixed<const KW: usize, const S: usize>([*const u8; FEW]);

impl<const KW: usize, const S: usize> Taps for Fixed<KW, S> {
    fn step(&self) -> usize {
        S
    }

    #[inline(always)]
    unsafe fn tile<K: Kernel, const C: usize>(&self, job: &Job, at: usize) -> [arch::V; C] {
        // SAFETY: a vector.
        let mut sums = [unsafe { arch::load(job.bias) }; C];
        let mut weights = job.weights;
        // Not unrolled: over a longer run, LLVM sorts the products by sum, and all rows and weights would be alive at once.
        for plane in &self.0[..job.groups] {
            // SAFETY: as the caller promises.
            unsafe {
                let rows = plane.add(at);
                let w: [arch::V; KW] = std::array::from_fn(|kx| arch::load(weights.add(kx * VECTOR)));
                // Written out, so that every index is known when it is compiled.
                macro_rules! tap {
                    ($i:literal, $x:ident, $($kx:literal)*) => {
                        $(if $kx < KW && $i >= $kx && ($i - $kx) % S == 0 && ($i - $kx) / S < C {
                            sums[($i - $kx) / S] = K::Dot::dot(sums[($i - $kx) / S], $x, w[$kx]);
                        })*
                    };
                }
                macro_rules! positions {
                    ($($i:literal)*) => {
                        $(if $i < (C - 1) * S + KW {
                            let x = arch::load(rows.add($i * VECTOR));
                            tap!($i, x, 0 1 2 3 4);
                        })*
                    };
                }
                const { assert!(KW <= 5 && (C - 1) * S + KW <= 17) };
                positions!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
                weights = weights.add(KW * VECTOR);
            }
        }
        sums
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
