//! Rows by number.

use super::Rows;
use super::copy::copy_bytes;

/// Positions along an axis; negative ones count from the end.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Indices<'a> {
    Int32(&'a [i32]),
    Int64(&'a [i64]),
}

/// `y[o][i][..] = x[o][indices[i]][..]`, elements of `size` bytes. An index outside of the axis is the error.
///
/// # Panics
/// If a slice has not the length that the sizes say.
pub fn gather(x: &[u8], size: usize, rows: Rows, indices: Indices, y: &mut [u8]) -> Result<(), i64> {
    match indices {
        Indices::Int32(indices) => gather_rows(x, size, rows, indices, y),
        Indices::Int64(indices) => gather_rows(x, size, rows, indices, y),
    }
}

fn gather_rows<I: Copy + Into<i64>>(x: &[u8], size: usize, rows: Rows, indices: &[I], y: &mut [u8]) -> Result<(), i64> {
    let product = |counts: [usize; 3]| counts.into_iter().try_fold(1usize, usize::checked_mul);
    let run = product([rows.inner, size, 1]).expect("too large");
    assert_eq!(product([rows.outer, rows.count, run]), Some(x.len()), "length of x");
    assert_eq!(product([rows.outer, indices.len(), run]), Some(y.len()), "length of y");
    let place = |index: I| {
        let index: i64 = index.into();
        let from_start = if index < 0 { index.saturating_add(rows.count as i64) } else { index };
        usize::try_from(from_start).ok().filter(|&i| i < rows.count).ok_or(index)
    };
    if y.is_empty() {
        return indices.iter().try_for_each(|&index| place(index).map(drop));
    }
    for (x, y) in x.chunks_exact(rows.count.max(1) * run).zip(y.chunks_exact_mut(indices.len() * run)) {
        for (&index, y) in indices.iter().zip(y.chunks_exact_mut(run)) {
            copy_bytes(&x[place(index)? * run..][..run], y);
        }
    }
    // Without rows there is nothing that an index could mean.
    match rows.count {
        0 => Err(indices[0].into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rows_by_number() {
        for (inner, size) in [(1, 1), (5, 1), (1, 4), (3, 8), (20, 4), (70, 4)] {
            let (rows, run) = (Rows { outer: 2, count: 4, inner }, inner * size);
            let x: Vec<u8> = (0..8 * run).map(|i| i as u8).collect();
            let mut y = vec![0; 2 * 3 * run];
            gather(&x, size, rows, Indices::Int64(&[3, -4, -2]), &mut y).unwrap();
            for outer in 0..2 {
                for (i, row) in [3, 0, 2].into_iter().enumerate() {
                    let (y, x) = (&y[(outer * 3 + i) * run..][..run], &x[(outer * 4 + row) * run..][..run]);
                    assert_eq!(y, x);
                }
            }
            let mut again = vec![0; 2 * 3 * run];
            gather(&x, size, rows, Indices::Int32(&[3, 0, 2]), &mut again).unwrap();
            assert_eq!(again, y);
        }
    }

    #[test]
    fn indices_outside_are_errors() {
        let rows = Rows { outer: 1, count: 2, inner: 1 };
        for index in [2, -3, i64::MAX, i64::MIN] {
            assert_eq!(gather(&[1, 2], 1, rows, Indices::Int64(&[index]), &mut [0]), Err(index));
        }
        let rows = Rows { outer: 1, count: 0, inner: 1 };
        assert_eq!(gather(&[], 1, rows, Indices::Int32(&[0]), &mut [0]), Err(0));
        let rows = Rows { outer: 1, count: 2, inner: 0 };
        assert_eq!(gather(&[], 1, rows, Indices::Int32(&[2]), &mut []), Err(2));
    }
}
