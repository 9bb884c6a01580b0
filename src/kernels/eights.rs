//! Eight floats at a time, as two vectors side by side.
//!
//! Float functions are long chains, each step of which waits for the one before. With two chains in turns the processor
//! has twice as much to do within what it can look ahead.

use std::array::from_fn;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::lanes::{F32x4, I32x4, Mask};

/// Two vectors.
#[derive(Clone, Copy)]
pub(crate) struct Twice<T>([T; 2]);

pub(crate) type F32x8 = Twice<F32x4>;
pub(crate) type I32x8 = Twice<I32x4>;

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {
        $(impl<T: Copy + $trait<Output = T>> $trait for Twice<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(from_fn(|i| $trait::$method(self.0[i], other.0[i])))
            }
        })*
    };
}
operators!(Add add, Sub sub, Mul mul, Div div);

impl Neg for F32x8 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(self.0.map(|v| -v))
    }
}

macro_rules! both {
    ($($name:ident($($other:ident)?) -> $result:ty;)*) => {
        $(#[inline(always)]
        pub fn $name(self $(, $other: Self)?) -> $result {
            Twice(from_fn(|i| self.0[i].$name($($other.0[i])?)))
        })*
    };
}

impl F32x8 {
    both! {
        floor() -> Self;
        ceil() -> Self;
        nearest() -> Self;
        abs() -> Self;
        sqrt() -> Self;
        or_lower(other) -> Self;
        or_higher(other) -> Self;
        lt(other) -> Twice<Mask>;
        eq(other) -> Twice<Mask>;
        bits() -> I32x8;
    }

    /// The same number eight times.
    #[inline(always)]
    pub fn splat(v: f32) -> Self {
        Self([F32x4::splat(v); 2])
    }

    /// Numbers with these bits.
    #[inline(always)]
    pub fn from_bits(bits: I32x8) -> Self {
        Self(bits.0.map(F32x4::from_bits))
    }

    /// The nearest floats.
    #[inline(always)]
    pub fn from_int(v: I32x8) -> Self {
        Self(v.0.map(F32x4::from_int))
    }

    #[inline(always)]
    fn load(from: &[f32; 8]) -> Self {
        let (quads, _) = from.as_chunks::<4>();
        Self([F32x4::load(&quads[0]), F32x4::load(&quads[1])])
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; 8]) {
        let (quads, _) = to.as_chunks_mut::<4>();
        self.0[0].store(&mut quads[0]);
        self.0[1].store(&mut quads[1]);
    }

    /// The eight numbers.
    #[cfg(test)]
    pub fn to_array(self) -> [f32; 8] {
        let mut array = [0.0; 8];
        self.store(&mut array);
        array
    }
}

impl I32x8 {
    /// Times a power of two.
    #[inline(always)]
    pub fn shift_left(self, by: u32) -> Self {
        Self(self.0.map(|v| v.shift_left(by)))
    }

    /// Keeps the sign.
    #[inline(always)]
    pub fn shift_right(self, by: u32) -> Self {
        Self(self.0.map(|v| v.shift_right(by)))
    }
}

impl Twice<Mask> {
    /// `yes` where the condition holds.
    #[inline(always)]
    pub fn select(self, yes: F32x8, no: F32x8) -> F32x8 {
        Twice(from_fn(|i| self.0[i].select(yes.0[i], no.0[i])))
    }
}

/// Applies `f` to every element in place.
#[inline(always)]
pub(crate) fn map_in_place(y: &mut [f32], f: impl Fn(F32x8) -> F32x8) {
    let (eights, rest) = y.as_chunks_mut::<8>();
    for eight in eights {
        f(F32x8::load(eight)).store(eight);
    }
    if !rest.is_empty() {
        let mut eight = [0.0; 8];
        for (to, &from) in eight.iter_mut().zip(&*rest) {
            *to = from;
        }
        f(F32x8::load(&eight)).store(&mut eight);
        for (to, from) in rest.iter_mut().zip(eight) {
            *to = from;
        }
    }
}
