//! Between types of numbers: ONNX's `Cast`.

use super::NumberType;
use super::copy::copy_bytes;

/// Bytes that one number takes.
pub fn number_size(of: NumberType) -> usize {
    match of {
        NumberType::Int64 => 8,
        NumberType::Float32 | NumberType::Int32 => 4,
        NumberType::Uint8 | NumberType::Int8 | NumberType::Bool => 1,
    }
}

/// Converts numbers: floats are cut off towards zero and saturate, NaN becomes 0; integers that do not fit lose their
/// upper bits; what is not 0 becomes true.
///
/// # Panics
/// If the slices do not hold equally many numbers.
pub fn cast(from: NumberType, to: NumberType, x: &[u8], y: &mut [u8]) {
    assert!(x.len().is_multiple_of(number_size(from)) && y.len().is_multiple_of(number_size(to)), "whole numbers");
    assert_eq!(x.len() / number_size(from), y.len() / number_size(to), "lengths differ");
    if from == to && from != NumberType::Bool {
        return copy_bytes(x, y);
    }
    match from {
        NumberType::Float32 => cast_from(f32::from_le_bytes, to, x, y),
        NumberType::Int32 => cast_from(i32::from_le_bytes, to, x, y),
        NumberType::Int64 => cast_from(i64::from_le_bytes, to, x, y),
        NumberType::Uint8 => cast_from(u8::from_le_bytes, to, x, y),
        NumberType::Int8 => cast_from(i8::from_le_bytes, to, x, y),
        NumberType::Bool => cast_from(|[b]: [u8; 1]| (b != 0) as u8, to, x, y),
    }
}

/// What `as` says.
trait Number: Copy {
    fn float(self) -> f32;
    fn int32(self) -> i32;
    fn int64(self) -> i64;
    fn uint8(self) -> u8;
    fn int8(self) -> i8;
    fn is_true(self) -> bool;
}

macro_rules! number {
    ($($type:ty)*) => {
        $(impl Number for $type {
            #[inline(always)]
            fn float(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn int32(self) -> i32 {
                self as i32
            }
            #[inline(always)]
            fn int64(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn uint8(self) -> u8 {
                self as u8
            }
            #[inline(always)]
            fn int8(self) -> i8 {
                self as i8
            }
            #[inline(always)]
            fn is_true(self) -> bool {
                self != 0 as $type
            }
        })*
    };
}
number!(f32 i32 i64 u8 i8);

fn cast_from<const N: usize, A: Number>(read: impl Fn([u8; N]) -> A + Copy, to: NumberType, x: &[u8], y: &mut [u8]) {
    let x = x.as_chunks().0;
    match to {
        NumberType::Float32 => write(x, y, |x| read(x).float().to_le_bytes()),
        NumberType::Int32 => write(x, y, |x| read(x).int32().to_le_bytes()),
        NumberType::Int64 => write(x, y, |x| read(x).int64().to_le_bytes()),
        NumberType::Uint8 => write(x, y, |x| [read(x).uint8()]),
        NumberType::Int8 => write(x, y, |x| read(x).int8().to_le_bytes()),
        NumberType::Bool => write(x, y, |x| [read(x).is_true() as u8]),
    }
}

#[inline(always)]
fn write<const N: usize, const M: usize>(x: &[[u8; N]], y: &mut [u8], convert: impl Fn([u8; N]) -> [u8; M]) {
    for (y, &x) in y.as_chunks_mut().0.iter_mut().zip(x) {
        *y = convert(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TYPES: [NumberType; 6] = [
        NumberType::Float32,
        NumberType::Int32,
        NumberType::Int64,
        NumberType::Uint8,
        NumberType::Int8,
        NumberType::Bool,
    ];

    fn bytes(of: NumberType, v: f64) -> Vec<u8> {
        match of {
            NumberType::Float32 => (v as f32).to_le_bytes().to_vec(),
            NumberType::Int32 => (v as i32).to_le_bytes().to_vec(),
            NumberType::Int64 => (v as i64).to_le_bytes().to_vec(),
            NumberType::Uint8 => vec![v as u8],
            NumberType::Int8 => (v as i8).to_le_bytes().to_vec(),
            NumberType::Bool => vec![(v != 0.0) as u8],
        }
    }

    #[test]
    fn between_all_types() {
        for from in TYPES {
            for to in TYPES {
                for n in 0..35 {
                    let values: Vec<f64> =
                        (0..n).map(|i| (i * 5 % 101) as f64 * (from != NumberType::Bool) as u8 as f64).collect();
                    let x: Vec<u8> = values.iter().flat_map(|&v| bytes(from, v)).collect();
                    let expected: Vec<u8> = values.iter().flat_map(|&v| bytes(to, v)).collect();
                    let mut y = vec![77; expected.len()];
                    cast(from, to, &x, &mut y);
                    assert_eq!(y, expected, "{from:?} {to:?} {n}");
                }
            }
        }
    }

    #[test]
    fn corners() {
        let one = |from, to, x: &[u8]| {
            let mut y = vec![0; number_size(to)];
            cast(from, to, x, &mut y);
            y
        };
        let float = |v: f32, to| one(NumberType::Float32, to, &v.to_le_bytes());
        assert_eq!(float(-3.99, NumberType::Int32), (-3i32).to_le_bytes());
        assert_eq!(float(1e20, NumberType::Int64), i64::MAX.to_le_bytes());
        assert_eq!(float(f32::NAN, NumberType::Int32), [0; 4]);
        assert_eq!(float(300.0, NumberType::Uint8), [255]);
        assert_eq!(float(0.1, NumberType::Bool), [1]);
        assert_eq!(float(-0.0, NumberType::Bool), [0]);
        assert_eq!(one(NumberType::Int64, NumberType::Int32, &0x1_0000_0005i64.to_le_bytes()), 5i32.to_le_bytes());
        assert_eq!(one(NumberType::Int32, NumberType::Int8, &200i32.to_le_bytes()), [200]);
        assert_eq!(one(NumberType::Uint8, NumberType::Int32, &[200]), 200i32.to_le_bytes());
        assert_eq!(one(NumberType::Int8, NumberType::Float32, &[200]), (-56f32).to_le_bytes());
        assert_eq!(one(NumberType::Bool, NumberType::Bool, &[7]), [1]);
        assert_eq!(one(NumberType::Bool, NumberType::Float32, &[7]), 1f32.to_le_bytes());
    }
}
