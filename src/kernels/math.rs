//! Exponentials and their like, eight at a time, from single multiplications and additions: the same bytes everywhere.
//!
//! Within 4e-7 of the true value, relative, from 1e-36 up. Coefficients of `exp` and `log` are those of Cephes (`expf`,
//! `logf`), those of `tanh` and `erf` Eigen's of before 3.5, which onnxruntime had or has too.

// Coefficients are given as published.
#![allow(clippy::excessive_precision)]

use std::hint::black_box;

use super::eights::{F32x8, I32x8};
use super::lanes::MAGIC;

/// ln 2 in two parts: the first has few bits, so its product with a small whole number is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.12194440e-4;

/// Numbers as vectors, of which the compilers do not know the values.
///
/// V8 builds a vector constant anew for each use, from general registers in four instructions, which took half of the
/// time; one that it knows nothing of it keeps in a register or loads from the stack.
#[inline(always)]
fn vectors<const N: usize>(numbers: [f32; N]) -> [F32x8; N] {
    black_box(numbers).map(F32x8::splat)
}

/// Horner's scheme, highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: F32x8, coefficients: [F32x8; N]) -> F32x8 {
    let mut sum = coefficients[0];
    for &c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

/// e to the power of `x`.
#[derive(Clone, Copy)]
pub(crate) struct Exp {
    limits: [F32x8; 2],
    steps: [F32x8; 4],
    polynomial: [F32x8; 6],
    one: F32x8,
}

impl Exp {
    #[inline(always)]
    pub fn new() -> Self {
        let [one] = vectors([1.0]);
        Self {
            // Beyond these the result is infinite and 0.
            limits: vectors([89.0, -104.0]),
            steps: vectors([std::f32::consts::LOG2_E, MAGIC, LN2_HIGH, LN2_LOW]),
            polynomial: vectors([
                1.9875691500e-4,
                1.3981999507e-3,
                8.3334519073e-3,
                4.1665795894e-2,
                1.6666665459e-1,
                5.0000001201e-1,
            ]),
            one,
        }
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        let [log2_e, magic, ln2_high, ln2_low] = self.steps;
        // So written that NaN stays.
        let x = x.or_lower(self.limits[0]).or_higher(self.limits[1]);
        // Rounded to a whole number, which then stands in the low bits.
        let shifted = x * log2_e + magic;
        let (n, n_float) = (shifted.bits() - magic.bits(), shifted - magic);
        let r = x - n_float * ln2_high - n_float * ln2_low;
        // In pairs, as a chain of the whole polynomial would take longer.
        let ([a, b, c, d, e, f], square) = (self.polynomial, r * r);
        let p = ((a * r + b) * square + (c * r + d)) * square + (e * r + f);
        let p = p * square + r + self.one;
        // Two factors, as 2^n itself may lie outside of what a float can be: 1.0 with another exponent.
        let half = n.shift_right(1);
        let power = |n: I32x8| F32x8::from_bits(n.shift_left(23) + self.one.bits());
        p * power(half) * power(n - half)
    }
}

/// The natural logarithm.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    /// The smallest normal number, 2^23, the square root of 1/2, 1, infinity, NaN.
    steps: [F32x8; 6],
    parts: [F32x8; 3],
    polynomial: [F32x8; 9],
}

