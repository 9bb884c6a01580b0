//! Four numbers at a time: a WebAssembly vector where there is one, an array elsewhere.
//!
//! Every operation is the same single IEEE operation in both forms, so a kernel that is written once on these types
//! gives the same bytes natively and as WebAssembly. Nothing here fuses or reorders; NaN payloads aside, nothing is left
//! to the processor.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// How many 8-bit or `f32` elements the element-wise kernels take at a time.
pub(crate) const BLOCK: usize = 16;

/// `1.5 * 2^23`: an `f32` of up to `2^22` in magnitude, added to it, is rounded half to even to an integer, which then
/// stands in the low bits of the sum.
pub(super) const MAGIC: f32 = 12_582_912.0;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod form {
    use core::arch::wasm32::*;

    use crate::kernels::vectors::select;

    #[derive(Clone, Copy)]
    pub struct F32x4(v128);
    #[derive(Clone, Copy)]
    pub struct I32x4(v128);
    #[derive(Clone, Copy)]
    pub struct Mask(v128);

    macro_rules! binary {
        ($($name:ident = $intrinsic:ident)*) => {
            $(#[inline(always)]
            pub fn $name(self, other: Self) -> Self {
                Self($intrinsic(self.0, other.0))
            })*
        };
    }
    macro_rules! unary {
        ($($name:ident = $intrinsic:ident)*) => {
            $(#[inline(always)]
            pub fn $name(self) -> Self {
                Self($intrinsic(self.0))
            })*
        };
    }

    impl F32x4 {
        #[inline(always)]
        pub fn splat(v: f32) -> Self {
            Self(f32x4_splat(v))
        }
        #[inline(always)]
        pub fn load(from: &[f32; 4]) -> Self {
            // SAFETY: the reference covers 16 bytes; the instruction needs no alignment.
            Self(unsafe { v128_load(from.as_ptr().cast()) })
        }
        #[inline(always)]
        pub fn store(self, to: &mut [f32; 4]) {
            // SAFETY: as above.
            unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
        }
        binary! {
            plus = f32x4_add minus = f32x4_sub times = f32x4_mul over = f32x4_div
        }
        unary! {
            floor = f32x4_floor ceil = f32x4_ceil nearest = f32x4_nearest abs = f32x4_abs sqrt = f32x4_sqrt
            negative = f32x4_neg
        }
        /// The smaller one, for numbers: of NaN and of zeros of both signs it is either.
        #[inline(always)]
        pub fn at_most(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }
        /// The larger one, for numbers as above.
        #[inline(always)]
        pub fn at_least(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }
        /// `other < self ? other : self`
        ///
        /// Where relaxed SIMD is on, LLVM 22 makes `relaxed_min` of `pmin`, and of the comparison and selection that it
        /// stands for, although they differ in NaN and zeros. A selection by bits it leaves alone.
        #[inline(always)]
        pub fn or_lower(self, other: Self) -> Self {
            if cfg!(target_feature = "relaxed-simd") { other.lt(self).select(other, self) } else { self.at_most(other) }
        }
        /// `self < other ? other : self`
        #[inline(always)]
        pub fn or_higher(self, other: Self) -> Self {
            if cfg!(target_feature = "relaxed-simd") {
                self.lt(other).select(other, self)
            } else {
                self.at_least(other)
            }
        }
        #[inline(always)]
        pub fn lt(self, other: Self) -> Mask {
            Mask(f32x4_lt(self.0, other.0))
        }
        #[inline(always)]
        pub fn eq(self, other: Self) -> Mask {
            Mask(f32x4_eq(self.0, other.0))
        }
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        pub fn fused(self, factor: Self, addend: Self) -> Self {
            Self(f32x4_relaxed_madd(self.0, factor.0, addend.0))
        }
        #[inline(always)]
        pub fn bits(self) -> I32x4 {
            I32x4(self.0)
        }
        #[inline(always)]
        pub fn from_bits(bits: I32x4) -> Self {
            Self(bits.0)
        }
        #[inline(always)]
        pub fn from_int(v: I32x4) -> Self {
            Self(f32x4_convert_i32x4(v.0))
        }
    }

    impl I32x4 {
        #[inline(always)]
        pub fn splat(v: i32) -> Self {
            Self(i32x4_splat(v))
        }
        binary! {
            plus = i32x4_add minus = i32x4_sub
        }
        #[inline(always)]
        pub fn shift_left(self, by: u32) -> Self {
            Self(i32x4_shl(self.0, by))
        }
        /// Keeps the sign.
        #[inline(always)]
        pub fn shift_right(self, by: u32) -> Self {
            Self(i32x4_shr(self.0, by))
        }
    }

    impl Mask {
        /// `yes` where the condition holds.
        #[inline(always)]
        pub fn select(self, yes: F32x4, no: F32x4) -> F32x4 {
            F32x4(select(yes.0, no.0, self.0))
        }

        /// Whether it holds anywhere.
        #[inline(always)]
        pub fn any(self) -> bool {
            v128_any_true(self.0)
        }
    }

    /// Sixteen unsigned bytes.
    #[inline(always)]
    pub fn widen(bytes: &[u8; 16]) -> [I32x4; 4] {
        // SAFETY: the reference covers 16 bytes; the instructions need no alignment.
        let (low, high) =
            unsafe { (i16x8_load_extend_u8x8(bytes.as_ptr()), i16x8_load_extend_u8x8(bytes.as_ptr().add(8))) };
        [
            I32x4(u32x4_extend_low_u16x8(low)),
            I32x4(u32x4_extend_high_u16x8(low)),
            I32x4(u32x4_extend_low_u16x8(high)),
            I32x4(u32x4_extend_high_u16x8(high)),
        ]
    }

    /// The bytes at 0, 4, 8, 12, those at 1, 5, 9, 13 and so on; `low` is 255 four times.
    #[inline(always)]
    pub fn split(bytes: &[u8; 16], low: I32x4) -> [I32x4; 4] {
        // SAFETY: the reference covers 16 bytes; the instruction needs no alignment.
        let v = unsafe { v128_load(bytes.as_ptr().cast()) };
        [
            I32x4(v128_and(v, low.0)),
            I32x4(v128_and(u32x4_shr(v, 8), low.0)),
            I32x4(v128_and(u32x4_shr(v, 16), low.0)),
            I32x4(u32x4_shr(v, 24)),
        ]
    }

    /// The larger of each two unsigned bytes.
    #[inline(always)]
    pub fn larger_bytes(v: I32x4, bytes: &[u8; 16]) -> I32x4 {
        I32x4(u8x16_max(v.0, load_bytes(bytes)))
    }

    /// Bytes of a vector.
    #[inline(always)]
    pub fn bytes(v: I32x4) -> [u8; 16] {
        let mut bytes = [0; 16];
        // SAFETY: the array has 16 bytes.
        unsafe { v128_store(bytes.as_mut_ptr().cast(), v.0) };
        bytes
    }

    #[inline(always)]
    fn load_bytes(bytes: &[u8; 16]) -> v128 {
        // SAFETY: the reference covers 16 bytes; the instruction needs no alignment.
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }

    /// The first byte of each, the second byte of each, and so on.
    #[inline(always)]
    pub fn interleave_2(planes: [[u8; 16]; 2]) -> [u8; 32] {
        let [a, b] = planes.each_ref().map(load_bytes);
        let mut result = [0; 32];
        let [low, high] = zip_bytes(a, b).map(|v| bytes(I32x4(v)));
        result[..16].copy_from_slice(&low);
        result[16..].copy_from_slice(&high);
        result
    }

    /// The first byte of each, the second byte of each, and so on.
    #[inline(always)]
    pub fn interleave_3(planes: [[u8; 16]; 3]) -> [u8; 48] {
        let [a, b, c] = planes.each_ref().map(load_bytes);
        // a0 b0 a1 b1 ..., to which c is added.
        let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
        let middle = i8x16_shuffle::<10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25>(low, high);
        let first = i8x16_shuffle::<0, 1, 16, 2, 3, 17, 4, 5, 18, 6, 7, 19, 8, 9, 20, 10>(low, c);
        let second = i8x16_shuffle::<1, 21, 2, 3, 22, 4, 5, 23, 6, 7, 24, 8, 9, 25, 10, 11>(middle, c);
        let third = i8x16_shuffle::<26, 6, 7, 27, 8, 9, 28, 10, 11, 29, 12, 13, 30, 14, 15, 31>(high, c);
        let mut bytes = [0; 48];
        for (i, v) in [first, second, third].into_iter().enumerate() {
            // SAFETY: the array has 48 bytes.
            unsafe { v128_store(bytes.as_mut_ptr().add(16 * i).cast(), v) };
        }
        bytes
    }

    /// The first byte of each, the second byte of each, and so on.
    #[inline(always)]
    pub fn interleave_4(planes: [[u8; 16]; 4]) -> [u8; 64] {
        let [a, b, c, d] = planes.each_ref().map(load_bytes);
        let [ab, ab_high] = zip_bytes(a, b);
        let [cd, cd_high] = zip_bytes(c, d);
        let parts = [zip_pairs(ab, cd), zip_pairs(ab_high, cd_high)];
        let mut bytes = [0; 64];
        for (i, v) in parts.as_flattened().iter().enumerate() {
            // SAFETY: the array has 64 bytes.
            unsafe { v128_store(bytes.as_mut_ptr().add(16 * i).cast(), *v) };
        }
        bytes
    }

    #[inline(always)]
    fn zip_bytes(a: v128, b: v128) -> [v128; 2] {
        [
            i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b),
            i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b),
        ]
    }

    #[inline(always)]
    fn zip_rows(v: [v128; 16]) -> [v128; 16] {
        let pair = |i: usize| zip_bytes(v[i], v[i + 8]);
        let ([a, b], [c, d], [e, f], [g, h]) = (pair(0), pair(1), pair(2), pair(3));
        let ([i, j], [k, l], [m, n], [o, p]) = (pair(4), pair(5), pair(6), pair(7));
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[inline(always)]
    fn zip_pairs(a: v128, b: v128) -> [v128; 2] {
        [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)]
    }

    /// Rows become columns: four rows of four elements, `x_step` elements apart, to rows that are `y_step` apart.
    ///
    /// # Panics
    /// If a slice is too short.
    #[inline(always)]
    pub fn transpose_4(x: &[[u8; 4]], x_step: usize, y: &mut [[u8; 4]], y_step: usize) {
        let (x, y) = (&x[..3 * x_step + 4], &mut y[..3 * y_step + 4]);
        // SAFETY: the last row ends where the slice does, or before.
        let row = |i: usize| unsafe { v128_load(x.as_ptr().add(i * x_step).cast()) };
        let zip = |a, b| [i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b)];
        let ([ac, ac_high], [bd, bd_high]) = (zip(row(0), row(2)), zip(row(1), row(3)));
        let ([a, b], [c, d]) = (zip(ac, bd), zip(ac_high, bd_high));
        for (row, v) in [a, b, c, d].into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { v128_store(y.as_mut_ptr().add(row * y_step).cast(), v) };
        }
    }

    /// Rows become columns: sixteen rows of sixteen bytes, `x_step` apart, to rows that are `y_step` apart.
    ///
    /// # Panics
    /// If a slice is too short.
    #[inline(always)]
    pub fn transpose_16(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize) {
        let (x, y) = (&x[..15 * x_step + 16], &mut y[..15 * y_step + 16]);
        // SAFETY: the last row ends where the slice does, or before.
        let v: [v128; 16] = std::array::from_fn(|i| unsafe { v128_load(x.as_ptr().add(i * x_step).cast()) });
        // Each round pairs row i with row i + 8 and doubles the length of what belongs together.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = zip_rows(zip_rows(zip_rows(zip_rows(v))));
        for (row, v) in [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { v128_store(y.as_mut_ptr().add(row * y_step).cast(), v) };
        }
    }

    /// `v + zero_point`, every step saturating: `v` to 16 bits, the sum to 16 bits, and that to unsigned bytes.
    ///
    /// The sum has to stand between the two steps. With nothing in between, LLVM 21 merges them and then finds no
    /// instruction for the result: it becomes a dozen. And only the step to signed bytes becomes a single instruction.
    #[inline(always)]
    pub fn narrow(v: [I32x4; 4], zero_point: i16) -> [u8; 16] {
        let zero_point = i16x8_splat(zero_point.saturating_sub(128));
        let low = i16x8_add_sat(i16x8_narrow_i32x4(v[0].0, v[1].0), zero_point);
        let high = i16x8_add_sat(i16x8_narrow_i32x4(v[2].0, v[3].0), zero_point);
        bytes(I32x4(v128_xor(i8x16_narrow_i16x8(low, high), u8x16_splat(0x80))))
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod form {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);
    #[derive(Clone, Copy)]
    pub struct I32x4([i32; 4]);
    #[derive(Clone, Copy)]
    pub struct Mask([bool; 4]);

    macro_rules! binary {
        ($($name:ident = |$a:ident, $b:ident| $result:expr;)*) => {
            $(#[inline(always)]
            pub fn $name(self, other: Self) -> Self {
                Self(from_fn(|i| { let ($a, $b) = (self.0[i], other.0[i]); $result }))
            })*
        };
    }
    macro_rules! unary {
        ($($name:ident = |$a:ident| $result:expr;)*) => {
            $(#[inline(always)]
            pub fn $name(self) -> Self {
                Self(self.0.map(|$a| $result))
            })*
        };
    }

    impl F32x4 {
        #[inline(always)]
        pub fn splat(v: f32) -> Self {
            Self([v; 4])
        }
        #[inline(always)]
        pub fn load(from: &[f32; 4]) -> Self {
            Self(*from)
        }
        #[inline(always)]
        pub fn store(self, to: &mut [f32; 4]) {
            *to = self.0;
        }
        binary! {
            plus = |a, b| a + b;
            minus = |a, b| a - b;
            times = |a, b| a * b;
            over = |a, b| a / b;
            or_lower = |a, b| if b < a { b } else { a };
            or_higher = |a, b| if a < b { b } else { a };
        }
        unary! {
            floor = |a| a.floor();
            ceil = |a| a.ceil();
            nearest = |a| a.round_ties_even();
            abs = |a| a.abs();
            sqrt = |a| a.sqrt();
            negative = |a| -a;
        }
        #[inline(always)]
        pub fn at_most(self, other: Self) -> Self {
            self.or_lower(other)
        }
        #[inline(always)]
        pub fn at_least(self, other: Self) -> Self {
            self.or_higher(other)
        }
        #[inline(always)]
        pub fn lt(self, other: Self) -> Mask {
            Mask(from_fn(|i| self.0[i] < other.0[i]))
        }
        #[inline(always)]
        pub fn eq(self, other: Self) -> Mask {
            Mask(from_fn(|i| self.0[i] == other.0[i]))
        }
        #[inline(always)]
        pub fn bits(self) -> I32x4 {
            I32x4(self.0.map(|v| v.to_bits() as i32))
        }
        #[inline(always)]
        pub fn from_bits(bits: I32x4) -> Self {
            Self(bits.0.map(|v| f32::from_bits(v as u32)))
        }
        #[inline(always)]
        pub fn from_int(v: I32x4) -> Self {
            Self(v.0.map(|v| v as f32))
        }
    }

    impl I32x4 {
        #[inline(always)]
        pub fn splat(v: i32) -> Self {
            Self([v; 4])
        }
        binary! {
            plus = |a, b| a.wrapping_add(b);
            minus = |a, b| a.wrapping_sub(b);
        }
        #[inline(always)]
        pub fn shift_left(self, by: u32) -> Self {
            Self(self.0.map(|v| v << by))
        }
        #[inline(always)]
        pub fn shift_right(self, by: u32) -> Self {
            Self(self.0.map(|v| v >> by))
        }
    }

    impl Mask {
        #[inline(always)]
        pub fn select(self, yes: F32x4, no: F32x4) -> F32x4 {
            F32x4(from_fn(|i| if self.0[i] { yes.0[i] } else { no.0[i] }))
        }

        #[inline(always)]
        pub fn any(self) -> bool {
            self.0.contains(&true)
        }
    }

    #[inline(always)]
    pub fn widen(bytes: &[u8; 16]) -> [I32x4; 4] {
        from_fn(|v| I32x4(from_fn(|i| bytes[4 * v + i] as i32)))
    }

    #[inline(always)]
    pub fn split(bytes: &[u8; 16], _low: I32x4) -> [I32x4; 4] {
        from_fn(|v| I32x4(from_fn(|i| bytes[4 * i + v] as i32)))
    }

    #[inline(always)]
    pub fn larger_bytes(v: I32x4, other: &[u8; 16]) -> I32x4 {
        let mut larger = bytes(v);
        larger.iter_mut().zip(other).for_each(|(a, &b)| *a = b.max(*a));
        I32x4(from_fn(|i| i32::from_le_bytes([0, 1, 2, 3].map(|k| larger[4 * i + k]))))
    }

    #[inline(always)]
    pub fn bytes(v: I32x4) -> [u8; 16] {
        from_fn(|i| v.0[i / 4].to_le_bytes()[i % 4])
    }

    #[inline(always)]
    pub fn interleave_2(planes: [[u8; 16]; 2]) -> [u8; 32] {
        from_fn(|i| planes[i % 2][i / 2])
    }

    #[inline(always)]
    pub fn interleave_3(planes: [[u8; 16]; 3]) -> [u8; 48] {
        from_fn(|i| planes[i % 3][i / 3])
    }

    #[inline(always)]
    pub fn interleave_4(planes: [[u8; 16]; 4]) -> [u8; 64] {
        from_fn(|i| planes[i % 4][i / 4])
    }

    #[inline(always)]
    pub fn transpose_4(x: &[[u8; 4]], x_step: usize, y: &mut [[u8; 4]], y_step: usize) {
        for i in 0..4 {
            for j in 0..4 {
                y[i * y_step + j] = x[j * x_step + i];
            }
        }
    }

    #[inline(always)]
    pub fn transpose_16(x: &[u8], x_step: usize, y: &mut [u8], y_step: usize) {
        for i in 0..16 {
            for j in 0..16 {
                y[i * y_step + j] = x[j * x_step + i];
            }
        }
    }

    #[inline(always)]
    pub fn narrow(v: [I32x4; 4], zero_point: i16) -> [u8; 16] {
        from_fn(|i| {
            let v = v[i / 4].0[i % 4].clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            v.saturating_add(zero_point).clamp(0, 255) as u8
        })
    }
}

