//! Comparisons, logic and integer arithmetic. Rare and on few elements, so there is one loop for all types: integers
//! are widened to 64 bits a block at a time.

use super::cast::number_size;
use super::strided::{Loops, Strided};
use super::{NumberBinary, NumberType};

/// Numbers that are widened at a time.
pub(super) const BLOCK: usize = 64;

/// `y = a ∘ b`, broadcast; operands are bytes of numbers, with strides in numbers, and `y` is dense. Comparisons and logic
/// give a byte, 0 or 1; arithmetic numbers of the same type, modulo 2^bits. A division by 0 gives 0. Floats are compared
/// only: for anything else the result is 0.
///
/// # Panics
/// If a slice is too short for the shape, or `y` has another length.
pub fn number_binary(
    function: NumberBinary,
    of: NumberType,
    shape: &[usize],
    a: Strided<u8>,
    b: Strided<u8>,
    y: &mut [u8],
) {
    let size = number_size(of);
    let result = if function.is_arithmetic() { size } else { 1 };
    let Some(mut loops) = Loops::new(shape, [a.strides, b.strides]) else { return };
    loops.check(0, 0, a.data.len() / size);
    loops.check(1, 0, b.data.len() / size);
    let inner = loops.split_inner();
    let mut rest = y;
    loops.for_each([0, 0], |at| {
        for start in (0..inner.count).step_by(BLOCK) {
            let n = BLOCK.min(inner.count - start);
            let (to, after) = std::mem::take(&mut rest).split_at_mut(n * result);
            rest = after;
            let place = |i: usize| (at[i] + start * inner.steps[i], inner.steps[i]);
            if of == NumberType::Float32 {
                let mut blocks = [[0.0; BLOCK]; 2];
                floats(a.data, place(0), &mut blocks[0][..n]);
                floats(b.data, place(1), &mut blocks[1][..n]);
                for ((y, a), b) in to.iter_mut().zip(blocks[0]).zip(blocks[1]) {
                    *y = u8::from(compare(function, a, b));
                }
                continue;
            }
            let mut blocks = [[0; BLOCK]; 2];
            integers(of, a.data, place(0), &mut blocks[0][..n]);
            integers(of, b.data, place(1), &mut blocks[1][..n]);
            for ((y, a), b) in to.chunks_exact_mut(result).zip(blocks[0]).zip(blocks[1]) {
                y.copy_from_slice(&of_integers(function, a, b).to_le_bytes()[..result]);
            }
        }
    });
    assert!(rest.is_empty(), "length of y");
}