impl Log {
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            steps: vectors([
                f32::MIN_POSITIVE,
                8_388_608.0,
                std::f32::consts::FRAC_1_SQRT_2,
                1.0,
                f32::INFINITY,
                f32::NAN,
            ]),
            parts: vectors([LN2_HIGH, LN2_LOW, 0.5]),
            polynomial: vectors([
                7.0376836292e-2,
                -1.1514610310e-1,
                1.1676998740e-1,
                -1.2420140846e-1,
                1.4249322787e-1,
                -1.6668057665e-1,
                2.0000714765e-1,
                -2.4999993993e-1,
                3.3333331174e-1,
            ]),
        }
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        let [smallest, scale, ..] = self.steps;
        let infinity = self.steps[4];
        let zero = F32x8::splat(0.0);
        let tiny = x.lt(smallest);
        let scaled = tiny.select(x * scale, x);
        let result = self.of_normal(scaled, tiny.select(F32x8::splat(-23.0), zero));
        let result = x.eq(zero).select(-infinity, result);
        let result = x.lt(zero).select(self.steps[5], result);
        // Infinity and NaN are their own logarithms.
        x.lt(infinity).select(result, x)
    }

    /// `log(x) + shift * log(2)` of a normal, positive number.
    #[inline(always)]
    fn of_normal(&self, x: F32x8, shift: F32x8) -> F32x8 {
        let [_, _, root, one, ..] = self.steps;
        let [ln2_high, ln2_low, half] = self.parts;
        // x = m * 2^e, m from sqrt(1/2) to sqrt(2).
        let exponent = (x.bits() - root.bits()).shift_right(23);
        let m = F32x8::from_bits(x.bits() - exponent.shift_left(23)) - one;
        let e = F32x8::from_int(exponent) + shift;
        let square = m * m;
        let tail = polynomial(m, self.polynomial) * m * square + e * ln2_low - square * half;
        (m + tail) + e * ln2_high
    }
}

/// An odd function as a quotient of polynomials, which take less time than a chain through `exp`.
#[derive(Clone, Copy)]
struct Quotient<const N: usize> {
    /// Beyond, from minus `end` to `end`, the function is as good as constant.
    end: F32x8,
    numerator: [F32x8; 7],
    denominator: [F32x8; N],
}

impl<const N: usize> Quotient<N> {
    #[inline(always)]
    fn new(end: f32, numerator: [f32; 7], denominator: [f32; N]) -> Self {
        let [end] = vectors([end]);
        Self { end, numerator: vectors(numerator), denominator: vectors(denominator) }
    }

    #[inline(always)]
    fn at(&self, x: F32x8) -> F32x8 {
        let x = x.or_lower(self.end).or_higher(-self.end);
        let square = x * x;
        x * polynomial(square, self.numerator) / polynomial(square, self.denominator)
    }
}

/// The hyperbolic tangent.
#[derive(Clone, Copy)]
pub(crate) struct Tanh(Quotient<4>);

impl Tanh {
    #[inline(always)]
    pub fn new() -> Self {
        Self(Quotient::new(
            7.905_311,
            [
                -2.76076847742355e-16,
                2.00018790482477e-13,
                -8.60467152213735e-11,
                5.12229709037114e-08,
                1.48572235717979e-05,
                6.37261928875436e-04,
                4.89352455891786e-03,
            ],
            [1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03],
        ))
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        self.0.at(x)
    }
}

/// The error function.
#[derive(Clone, Copy)]
pub(crate) struct Erf(Quotient<5>);

impl Erf {
    #[inline(always)]
    pub fn new() -> Self {
        Self(Quotient::new(
            4.0,
            [
                -2.72614225801306e-10,
                2.77068142495902e-08,
                -2.10102402082508e-06,
                -5.69250639462346e-05,
                -7.34990630326855e-04,
                -2.95459980854025e-03,
                -1.60960333262415e-02,
            ],
            [
                -1.45660718464996e-05,
                -2.13374055278905e-04,
                -1.68282697438203e-03,
                -7.37332916720468e-03,
                -1.42647390514189e-02,
            ],
        ))
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        self.0.at(x)
    }
}

/// `1 / (1 + exp(-x))`; 0 where `exp` overflows.
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid(Exp);

impl Sigmoid {
    #[inline(always)]
    pub fn new() -> Self {
        Self(Exp::new())
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        let one = self.0.one;
        one / (one + self.0.at(-x))
    }
}

/// `log(1 + exp(x))`, the sum rounded, as onnxruntime has it: 0 below -17.
#[derive(Clone, Copy)]
pub(crate) struct Softplus(Exp, Log);

impl Softplus {
    #[inline(always)]
    pub fn new() -> Self {
        Self(Exp::new(), Log::new())
    }

