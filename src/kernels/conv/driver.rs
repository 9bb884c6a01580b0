//! Blocks of rows, panels of columns, tiles.
//!
//! A block of rows is gathered so that it stays in the second-level cache while all panels of weights pass by. Each panel
//! (widened first, for [`super::kernel::Pairs`]) stays in the first level while the tiles of the block are computed.

use std::ops::Range;

#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
use super::bytes::{Sdot, Usdot};
use super::finish::{Kind, Out};
use super::gather::Source;
use super::kernel::{Epilogue, Kernel, Pairs, Rows, initial, widen_panel};
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
use super::maddubs::Maddubs;
use super::panel::{Panel, Pointer};
use super::weights::{Columns, PANEL};
use crate::kernels::isa::Dot;

/// Rows of a tile of 16-bit numbers: what V8's registers on x86-64 hold, see `simd`.
const PAIRS_ROWS: usize = 5;
/// Rows of a tile of bytes.
const BYTES_ROWS: usize = 6;
/// Rows of a tile of bytes whose products are added up in 16 bits first.
const MADDUBS_ROWS: usize = 3;
/// Turns u8 into s8, less 128.
pub(in crate::kernels) const SIGN: u8 = 0x80;
/// Bytes of a block of rows to aim at.
const BLOCK_BYTES: usize = 192 << 10;
/// Widening a panel costs as much as two or three rows, so blocks have at least about so many,
const LEAST_ROWS: usize = 40;
/// and beyond so many nothing is gained.
const MOST_ROWS: usize = 120;
/// Copies write up to so many bytes behind a row.
const SLACK: usize = 32;
/// Bytes of a packed block of weights.
pub(super) const BLOCK: usize = 4 * PANEL;

/// The right operand.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    /// Packed: `groups * panels * steps` blocks of 32 bytes, or programs.
    pub blocks: &'a [u8],
    /// Where there are programs: block at which each begins, and behind the last.
    pub starts: &'a [u32],
    pub steps: usize,
    /// Of each group.
    pub panels: usize,
    pub groups: usize,
    /// Columns of each group.
    pub outputs: usize,
    pub columns: Columns<'a>,
}

impl<'a> Right<'a> {
    /// Some of the panels of a product without groups.
    ///
    /// # Panics
    /// When there are groups, or not so many panels.
    pub fn only(&self, panels: Range<usize>) -> Self {
        assert!(self.groups == 1 && panels.end <= self.panels, "panels of a product without groups");
        let lanes = panels.start * PANEL..panels.end * PANEL;
        let Columns { bias, multipliers, addend, zero_points, kind } = self.columns;
        let (blocks, starts) = match self.starts {
            [] => (&self.blocks[panels.start * self.steps * BLOCK..panels.end * self.steps * BLOCK], &[][..]),
            starts => (self.blocks, &starts[panels.start..=panels.end]),
        };
        Self {
            blocks,
            starts,
            panels: panels.len(),
            outputs: self.outputs.min(lanes.end).saturating_sub(lanes.start),
            columns: Columns {
                bias: &bias[lanes.clone()],
                multipliers: part(multipliers, &lanes),
                addend: part(addend, &lanes),
                zero_points: part(zero_points, &lanes),
                kind,
            },
            ..*self
        }
    }
}

impl Right<'_> {
    /// The panel `index`, counted through the groups.
    fn panel(&self, index: usize) -> &[u8] {
        let (start, end) = match self.starts {
            [] => (index * self.steps, (index + 1) * self.steps),
            starts => (starts[index] as usize, starts[index + 1] as usize),
        };
        &self.blocks[start * BLOCK..end * BLOCK]
    }
}

/// Part of a list that may be left out.
fn part<'a, T>(list: &'a [T], range: &Range<usize>) -> &'a [T] {
    if list.is_empty() { list } else { &list[range.clone()] }
}

/// Where results go: element `(row, column)` to `row * row_stride + offset + column`, rows counted from the first that
/// is computed.
pub(super) struct Destination<'a, 'b> {
    pub y: &'a mut Out<'b>,
    pub row_stride: usize,
    pub offset: usize,
}

/// Bytes of an element of a gathered row, and rows of a tile.
fn sizes(dot: Dot) -> (usize, usize) {
    match dot {
        Dot::Pairs => (2, PAIRS_ROWS),
        Dot::Usdot | Dot::Sdot => (1, BYTES_ROWS),
        Dot::Maddubs => (1, MADDUBS_ROWS),
    }
}

/// Bytes from one gathered row to the next.
fn row_bytes(element: usize, steps: usize) -> usize {
    (steps * 4 * element).next_multiple_of(16)
}

