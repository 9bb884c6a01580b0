//! Rows, pair rows, tiles.

use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
use super::simd as arch;
use super::weights::{DepthwiseWeights, Layout, Pair, Prepared, product};
use super::{CHANNELS, CHUNK};
use crate::kernels::Window;
use crate::kernels::conv::{Kind, Out};

/// First element of the output. Checked by [`run`]: everything that kernels write lies inside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer {
    Uint8(*mut u8),
    Float32(*mut f32),
    Int32(*mut i32),
}

/// What tiles of one output row and four channels have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// The channels' plane of the pair row in slot 0.
    pub planes: *const u8,
    pub slot_bytes: usize,
    /// Pair rows that there is place for.
    pub slots: usize,
    /// Where the first pair row is.
    pub first: usize,
    /// Pair rows that the output row needs.
    pub pairs: usize,
    /// `[pairs][kw]`.
    pub weights: *const Pair,
    pub bias: &'a [i32; CHANNELS],
    pub multipliers: &'a [f32; CHANNELS],
    pub addend: &'a [f32; CHANNELS],
    pub kind: Kind,
    pub y: Pointer,
    /// Element of `y` for the first column.
    pub at: usize,
    /// Elements of `y` from one column to the next.
    pub row_stride: usize,
    /// Channels that exist, 1 to 4.
    pub valid: usize,
}

/// Horizontal steps of a kernel without a tile of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub width: usize,
    pub stride: usize,
    pub dilation: usize,
}

/// See [`super::depthwise`].
#[allow(clippy::too_many_arguments)]
pub(super) fn run(
    weights: &DepthwiseWeights,
    prepared: &Prepared,
    x: &[u8],
    y: &mut Out<'_>,
    rows: Range<usize>,
    row_stride: usize,
    column: usize,
    scratch: &mut [u8],
) {
    let Window { input, output, strides, dilations, .. } = weights.window;
    let layout = &weights.layout;
    let c = input[3];
    weights.check(prepared);
    assert!(rows.end <= weights.rows(), "rows beyond the output");
    assert!(x.len() >= product(&input), "the input is too short");
    if rows.is_empty() || c == 0 || output[1] == 0 {
        return;
    }
    let end = product(&[rows.end, output[1]]);
    let end = (end - 1)
        .checked_mul(row_stride)
        .and_then(|at| at.checked_add(column)?.checked_add(c))
        .expect("sizes overflow");
    assert!(end <= y.len(), "the output is too short");
    let y = match (y, prepared.kind) {
        (Out::Uint8(y), Kind::Quantized { .. }) => Pointer::Uint8(y.as_mut_ptr()),
        (Out::Float32(y), Kind::Float { .. }) => Pointer::Float32(y.as_mut_ptr()),
        (Out::Int32(y), Kind::Integer) => Pointer::Int32(y.as_mut_ptr()),
        _ => panic!("the type of the output is not that of the finish"),
    };
    let skip = scratch.as_ptr().align_offset(align_of::<Pair>()).min(scratch.len());
    let ring = scratch[skip..].get_mut(..layout.slots * layout.slot_bytes).expect("scratch memory is too small");

    // Pair rows of image `image` up to `made` are there, as many as there are slots.
    let (mut image, mut made) = (usize::MAX, 0);
    for row in rows {
        let (b, oy) = (row / output[0], row % output[0]);
        let top = oy * strides[0];
        if b != image {
            (image, made) = (b, 0);
        }
        let (start, first) = if layout.shared { (top % 2, top / 2) } else { (0, 0) };
        let pairs = layout.pairs[start];
        if layout.shared {
            for q in first.max(made)..first + pairs {
                interleave(weights, prepared, x, b, [2 * q, 2 * q + 1], ring, q % layout.slots);
            }
            made = made.max(first + pairs);
        } else {
            for q in 0..pairs {
                let rows = [0, 1].map(|i| top + (2 * q + i) * dilations[0]);
                interleave(weights, prepared, x, b, rows, ring, q);
            }
        }
        for group in 0..c.div_ceil(CHANNELS) {
            let n = group * CHANNELS;
            let four = n..n + CHANNELS;
            let group = Group {
                planes: ring[group * layout.plane_bytes..].as_ptr(),
                slot_bytes: layout.slot_bytes,
                slots: layout.slots,
                first: first % layout.slots.max(1),
                pairs,
                weights: weights.packed[weights.offset(group, start)..].as_ptr(),
                bias: prepared.bias[four.clone()].try_into().expect("four"),
                multipliers: prepared.multipliers[four.clone()].try_into().expect("four"),
                addend: prepared.addend[four].try_into().expect("four"),
                kind: prepared.kind,
                y,
                at: row * output[1] * row_stride + column + n,
                row_stride,
                valid: (c - n).min(CHANNELS),
            };
            // SAFETY: the pair rows are there, and have the columns that the tiles read; the weights have a vector for
            // each pair and column of the kernel; the output was checked.
            unsafe { tiles(weights, &group) }
        }
    }
}

