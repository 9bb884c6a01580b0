//! Exponentials and their like, four at a time, from single multiplications and additions: the same bytes everywhere.
//!
//! Within about 3e-7 of the true value, relative, unless said otherwise. Coefficients of `exp`, `log` and `tanh` are
//! those of Cephes (`expf`, `logf`, `tanhf`), those of `erf` N. Juffa's, which onnxruntime uses too (`erf.cpp` of MLAS).

// Coefficients are given as published.
#![allow(clippy::excessive_precision)]

use super::lanes::{F32x4, I32x4};

/// ln 2 in two parts: the first has few bits, so its product with a small whole number is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Horner's scheme, highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: F32x4, coefficients: [f32; N]) -> F32x4 {
    let mut sum = F32x4::splat(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = sum * x + F32x4::splat(c);
    }
    sum
}

/// `v` with the sign of `sign`; `v` is not negative.
#[inline(always)]
fn with_sign(v: F32x4, sign: F32x4) -> F32x4 {
    F32x4::from_bits(v.bits().or(sign.bits().and(I32x4::splat(i32::MIN))))
}

/// e to the power of `x`.
#[inline(always)]
pub(crate) fn exp(x: F32x4) -> F32x4 {
    // Beyond these the result is infinite and 0; so written that NaN stays.
    let x = x.or_lower(F32x4::splat(89.0)).or_higher(F32x4::splat(-104.0));
    let n = (x * F32x4::splat(std::f32::consts::LOG2_E)).round_small();
    let n_float = F32x4::from_int(n);
    let r = x - n_float * F32x4::splat(LN2_HIGH) - n_float * F32x4::splat(LN2_LOW);
    let p = polynomial(
        r,
        [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
    );
    let p = p * (r * r) + r + F32x4::splat(1.0);
    // Two factors, as 2^n itself may lie outside of what a float can be.
    let half = n.shift_right(1);
    let power = |n: I32x4| F32x4::from_bits((n + I32x4::splat(127)).shift_left(23));
    p * power(half) * power(n - half)
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn log(x: F32x4) -> F32x4 {
    let tiny = x.lt(F32x4::splat(f32::MIN_POSITIVE));
    let scaled = tiny.select(x * F32x4::splat(8_388_608.0), x);
    // x = m * 2^e, m from sqrt(1/2) to sqrt(2).
    let exponent = (scaled.bits() - I32x4::splat(0x3f35_04f3)).shift_right(23);
    let m = F32x4::from_bits(scaled.bits() - exponent.shift_left(23)) - F32x4::splat(1.0);
    let e = F32x4::from_int(exponent) + tiny.select(F32x4::splat(-23.0), F32x4::splat(0.0));
    let square = m * m;
    let p = polynomial(
        m,
        [
            7.0376836292e-2,
            -1.1514610310e-1,
            1.1676998740e-1,
            -1.2420140846e-1,
            1.4249322787e-1,
            -1.6668057665e-1,
            2.0000714765e-1,
            -2.4999993993e-1,
            3.3333331174e-1,
        ],
    );
    let tail = p * m * square + e * F32x4::splat(LN2_LOW) - square * F32x4::splat(0.5);
    let result = (m + tail) + e * F32x4::splat(LN2_HIGH);
    let zero = F32x4::splat(0.0);
    let result = x.eq(zero).select(F32x4::splat(f32::NEG_INFINITY), result);
    let result = x.lt(zero).select(F32x4::splat(f32::NAN), result);
    // Infinity and NaN are their own logarithms.
    x.lt(F32x4::splat(f32::INFINITY)).select(result, x)
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: F32x4) -> F32x4 {
    let (t, one) = (x.abs(), F32x4::splat(1.0));
    let square = x * x;
    let p = polynomial(
        square,
        [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
    );
    let small = p * square * x + x;
    let large = one - F32x4::splat(2.0) / (exp(t + t) + one);
    t.lt(F32x4::splat(0.625)).select(small, with_sign(large, x))
}

/// The error function.
#[inline(always)]
pub(crate) fn erf(x: F32x4) -> F32x4 {
    let (t, square) = (x.abs(), x * x);
    let p = polynomial(
        square,
        [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1],
    );
    let small = p * x + x;
    // From here on the result is 1 anyway; larger numbers would overflow.
    let t = t.or_lower(F32x4::splat(4.0));
    let p = polynomial(
        t,
        [-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1],
    );
    let large = F32x4::splat(1.0) - exp(p * t - t);
    x.abs().lt(F32x4::splat(0.927_734_4)).select(small, with_sign(large, x))
}

/// `1 / (1 + exp(-x))`; 0 where `exp` overflows.
#[inline(always)]
pub(crate) fn sigmoid(x: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    one / (one + exp(-x))
}

/// `log(1 + exp(x))`, the sum rounded, as onnxruntime has it: 0 below -17.
#[inline(always)]
pub(crate) fn softplus(x: F32x4) -> F32x4 {
    let zero = F32x4::splat(0.0);
    let positive = zero.lt(x).select(x, zero);
    let v = positive + log(exp(-x.abs()) + F32x4::splat(1.0));
    x.eq(x).select(v, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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

    fn check(name: &str, f: impl Fn(F32x4) -> F32x4, truth: impl Fn(f64) -> f64, tolerance: f64) {
        let mut values = vec![0.0f32, 1.0, 0.625, 0.927_734_4, 88.7228, 88.73, 17.0, 1e-38, 1e-42, 3e38];
        let mut v = 1e-6f32;
        while v < 120.0 {
            values.push(v);
            v *= 1.0009;
        }
        for x in values.iter().flat_map(|&v| [v, -v]) {
            let got = f(F32x4::splat(x)).to_array()[3] as f64;
            let expected = truth(x as f64) as f32 as f64;
            if got == expected || got.is_nan() && expected.is_nan() {
                continue;
            }
            // Where floats are subnormal, their spacing.
            let error = (got - expected).abs() / (expected.abs() + 1e-38 * (expected.abs() < 1.2e-38) as u8 as f64);
            assert!(error < tolerance, "{name}({x}) = {got}, {expected}");
        }
        assert!(f(F32x4::splat(f32::NAN)).to_array()[0].is_nan(), "{name}(NaN)");
    }

    #[test]
    fn close_to_the_truth() {
        check("exp", exp, f64::exp, 3e-7);
        check("log", log, f64::ln, 3e-7);
        check("tanh", tanh, f64::tanh, 3e-7);
        check("erf", erf, erf_series, 3e-7);
        check("sigmoid", sigmoid, |x| 1.0 / (1.0 + ((-x).exp() as f32) as f64), 4e-7);
        let one_more = |x: F32x4| softplus(x) + F32x4::splat(1.0);
        check("softplus", one_more, |x| 1.0 + x.max(0.0) + (-x.abs()).exp().ln_1p(), 3e-7);
    }

    #[test]
    fn the_same_bytes_everywhere() {
        // FNV-1a of results all over the range. Natively and as WebAssembly it must be the same number; it changes with
        // the algorithms only.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for f in [exp, log, tanh, erf, sigmoid, softplus] {
            for bits in (0..0x7f80_0000).step_by(123_457) {
                for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                    let y = f(F32x4::splat(x)).to_array()[1];
                    let bits = if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() };
                    hash = (hash ^ bits as u64).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 0x550d_d9bc_c387_5747);
    }

    #[test]
    fn limits() {
        let at = |f: fn(F32x4) -> F32x4, x: f32| f(F32x4::splat(x)).to_array()[0];
        let infinity = f32::INFINITY;
        assert_eq!((at(exp, infinity), at(exp, -infinity), at(exp, 0.0)), (infinity, 0.0, 1.0));
        assert_eq!((at(log, infinity), at(log, 0.0), at(log, 1.0)), (infinity, -infinity, 0.0));
        assert_eq!((at(tanh, infinity), at(tanh, -infinity)), (1.0, -1.0));
        assert_eq!((at(erf, infinity), at(erf, -infinity)), (1.0, -1.0));
        assert_eq!((at(sigmoid, infinity), at(sigmoid, -infinity)), (1.0, 0.0));
        assert_eq!((at(softplus, infinity), at(softplus, -infinity)), (infinity, 0.0));
    }
}
