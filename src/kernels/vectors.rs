//! Selecting and rounding, for kernels that use vectors of WebAssembly directly.

use core::arch::wasm32::*;

use super::conv::SIGN;
use super::lanes::MAGIC;

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

/// Rounds numbers to quanta, half to even.
#[derive(Clone, Copy)]
pub(crate) struct Rounding {
    magic: v128,
    offset: v128,
    sign: v128,
}

impl Rounding {
    #[inline(always)]
    pub fn new(zero_point: u8) -> Self {
        // V8 makes a constant anew for each use, of three instructions, unless it does not know it.
        let [magic, sign] = std::hint::black_box([MAGIC.to_bits(), u32::from_ne_bytes([SIGN; 4])]);
        Self {
            magic: u32x4_splat(magic),
            offset: u32x4_splat(MAGIC.to_bits() + 128 - u32::from(zero_point)),
            sign: u32x4_splat(sign),
        }
    }

    /// The rounded numbers plus the zero point, less 128, as integers, of magnitudes up to `2^22`. They are to be narrowed
    /// as signed bytes: for unsigned ones LLVM 22 adds a minimum and a maximum.
    #[inline(always)]
    pub fn signed(self, v: v128) -> v128 {
        i32x4_sub(f32x4_add(v, self.magic), self.offset)
    }

    /// Quanta of what [`Self::signed`] made, narrowed to bytes.
    #[inline(always)]
    pub fn quanta(self, bytes: v128) -> v128 {
        v128_xor(bytes, self.sign)
    }
}

/// Numbers of any size as ones that [`Rounding`] can round, far beyond all quanta where they were. No NaN and no zeros are
/// compared, so that relaxed comparisons would give the same.
#[inline(always)]
pub(crate) fn within_reach(v: v128) -> v128 {
    f32x4_pmin(f32x4_pmax(v, f32x4_splat(-65536.0)), f32x4_splat(65536.0))
}