/// All tiles of a row and four channels.
///
/// # Safety
///
/// As [`row`].
#[inline(always)]
unsafe fn tiles(weights: &DepthwiseWeights, group: &Group<'_>) {
    let Window { output, kernel, strides, dilations, .. } = weights.window;
    let steps = Steps { width: kernel[1], stride: strides[1], dilation: dilations[1] };
    let columns = output[1];
    // SAFETY: as the caller promises.
    unsafe {
        match (weights.layout.tile, steps) {
            (7, Steps { width: 3, stride: 1, dilation: 1 }) => row::<3, 1, 7>(group, steps, columns),
            (7, Steps { width: 3, stride: 2, dilation: 1 }) => row::<3, 2, 7>(group, steps, columns),
            (7, Steps { width: 5, stride: 1, dilation: 1 }) => row::<5, 1, 7>(group, steps, columns),
            (7, Steps { width: 5, stride: 2, dilation: 1 }) => row::<5, 2, 7>(group, steps, columns),
            (7, _) => row::<0, 0, 7>(group, steps, columns),
            (_, Steps { width: 3, stride: 1, dilation: 1 }) => row::<3, 1, 8>(group, steps, columns),
            (_, Steps { width: 3, stride: 2, dilation: 1 }) => row::<3, 2, 8>(group, steps, columns),
            (_, Steps { width: 5, stride: 1, dilation: 1 }) => row::<5, 1, 8>(group, steps, columns),
            (_, Steps { width: 5, stride: 2, dilation: 1 }) => row::<5, 2, 8>(group, steps, columns),
            _ => row::<0, 0, 8>(group, steps, columns),
        }
    }
}

/// All tiles of `T` columns of a row and four channels. `KW` and `SX` are width and stride of the kernel, or 0 where only
/// `steps` knows.
///
/// # Safety
///
/// The planes have the columns, rounded up to tiles, that the kernel needs; `weights` has `pairs * kw` elements; and `y`
/// those of all columns.
#[inline(never)]
unsafe fn row<const KW: usize, const SX: usize, const T: usize>(group: &Group<'_>, steps: Steps, columns: usize) {
    let mut column = 0;
    while column < columns {
        // SAFETY: as the caller promises.
        unsafe {
            let sums = if KW == 0 {
                arch::tile_any::<T>(group, steps, column)
            } else {
                arch::tile::<KW, SX, T>(group, column)
            };
            arch::finish::<T>(sums, group, column, columns - column);
        }
        column += T;
    }
}

/// Makes the pair row in a slot from two rows, counted from the top of the padded input.
fn interleave(
    weights: &DepthwiseWeights,
    prepared: &Prepared,
    x: &[u8],
    image: usize,
    rows: [usize; 2],
    ring: &mut [u8],
    slot: usize,
) {
    let Window { input: [_, h, w, c], pads, .. } = weights.window;
    let Layout { columns, groups, plane_bytes, slot_bytes, .. } = weights.layout;
    let outside = [prepared.zero_point; CHUNK];
    // Where the rows start in `x`; none for those outside.
    let rows = rows.map(|row| row.checked_sub(pads[0]).filter(|&y| y < h).map(|y| (image * h + y) * w * c));
    let left = pads[1].min(columns);
    let inside = w.min(columns - left);
    let right = columns - left - inside;
    let slot = &mut ring[slot * slot_bytes..][..slot_bytes];
    assert!(slot.len() == groups * plane_bytes && plane_bytes == columns * size_of::<Pair>());
    for chunk in 0..groups * CHANNELS / CHUNK {
        let n = chunk * CHUNK;
        let planes = slot[chunk * (CHUNK / CHANNELS) * plane_bytes..].as_mut_ptr();
        // The last pixel of the input may have less than a chunk behind it.
        let whole = |row: Option<usize>| match row {
            Some(row) if row + n + CHUNK <= x.len() => ((x.len() - row - n - CHUNK) / c + 1).min(inside),
            Some(_) => 0,
            None => inside,
        };
        let whole = whole(rows[0]).min(whole(rows[1]));
        let step = |row: Option<usize>| if row.is_some() { c } else { 0 };
        let pointer = |row: Option<usize>| row.map_or(outside.as_ptr(), |row| x[row + n..].as_ptr());
        // SAFETY: a chunk can be read for each of the first `whole` pixels; the planes have `columns` columns.
        unsafe {
            let at = |column: usize| planes.add(column * size_of::<Pair>());
            arch::interleave(outside.as_ptr(), 0, outside.as_ptr(), 0, left, at(0), plane_bytes);
            let [a, b] = rows.map(pointer);
            arch::interleave(a, step(rows[0]), b, step(rows[1]), whole, at(left), plane_bytes);
            for pixel in whole..inside {
                let [a, b] = rows.map(|row| {
                    let mut part = outside;
                    if let Some(row) = row {
                        let rest = &x[row + pixel * c + n..];
                        let len = rest.len().min(CHUNK);
                        part[..len].copy_from_slice(&rest[..len]);
                    }
                    part
                });
                arch::interleave(a.as_ptr(), 0, b.as_ptr(), 0, 1, at(left + pixel), plane_bytes);
            }
            arch::interleave(outside.as_ptr(), 0, outside.as_ptr(), 0, right, at(left + inside), plane_bytes);
        }
    }
}
