//! The operations of the kernels, written out: for native builds, and what `simd` is held against.

use super::driver::{Lists, Pointer};
use super::kernel::{MOST_ROWS, Multiply};
use super::weights::BLOCK;
use crate::kernels::conv::Kind;
use crate::kernels::quantize::requantize;

/// A vector of 16 bytes.
pub(super) type V = [u8; 16];

/// # Safety
///
/// 16 bytes can be read.
pub(super) unsafe fn load(from: *const u8) -> V {
    // SAFETY: as the caller promises.
    unsafe { from.cast::<V>().read_unaligned() }
}

/// # Safety
///
/// 16 bytes can be written.
pub(super) unsafe fn store(v: V, to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { to.cast::<V>().write_unaligned(v) }
}

fn sum_lanes(sums: V, lane: impl Fn(usize) -> i32) -> V {
    let mut y = sums;
    for (i, word) in y.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *word = i32::from_le_bytes(*word).wrapping_add(lane(i)).to_le_bytes();
    }
    y
}

/// Two products of 16-bit numbers in each lane.
pub(super) fn dot_pairs(sums: V, a: V, b: V) -> V {
    let word = |v: &V, i: usize| i16::from_le_bytes([v[2 * i], v[2 * i + 1]]) as i32;
    sum_lanes(sums, |i| (0..2).map(|k| word(&a, 2 * i + k) * word(&b, 2 * i + k)).sum())
}

/// u8 rows, s8 weights.
pub(super) struct Unsigned;
/// s8 rows, s8 weights.
pub(super) struct Signed;

impl Multiply for Unsigned {
    fn dot(sums: V, rows: V, weights: V) -> V {
        sum_lanes(sums, |i| (4 * i..4 * i + 4).map(|k| rows[k] as i32 * weights[k] as i8 as i32).sum())
    }
}

impl Multiply for Signed {
    fn dot(sums: V, rows: V, weights: V) -> V {
        sum_lanes(sums, |i| (4 * i..4 * i + 4).map(|k| rows[k] as i8 as i32 * weights[k] as i8 as i32).sum())
    }
}

/// See [`super::kernel::Kernel::interleave`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn interleave_pairs(a: *const u8, b: *const u8, to: *mut u8, plane: usize) {
    for c in 0..BLOCK {
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(c / 4 * plane + c % 4 * 4);
            to.cast::<[u8; 4]>().write_unaligned([*a.add(c), 0, *b.add(c), 0]);
        }
    }
}

/// See [`super::kernel::Kernel::interleave`]; bytes are xor `mask`.
///
/// # Safety
///
/// As there.
pub(super) unsafe fn interleave_fours(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize, mask: u8) {
    for c in 0..BLOCK {
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(c / 4 * plane + c % 4 * 4);
            to.cast::<[u8; 4]>().write_unaligned(rows.map(|row| *row.add(c) ^ mask));
        }
    }
}

/// Finishes `count` positions of a block and stores the first `valid` channels of each, from element `at` of `y` on.
///
/// # Safety
///
/// `64 * count` bytes can be read at `sums`, and all results lie inside of `y`.
pub(super) unsafe fn finish(
    sums: *const u8,
    count: usize,
    lists: &Lists<'_>,
    y: Pointer,
    at: usize,
    stride: usize,
    valid: usize,
) {
    for p in 0..count {
        for c in 0..valid {
            let at = at + p * stride + c;
            // SAFETY: as the caller promises.
            unsafe {
                let sum = sums.add((p * BLOCK + c) * 4).cast::<i32>().read_unaligned();
                match (lists.kind, y) {
                    (Kind::Quantized { zero_point, low, high, .. }, Pointer::Uint8(y)) => {
                        let q = requantize::<u8>(sum, lists.multipliers[c], zero_point as i32);
                        y.add(at).write(q.clamp(low, high));
                    }
                    (Kind::Float { low, high }, Pointer::Float32(y)) => {
                        let v = sum as f32 * lists.multipliers[c] + lists.addend[c];
                        let v = if v < low { low } else { v };
                        y.add(at).write(if high < v { high } else { v });
                    }
                    (Kind::Integer, Pointer::Int32(y)) => y.add(at).write(sum),
                    _ => unreachable!("the driver checks the type"),
                }
            }
        }
    }
}
