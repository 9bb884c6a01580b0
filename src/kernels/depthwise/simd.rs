//! The operations of the kernels for WebAssembly SIMD.

use core::arch::wasm32::*;

use super::driver::{Lists, Pointer, SUMS};
#[cfg(any(test, target_feature = "relaxed-simd"))]
use super::kernel::{MOST_ROWS, Multiply};
use super::weights::BLOCK;
use crate::kernels::conv::Kind;
use crate::kernels::vectors::{Rounding, clamp, within_reach};

#[cfg(test)]
pub(super) use model::{Signed, Unsigned};

/// A vector of 16 bytes.
pub(super) type V = v128;

/// # Safety
///
/// 16 bytes can be read.
#[inline(always)]
pub(super) unsafe fn load(from: *const u8) -> V {
    // SAFETY: as the caller promises.
    unsafe { v128_load(from.cast()) }
}

/// # Safety
///
/// 16 bytes can be written.
#[inline(always)]
pub(super) unsafe fn store(v: V, to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { v128_store(to.cast(), v) }
}

/// Two products of 16-bit numbers in each lane.
#[inline(always)]
pub(super) fn dot_pairs(sums: V, a: V, b: V) -> V {
    i32x4_add(sums, i32x4_dot_i16x8(a, b))
}

/// The relaxed instruction, where the probe found it exact.
#[cfg(all(target_feature = "relaxed-simd", not(test)))]
pub(super) struct Relaxed;

#[cfg(all(target_feature = "relaxed-simd", not(test)))]
impl Multiply for Relaxed {
    #[inline(always)]
    fn dot(sums: V, rows: V, weights: V) -> V {
        i32x4_relaxed_dot_i8x16_i7x16_add(weights, rows, sums)
    }
}

#[inline(always)]
fn zip(a: V, b: V) -> [V; 2] {
    [
        i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b),
        i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b),
    ]
}

#[cfg(any(test, target_feature = "relaxed-simd"))]
#[inline(always)]
fn zip_pairs(a: V, b: V) -> [V; 2] {
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)]
}

/// See [`super::kernel::Kernel::interleave`].
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(super) unsafe fn interleave_pairs(a: *const u8, b: *const u8, to: *mut u8, plane: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let [low, high] = zip(load(a), load(b));
        store(u16x8_extend_low_u8x16(low), to);
        store(u16x8_extend_high_u8x16(low), to.add(plane));
        store(u16x8_extend_low_u8x16(high), to.add(2 * plane));
        store(u16x8_extend_high_u8x16(high), to.add(3 * plane));
    }
}

/// See [`super::kernel::Kernel::interleave`]; bytes are xor `mask`.
///
/// # Safety
///
/// As there.
#[cfg(any(test, target_feature = "relaxed-simd"))]
#[inline(always)]
pub(super) unsafe fn interleave_fours(rows: &[*const u8; MOST_ROWS], to: *mut u8, plane: usize, mask: u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let mask = u8x16_splat(mask);
        let [a, b, c, d] = rows.map(|row| v128_xor(load(row), mask));
        let ([ab, ab_high], [cd, cd_high]) = (zip(a, b), zip(c, d));
        let (low, high) = (zip_pairs(ab, cd), zip_pairs(ab_high, cd_high));
        store(low[0], to);
        store(low[1], to.add(plane));
        store(high[0], to.add(2 * plane));
        store(high[1], to.add(3 * plane));
    }
}

/// Finishes `count` positions of a block and stores the first `valid` channels of each, from element `at` of `y` on.
///
/// # Safety
///
/// `64 * count` bytes can be read at `sums`, and all results lie inside of `y`.
#[inline(never)]
pub(super) unsafe fn finish(
    sums: *const u8,
    count: usize,
    lists: &Lists<'_>,
    y: Pointer,
    at: usize,
    stride: usize,
    valid: usize,
) {
    // SAFETY: as the caller promises.
    unsafe {
        match (lists.kind, y) {
            (Kind::Quantized { zero_point, low, high, bounded }, Pointer::Uint8(y)) => {
                let range = [zero_point, low, high];
                let y = y.add(at);
                match (bounded, valid == BLOCK) {
                    (true, true) => quantized::<true, true>(sums, count, lists, range, y, stride, valid),
                    (false, true) => quantized::<false, true>(sums, count, lists, range, y, stride, valid),
                    (_, false) => quantized::<false, false>(sums, count, lists, range, y, stride, valid),
                }
            }
            (Kind::Float { low, high }, Pointer::Float32(y)) => {
                let (low, high) = (f32x4_splat(low), f32x4_splat(high));
                words(sums, count, lists, y.add(at).cast(), stride, valid, |sum, m, addend| {
                    clamp(f32x4_add(f32x4_mul(f32x4_convert_i32x4(sum), m), addend), low, high)
                });
            }
            (Kind::Integer, Pointer::Int32(y)) => {
                words(sums, count, lists, y.add(at).cast(), stride, valid, |sum, _, _| sum);
            }
            _ => unreachable!("the driver checks the type"),
        }
    }
}