/// Rows of a block, when there are many.
pub(super) fn block_rows(dot: Dot, steps: usize) -> usize {
    let (element, tile) = sizes(dot);
    most_rows(element, tile, steps)
}

fn most_rows(element: usize, tile: usize, steps: usize) -> usize {
    (BLOCK_BYTES / row_bytes(element, steps).max(1)).clamp(LEAST_ROWS, MOST_ROWS).next_multiple_of(tile)
}

/// Rows of each block, so that `rows` are divided evenly.
fn even_rows(element: usize, tile: usize, steps: usize, rows: usize) -> usize {
    let most = most_rows(element, tile, steps);
    let blocks = ((rows + most / 2) / most).max(1);
    rows.div_ceil(blocks).next_multiple_of(tile)
}

/// Scratch memory for up to `rows` rows at a time.
pub(super) fn scratch_bytes(dot: Dot, steps: usize, rows: usize) -> usize {
    let (element, tile) = sizes(dot);
    // Fewer rows than asked for may give larger blocks, up to one and a half.
    let block = (most_rows(element, tile, steps) * 3 / 2 + tile).min(rows.next_multiple_of(tile));
    let panel = if dot == Dot::Pairs { steps * 2 * BLOCK } else { 0 };
    block * row_bytes(element, steps) + SLACK + panel + block * size_of::<i32>() + 3 * ALIGNMENT
}

/// Parts of scratch memory start at multiples of this.
pub(super) const ALIGNMENT: usize = 64;

/// Splits off `len` aligned bytes.
pub(in crate::kernels) fn carve<'a>(scratch: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let all = std::mem::take(scratch);
    let skip = all.as_ptr().align_offset(ALIGNMENT).min(all.len());
    let (part, rest) = all[skip..].split_at_mut_checked(len).expect("scratch memory is too small");
    *scratch = rest;
    part
}

/// Splits off `len` numbers.
pub(super) fn carve_numbers<'a>(scratch: &mut &'a mut [u8], len: usize) -> &'a mut [i32] {
    let part = carve(scratch, len * size_of::<i32>());
    // SAFETY: any bytes are numbers.
    let (_, numbers, _) = unsafe { part.align_to_mut::<i32>() };
    &mut numbers[..len]
}

/// Computes rows `rows` of a product, to the beginning of `to`; `right` was packed for `dot`.
///
/// Panics when a slice is too short.
pub(super) fn multiply(
    dot: Dot,
    source: &impl Source,
    right: &Right<'_>,
    to: Destination<'_, '_>,
    rows: Range<usize>,
    scratch: &mut [u8],
) {
    match dot {
        Dot::Pairs => run::<Pairs, PAIRS_ROWS>(source, 0, right, to, rows, scratch),
        #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        Dot::Usdot => run::<Usdot, BYTES_ROWS>(source, 0, right, to, rows, scratch),
        #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        Dot::Sdot => run::<Sdot, BYTES_ROWS>(source, SIGN, right, to, rows, scratch),
        #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        Dot::Maddubs => run::<Maddubs, MADDUBS_ROWS>(source, 0, right, to, rows, scratch),
        #[cfg(not(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd")))]
        _ => unreachable!("replaced when packing"),
    }
}

