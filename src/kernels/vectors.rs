//! Selecting lanes of vectors of WebAssembly, for kernels that use them directly.

use core::arch::wasm32::*;

/// `yes` or `no`, by lane; all bits of a lane of `mask` are equal.
///
/// For such masks relaxed SIMD has an instruction that is the same everywhere, and one in place of three.
#[inline(always)]
pub(crate) fn select(yes: v128, no: v128, mask: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return i32x4_relaxed_laneselect(yes, no, mask);
    #[cfg(not(target_feature = "relaxed-simd"))]
    return v128_bitselect(yes, no, mask);
}

/// `v < low ? low : v`, then `high < v ? high : v`. Of NaN and zeros it makes the same in all builds: LLVM would make
/// relaxed ones of `pmin` and `pmax` where there are such.
#[inline(always)]
pub(crate) fn clamp(v: v128, low: v128, high: v128) -> v128 {
    let v = select(low, v, f32x4_lt(v, low));
    select(high, v, f32x4_lt(high, v))
}
