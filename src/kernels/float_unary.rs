//! Functions of one float.

use super::FloatUnary;
use super::copy::copy_floats;
use super::eights::{F32x8, map_in_place};
use super::math::{Erf, Exp, Log, Sigmoid, Softplus, Tanh};

/// `y = f(x)`.
///
/// # Panics
/// If the lengths differ.
pub fn float_unary(function: FloatUnary, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    // Parts that stay in the nearest cache.
    for (x, y) in x.chunks(2048).zip(y.chunks_mut(2048)) {
        copy_floats(x, y);
        float_unary_in_place(function, y);
    }
}

/// `y = f(y)`. NaN stays NaN.
pub fn float_unary_in_place(function: FloatUnary, y: &mut [f32]) {
    let splat = F32x8::splat;
    let (zero, one) = (splat(0.0), splat(1.0));
    // `min(max(v, 0), 1)`
    let unit = |v: F32x8| v.or_higher(zero).or_lower(one);
    match function {
        FloatUnary::Abs => map_in_place(y, F32x8::abs),
        FloatUnary::Ceil => map_in_place(y, F32x8::ceil),
        FloatUnary::Clip { low, high } => {
            let (low, high) = (splat(low), splat(high));
            map_in_place(y, |x| x.or_higher(low).or_lower(high));
        }
        FloatUnary::Elu { alpha } => {
            let (alpha, exp) = (splat(alpha), Exp::new());
            map_in_place(y, |x| x.lt(zero).select(alpha * (exp.at(x) - one), x));
        }
        FloatUnary::Erf => {
            let f = Erf::new();
            map_in_place(y, |x| f.at(x));
        }
        FloatUnary::Exp => {
            let f = Exp::new();
            map_in_place(y, |x| f.at(x));
        }
        FloatUnary::Floor => map_in_place(y, F32x8::floor),
        FloatUnary::Gelu => {
            let (half, root, erf) = (splat(0.5), splat(std::f32::consts::FRAC_1_SQRT_2), Erf::new());
            map_in_place(y, |x| half * x * (one + erf.at(x * root)));
        }
        FloatUnary::GeluTanh => {
            // sqrt(2 / pi)
            let (half, root, cubic, tanh) = (splat(0.5), splat(0.797_884_6), splat(0.044715), Tanh::new());
            map_in_place(y, |x| half * x * (one + tanh.at(root * (x + cubic * x * x * x))));
        }
        FloatUnary::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (splat(alpha), splat(beta));
            map_in_place(y, |x| unit(alpha * x + beta));
        }
        FloatUnary::HardSwish => {
            let (sixth, half) = (splat(1.0 / 6.0), splat(0.5));
            map_in_place(y, |x| x * unit(sixth * x + half));
        }
        FloatUnary::LeakyRelu { alpha } => {
            let alpha = splat(alpha);
            map_in_place(y, |x| x.lt(zero).select(alpha * x, x));
        }
        FloatUnary::Log => {
            let f = Log::new();
            map_in_place(y, |x| f.at(x));
        }
        FloatUnary::Neg => map_in_place(y, |x| -x),
        FloatUnary::Reciprocal => map_in_place(y, |x| one / x),
        FloatUnary::Round => map_in_place(y, F32x8::nearest),
        FloatUnary::Sigmoid => {
            let f = Sigmoid::new();
            map_in_place(y, |x| f.at(x));
        }
        FloatUnary::Swish { alpha } => {
            let (alpha, sigmoid) = (splat(alpha), Sigmoid::new());
            map_in_place(y, |x| x * sigmoid.at(alpha * x));
        }
        FloatUnary::Softplus => {
            let f = Softplus::new();
            map_in_place(y, |x| f.at(x));
        }
        FloatUnary::Sqrt => map_in_place(y, F32x8::sqrt),
        FloatUnary::Tanh => {
            let f = Tanh::new();
            map_in_place(y, |x| f.at(x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// In `f64`, as ONNX's specification has it.
    fn naive(function: FloatUnary, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match function {
            FloatUnary::Abs => x.abs(),
            FloatUnary::Ceil => x.ceil(),
            FloatUnary::Clip { low, high } => x.max(low as f64).min(high as f64),
            FloatUnary::Elu { alpha } if x < 0.0 => alpha as f64 * x.exp_m1(),
            FloatUnary::Elu { .. } => x,
            FloatUnary::Exp => x.exp(),
            FloatUnary::Floor => x.floor(),
            FloatUnary::GeluTanh => 0.5 * x * (1.0 + (0.7978845608 * (x + 0.044715 * x.powi(3))).tanh()),
            FloatUnary::HardSigmoid { alpha, beta } => (alpha as f64 * x + beta as f64).clamp(0.0, 1.0),
            FloatUnary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            FloatUnary::LeakyRelu { alpha } if x < 0.0 => alpha as f64 * x,
            FloatUnary::LeakyRelu { .. } => x,
            FloatUnary::Log => x.ln(),
            FloatUnary::Neg => -x,
            FloatUnary::Reciprocal => 1.0 / x,
            FloatUnary::Round => x.round_ties_even(),
            FloatUnary::Sigmoid => sigmoid(x),
            FloatUnary::Swish { alpha } => x * sigmoid(alpha as f64 * x),
            FloatUnary::Softplus => x.exp().ln_1p(),
            FloatUnary::Sqrt => x.sqrt(),
            FloatUnary::Tanh => x.tanh(),
            // Known values are checked below.
            FloatUnary::Erf | FloatUnary::Gelu => unreachable!(),
        }
    }

    const FUNCTIONS: [FloatUnary; 19] = [
        FloatUnary::Abs,
        FloatUnary::Ceil,
        FloatUnary::Clip { low: -1.5, high: 2.0 },
        FloatUnary::Elu { alpha: 0.7 },
        FloatUnary::Exp,
        FloatUnary::Floor,
        FloatUnary::GeluTanh,
        FloatUnary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        FloatUnary::HardSwish,
        FloatUnary::LeakyRelu { alpha: 0.01 },
        FloatUnary::Log,
        FloatUnary::Neg,
        FloatUnary::Reciprocal,
        FloatUnary::Round,
        FloatUnary::Sigmoid,
        FloatUnary::Swish { alpha: 1.702 },
        FloatUnary::Softplus,
        FloatUnary::Sqrt,
        FloatUnary::Tanh,
    ];

    #[test]
    fn every_function_and_length() {
        for function in FUNCTIONS {
            for n in (0..20).chain([2047, 2049, 5000]) {
                let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37) % 19.0 - 9.3 + n as f32 * 0.01).collect();
                let mut y = vec![0.0; n];
                float_unary(function, &x, &mut y);
                let mut again = x.clone();
                float_unary_in_place(function, &mut again);
                for i in 0..n {
                    assert!(y[i].to_bits() == again[i].to_bits() || y[i].is_nan());
                    let expected = naive(function, x[i] as f64);
                    let close = (y[i] as f64 - expected).abs() <= 1e-6 * expected.abs().max(0.5);
                    assert!(close || y[i].is_nan() && expected.is_nan(), "{function:?}({}) = {}", x[i], y[i]);
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let at = |function, x: f32| {
            let mut y = [x];
            float_unary_in_place(function, &mut y);
            y[0]
        };
        // erf(0.5), erf(-1.5) and Gelu(-1), from tables.
        assert!((at(FloatUnary::Erf, 0.5) - 0.520_499_9).abs() < 1e-6);
        assert!((at(FloatUnary::Erf, -1.5) + 0.966_105_15).abs() < 1e-6);
        assert!((at(FloatUnary::Gelu, -1.0) + 0.158_655_25).abs() < 1e-6);
        assert_eq!(at(FloatUnary::Gelu, 10.0), 10.0);
        for function in FUNCTIONS.into_iter().chain([FloatUnary::Erf, FloatUnary::Gelu]) {
            assert!(at(function, f32::NAN).is_nan(), "{function:?}");
        }
    }
}
