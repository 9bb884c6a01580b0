//! The kernel for WebAssembly SIMD that runs programs: the relaxed sums of two products, and a model of them for tests.
//!
//! A tile of 3 x 8 needs 6 sums, 4 vectors of weights, 2 of activations, 2 products and the ones: just what V8's registers
//! on x86-64 hold, see `simd`. With a fourth row two sums are stored and loaded at each step, and where the stack happens
//! to have them across two lines of the cache, which depends on who calls, that takes more time than all else.

use core::arch::wasm32::*;

use super::program::{HEADER, LANES, Load};
use super::simd::Sums;
use super::weights::PANEL;

/// Sums of two products of weights, s8, and activations, u8, that stay within 16 bits.
pub(super) trait PairSums {
    fn pairs(weights: v128, activations: v128) -> v128;
}

/// The relaxed instruction, where the probe found that it is one.
#[cfg(target_feature = "relaxed-simd")]
pub(super) struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl PairSums for Relaxed {
    #[inline(always)]
    fn pairs(weights: v128, activations: v128) -> v128 {
        i16x8_relaxed_dot_i8x16_i7x16(weights, activations)
    }
}

/// What the instruction does on x86-64.
#[cfg(test)]
pub(super) struct Saturating;

#[cfg(test)]
impl PairSums for Saturating {
    fn pairs(weights: v128, activations: v128) -> v128 {
        let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(weights), u16x8_extend_low_u8x16(activations));
        let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(weights), u16x8_extend_high_u8x16(activations));
        i16x8_narrow_i32x4(low, high)
    }
}

/// Sums of `M` rows of bytes times the panel of `program`, added to `first`.
///
/// # Safety
///
/// `program` was made for rows as long as those, `stride` bytes apart, that can be read at `a`.
#[inline(always)]
pub(super) unsafe fn tile_program<P: PairSums, const M: usize>(
    a: *const u8,
    stride: usize,
    program: *const u8,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    // SAFETY: these are the rows, and every program has a header.
    let (rows, [doubles, singles, left, right], ones): ([*const u8; M], _, _) = unsafe {
        (
            std::array::from_fn(|i| a.add(i * stride)),
            [0, 1, 2, 3].map(|i| program.cast::<u32>().add(i).read() as usize),
            v128_load(program.add(16).cast()),
        )
    };
    let count = 2 * doubles + singles + left + right;
    // SAFETY: so many offsets follow, then the weights.
    let (mut offsets, mut weights) =
        unsafe { (program.add(HEADER).cast::<u32>(), program.add(HEADER + (4 * count).next_multiple_of(32))) };
    let widen = |pairs: v128, sum: v128| i32x4_add(sum, i32x4_dot_i16x8(pairs, ones));

    if doubles > 0 {
        let mut steps = doubles;
        // A branch after each step keeps the order, see `simd`.
        macro_rules! double {
            ($i:expr) => {
                // SAFETY: as long as something is left, offsets and weights go on; offsets lie within the rows.
                unsafe {
                    let p0 = v128_load(weights.add($i * 64).cast());
                    let p1 = v128_load(weights.add($i * 64 + 16).cast());
                    let q0 = v128_load(weights.add($i * 64 + 32).cast());
                    let q1 = v128_load(weights.add($i * 64 + 48).cast());
                    let p = offsets.add($i * 2).read() as usize;
                    let q = offsets.add($i * 2 + 1).read() as usize;
                    for i in 0..M {
                        let x = v128_load32_splat(rows[i].add(p).cast());
                        let y = v128_load32_splat(rows[i].add(q).cast());
                        sums[i][0] = widen(i16x8_add(P::pairs(p0, x), P::pairs(q0, y)), sums[i][0]);
                        sums[i][1] = widen(i16x8_add(P::pairs(p1, x), P::pairs(q1, y)), sums[i][1]);
                    }
                }
                if steps == $i + 1 {
                    break;
                }
            };
        }
        loop {
            double!(0);
            double!(1);
            steps -= 2;
            // SAFETY: something is left, so they go on.
            unsafe {
                weights = weights.add(128);
                offsets = offsets.add(4);
            }
        }
        // SAFETY: behind the last one or two.
        unsafe {
            weights = weights.add(64 * steps);
            offsets = offsets.add(2 * steps);
        }
    }
    for _ in 0..singles {
        // SAFETY: as above.
        unsafe {
            let (w0, w1) = (v128_load(weights.cast()), v128_load(weights.add(16).cast()));
            let offset = offsets.read() as usize;
            for i in 0..M {
                let x = v128_load32_splat(rows[i].add(offset).cast());
                sums[i][0] = widen(P::pairs(w0, x), sums[i][0]);
                sums[i][1] = widen(P::pairs(w1, x), sums[i][1]);
            }
            weights = weights.add(32);
            offsets = offsets.add(1);
        }
    }
    macro_rules! extras {
        ($count:expr, $half:literal) => {
            for _ in 0..$count {
                // SAFETY: as above.
                unsafe {
                    let w = v128_load(weights.cast());
                    let offset = offsets.read() as usize;
                    for i in 0..M {
                        let x = v128_load32_splat(rows[i].add(offset).cast());
                        sums[i][$half] = widen(P::pairs(w, x), sums[i][$half]);
                    }
                    weights = weights.add(16);
                    offsets = offsets.add(1);
                }
            }
        };
    }
    extras!(left, 0);
    extras!(right, 1);
    sums
}

