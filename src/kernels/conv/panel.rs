//! Eight columns of a product: what the kernels know about where sums go.

use super::finish::Kind;
use super::weights::{Columns, PANEL};

/// First element of the output. Checked by the driver: every row that kernels are given lies inside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer {
    Uint8(*mut u8),
    Float32(*mut f32),
    Int32(*mut i32),
}

/// Epilogue of eight columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel<'a> {
    pub bias: &'a [i32; PANEL],
    pub multipliers: &'a [f32; PANEL],
    pub addend: &'a [f32; PANEL],
    /// Of the weights; not used without sums of rows.
    pub zero_points: &'a [i8; PANEL],
    pub kind: Kind,
    /// Columns that exist, 1 to 8.
    pub valid: usize,
    pub y: Pointer,
    /// Elements from one row of `y` to the next.
    pub row_stride: usize,
}

impl<'a> Panel<'a> {
    /// The columns `column..column + 8` of the padded lists.
    pub fn new(columns: &Columns<'a>, column: usize, valid: usize, y: Pointer, row_stride: usize) -> Self {
        fn eight<'a, T>(list: &'a [T], column: usize, absent: &'a [T; PANEL]) -> &'a [T; PANEL] {
            match list {
                [] => absent,
                _ => list[column..][..PANEL].try_into().expect("eight elements"),
            }
        }
        Self {
            bias: eight(columns.bias, column, &[0; PANEL]),
            multipliers: eight(columns.multipliers, column, &[1.0; PANEL]),
            addend: eight(columns.addend, column, &[-0.0; PANEL]),
            zero_points: eight(columns.zero_points, column, &[0; PANEL]),
            kind: columns.kind,
            valid,
            y,
            row_stride,
        }
    }
}
