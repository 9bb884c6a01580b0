//! Kernels for WebAssembly SIMD on bytes: the relaxed dot product, and models of it for tests.

use core::arch::wasm32::*;

use super::simd::Sums;

/// `sums + dot products of four bytes`: weights are s8, activations as the type says.
pub(super) trait ByteDot {
    fn dot(weights: v128, activations: v128, sums: v128) -> v128;
}

/// The relaxed instruction, where the probe found it exact.
#[cfg(target_feature = "relaxed-simd")]
pub(super) struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl ByteDot for Relaxed {
    #[inline(always)]
    fn dot(weights: v128, activations: v128, sums: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(weights, activations, sums)
    }
}

/// Sums of `M` rows of bytes times a packed panel, added to `first`.
///
/// # Safety
///
/// Rows of `4 * steps` bytes, `stride` bytes apart, can be read at `a`; `32 * steps` bytes at `b`.
#[inline(always)]
pub(super) unsafe fn tile_bytes<D: ByteDot, const M: usize>(
    a: *const u8,
    stride: usize,
    mut b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    // SAFETY: these are the rows.
    let mut rows: [*const u8; M] = std::array::from_fn(|i| unsafe { a.add(i * stride) });
    let mut left = steps;
    if left == 0 {
        return sums;
    }
    // A branch after each step keeps the order, see `simd`.
    macro_rules! four {
        ($i:expr) => {
            // SAFETY: as long as something is left, the rows and the panel go on.
            unsafe {
                let b0 = v128_load(b.add($i * 32).cast());
                let b1 = v128_load(b.add($i * 32 + 16).cast());
                for i in 0..M {
                    let x = v128_load32_splat(rows[i].add($i * 4).cast());
                    sums[i][0] = D::dot(b0, x, sums[i][0]);
                    sums[i][1] = D::dot(b1, x, sums[i][1]);
                }
            }
            if left == $i + 1 {
                break;
            }
        };
    }
    loop {
        four!(0);
        four!(1);
        four!(2);
        four!(3);
        left -= 4;
        // SAFETY: something is left, so they go on. (Not `wrapping_add`: offsets would not be folded into the loads.)
        unsafe {
            b = b.add(128);
            rows = rows.map(|row| row.add(16));
        }
    }
    sums
}

/// [`tile_bytes`] for one or two rows, in two independent chains of sums.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(super) unsafe fn few_bytes<D: ByteDot, const M: usize>(
    a: *const u8,
    stride: usize,
    b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [[first; M], [[i32x4_splat(0); 2]; M]];
    macro_rules! four {
        ($step:expr, $chain:expr) => {
            // SAFETY: within the rows and the panel, as the caller promises.
            unsafe {
                let b0 = v128_load(b.add($step * 32).cast());
                let b1 = v128_load(b.add($step * 32 + 16).cast());
                for i in 0..M {
                    let x = v128_load32_splat(a.add(i * stride + $step * 4).cast());
                    sums[$chain][i][0] = D::dot(b0, x, sums[$chain][i][0]);
                    sums[$chain][i][1] = D::dot(b1, x, sums[$chain][i][1]);
                }
            }
        };
    }
    let mut step = 0;
    while step + 2 <= steps {
        four!(step, 0);
        four!((step + 1), 1);
        step += 2;
    }
    if step < steps {
        four!(step, 0);
    }
    std::array::from_fn(|i| [0, 1].map(|h| i32x4_add(sums[0][i][h], sums[1][i][h])))
}

/// Bytes that [`copy_run`] works on at a time.
pub(super) const COPY_CHUNK: usize = 16;

/// Copies `len` bytes, each xor `mask`.
///
/// # Safety
///
/// `len`, rounded up to [`COPY_CHUNK`], bytes can be read at `from` and written at `to`.
#[inline(always)]
pub(super) unsafe fn copy_run(from: *const u8, to: *mut u8, len: usize, mask: u8) {
    let mask = u8x16_splat(mask);
    for i in (0..len).step_by(COPY_CHUNK) {
        // SAFETY: as the caller promises.
        unsafe { v128_store(to.add(i).cast(), v128_xor(v128_load(from.add(i).cast()), mask)) }
    }
}

/// Sum of bytes, each xor `mask`.
pub(super) fn sum_run(bytes: &[u8], mask: u8) -> i32 {
    let (vectors, rest) = bytes.as_chunks::<COPY_CHUNK>();
    let mut sums = i32x4_splat(0);
    for vector in vectors {
        // SAFETY: 16 bytes.
        let v = v128_xor(unsafe { v128_load(vector.as_ptr().cast()) }, u8x16_splat(mask));
        sums = i32x4_add(sums, u32x4_extadd_pairwise_u16x8(u16x8_extadd_pairwise_u8x16(v)));
    }
    let halves = i32x4_add(sums, i32x4_shuffle::<2, 3, 0, 1>(sums, sums));
    let sum = i32x4_extract_lane::<0>(halves).wrapping_add(i32x4_extract_lane::<1>(halves));
    rest.iter().fold(sum, |sum, &byte| sum.wrapping_add((byte ^ mask).into()))
}

/// Models of the relaxed instruction for tests.
#[cfg(test)]
pub(super) mod model {
    use super::*;

    /// u8 x s8.
    pub struct Unsigned;
    /// s8 x s8.
    pub struct Signed;

    fn add_pairs(low: v128, high: v128, sums: v128) -> v128 {
        let even = i32x4_shuffle::<0, 2, 4, 6>(low, high);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(low, high);
        i32x4_add(sums, i32x4_add(even, odd))
    }

    impl ByteDot for Unsigned {
        fn dot(w: v128, a: v128, sums: v128) -> v128 {
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), u16x8_extend_low_u8x16(a));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), u16x8_extend_high_u8x16(a));
            add_pairs(low, high, sums)
        }
    }

    impl ByteDot for Signed {
        fn dot(w: v128, a: v128, sums: v128) -> v128 {
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), i16x8_extend_low_i8x16(a));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), i16x8_extend_high_i8x16(a));
            add_pairs(low, high, sums)
        }
    }
}

#[cfg(all(test, target_feature = "relaxed-simd"))]
mod tests {
    use super::model::{Signed, Unsigned};
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Below 128 all permitted results agree, unless a pair of products saturates, and none does.
    #[test]
    fn the_instruction_agrees_with_its_models() {
        let a: Vec<u8> = (0..6 * 52).map(|i| (i * 37 % 128) as u8).collect();
        let b: Vec<u8> = (0..13 * 32).map(|i| (i * 91 % 256) as u8).collect();
        let words = |sums: [Sums; 6]| {
            sums.as_flattened()
                .iter()
                .map(|&s| [0, 1].map(|h| [i64x2_extract_lane::<0>(s), i64x2_extract_lane::<1>(s)][h]))
                .collect::<Vec<_>>()
        };
        let first = [i32x4_splat(5); 2];
        for steps in 0..=13 {
            // SAFETY: six rows of 52 bytes, 13 blocks.
            unsafe {
                let (a, b) = (a.as_ptr(), b.as_ptr());
                let expected = words(tile_bytes::<Unsigned, 6>(a, 52, b, steps, first));
                assert_eq!(words(tile_bytes::<Signed, 6>(a, 52, b, steps, first)), expected);
                assert_eq!(words(tile_bytes::<Relaxed, 6>(a, 52, b, steps, first)), expected);
                let two = few_bytes::<Relaxed, 2>(a, 52, b, steps, first);
                assert_eq!(words([two[0], two[1], two[0], two[1], two[0], two[1]])[..4], expected[..4]);
            }
        }
    }
}
