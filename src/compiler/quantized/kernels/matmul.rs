//! Integer matrix products with a packed right operand.
//!
//! The right operand, most often constant weights, is packed once with its columns as the rows of
//! [`super::gemm`]'s left operand: the product is computed transposed, eight rows of the left operand at a time.

use super::gemm::{NR, PackedA, gemm_panel, panel_b_len, put_b};
use crate::kernels::quantize::Quantum;

/// A right operand of `k` x `columns`, widened, zero points taken off, packed.
#[derive(Clone, Debug)]
pub struct PackedColumns(PackedA);

impl PackedColumns {
    /// Packs; `at(k, column)` gives elements with the zero point already taken off.
    pub fn new(k: usize, columns: usize, at: impl Fn(usize, usize) -> i16) -> Self {
        Self(PackedA::new(columns, k, |column, i| at(i, column)))
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.0.rows
    }
}

/// A left operand as a view: element (`row`, `k`) is `data[row * row_stride + k * k_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, X> {
    /// Elements.
    pub data: &'a [X],
    /// Number of rows.
    pub rows: usize,
    /// Step from a row to the next.
    pub row_stride: usize,
    /// Step from an element of a row to the next.
    pub k_stride: usize,
    /// The quantum that means zero: one for all rows, or one a row.
    pub zero_points: &'a [i32],
}

/// Memory reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    panel: Vec<i16>,
    accumulators: Vec<i32>,
}

/// `sum over k of (a[row][k] - zero point) * b[k][column]`, in wrapping i32; `emit(row, accumulators)` receives each
/// row once.
pub fn multiply<X: Quantum>(a: Rows<X>, b: &PackedColumns, scratch: &mut Scratch, mut emit: impl FnMut(usize, &[i32])) {
    let (k, columns) = (b.0.k, b.columns());
    scratch.accumulators.clear();
    scratch.accumulators.resize(NR * columns, 0);
    for first in (0..a.rows).step_by(NR) {
        let count = NR.min(a.rows - first);
        scratch.panel.clear();
        scratch.panel.resize(panel_b_len(k), 0);
        for row in 0..count {
            let from = (first + row) * a.row_stride;
            let zero_point = a.zero_points[if a.zero_points.len() == 1 { 0 } else { first + row }] as i16;
            for i in 0..k {
                let value: i16 = a.data[from + i * a.k_stride].into();
                put_b(&mut scratch.panel, i, row, value - zero_point);
            }
        }
        let accumulators = &mut scratch.accumulators;
        gemm_panel(&b.0, &scratch.panel, |column, tile| {
            for (i, lane) in tile.iter().take(columns - column).enumerate() {
                for row in 0..count {
                    accumulators[row * columns + column + i] = lane[row];
                }
            }
        });
        for row in 0..count {
            emit(first + row, &scratch.accumulators[row * columns..][..columns]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_remainder_equals_the_plain_sum() {
        let mut seed = 1u32;
        let mut byte = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            (seed >> 24) as u8
        };
        for rows in [1, 2, 7, 8, 9, 17] {
            for columns in [1, 4, 5, 6, 11] {
                for k in [1, 2, 3, 16, 33] {
                    let a: Vec<u8> = (0..rows * k).map(|_| byte()).collect();
                    let b: Vec<i8> = (0..k * columns).map(|_| byte() as i8).collect();
                    let each: Vec<i32> = (0..rows as i32).map(|r| r * 31 % 256).collect();
                    for zero_points in [&[0][..], &[128], &[255], &each] {
                        let packed = PackedColumns::new(k, columns, |i, n| i16::from(b[i * columns + n]) + 128);
                        for transposed in [false, true] {
                            let (row_stride, k_stride) = if transposed { (1, rows) } else { (k, 1) };
                            let view = Rows { data: &a, rows, row_stride, k_stride, zero_points };
                            let mut seen = 0;
                            multiply(view, &packed, &mut Scratch::default(), |row, accumulators| {
                                seen += 1;
                                for (n, &acc) in accumulators.iter().enumerate() {
                                    let sum: i32 = (0..k)
                                        .map(|i| {
                                            let x = i32::from(a[row * row_stride + i * k_stride])
                                                - zero_points[row % zero_points.len()];
                                            x * (i32::from(b[i * columns + n]) + 128)
                                        })
                                        .sum();
                                    assert_eq!(acc, sum, "{rows} x {k} x {columns} at {row},{n}");
                                }
                            });
                            assert_eq!(seen, rows);
                        }
                    }
                }
            }
        }
    }
}
