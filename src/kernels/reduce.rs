//! The largest, the smallest, the sum, and where the first two are, along an axis.

use std::cmp::Ordering;

use super::cast::number_size;
use super::numbers::{BLOCK, floats, integers};
use super::{NumberType, Reduction, Rows};

/// Bytes of a result.
pub fn reduced_size(function: Reduction, of: NumberType) -> usize {
    match function {
        Reduction::ArgMax { .. } | Reduction::ArgMin { .. } => 8,
        _ => number_size(of),
    }
}

/// Reduces the middle dimension. Numbers of type `of`, which is not `Bool`; positions are `Int64`. Sums are added up in
/// order, those of integers modulo 2^bits. NaN is never the largest nor the smallest, unless nothing else is there.
///
/// # Panics
/// If there is nothing along the axis, or a slice has not the length that the sizes say.
pub fn reduce(function: Reduction, of: NumberType, rows: Rows, x: &[u8], y: &mut [u8]) {
    assert!(rows.count > 0, "something to reduce");
    let size = number_size(of);
    if of == NumberType::Float32 {
        let load = |at, block: &mut [f32]| floats(x, (at, 1), block);
        return run(function, rows, load, |v: f32| u32::from_le_bytes(v.to_le_bytes()).into(), size, y);
    }
    run(function, rows, |at, block: &mut [i64]| integers(of, x, (at, 1), block), |v: i64| v as u64, size, y);
}

trait Sum {
    fn plus(self, other: Self) -> Self;
}

impl Sum for f32 {
    fn plus(self, other: f32) -> f32 {
        self + other
    }
}

impl Sum for i64 {
    fn plus(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }
}

/// Adds element `k` to what is known: the result so far and where it is. A call, as no one copy of it for each function is
/// worth its size.
#[inline(never)]
fn next<T: Copy + PartialOrd + Sum>(function: Reduction, (best, at): &mut (T, usize), v: T, k: usize) {
    if function == Reduction::Sum && k > 0 {
        *best = best.plus(v);
        return;
    }
    let largest = matches!(function, Reduction::Max | Reduction::ArgMax { .. });
    let better = match v.partial_cmp(best) {
        Some(Ordering::Greater) => largest,
        Some(Ordering::Less) => !largest,
        Some(Ordering::Equal) => {
            matches!(function, Reduction::ArgMax { last: true } | Reduction::ArgMin { last: true })
        }
        None => (*best).partial_cmp(best).is_none(),
    };
    if k == 0 || better {
        (*best, *at) = (v, k);
    }
}

/// `bits` gives the bytes of a result, lowest first, of which there are `size`.
fn run<T: Copy + PartialOrd + Default + Sum>(
    function: Reduction,
    Rows { outer, count, inner }: Rows,
    load: impl Fn(usize, &mut [T]),
    bits: impl Fn(T) -> u64,
    size: usize,
    y: &mut [u8],
) {
    let places = matches!(function, Reduction::ArgMax { .. } | Reduction::ArgMin { .. });
    let size = if places { 8 } else { size };
    let mut block = [T::default(); BLOCK];
    let mut rest = y;
    let mut write = |states: &[(T, usize)]| {
        for &(v, k) in states {
            let (to, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            let bits = if places { k as u64 } else { bits(v) };
            to.copy_from_slice(&bits.to_le_bytes()[..size]);
        }
    };
    for o in 0..outer {
        let x = o * count * inner;
        if inner == 1 {
            let mut state = (T::default(), 0);
            for start in (0..count).step_by(BLOCK) {
                let n = BLOCK.min(count - start);
                load(x + start, &mut block[..n]);
                for (i, &v) in block[..n].iter().enumerate() {
                    next(function, &mut state, v, start + i);
                }
            }
            write(&[state]);
            continue;
        }
        for at in (0..inner).step_by(BLOCK) {
            let n = BLOCK.min(inner - at);
            let mut states = [(T::default(), 0); BLOCK];
            for k in 0..count {
                load(x + k * inner + at, &mut block[..n]);
                for (state, &v) in states[..n].iter_mut().zip(&block) {
                    next(function, state, v, k);
                }
            }
            write(&states[..n]);
        }
    }
    assert!(rest.is_empty(), "length of y");
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const FUNCTIONS: [Reduction; 7] = [
        Reduction::Sum,
        Reduction::Max,
        Reduction::Min,
        Reduction::ArgMax { last: false },
        Reduction::ArgMax { last: true },
        Reduction::ArgMin { last: false },
        Reduction::ArgMin { last: true },
    ];

    fn bytes(of: NumberType, v: i64) -> Vec<u8> {
        match of {
            NumberType::Float32 => (v as f32).to_le_bytes().to_vec(),
            _ => v.to_le_bytes()[..number_size(of)].to_vec(),
        }
    }

    #[test]
    fn every_function_type_and_size() {
        use NumberType::{Float32, Int8, Int32, Int64, Uint8};
        for of in [Float32, Int32, Int64, Uint8, Int8] {
            for function in FUNCTIONS {
                for (outer, count, inner) in [(1, 1, 1), (3, 5, 1), (2, 200, 1), (2, 3, 64), (1, 4, 130), (2, 7, 5)] {
                    let low = if of == Uint8 { 0 } else { -3 };
                    let v: Vec<i64> =
                        (0..outer * count * inner).map(|i| (i * 37 % 11 + i / 13 % 3) as i64 + low).collect();
                    let x: Vec<u8> = v.iter().flat_map(|&v| bytes(of, v)).collect();
                    let mut expected = Vec::new();
                    for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                        let row: Vec<i64> = (0..count).map(|k| v[(o * count + k) * inner + i]).collect();
                        let (max, min) = (*row.iter().max().unwrap(), *row.iter().min().unwrap());
                        let place = |of: i64, last: bool| {
                            let mut places = (0..count).filter(|&k| row[k] == of);
                            let place = if last { places.next_back() } else { places.next() };
                            (place.unwrap() as i64).to_le_bytes().to_vec()
                        };
                        expected.extend(match function {
                            Reduction::Sum => bytes(of, row.iter().sum()),
                            Reduction::Max => bytes(of, max),
                            Reduction::Min => bytes(of, min),
                            Reduction::ArgMax { last } => place(max, last),
                            Reduction::ArgMin { last } => place(min, last),
                        });
                    }
                    let mut y = vec![9; outer * inner * reduced_size(function, of)];
                    assert_eq!(y.len(), expected.len());
                    reduce(function, of, Rows { outer, count, inner }, &x, &mut y);
                    assert_eq!(y, expected, "{of:?} {function:?} {outer} {count} {inner}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_never_chosen() {
        let one = |function, x: [f32; 3]| {
            let x: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
            let mut y = vec![9; reduced_size(function, NumberType::Float32)];
            reduce(function, NumberType::Float32, Rows { outer: 1, count: 3, inner: 1 }, &x, &mut y);
            y
        };
        let nan = f32::NAN;
        assert_eq!(one(Reduction::Max, [nan, 1.0, nan]), 1f32.to_le_bytes());
        assert_eq!(one(Reduction::Min, [2.0, nan, 1.0]), 1f32.to_le_bytes());
        assert_eq!(one(Reduction::ArgMax { last: false }, [nan, nan, 1.0]), 2i64.to_le_bytes());
        assert_eq!(one(Reduction::ArgMin { last: true }, [nan, 0.0, -0.0]), 2i64.to_le_bytes());
    }
}
