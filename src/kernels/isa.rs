//! Which instructions multiply 8-bit numbers here.

/// How sums of products of 8-bit numbers are computed. All give the same integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dot {
    /// Both operands widened to 16 bits, `i32x4.dot_i16x8_s`: exact everywhere.
    Pairs,
    /// `i32x4.relaxed_dot_i8x16_i7x16_add_s` multiplies s8 by u8 exactly (x86 `vpdpbusd`).
    Usdot,
    /// The same instruction multiplies s8 by s8 exactly (ARM `sdot`).
    Sdot,
    /// `i16x8.relaxed_dot_i8x16_i7x16_s` multiplies u8 by s8; sums of two products saturate at 16 bits (x86
    /// `pmaddubsw`). Exact for weights that were taken apart so that no sum reaches so far.
    Maddubs,
}

impl Dot {
    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Usdot => "usdot",
            Self::Sdot => "sdot",
            Self::Maddubs => "maddubs",
        }
    }

    /// `self`, or [`Self::Pairs`] where the weights are not known, or not looked at, beforehand.
    pub const fn for_any_weights(self) -> Self {
        match self {
            Self::Maddubs => Self::Pairs,
            exact => exact,
        }
    }
}

/// Finds out which of their permitted results the relaxed dot products have on this machine.
///
/// Their second operand is only specified where its top bit is clear; beyond that it may be read as signed or unsigned, and
/// sums of two products may saturate or wrap around at 16 bits (relaxed SIMD proposal, "Relaxed integer dot product").
/// First asked is `i32x4.relaxed_dot_i8x16_i7x16_add_s`, whether it is exact in one reading or the other; then
/// `i16x8.relaxed_dot_i8x16_i7x16_s`, whether it reads unsigned bytes and is exact while sums stay within 16 bits.
/// [`Dot::Pairs`] where none is, and in builds without relaxed SIMD.
pub fn probe() -> Dot {
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    {
        relaxed::probe()
    }
    #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
    {
        Dot::Pairs
    }
}

#[cfg(any(test, all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
mod cases {
    use super::Dot;

    /// Operands that tell the behaviours apart: pairs of products beyond 16 bits in both directions, tops set on one
    /// side, on the other, on both, and bytes that all differ.
    pub const CASES: [([i8; 16], [u8; 16]); 6] = [
        ([127; 16], [255; 16]),
        ([-128; 16], [255; 16]),
        ([-128; 16], [128; 16]),
        ([127; 16], [128; 16]),
        (
            [127, 127, -128, -128, -128, 127, 127, -128, 1, -1, 2, -2, 127, 126, 125, 124],
            [255, 255, 255, 255, 128, 128, 129, 130, 255, 254, 253, 252, 127, 128, 0, 255],
        ),
        (
            [3, -7, 11, -13, 17, -19, 23, -29, 31, -37, 41, -43, 47, -53, 59, -61],
            [1, 201, 2, 202, 3, 203, 4, 204, 5, 205, 6, 206, 7, 207, 8, 208],
        ),
    ];

    /// Operands whose sums of two products just fit into 16 bits, and mixed ones.
    pub const PAIR_CASES: [([i8; 16], [u8; 16]); 4] = [
        ([64; 16], [255; 16]),
        ([-64; 16], [255; 16]),
        (
            [127, 1, -128, 0, 127, -128, -128, 127, 0, 127, 1, 127, -127, -1, 100, 28],
            [255, 255, 255, 255, 255, 255, 128, 129, 255, 254, 253, 252, 255, 255, 255, 255],
        ),
        (
            [3, -7, 11, -13, 17, -19, 23, -29, 31, -37, 41, -43, 47, -53, 59, -61],
            [1, 201, 2, 202, 3, 203, 4, 204, 5, 205, 6, 206, 7, 207, 8, 208],
        ),
    ];

    /// Whether `pairs` reads unsigned bytes, and gives the sums of two products in all cases.
    pub fn sums_pairs(pairs: impl Fn([i8; 16], [u8; 16]) -> [i16; 8]) -> bool {
        PAIR_CASES.iter().all(|&(a, b)| {
            let product = |i: usize| a[i] as i32 * b[i] as i32;
            pairs(a, b).map(i32::from) == std::array::from_fn(|lane| product(2 * lane) + product(2 * lane + 1))
        })
    }

