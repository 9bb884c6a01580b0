//! The kernels in plain Rust, for native builds.

use super::driver::{Group, Pointer, Steps};
use super::weights::Pair;
use super::{CHANNELS, CHUNK};
use crate::kernels::conv::Kind;
use crate::kernels::quantize::requantize;

/// Sums of four channels.
pub(super) type Sums = [i32; CHANNELS];

/// Interleaves `count` columns of two rows: chunks of 16 channels, `a_step` and `b_step` bytes apart, become a vector of
/// four pairs in each of four planes.
///
/// # Safety
///
/// The chunks can be read, and `count` vectors be written in each plane; planes are `plane_bytes` apart.
pub(super) unsafe fn interleave(
    a: *const u8,
    a_step: usize,
    b: *const u8,
    b_step: usize,
    count: usize,
    to: *mut u8,
    plane_bytes: usize,
) {
    for i in 0..count {
        for n in 0..CHUNK {
            // SAFETY: as the caller promises.
            unsafe {
                let pair = [a.add(i * a_step + n).read() as i16, b.add(i * b_step + n).read() as i16];
                let plane = to.add(n / CHANNELS * plane_bytes + i * size_of::<Pair>());
                plane.cast::<[i16; 2]>().add(n % CHANNELS).write_unaligned(pair);
            }
        }
    }
}

/// Sums of `T` columns from `column` on, with the bias.
///
/// # Safety
///
/// As `driver::row`.
pub(super) unsafe fn tile<const KW: usize, const SX: usize, const T: usize>(
    group: &Group<'_>,
    column: usize,
) -> [Sums; T] {
    // SAFETY: the same conditions.
    unsafe { tile_any(group, Steps { width: KW, stride: SX, dilation: 1 }, column) }
}

/// [`tile`] for any kernel.
///
/// # Safety
///
/// As `driver::row`.
pub(super) unsafe fn tile_any<const T: usize>(group: &Group<'_>, steps: Steps, column: usize) -> [Sums; T] {
    std::array::from_fn(|t| {
        std::array::from_fn(|n| {
            let mut sum = group.bias[n];
            for p in 0..group.pairs {
                for k in 0..steps.width {
                    let slot = (group.first + p) % group.slots;
                    let at = (column + t) * steps.stride + k * steps.dilation;
                    // SAFETY: as the caller promises.
                    unsafe {
                        let x = group.planes.add(slot * group.slot_bytes).cast::<Pair>().add(at).read().0;
                        let w = group.weights.add(p * steps.width + k).read().0;
                        for i in 2 * n..2 * n + 2 {
                            sum = sum.wrapping_add(x[i] as i32 * w[i] as i32);
                        }
                    }
                }
            }
            sum
        })
    })
}

/// Finishes the sums of up to `T` columns, `left` at most, and stores them.
///
/// # Safety
///
/// As `driver::row`.
pub(super) unsafe fn finish<const T: usize>(sums: [Sums; T], group: &Group<'_>, column: usize, left: usize) {
    for (t, sums) in sums.iter().enumerate().take(left) {
        for (n, &sum) in sums.iter().enumerate().take(group.valid) {
            let at = group.at + (column + t) * group.row_stride + n;
            // SAFETY: inside, as the caller promises.
            unsafe {
                match (group.kind, group.y) {
                    (Kind::Quantized { zero_point, low, high, .. }, Pointer::Uint8(y)) => {
                        let q = requantize::<u8>(sum, group.multipliers[n], zero_point as i32);
                        y.add(at).write(q.clamp(low, high));
                    }
                    (Kind::Float { low, high }, Pointer::Float32(y)) => {
                        let v = sum as f32 * group.multipliers[n] + group.addend[n];
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