/// A call, as no loop for each function is worth its size.
#[inline(never)]
fn of_integers(function: NumberBinary, a: i64, b: i64) -> i64 {
    match function {
        NumberBinary::Add => a.wrapping_add(b),
        NumberBinary::Sub => a.wrapping_sub(b),
        NumberBinary::Mul => a.wrapping_mul(b),
        NumberBinary::Div | NumberBinary::Mod if b == 0 => 0,
        NumberBinary::Div => a.wrapping_div(b),
        NumberBinary::Mod => {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        NumberBinary::Min => a.min(b),
        NumberBinary::Max => a.max(b),
        NumberBinary::And => a & b,
        NumberBinary::Or => a | b,
        NumberBinary::Xor => a ^ b,
        _ => i64::from(compare(function, a, b)),
    }
}

fn compare<T: PartialOrd>(function: NumberBinary, a: T, b: T) -> bool {
    match function {
        NumberBinary::Equal => a == b,
        NumberBinary::Less => a < b,
        NumberBinary::LessOrEqual => a <= b,
        _ => false,
    }
}

/// Reads floats that are `step` apart.
#[inline(never)]
pub(super) fn floats(data: &[u8], (at, step): (usize, usize), to: &mut [f32]) {
    let data = data.as_chunks().0;
    for (i, v) in to.iter_mut().enumerate() {
        *v = f32::from_le_bytes(data[at + i * step]);
    }
}

/// Reads numbers that are no floats, `step` apart.
#[inline(never)]
pub(super) fn integers(of: NumberType, data: &[u8], (at, step): (usize, usize), to: &mut [i64]) {
    for (i, v) in to.iter_mut().enumerate() {
        *v = integer(of, data, at + i * step);
    }
}

#[inline(never)]
fn integer(of: NumberType, data: &[u8], at: usize) -> i64 {
    match of {
        NumberType::Int64 => i64::from_le_bytes(data.as_chunks().0[at]),
        NumberType::Float32 | NumberType::Int32 => i32::from_le_bytes(data.as_chunks().0[at]).into(),
        NumberType::Uint8 => data[at].into(),
        NumberType::Int8 => (data[at] as i8).into(),
        NumberType::Bool => i64::from(data[at] != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn bytes(of: NumberType, values: &[i64]) -> Vec<u8> {
        let float = of == NumberType::Float32;
        let number = |v: &i64| {
            if float { (*v as f32).to_le_bytes().to_vec() } else { v.to_le_bytes()[..number_size(of)].to_vec() }
        };
        values.iter().flat_map(number).collect()
    }

    #[test]
    fn every_type_and_function() {
        use NumberBinary::*;
        let values = [-7i64, -1, 0, 1, 2, 3, 100];
        let n = values.len();
        for of in [NumberType::Float32, NumberType::Int32, NumberType::Int64, NumberType::Int8] {
            let x = bytes(of, &values);
            for function in [Add, Sub, Mul, Div, Mod, Min, Max, And, Or, Xor, Equal, Less, LessOrEqual] {
                if of == NumberType::Float32 && !matches!(function, Equal | Less | LessOrEqual) {
                    continue;
                }
                let expected: Vec<i64> = (0..n * n)
                    .map(|i| {
                        let (a, b) = (values[i / n], values[i % n]);
                        match function {
                            Add => a + b,
                            Sub => a - b,
                            Mul => a * b,
                            Div => a.checked_div(b).unwrap_or(0),
                            Mod if b == 0 => 0,
                            Mod => a - b * (a as f64 / b as f64).floor() as i64,
                            Min => a.min(b),
                            Max => a.max(b),
                            And => a & b,
                            Or => a | b,
                            Xor => a ^ b,
                            Equal => (a == b).into(),
                            Less => (a < b).into(),
                            LessOrEqual => (a <= b).into(),
                        }
                    })
                    .collect();
                let result = if function.is_arithmetic() { of } else { NumberType::Bool };
                let expected = bytes(result, &expected);
                let mut y = vec![9; expected.len()];
                let (a, b) = (Strided { data: &x[..], strides: &[1, 0] }, Strided { data: &x[..], strides: &[0, 1] });
                number_binary(function, of, &[n, n], a, b, &mut y);
                assert_eq!(y, expected, "{of:?} {function:?}");
            }
        }
    }

    #[test]
    fn corners() {
        let one = |function, of, a: &[u8], b: &[u8]| {
            let mut y = vec![7; if function == NumberBinary::Div { a.len() } else { 1 }];
            let [a, b] = [a, b].map(|data| Strided { data, strides: &[] });
            number_binary(function, of, &[], a, b, &mut y);
            y
        };
        let nan = f32::NAN.to_le_bytes();
        for function in [NumberBinary::Equal, NumberBinary::Less, NumberBinary::LessOrEqual] {
            assert_eq!(one(function, NumberType::Float32, &nan, &nan), [0]);
        }
        let zeros = [0f32, -0.0].map(f32::to_le_bytes);
        assert_eq!(one(NumberBinary::Equal, NumberType::Float32, &zeros[0], &zeros[1]), [1]);
        let (least, minus) = (i32::MIN.to_le_bytes(), (-1i32).to_le_bytes());
        assert_eq!(one(NumberBinary::Div, NumberType::Int32, &least, &minus), least);
        let (least, minus) = (i64::MIN.to_le_bytes(), (-1i64).to_le_bytes());
        assert_eq!(one(NumberBinary::Div, NumberType::Int64, &least, &minus), least);
        assert_eq!(one(NumberBinary::Less, NumberType::Uint8, &[100], &[200]), [1]);
        assert_eq!(one(NumberBinary::Less, NumberType::Int8, &[100], &[200]), [0]);
        assert_eq!(one(NumberBinary::Equal, NumberType::Bool, &[2], &[1]), [1]);
    }

    #[test]
    fn long_rows_and_repeats() {
        for n in [1, 63, 64, 65, 200] {
            let a: Vec<u8> = (0..3 * n).map(|i| i as u8).collect();
            let b = [10u8, 20, 30];
            let mut y = vec![9; 3 * n];
            let operands = (Strided { data: &a[..], strides: &[n, 1] }, Strided { data: &b[..], strides: &[1, 0] });
            number_binary(NumberBinary::Less, NumberType::Uint8, &[3, n], operands.0, operands.1, &mut y);
            for (i, y) in y.into_iter().enumerate() {
                assert_eq!(y, u8::from(a[i] < b[i / n]));
            }
        }
    }
}
