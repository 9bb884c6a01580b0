//! Arithmetic of two quantized operands: `QLinearAdd`, `QLinearMul` and their like.

use super::lanes::{BLOCK, F32x4, I32x4, Quanta};
use super::quantize::round_to_i32;
use super::strided::{Strided, broadcast};
use super::{BinaryQuantization, Quantization, QuantizedBinary};

/// `y = clamp(a ∘ b, low, high)`, broadcast; `y` is dense.
///
/// # Panics
/// If a slice is too short for the shape, or `y` has another length.
pub fn quantized_binary(
    function: QuantizedBinary,
    parameters: &BinaryQuantization,
    shape: &[usize],
    a: Strided<u8>,
    b: Strided<u8>,
    y: &mut [u8],
) {
    match function {
        QuantizedBinary::Add => add(parameters, 1.0, shape, a, b, y),
        QuantizedBinary::Sub => add(parameters, -1.0, shape, a, b, y),
        QuantizedBinary::Mul => multiply(parameters, shape, a, b, y),
    }
}

/// Keeps what is rounded later within bounds, so that it fits the quick way of rounding.
#[derive(Clone, Copy)]
struct Bounds {
    low: F32x4,
    high: F32x4,
}

impl Bounds {
    fn new(parameters: &BinaryQuantization) -> Self {
        let high = parameters.high.max(parameters.low);
        Self { low: F32x4::splat(parameters.low as f32), high: F32x4::splat(high as f32) }
    }

    /// Bounds are whole, so clamping before rounding is clamping after it.
    #[inline(always)]
    fn clamp(self, v: F32x4) -> F32x4 {
        v.at_least(self.low).at_most(self.high)
    }
}

/// `rint((fixed + a * ra) + b * rb)`
#[inline(always)]
fn add(p: &BinaryQuantization, sign: f32, shape: &[usize], a: Strided<u8>, b: Strided<u8>, y: &mut [u8]) {
    let ratio = |q: Quantization| q.scale / p.y.scale;
    let (ra, rb) = (ratio(p.a), sign * ratio(p.b));
    let fixed = p.y.zero_point as f32 - (ra * p.a.zero_point as f32 + rb * p.b.zero_point as f32);
    if !(fixed.abs() + 255.0 * ra.abs() + 255.0 * rb.abs()).is_finite() {
        return one_by_one(p, shape, a, b, y, |a, b| (fixed + a * ra) + b * rb);
    }
    let (ra, rb, fixed, bounds) = (F32x4::splat(ra), F32x4::splat(rb), F32x4::splat(fixed), Bounds::new(p));
    let quanta = Quanta::new();
    broadcast(shape, a, b, y, |a, b, y: &mut [u8; BLOCK]| {
        let (a, b) = (quanta.split(a), quanta.split(b));
        *y = quanta.join(std::array::from_fn(|i| {
            bounds.clamp((fixed + F32x4::from_int(a[i]) * ra) + F32x4::from_int(b[i]) * rb)
        }));
    });
}

/// `rint(f32((a - za) * (b - zb)) * r + zy)`; the product of the differences is exact in `f32`.
fn multiply(p: &BinaryQuantization, shape: &[usize], a: Strided<u8>, b: Strided<u8>, y: &mut [u8]) {
    let r = p.a.scale * p.b.scale / p.y.scale;
    if !(65025.0 * r).is_finite() {
        let [za, zb, zy] = [p.a, p.b, p.y].map(|q| q.zero_point as f32);
        return one_by_one(p, shape, a, b, y, |a, b| ((a - za) * (b - zb)) * r + zy);
    }
    let r = F32x4::splat(r);
    let (za, zb) = (I32x4::splat(p.a.zero_point.into()), I32x4::splat(p.b.zero_point.into()));
    let (zy, bounds) = (F32x4::splat(p.y.zero_point as f32), Bounds::new(p));
    let quanta = Quanta::new();
    broadcast(shape, a, b, y, |a, b, y: &mut [u8; BLOCK]| {
        let (a, b) = (quanta.split(a), quanta.split(b));
        *y = quanta.join(std::array::from_fn(|i| {
            bounds.clamp((F32x4::from_int(a[i] - za) * F32x4::from_int(b[i] - zb)) * r + zy)
        }));
    });
}