pub(crate) use form::{
    F32x4, I32x4, Mask, bytes, interleave_2, interleave_3, interleave_4, larger_bytes, narrow, transpose_4,
    transpose_16, widen,
};

macro_rules! operator {
    ($type:ident: $($trait:ident $method:ident $name:ident),*) => {
        $(impl $trait for $type {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.$name(other)
            }
        })*
    };
}
operator!(F32x4: Add add plus, Sub sub minus, Mul mul times, Div div over);
operator!(I32x4: Add add plus, Sub sub minus);

impl Neg for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.negative()
    }
}

impl F32x4 {
    /// `self * factor + addend`, rounded once or twice, whichever is quick here. Only for results that stay floats.
    #[inline(always)]
    pub fn times_plus(self, factor: Self, addend: Self) -> Self {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        return self.fused(factor, addend);
        #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
        return addend + self * factor;
    }

    /// The four numbers.
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        let mut array = [0.0; 4];
        self.store(&mut array);
        array
    }

    /// `(v0 + v1) + (v2 + v3)`
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let [a, b, c, d] = self.to_array();
        (a + b) + (c + d)
    }

    /// What added to a number of magnitude up to `2^22` rounds it, half to even; a constant that V8 does not know, see
    /// [`Quanta`].
    #[inline(always)]
    pub fn magic() -> Self {
        Self::splat(std::hint::black_box(MAGIC))
    }

    /// Rounds half to even; right for magnitudes up to `2^22` only.
    #[inline(always)]
    pub fn round_small(self) -> I32x4 {
        (self + Self::splat(MAGIC)).bits() - Self::splat(MAGIC).bits()
    }

    /// `self` with NaN replaced by zero.
    #[inline(always)]
    pub fn nan_to_zero(self) -> Self {
        self.eq(self).select(self, Self::splat(0.0))
    }
}

