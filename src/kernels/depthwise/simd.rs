//! Kernels for WebAssembly SIMD.
//!
//! V8 has 15 vector registers on x86-64. A tile has one vector of sums (four channels) for each of 7 or 8 columns; the
//! weights of one row of the kernel, an input vector and a product take the rest. Each input vector is loaded once for a
//! pair of rows and multiplied for all columns that it lies under.
//!
//! Steps are written in the order in which they should run, and builds tell LLVM's scheduler to keep it.

use core::arch::wasm32::*;

use super::CHANNELS;
use super::driver::{Group, Pointer, Steps};
use super::weights::Pair;
use crate::kernels::conv::Kind;

/// Sums of four channels.
pub(super) type Sums = v128;

const VECTOR: usize = size_of::<Pair>();

/// Interleaves `count` columns of two rows: chunks of 16 channels, `a_step` and `b_step` bytes apart, become a vector of
/// four pairs in each of four planes.
///
/// # Safety
///
/// The chunks can be read, and `count` vectors be written in each plane; planes are `plane_bytes` apart.
pub(super) unsafe fn interleave(
    mut a: *const u8,
    a_step: usize,
    mut b: *const u8,
    b_step: usize,
    count: usize,
    to: *mut u8,
    plane_bytes: usize,
) {
    let mut planes = [0, 1, 2, 3].map(|i| to.wrapping_add(i * plane_bytes));
    for _ in 0..count {
        // SAFETY: as the caller promises.
        unsafe {
            let (p, q) = (v128_load(a.cast()), v128_load(b.cast()));
            let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(p, q);
            let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(p, q);
            v128_store(planes[0].cast(), u16x8_extend_low_u8x16(low));
            v128_store(planes[1].cast(), u16x8_extend_high_u8x16(low));
            v128_store(planes[2].cast(), u16x8_extend_low_u8x16(high));
            v128_store(planes[3].cast(), u16x8_extend_high_u8x16(high));
        }
        a = a.wrapping_add(a_step);
        b = b.wrapping_add(b_step);
        planes = planes.map(|plane| plane.wrapping_add(VECTOR));
    }
}

/// Calls `$each` for each pair row, with its first vector and the weights.
macro_rules! pair_rows {
    ($group:ident, $width:expr, |$x:ident, $w:ident| $each:block) => {
        let mut slot = $group.first;
        let mut $w = $group.weights;
        for _ in 0..$group.pairs {
            // SAFETY: the slot exists.
            let $x = unsafe { $group.planes.add(slot * $group.slot_bytes) };
            $each
            // SAFETY: up to the end of the weights.
            $w = unsafe { $w.add($width) };
            slot += 1;
            if slot == $group.slots {
                slot = 0;
            }
        }
    };
}

/// Sums of `T` columns from `column` on, with the bias.
///
/// # Safety
///
/// As `driver::row`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn tile<const KW: usize, const SX: usize, const T: usize>(
    group: &Group<'_>,
    column: usize,
) -> [Sums; T] {
    // SAFETY: four numbers.
    let mut sums = [unsafe { v128_load(group.bias.as_ptr().cast()) }; T];
    pair_rows!(group, KW, |x, w| {
        // SAFETY: within the plane and the weights, as the caller promises.
        unsafe {
            let x = x.add(column * SX * VECTOR);
            let w: [v128; KW] = std::array::from_fn(|k| v128_load(w.add(k).cast()));
            for j in 0..(T - 1) * SX + KW {
                let x = v128_load(x.add(j * VECTOR).cast());
                for k in 0..KW {
                    if j >= k && (j - k) % SX == 0 && (j - k) / SX < T {
                        let t = (j - k) / SX;
                        sums[t] = i32x4_add(sums[t], i32x4_dot_i16x8(x, w[k]));
                    }
                }
            }
        }
    });
    sums
}

/// [`tile`] for any kernel.
///
/// # Safety
///
/// As `driver::row`.
#[inline(always)]
pub(super) unsafe fn tile_any<const T: usize>(group: &Group<'_>, steps: Steps, column: usize) -> [Sums; T] {
    // SAFETY: four numbers.
    let mut sums = [unsafe { v128_load(group.bias.as_ptr().cast()) }; T];
    let stride = steps.stride * VECTOR;
    pair_rows!(group, steps.width, |x, w| {
        for k in 0..steps.width {
            // SAFETY: within the plane and the weights, as the caller promises.
            unsafe {
                let mut x = x.add(column * stride + k * steps.dilation * VECTOR);
                let w = v128_load(w.add(k).cast());
                for sum in &mut sums {
                    *sum = i32x4_add(*sum, i32x4_dot_i16x8(v128_load(x.cast()), w));
                    x = x.wrapping_add(stride);
                }
            }
        }
    });
    sums
}