/// For scales so odd that results are infinite or no numbers.
#[cold]
fn one_by_one(
    p: &BinaryQuantization,
    shape: &[usize],
    a: Strided<u8>,
    b: Strided<u8>,
    y: &mut [u8],
    f: impl Fn(f32, f32) -> f32,
) {
    broadcast(shape, a, b, y, |a, b, y| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            let quantum = round_to_i32(f(a as f32, b as f32)).clamp(0, 255) as u8;
            *y = quantum.max(p.low).min(p.high.max(p.low));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// As `docs/numerics.md` has it, one element at a time.
    fn naive(function: QuantizedBinary, p: &BinaryQuantization, a: u8, b: u8) -> u8 {
        let [za, zb, zy] = [p.a, p.b, p.y].map(|q| q.zero_point as i32);
        let v = match function {
            QuantizedBinary::Add | QuantizedBinary::Sub => {
                let ra = p.a.scale / p.y.scale;
                let mut rb = p.b.scale / p.y.scale;
                if function == QuantizedBinary::Sub {
                    rb = -rb;
                }
                let fixed = zy as f32 - (ra * za as f32 + rb * zb as f32);
                (fixed + a as f32 * ra) + b as f32 * rb
            }
            QuantizedBinary::Mul => {
                let r = p.a.scale * p.b.scale / p.y.scale;
                ((a as i32 - za) * (b as i32 - zb)) as f32 * r + zy as f32
            }
        };
        (round_to_i32(v).clamp(0, 255) as u8).clamp(p.low, p.high)
    }

    fn check(
        function: QuantizedBinary,
        p: &BinaryQuantization,
        shape: &[usize],
        a_strides: &[usize],
        b_strides: &[usize],
    ) {
        let reach = |strides: &[usize]| 1 + shape.iter().zip(strides).map(|(n, s)| (n - 1) * s).sum::<usize>();
        let a: Vec<u8> = (0..reach(a_strides)).map(|i| (i * 89 + 3) as u8).collect();
        let b: Vec<u8> = (0..reach(b_strides)).map(|i| (i * 57 + 101) as u8).collect();
        let n = shape.iter().product();
        let mut y = vec![0; n];
        let (a_operand, b_operand) =
            (Strided { data: &a, strides: a_strides }, Strided { data: &b, strides: b_strides });
        quantized_binary(function, p, shape, a_operand, b_operand, &mut y);
        for (i, &y) in y.iter().enumerate() {
            let (mut at_a, mut at_b, mut rest) = (0, 0, i);
            for d in (0..shape.len()).rev() {
                at_a += rest % shape[d] * a_strides[d];
                at_b += rest % shape[d] * b_strides[d];
                rest /= shape[d];
            }
            assert_eq!(y, naive(function, p, a[at_a], b[at_b]), "{function:?} {p:?} {shape:?} {i}");
        }
    }

    fn parameters(scales: [f32; 3], zero_points: [u8; 3]) -> BinaryQuantization {
        let [a, b, y] = std::array::from_fn(|i| Quantization { scale: scales[i], zero_point: zero_points[i] });
        BinaryQuantization { a, b, y, low: 0, high: 255 }
    }

    const FUNCTIONS: [QuantizedBinary; 3] = [QuantizedBinary::Add, QuantizedBinary::Sub, QuantizedBinary::Mul];

    #[test]
    fn all_pairs_of_quanta() {
        for function in FUNCTIONS {
            for mut p in [
                parameters([0.5, 0.25, 0.5], [0, 0, 0]),
                parameters([0.5, 0.5, 1.0], [128, 255, 0]),
                parameters([0.013, 0.021, 0.019], [255, 7, 255]),
                parameters([1e20, 1e-20, 1e-20], [3, 200, 128]),
                parameters([1e30, 1e30, 1e-30], [3, 200, 128]),
            ] {
                check(function, &p, &[256, 256], &[1, 0], &[0, 1]);
                (p.low, p.high) = (100, 200);
                check(function, &p, &[256, 256], &[0, 1], &[1, 0]);
            }
        }
    }

    #[test]
    fn all_ways_of_broadcasting() {
        let p = parameters([0.02, 0.03, 0.06], [120, 3, 99]);
        for function in FUNCTIONS {
            for n in 1..70 {
                check(function, &p, &[n], &[1], &[1]);
                check(function, &p, &[n], &[1], &[0]);
                check(function, &p, &[n], &[0], &[1]);
                check(function, &p, &[n], &[0], &[0]);
                check(function, &p, &[n], &[2], &[3]);
                // Channels, short and long.
                check(function, &p, &[1, 7, 5, n], &[0, 5 * n, n, 1], &[0, 0, 0, 1]);
                check(function, &p, &[1, 7, 5, n], &[0, 0, 0, 1], &[0, 5 * n, n, 1]);
                // A factor for each channel of each image.
                check(function, &p, &[2, 3, 3, n], &[9 * n, 3 * n, n, 1], &[n, 0, 0, 1]);
                // One for each pixel.
                check(function, &p, &[2, 3, n], &[3 * n, n, 1], &[3, 1, 0]);
                // Steps in all dimensions.
                check(function, &p, &[3, n, 2], &[1, 3, 3 * n], &[n, 1, 0]);
            }
            check(function, &p, &[], &[], &[]);
            check(function, &p, &[1, 1], &[7, 9], &[0, 0]);
        }
    }

    #[test]
    fn nothing_is_nothing() {
        let p = parameters([1.0; 3], [0; 3]);
        let empty = Strided { data: &[][..], strides: &[4, 1] };
        quantized_binary(QuantizedBinary::Add, &p, &[0, 4], empty, empty, &mut []);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn short_slices_are_refused() {
        let p = parameters([1.0; 3], [0; 3]);
        let run = |a: usize, stride: usize, y: usize| {
            std::panic::catch_unwind(|| {
                let (a, mut y) = (vec![0; a], vec![0; y]);
                let (a, b) = (Strided { data: &a, strides: &[stride, 1] }, Strided { data: &a, strides: &[0, 0] });
                quantized_binary(QuantizedBinary::Mul, &p, &[5, 20], a, b, &mut y);
            })
        };
        assert!(run(100, 20, 100).is_ok());
        assert!(run(99, 20, 100).is_err() && run(100, 20, 99).is_err() && run(100, 20, 101).is_err());
        assert!(run(100, usize::MAX, 100).is_err());
    }
}