    /// Which exact behaviour agrees with `dot` in all cases.
    pub fn classify(dot: impl Fn([i8; 16], [u8; 16]) -> [i32; 4]) -> Dot {
        let agrees = |read: fn(u8) -> i32| {
            CASES.iter().all(|&(a, b)| {
                let exact: [i32; 4] = std::array::from_fn(|lane| {
                    1 + (0..4).map(|i| a[4 * lane + i] as i32 * read(b[4 * lane + i])).sum::<i32>()
                });
                dot(a, b) == exact
            })
        };
        if agrees(|b| b as i32) {
            Dot::Usdot
        } else if agrees(|b| b as i8 as i32) {
            Dot::Sdot
        } else {
            Dot::Pairs
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed {
    use core::arch::wasm32::*;
    use std::hint::black_box;

    use super::{Dot, cases};

    pub fn probe() -> Dot {
        match add_four() {
            Dot::Pairs if cases::sums_pairs(add_two) => Dot::Maddubs,
            dot => dot,
        }
    }

    fn add_two(a: [i8; 16], b: [u8; 16]) -> [i16; 8] {
        // Hidden from the optimiser, so that the machine computes it.
        let (a, b) = (black_box(a), black_box(b));
        let mut sums = [0i16; 8];
        // SAFETY: 16 bytes each, and unaligned access is allowed.
        unsafe {
            let sum = i16x8_relaxed_dot_i8x16_i7x16(v128_load(a.as_ptr().cast()), v128_load(b.as_ptr().cast()));
            v128_store(sums.as_mut_ptr().cast(), sum);
        }
        black_box(sums)
    }

    fn add_four() -> Dot {
        cases::classify(|a, b| {
            let (a, b) = (black_box(a), black_box(b));
            let mut sums = [0i32; 4];
            // SAFETY: 16 bytes each, and unaligned access is allowed.
            unsafe {
                let sum = i32x4_relaxed_dot_i8x16_i7x16_add(
                    v128_load(a.as_ptr().cast()),
                    v128_load(b.as_ptr().cast()),
                    i32x4_splat(1),
                );
                v128_store(sums.as_mut_ptr().cast(), sum);
            }
            black_box(sums)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn model(a: [i8; 16], b: [u8; 16], read: fn(u8) -> i32, pair: fn(i32) -> i32) -> [i32; 4] {
        std::array::from_fn(|lane| {
            let product = |i: usize| a[4 * lane + i] as i32 * read(b[4 * lane + i]);
            1 + pair(product(0) + product(1)) + pair(product(2) + product(3))
        })
    }

    #[test]
    fn permitted_behaviours_are_told_apart() {
        let unsigned: fn(u8) -> i32 = |b| b as i32;
        let signed: fn(u8) -> i32 = |b| b as i8 as i32;
        let exact: fn(i32) -> i32 = |s| s;
        let saturate: fn(i32) -> i32 = |s| s.clamp(-32768, 32767);
        let wrap: fn(i32) -> i32 = |s| s as i16 as i32;
        for (read, pair, expected) in [
            (unsigned, exact, Dot::Usdot),
            (unsigned, saturate, Dot::Pairs),
            (unsigned, wrap, Dot::Pairs),
            (signed, exact, Dot::Sdot),
            (signed, saturate, Dot::Pairs),
            (signed, wrap, Dot::Pairs),
        ] {
            assert_eq!(cases::classify(|a, b| model(a, b, read, pair)), expected);
        }
    }

    #[test]
    fn sums_of_two_are_recognised() {
        let model = |read: fn(u8) -> i32, sum: fn(i32) -> i32| {
            move |a: [i8; 16], b: [u8; 16]| -> [i16; 8] {
                std::array::from_fn(|lane| {
                    let product = |i: usize| a[i] as i32 * read(b[i]);
                    sum(product(2 * lane) + product(2 * lane + 1)) as i16
                })
            }
        };
        assert!(cases::sums_pairs(model(|b| b as i32, |s| s.clamp(-32768, 32767))));
        assert!(cases::sums_pairs(model(|b| b as i32, |s| s)));
        assert!(!cases::sums_pairs(model(|b| b as i8 as i32, |s| s)));
        assert!(!cases::sums_pairs(model(|b| b as i32, |s| s.clamp(-32767, 32639))));
    }

    #[test]
    fn the_probe_answers_the_same_each_time() {
        assert_eq!(probe(), probe());
        #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
        assert_eq!(probe(), Dot::Pairs);
    }
}