    #[inline(always)]
    pub fn at(&self, x: F32x8) -> F32x8 {
        let zero = F32x8::splat(0.0);
        let positive = zero.lt(x).select(x, zero);
        // The sum lies from 1 to 2.
        let v = positive + self.1.of_normal(self.0.at(-x.abs()) + self.0.one, zero);
        x.eq(x).select(v, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const FUNCTIONS: [fn(F32x8) -> F32x8; 6] = [
        |x| Exp::new().at(x),
        |x| Log::new().at(x),
        |x| Tanh::new().at(x),
        |x| Erf::new().at(x),
        |x| Sigmoid::new().at(x),
        |x| Softplus::new().at(x),
    ];

    /// The power series, which converges everywhere; good in `f64` up to 4.
    fn erf_series(x: f64) -> f64 {
        if x.abs() > 4.0 {
            return x.signum();
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn check(name: &str, f: impl Fn(F32x8) -> F32x8, truth: impl Fn(f64) -> f64, tolerance: f64) {
        let mut values = vec![0.0f32, 1.0, 0.625, 0.927_734_4, 88.7228, 88.73, 17.0, 1e-38, 1e-42, 3e38];
        let mut v = 1e-6f32;
        while v < 120.0 {
            values.push(v);
            v *= 1.0009;
        }
        for x in values.iter().flat_map(|&v| [v, -v]) {
            let got = f(F32x8::splat(x)).to_array()[3] as f64;
            let expected = truth(x as f64) as f32 as f64;
            if got == expected || got.is_nan() && expected.is_nan() {
                continue;
            }
            // Where floats are subnormal, or become so on the way, their spacing.
            let error = (got - expected).abs() / expected.abs().max(1e-36);
            assert!(error < tolerance, "{name}({x}) = {got}, {expected}");
        }
        assert!(f(F32x8::splat(f32::NAN)).to_array()[0].is_nan(), "{name}(NaN)");
    }

    #[test]
    fn close_to_the_truth() {
        check("exp", |x| Exp::new().at(x), f64::exp, 3e-7);
        check("log", |x| Log::new().at(x), f64::ln, 3e-7);
        check("tanh", |x| Tanh::new().at(x), f64::tanh, 4e-7);
        check("erf", |x| Erf::new().at(x), erf_series, 4e-7);
        check("sigmoid", |x| Sigmoid::new().at(x), |x| 1.0 / (1.0 + ((-x).exp() as f32) as f64), 4e-7);
        let one_more = |x: F32x8| Softplus::new().at(x) + F32x8::splat(1.0);
        check("softplus", one_more, |x| 1.0 + x.max(0.0) + (-x.abs()).exp().ln_1p(), 3e-7);
    }

    #[test]
    fn the_same_bytes_everywhere() {
        // FNV-1a of results all over the range. Natively and as WebAssembly it must be the same number; it changes with
        // the algorithms only.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for f in FUNCTIONS {
            for bits in (0..0x7f80_0000).step_by(123_457) {
                for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                    let y = f(F32x8::splat(x)).to_array()[1];
                    let bits = if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() };
                    hash = (hash ^ bits as u64).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 0x901a_6c3f_e432_1a34);
    }

    #[test]
    fn limits() {
        let [exp, log, tanh, erf, sigmoid, softplus] = FUNCTIONS;
        let at = |f: fn(F32x8) -> F32x8, x: f32| f(F32x8::splat(x)).to_array()[0];
        let infinity = f32::INFINITY;
        assert_eq!((at(exp, infinity), at(exp, -infinity), at(exp, 0.0)), (infinity, 0.0, 1.0));
        assert_eq!((at(log, infinity), at(log, 0.0), at(log, 1.0)), (infinity, -infinity, 0.0));
        assert_eq!((at(tanh, infinity), at(tanh, -infinity)), (1.0, -1.0));
        assert_eq!((at(erf, infinity), at(erf, -infinity)), (1.0, -1.0));
        assert_eq!((at(sigmoid, infinity), at(sigmoid, -infinity)), (1.0, 0.0));
        assert_eq!((at(softplus, infinity), at(softplus, -infinity)), (infinity, 0.0));
    }
}