/// Sixteen quanta as four vectors, and back, with the constants for it. V8 makes a constant anew for each use, of three
/// instructions, unless it does not know it.
#[derive(Clone, Copy)]
pub(crate) struct Quanta {
    low: I32x4,
    magic: F32x4,
    rest: I32x4,
}

impl Quanta {
    #[inline(always)]
    pub fn new() -> Self {
        // Of the upper bits of the sums in `join`, those of `c` and `d` are shifted out; these are the others.
        let rest = MAGIC.to_bits().wrapping_add(MAGIC.to_bits() << 8) as i32;
        let (low, magic, rest) = std::hint::black_box((255, MAGIC, rest));
        Self { low: I32x4::splat(low), magic: F32x4::splat(magic), rest: I32x4::splat(rest) }
    }

    /// The bytes at 0, 4, 8, 12, those at 1, 5, 9, 13 and so on.
    #[inline(always)]
    pub fn split(self, quanta: &[u8; 16]) -> [I32x4; 4] {
        form::split(quanta, self.low)
    }

    /// The opposite of [`Self::split`]: rounds half to even. The numbers are from 0 to 255.
    #[inline(always)]
    pub fn join(self, v: [F32x4; 4]) -> [u8; 16] {
        let [a, b, c, d] = v.map(|v| (v + self.magic).bits());
        bytes((a + b.shift_left(8)) + (c.shift_left(16) + d.shift_left(24)) - self.rest)
    }
}