/// Four vectors of a list.
#[inline(always)]
fn quarters<T>(list: &[T; BLOCK]) -> [V; 4] {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: 16 elements of four bytes.
    [0, 1, 2, 3].map(|i| unsafe { load(list.as_ptr().add(4 * i).cast()) })
}

/// # Safety
///
/// As [`finish`], `y` at the first result.
#[inline(always)]
unsafe fn quantized<const BOUNDED: bool, const WHOLE: bool>(
    sums: *const u8,
    count: usize,
    lists: &Lists<'_>,
    [zero_point, low, high]: [u8; 3],
    y: *mut u8,
    stride: usize,
    valid: usize,
) {
    let m = quarters(lists.multipliers);
    let rounding = Rounding::new(zero_point);
    let (low, high) = (i16x8_splat(i16::from(low) - 128), i16x8_splat(i16::from(high) - 128));
    for p in 0..count {
        // Half after half, and few constants: all fits in the registers.
        let half = |i: usize| {
            let [a, b] = [i, i + 1].map(|i| {
                // SAFETY: as the caller promises.
                let sum = unsafe { load(sums.add(p * SUMS + i * 16)) };
                let mut v = f32x4_mul(f32x4_convert_i32x4(sum), m[i]);
                if !BOUNDED {
                    v = within_reach(v);
                }
                rounding.signed(v)
            });
            // Clamped here: with nothing between the two steps of narrowing, LLVM 21 merges them, and then finds no
            // instruction for the result.
            i16x8_min(i16x8_max(i16x8_narrow_i32x4(a, b), low), high)
        };
        let first = half(0);
        let q = rounding.quanta(i8x16_narrow_i16x8(first, half(2)));
        // SAFETY: as the caller promises.
        unsafe {
            let to = y.add(p * stride);
            if WHOLE {
                store(q, to);
            } else {
                let mut bytes = [0u8; BLOCK];
                store(q, bytes.as_mut_ptr());
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, valid);
            }
        }
    }
}

/// # Safety
///
/// As [`finish`], `y` at the first result.
#[inline(always)]
unsafe fn words(
    sums: *const u8,
    count: usize,
    lists: &Lists<'_>,
    y: *mut u32,
    stride: usize,
    valid: usize,
    f: impl Fn(V, V, V) -> V,
) {
    let (m, addend) = (quarters(lists.multipliers), quarters(lists.addend));
    for p in 0..count {
        // SAFETY: as the caller promises.
        let (to, sums) = unsafe { (y.add(p * stride), sums.add(p * SUMS)) };
        // SAFETY: as the caller promises.
        let results = [0, 1, 2, 3].map(|i| f(unsafe { load(sums.add(i * 16)) }, m[i], addend[i]));
        // SAFETY: as many results as there are; a `V` is four words.
        unsafe {
            if valid == BLOCK {
                results.iter().enumerate().for_each(|(i, &v)| store(v, to.add(4 * i).cast()));
            } else {
                let words: [u32; BLOCK] = std::mem::transmute(results);
                // Not a copy of memory, which would be a call.
                words[..valid].iter().enumerate().for_each(|(i, &word)| to.add(i).write(word));
            }
        }
    }
}

/// Models of the relaxed instruction for tests.
#[cfg(test)]
mod model {
    use super::*;

    /// u8 rows, s8 weights.
    pub struct Unsigned;
    /// s8 rows, s8 weights.
    pub struct Signed;

    fn add_pairs(sums: V, low: V, high: V) -> V {
        let even = i32x4_shuffle::<0, 2, 4, 6>(low, high);
        i32x4_add(sums, i32x4_add(even, i32x4_shuffle::<1, 3, 5, 7>(low, high)))
    }

    impl Multiply for Unsigned {
        fn dot(sums: V, rows: V, weights: V) -> V {
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(weights), u16x8_extend_low_u8x16(rows));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(weights), u16x8_extend_high_u8x16(rows));
            add_pairs(sums, low, high)
        }
    }

    impl Multiply for Signed {
        fn dot(sums: V, rows: V, weights: V) -> V {
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(weights), i16x8_extend_low_i8x16(rows));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(weights), i16x8_extend_high_i8x16(rows));
            add_pairs(sums, low, high)
        }
    }
}