/// 1.5 * 2^23: the sum of it and a number of magnitude up to 2^22 is that number rounded to an integer, half to even, in
/// the low bits.
const MAGIC: f32 = 12_582_912.0;

/// Finishes the sums of up to `T` columns, `left` at most, and stores them.
///
/// # Safety
///
/// As `driver::row`.
#[inline(always)]
pub(super) unsafe fn finish<const T: usize>(sums: [Sums; T], group: &Group<'_>, column: usize, left: usize) {
    let at = group.at + column * group.row_stride;
    match (group.kind, group.y) {
        (Kind::Quantized { zero_point, low, high, bounded }, Pointer::Uint8(y)) => {
            // SAFETY: four numbers.
            let m = unsafe { v128_load(group.multipliers.as_ptr().cast()) };
            let mut v = sums.map(|s| f32x4_mul(f32x4_convert_i32x4(s), m));
            if !bounded {
                // Far beyond all quanta, near enough for the trick.
                v = v.map(|v| f32x4_pmin(f32x4_splat(65536.0), f32x4_pmax(f32x4_splat(-65536.0), v)));
            }
            // The bits of the sum, less this, are the rounded number plus the zero point.
            let offset = i32x4_splat(MAGIC.to_bits() as i32 - zero_point as i32);
            let magic = f32x4_splat(MAGIC);
            let v = v.map(|v| i32x4_sub(f32x4_add(v, magic), offset));
            let (low, high) = (u8x16_splat(low), u8x16_splat(high));
            // SAFETY: at least one column is left, and those that are lie inside, as the caller promises.
            unsafe {
                let y = y.add(at);
                for t in (0..T).step_by(4) {
                    let pick = |i: usize| v[(t + i).min(T - 1)];
                    let q =
                        u8x16_narrow_i16x8(i16x8_narrow_i32x4(pick(0), pick(1)), i16x8_narrow_i32x4(pick(2), pick(3)));
                    let q = u8x16_min(u8x16_max(q, low), high);
                    if left >= T && group.valid == CHANNELS {
                        let y = y.add(t * group.row_stride);
                        v128_store32_lane::<0>(q, y.cast());
                        v128_store32_lane::<1>(q, y.add(group.row_stride).cast());
                        v128_store32_lane::<2>(q, y.add(2 * group.row_stride).cast());
                        if t + 3 < T {
                            v128_store32_lane::<3>(q, y.add(3 * group.row_stride).cast());
                        }
                    } else {
                        let mut bytes = [0u8; 16];
                        v128_store(bytes.as_mut_ptr().cast(), q);
                        for i in t..left.min(T).min(t + 4) {
                            let four = &bytes[(i - t) * 4..][..group.valid];
                            std::ptr::copy_nonoverlapping(four.as_ptr(), y.add(i * group.row_stride), group.valid);
                        }
                    }
                }
            }
        }
        // SAFETY: as the caller promises.
        _ => unsafe { finish_words(&sums[..left.min(T)], group, at) },
    }
}

/// [`finish`] for floats and 32-bit integers.
///
/// # Safety
///
/// As `driver::row`.
#[inline(never)]
unsafe fn finish_words(sums: &[Sums], group: &Group<'_>, at: usize) {
    for (t, &sum) in sums.iter().enumerate() {
        // SAFETY: lists of four numbers, and columns inside, as the caller promises.
        unsafe {
            let (y, v): (*mut u32, _) = match (group.kind, group.y) {
                (Kind::Float { low, high }, Pointer::Float32(y)) => {
                    let v = f32x4_mul(f32x4_convert_i32x4(sum), v128_load(group.multipliers.as_ptr().cast()));
                    let v = f32x4_add(v, v128_load(group.addend.as_ptr().cast()));
                    (y.cast(), f32x4_pmin(f32x4_pmax(v, f32x4_splat(low)), f32x4_splat(high)))
                }
                (Kind::Integer, Pointer::Int32(y)) => (y.cast(), sum),
                _ => unreachable!("the driver checks the type"),
            };
            let y = y.add(at + t * group.row_stride);
            if group.valid == CHANNELS {
                v128_store(y.cast(), v);
            } else {
                let mut four = [0u32; CHANNELS];
                v128_store(four.as_mut_ptr().cast(), v);
                std::ptr::copy_nonoverlapping(four.as_ptr(), y, group.valid);
            }
        }
    }
}
