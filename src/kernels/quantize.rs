//! From numbers to quanta and back: the scalar definitions everything else is held against.

/// An 8-bit quantum, signed or unsigned.
pub trait Quantum: Copy + PartialEq + Into<i32> + Into<i16> + Default + Send + Sync + 'static {
    /// Smallest value.
    const MIN: i32;
    /// Largest value.
    const MAX: i32;
    /// Saturating conversion.
    fn saturate(value: i32) -> Self;
    /// Its place in a 256-entry table: the bit pattern.
    fn table_index(self) -> usize;
    /// The quantum with that bit pattern.
    fn from_bits(bits: u8) -> Self;
}

impl Quantum for u8 {
    const MIN: i32 = 0;
    const MAX: i32 = 255;
    fn saturate(value: i32) -> Self {
        value.clamp(Self::MIN as i32, Self::MAX as i32) as u8
    }
    fn table_index(self) -> usize {
        self as usize
    }
    fn from_bits(bits: u8) -> Self {
        bits
    }
}

impl Quantum for i8 {
    const MIN: i32 = -128;
    const MAX: i32 = 127;
    fn saturate(value: i32) -> Self {
        value.clamp(Self::MIN as i32, Self::MAX as i32) as i8
    }
    fn table_index(self) -> usize {
        self as u8 as usize
    }
    fn from_bits(bits: u8) -> Self {
        bits as i8
    }
}

/// Scale and zero point of a per-tensor quantization: `real = (quantum - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Step between two quanta.
    pub scale: f32,
    /// The quantum that means zero.
    pub zero_point: i32,
}

/// Rounds half to even and saturates to the 32-bit range; NaN becomes 0.
///
/// `as` saturates, so infinities and huge values end at the limits.
#[inline]
pub fn round_to_i32(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// `QuantizeLinear`: `saturate(round_half_even(x / scale) + zero_point)`, a true division.
#[inline]
pub fn quantize<Q: Quantum>(x: f32, p: Params) -> Q {
    Q::saturate(round_to_i32(x / p.scale).saturating_add(p.zero_point))
}

/// `DequantizeLinear`: `(q - zero_point) * scale`, the difference taken in integers.
#[inline]
pub fn dequantize(q: i32, p: Params) -> f32 {
    q.wrapping_sub(p.zero_point) as f32 * p.scale
}

/// An accumulator to a quantum: `saturate(round_half_even(acc * multiplier) + zero_point)`, the product in f32.
#[inline]
pub fn requantize<Q: Quantum>(acc: i32, multiplier: f32, zero_point: i32) -> Q {
    Q::saturate(round_to_i32(acc as f32 * multiplier).saturating_add(zero_point))
}

/// Table of `f` over every quantum: dequantize, apply, quantize. Indexed by bit pattern.
pub fn lookup_table<A: Quantum, B: Quantum>(from: Params, to: Params, f: impl Fn(f32) -> f32) -> [B; 256] {
    std::array::from_fn(|bits| quantize(f(dequantize(A::from_bits(bits as u8).into(), from)), to))
}

/// Scale and zero point of `DynamicQuantizeLinear` for these values (ONNX operator specification, opset 11): the range
/// is widened to contain zero, divided into 255 steps, and the zero point rounded half to even.
///
/// onnxruntime takes scale 1 for an all-zero tensor; so do we.
pub fn dynamic_params(values: &[f32]) -> Params {
    // Eight lanes, so that the loop vectorises; min and max do not depend on the order.
    let mut low = [0f32; 8];
    let mut high = [0f32; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        for i in 0..8 {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    for &v in chunks.remainder() {
        low[0] = low[0].min(v);
        high[0] = high[0].max(v);
    }
    let min = low.into_iter().fold(0f32, f32::min);
    let max = high.into_iter().fold(0f32, f32::max);
    let scale = if max == min { 1.0 } else { (max - min) / 255.0 };
    let zero_point = (0.0 - min / scale).clamp(0.0, 255.0).round_ties_even() as i32;
    Params { scale, zero_point }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ties_go_to_even_and_the_rest_saturates() {
        let p = Params { scale: 2.0, zero_point: 10 };
        for (x, expected) in [(1.0, 10), (3.0, 12), (5.0, 12), (-1.0, 10), (-3.0, 8), (1e30, 255), (-1e30, 0)] {
            assert_eq!(quantize::<u8>(x, p), expected, "{x}");
        }
        assert_eq!(quantize::<i8>(f32::INFINITY, p), 127);
        assert_eq!(quantize::<i8>(f32::NEG_INFINITY, p), -128);
    }

    #[test]
    fn division_is_a_division() {
        // x * (1 / scale) rounds this one up to the tie and away; x / scale does not.
        let p = Params { scale: 0.1, zero_point: 0 };
        for i in 0..1000 {
            let x = i as f32 * 0.05;
            assert_eq!(quantize::<u8>(x, p) as i32, ((x / 0.1).round_ties_even() as i32).clamp(0, 255));
        }
    }

    #[test]
    fn dynamic_ranges_contain_zero() {
        assert_eq!(dynamic_params(&[0.0; 9]), Params { scale: 1.0, zero_point: 0 });
        let p = dynamic_params(&[2.0, 5.1]);
        assert_eq!((p.scale, p.zero_point), (5.1 / 255.0, 0));
        let p = dynamic_params(&[-2.0; 17]);
        assert_eq!(p.zero_point, 255);
    }

    #[test]
    fn tables_follow_bit_patterns() {
        let p = Params { scale: 1.0, zero_point: 0 };
        let t = lookup_table::<i8, i8>(p, p, |x| -x);
        assert_eq!(t[(-128i8).table_index()], 127);
        assert_eq!(t[5i8.table_index()], -5);
    }
}