/// What the weights of each sign add up to in each lane of a quad.
pub(super) fn lane_sums(weights: &[i8; 4 * PANEL]) -> Load {
    let zero = i8x16_splat(0);
    let mut load = [0; 2 * LANES];
    // SAFETY: 32 bytes each.
    unsafe {
        let [a, b] = [0, 16].map(|at| v128_load(weights.as_ptr().add(at).cast()));
        let add = |a: v128, b: v128| u8x16_narrow_i16x8(u16x8_extadd_pairwise_u8x16(a), u16x8_extadd_pairwise_u8x16(b));
        let positive = [a, b].map(|w| i8x16_max(w, zero));
        let negative = [a, b].map(|w| i8x16_sub(zero, i8x16_min(w, zero)));
        v128_store(load.as_mut_ptr().cast(), add(positive[0], positive[1]));
        v128_store(load.as_mut_ptr().add(LANES).cast(), add(negative[0], negative[1]));
    }
    load
}

/// The sums of each sign.
#[inline(always)]
fn signs(load: &Load) -> [v128; 2] {
    // SAFETY: 16 bytes each.
    unsafe { [0, LANES].map(|at| v128_load(load.as_ptr().add(at).cast())) }
}

/// The largest of the sums.
pub(super) fn largest(load: &Load) -> u8 {
    let [positive, negative] = signs(load);
    let most = u8x16_max(positive, negative);
    let most = u8x16_max(most, i64x2_shuffle::<1, 0>(most, most));
    let most = u8x16_max(most, i32x4_shuffle::<1, 0, 3, 2>(most, most));
    i32x4_extract_lane::<0>(most).to_le_bytes().into_iter().fold(0, u8::max)
}

/// Whether no two sums exceed `most` together.
pub(super) fn fit(a: &Load, b: &Load, most: u8) -> bool {
    let ([a, b], [c, d]) = (signs(a), signs(b));
    let sums = u8x16_max(u8x16_add_sat(a, c), u8x16_add_sat(b, d));
    !v128_any_true(u8x16_gt(sums, u8x16_splat(most)))
}

#[cfg(all(test, target_feature = "relaxed-simd"))]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Below 128 all permitted results agree while sums stay within 16 bits.
    #[test]
    fn the_instruction_agrees_with_its_model() {
        for seed in 0..50 {
            let activations: [u8; 16] = std::array::from_fn(|i| (i * 37 + seed * 11) as u8 % 128);
            let weights: [i8; 16] = std::array::from_fn(|i| (i * 91 + seed * 53) as u8 as i8);
            // SAFETY: 16 bytes each.
            let equal = unsafe {
                let (w, a) = (v128_load(weights.as_ptr().cast()), v128_load(activations.as_ptr().cast()));
                i16x8_all_true(i16x8_eq(Relaxed::pairs(w, a), Saturating::pairs(w, a)))
            };
            assert!(equal, "{seed}");
        }
    }
}