/// Rows are xor `mask`.
fn run<K: Kernel, const M: usize>(
    source: &impl Source,
    mask: u8,
    right: &Right<'_>,
    to: Destination<'_, '_>,
    rows: Range<usize>,
    mut scratch: &mut [u8],
) {
    let Right { steps, panels, groups, outputs, columns, .. } = *right;
    assert!(outputs <= panels * PANEL, "packed weights");
    if rows.is_empty() || outputs == 0 {
        return;
    }
    let end = (rows.len() - 1)
        .checked_mul(to.row_stride)
        .and_then(|at| at.checked_add(to.offset)?.checked_add(groups * outputs))
        .expect("sizes overflow");
    assert!(end <= to.y.len(), "the output is too short");
    let y = match (&mut *to.y, columns.kind) {
        (Out::Uint8(y), Kind::Quantized { .. }) => Pointer::Uint8(y.as_mut_ptr()),
        (Out::Float32(y), Kind::Float { .. }) => Pointer::Float32(y.as_mut_ptr()),
        (Out::Int32(y), Kind::Integer) => Pointer::Int32(y.as_mut_ptr()),
        _ => panic!("the type of the output is not that of the finish"),
    };

    let element = K::Rows::ELEMENT;
    let block = even_rows(element, M, steps, rows.len());
    let row_bytes = row_bytes(element, steps);
    let most = block.min(rows.len());
    let has_zero_points = !columns.zero_points.is_empty();
    let row_sums = carve_numbers(&mut scratch, if has_zero_points { most } else { 0 });
    let widened = carve(&mut scratch, if K::WIDE && rows.len() >= K::FEW { steps * 2 * BLOCK } else { 0 });
    let direct = element == 1 && mask == 0 && source.direct(0).is_some();
    let gathered = if direct { &mut [][..] } else { carve(&mut scratch, most * row_bytes + SLACK) };

    for first in rows.clone().step_by(block) {
        let count = block.min(rows.end - first);
        let few = count < K::FEW.max(M);
        for group in 0..groups {
            let (a, stride) = match source.direct(group) {
                Some((a, stride)) if direct => {
                    let start = first * stride;
                    // The end of the last row; that nothing else is read is what `direct` promises.
                    let len = (count - 1) * stride + steps * 4;
                    (&a[start..][..len], stride)
                }
                _ => {
                    source.gather::<K::Rows>(first, count, group, mask, gathered, row_bytes);
                    (&gathered[..count * row_bytes], row_bytes)
                }
            };
            let sums = if has_zero_points && (few || !K::WIDE) {
                for (row, sum) in row_sums[..count].iter_mut().enumerate() {
                    *sum = K::Rows::sum(&a[row * stride..][..steps * 4 * element], mask);
                }
                Some(&row_sums[..count])
            } else {
                None
            };
            for p in 0..panels {
                let index = group * panels + p;
                let valid = (outputs - p * PANEL).min(PANEL);
                let panel = Panel::new(&columns, index * PANEL, valid, y, to.row_stride);
                let packed = right.panel(index);
                let at = (first - rows.start) * to.row_stride + to.offset + group * outputs + p * PANEL;
                // SAFETY: `a` has `count` rows, the panel `steps` blocks, and `y` all of the rows, checked above.
                unsafe {
                    if few {
                        panel_few::<K>(a.as_ptr(), stride, count, packed.as_ptr(), steps, &panel, sums, at);
                    } else {
                        let b = if K::WIDE {
                            assert!(packed.len() == steps * BLOCK && widened.len() >= 2 * packed.len());
                            widen_panel(packed.as_ptr(), steps, panel.zero_points, widened.as_mut_ptr());
                            widened.as_ptr()
                        } else {
                            packed.as_ptr()
                        };
                        panel_tiles::<K, M>(a.as_ptr(), stride, count, b, steps, &panel, sums, at);
                    }
                }
            }
        }
    }
}

/// All tiles of a block and a panel. The last tile may cover rows of the one before again.
///
/// # Safety
///
/// At least `M` rows of `steps` blocks, `stride` bytes apart, can be read at `a`, a panel (widened if so said) at `b`,
/// and written to `y` from `at` on.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
unsafe fn panel_tiles<K: Kernel, const M: usize>(
    a: *const u8,
    stride: usize,
    rows: usize,
    b: *const u8,
    steps: usize,
    panel: &Panel<'_>,
    row_sums: Option<&[i32]>,
    at: usize,
) {
    let (first, epilogue) = (initial(panel.bias), Epilogue::new(panel));
    let mut row = 0;
    while row < rows {
        let start = row.min(rows - M);
        // SAFETY: `start + M` rows exist, as the caller promises.
        unsafe {
            let sums = K::tile::<M>(a.add(start * stride), stride, b, steps, first);
            let row_sums = row_sums.map(|s| s[start..][..M].try_into().expect("M sums"));
            epilogue.finish::<M>(sums, row_sums, at + start * panel.row_stride);
        }
        row += M;
    }
}

/// A panel times few rows.
///
/// # Safety
///
/// As [`panel_tiles`], with any number of rows and a packed panel.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
unsafe fn panel_few<K: Kernel>(
    a: *const u8,
    stride: usize,
    rows: usize,
    b: *const u8,
    steps: usize,
    panel: &Panel<'_>,
    row_sums: Option<&[i32]>,
    at: usize,
) {
    let (first, epilogue) = (initial(panel.bias), Epilogue::new(panel));
    let mut row = 0;
    // SAFETY: within the rows, as the caller promises.
    unsafe {
        while row + 2 <= rows {
            let sums = K::few::<2>(a.add(row * stride), stride, b, steps, first);
            let row_sums = row_sums.map(|s| s[row..][..2].try_into().expect("two sums"));
            epilogue.finish::<2>(sums, row_sums, at + row * panel.row_stride);
            row += 2;
        }
        if row < rows {
            let sums = K::few::<1>(a.add(row * stride), stride, b, steps, first);
            let row_sums = row_sums.map(|s| s[row..][..1].try_into().expect("a sum"));
            epilogue.finish::<1>(sums, row_sums, at + row * panel.row_stride);
        }
    }
}