/// Sixteen floats as four vectors.
#[inline(always)]
pub(crate) fn load_block(from: &[f32; BLOCK]) -> [F32x4; 4] {
    let (quads, _) = from.as_chunks::<4>();
    [F32x4::load(&quads[0]), F32x4::load(&quads[1]), F32x4::load(&quads[2]), F32x4::load(&quads[3])]
}

/// The opposite of [`load_block`].
#[inline(always)]
pub(crate) fn store_block(v: [F32x4; 4], to: &mut [f32; BLOCK]) {
    let (quads, _) = to.as_chunks_mut::<4>();
    for (quad, v) in quads.iter_mut().zip(v) {
        v.store(quad);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn lanes_do_what_scalars_do() {
        let values = [-2.5f32, -0.0, 0.5, 1.5, f32::NAN, 3e9, -7.25, f32::NEG_INFINITY];
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        for &a in &values {
            for &b in &values {
                let (x, y) = (F32x4::splat(a), F32x4::splat(b));
                for (got, expected) in [
                    (x + y, a + b),
                    (x - y, a - b),
                    (x * y, a * b),
                    (x / y, a / b),
                    (-x, -a),
                    (x.floor(), a.floor()),
                    (x.ceil(), a.ceil()),
                    (x.nearest(), a.round_ties_even()),
                    (x.abs(), a.abs()),
                    (x.sqrt(), a.sqrt()),
                    (x.or_lower(y), if b < a { b } else { a }),
                    (x.or_higher(y), if a < b { b } else { a }),
                    (x.lt(y).select(x, y), if a < b { a } else { b }),
                    (x.nan_to_zero(), if a.is_nan() { 0.0 } else { a }),
                ] {
                    assert!(got.to_array().iter().all(|&g| same(g, expected)), "{a} {b}: {:?}", got.to_array());
                }
            }
        }
        assert_eq!(F32x4::load(&[1.0, 2.0, 3.0, 4.5]).sum(), 10.5);
    }

    #[test]
    fn integers_round_half_to_even_and_saturate() {
        let v = |a, b, c, d| F32x4::load(&[a, b, c, d]).round_small();
        let floats = [
            v(0.5, 1.5, 2.5, -0.5),
            v(254.5, 255.5, 256.0, -1.0),
            v(4e6, -4e6, 0.49999997, 127.5),
            v(3.0, 3.0, 3.0, 3.0),
        ];
        assert_eq!(narrow(floats, 0), [0, 2, 2, 0, 254, 255, 255, 0, 255, 0, 0, 128, 3, 3, 3, 3]);
        assert_eq!(narrow(floats, -3), [0, 0, 0, 0, 251, 253, 253, 0, 255, 0, 0, 125, 0, 0, 0, 0]);
        let quanta: [u8; 16] = std::array::from_fn(|i| (i * 17) as u8);
        assert_eq!(narrow(widen(&quanta), 0), quanta);
        let to = Quanta::new();
        assert_eq!(to.join(to.split(&quanta).map(F32x4::from_int)), quanta);
        assert_eq!(to.join([0.5, 1.5, 254.5, 255.0].map(F32x4::splat)), [0, 2, 254, 255].repeat(4)[..]);
    }
}
