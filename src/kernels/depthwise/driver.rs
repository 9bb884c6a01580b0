//! Blocks of channels, rows, and the ring of interleaved rows.

use std::ops::Range;

use super::kernel::{Kernel, MOST_ROWS, arch};
use super::tile::{self, Ring};
use super::weights::{BLOCK, DepthwiseWeights, Prepared, QUARTERS, Vector, first_channel};
use crate::kernels::conv::{Kind, Out, SIGN, carve, product};
use crate::kernels::{Window, isa::Dot};

/// Bytes of a vector.
pub(super) const VECTOR: usize = size_of::<Vector>();
/// Bytes of the sums of one position.
pub(super) const SUMS: usize = BLOCK * size_of::<i32>();
/// All blocks of channels of a strip of rows are computed before the next: its lines of cache hold several blocks. Bytes
/// of its input to aim at,
const STRIP_BYTES: usize = 192 << 10;
/// and rows that are worth the groups of rows that two strips share.
const LEAST_ROWS: usize = 6;
/// Parts of scratch memory may begin so many bytes later.
const ALIGNMENT: usize = 64;

/// Sizes of what lies in scratch memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// Positions of a row that windows touch, those outside of the input included.
    width: usize,
    /// Bytes of four channels of a group of rows. Tiles may read, and multiply in vain, what lies behind the last window.
    plane: usize,
    /// Groups of rows that the ring holds.
    slots: usize,
    /// Bytes of the sums of a row.
    sums: usize,
}

impl Geometry {
    /// Windows touch up to `groups` groups of rows.
    pub fn new(window: &Window, groups: usize) -> Self {
        let ([_, step], [_, kw], [_, dilation]) = (window.strides, window.kernel, window.dilations);
        let columns = window.output[1];
        let reach = |columns: usize| {
            let last = product(&[columns.saturating_sub(1), step]);
            let taps = product(&[kw.saturating_sub(1), dilation]);
            last.checked_add(taps).and_then(|at| at.checked_add(1)).expect("sizes of a convolution overflow")
        };
        let padded = tile::padded_columns(columns);
        Self {
            width: reach(columns),
            plane: product(&[reach(padded), VECTOR]),
            slots: groups,
            sums: product(&[padded, SUMS]),
        }
    }

    fn ring(&self) -> usize {
        product(&[self.slots, QUARTERS, self.plane])
    }

    pub fn scratch_bytes(&self) -> usize {
        let sizes = [self.ring(), self.sums, 2 * ALIGNMENT];
        sizes.iter().try_fold(0usize, |a, &b| a.checked_add(b)).expect("sizes of a convolution overflow")
    }
}

/// Where results go: channel `c` of position `p`, counted from the first that is computed, to `p * row_stride + column +
/// c`.
pub(super) struct Destination<'a, 'b> {
    pub y: &'a mut Out<'b>,
    pub row_stride: usize,
    pub column: usize,
}

/// First element of the output. Checked by the driver: every position that kernels are given lies inside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer {
    Uint8(*mut u8),
    Float32(*mut f32),
    Int32(*mut i32),
}

/// Epilogue of a block.
pub(super) struct Lists<'a> {
    pub bias: &'a [i32; BLOCK],
    pub multipliers: &'a [f32; BLOCK],
    pub addend: &'a [f32; BLOCK],
    pub kind: Kind,
}

/// The block's part of a list.
fn part<T>(list: &[T], block: usize) -> &[T; BLOCK] {
    list[block * BLOCK..][..BLOCK].try_into().expect("a block of elements")
}

/// A block of channels of an image, to be interleaved.
struct Source<'a> {
    x: &'a [u8],
    window: &'a Window,
    image: usize,
    /// First channel.
    channel: usize,
    /// What lies outside.
    zero_point: u8,
    /// What bytes are turned with.
    mask: u8,
}

impl Source<'_> {
    /// Interleaves the rows `top`, `top + dilation` ..., counted from the first row of padding, to `to`.
    fn interleave<K: Kernel>(&self, top: u64, dilation: u64, geometry: &Geometry, to: &mut [u8]) {
        let Window { input: [_, h, w, c], pads, .. } = *self.window;
        let Geometry { width, plane, .. } = *geometry;
        assert!(to.len() >= QUARTERS * plane && plane >= width * VECTOR);
        let (outside, mask) = ([self.zero_point; BLOCK], self.mask);
        // Positions before, inside and behind the input.
        let first = pads[1].min(width);
        let end = (pads[1] + w).clamp(first, width);
        let mut rows = [outside.as_ptr(); MOST_ROWS];
        let mut put = |rows: &[*const u8; MOST_ROWS], at: usize| {
            // SAFETY: 16 bytes can be read at each; `at < width`, so that each vector lies in its plane.
            unsafe { K::interleave(rows, to.as_mut_ptr().add(at * VECTOR), plane, mask) }
        };
        (0..first).chain(end..width).for_each(|at| put(&rows, at));

        let mut starts = [None; MOST_ROWS];
        // Positions of which 16 bytes can be read in all rows.
        let mut safe = end - first;
        for (i, start) in starts[..K::ROWS].iter_mut().enumerate() {
            let row = (top + i as u64 * dilation).checked_sub(pads[0] as u64).filter(|&row| row < h as u64);
            *start = row.map(|row| (self.image * h + row as usize) * w * c + self.channel);
            if let Some(start) = *start {
                let room = (self.x.len() + c).saturating_sub(start + BLOCK);
                safe = safe.min(room / c);
            }
        }
        let mut steps = [0; MOST_ROWS];
        for i in 0..K::ROWS {
            if let Some(start) = starts[i] {
                (rows[i], steps[i]) = (self.x[start.min(self.x.len())..].as_ptr(), c);
            }
        }
        for at in first..first + safe {
            put(&rows, at);
            for i in 0..K::ROWS {
                rows[i] = rows[i].wrapping_add(steps[i]);
            }
        }
        // The last few positions of a tensor of few channels.
        for at in first + safe..end {
            let mut copies = [outside; MOST_ROWS];
            for (copy, start) in copies.iter_mut().zip(starts) {
                if let Some(start) = start {
                    let bytes = &self.x[start + (at - first) * c..][..c.min(BLOCK)];
                    copy[..bytes.len()].copy_from_slice(bytes);
                }
            }
            put(&copies.each_ref().map(|copy| copy.as_ptr()), at);
        }
    }
}

/// Computes output rows; `weights` were packed for `K`.
pub(super) fn run<K: Kernel>(
    weights: &DepthwiseWeights,
    prepared: &Prepared,
    x: &[u8],
    to: Destination<'_, '_>,
    rows: Range<usize>,
    mut scratch: &mut [u8],
) {
    weights.check(prepared);
    let DepthwiseWeights { window, geometry, .. } = weights;
    let Window { input: [_, _, _, channels], output: [oh, ow], .. } = *window;
    if rows.is_empty() || ow == 0 || channels == 0 {
        return;
    }
    let end = (product(&[rows.len(), ow]) - 1)
        .checked_mul(to.row_stride)
        .and_then(|at| at.checked_add(to.column)?.checked_add(channels))
        .expect("sizes overflow");
    assert!(end <= to.y.len(), "the output is too short");
    let y = match (&mut *to.y, prepared.kind) {
        (Out::Uint8(y), Kind::Quantized { .. }) => Pointer::Uint8(y.as_mut_ptr()),
        (Out::Float32(y), Kind::Float { .. }) => Pointer::Float32(y.as_mut_ptr()),
        (Out::Int32(y), Kind::Integer) => Pointer::Int32(y.as_mut_ptr()),
        _ => panic!("the type of the output is not that of the finish"),
    };
    let ring = carve(&mut scratch, geometry.ring());
    let sums = carve(&mut scratch, geometry.sums);

    let valid = channels.min(BLOCK);
    let mask = if weights.dot == Dot::Sdot { SIGN } else { 0 };
    let slot_bytes = QUARTERS * geometry.plane;
    let dilation = window.dilations[0] as u64;
    let input_row = product(&[window.input[2], channels, window.strides[0].max(1)]);
    let strip = (STRIP_BYTES / input_row.max(1)).clamp(LEAST_ROWS, 1 << 30);
    let mut start = rows.start;
    while start < rows.end {
        let image = start / oh;
        let end = rows.end.min((image + 1) * oh).min(start + strip);
        for block in 0..channels.div_ceil(BLOCK) {
            let channel = first_channel(block, channels);
            let lists = Lists {
                bias: part(&prepared.bias, block),
                multipliers: part(&prepared.multipliers, block),
                addend: part(&prepared.addend, block),
                kind: prepared.kind,
            };
            let source = Source { x, window, image, channel, zero_point: prepared.zero_point, mask };
            // Groups before this one are in the ring, as far as they are still needed.
            let mut next = 0u64;
            for row in start..end {
                let top = (row - image * oh) as u64 * window.strides[0] as u64;
                let shared = dilation == 1;
                let (first, phase) = if shared { (top / K::ROWS as u64, top % K::ROWS as u64) } else { (0, 0) };
                let (vectors, groups) = weights.phase(block, phase as usize);
                let behind = first + groups as u64;
                for group in if shared { first.max(next) } else { 0 }..behind {
                    let slot = &mut ring[(group % geometry.slots as u64) as usize * slot_bytes..][..slot_bytes];
                    let from = group * K::ROWS as u64 * dilation;
                    source.interleave::<K>(if shared { from } else { top + from }, dilation, geometry, slot);
                }
                next = behind;
                let at = if groups > 0 { (first % geometry.slots as u64) as usize } else { 0 };
                let ring = Ring { bytes: ring, slot_bytes, slots: geometry.slots, plane: geometry.plane, first: at };
                tile::row::<K>(window, &ring, groups, vectors, lists.bias, sums);
                let at = (row - rows.start) * ow * to.row_stride + to.column + channel;
                // SAFETY: there are sums of `ow` positions, and all results lie inside of `y`, checked above.
                unsafe { arch::finish(sums.as_ptr(), ow, &lists, y, at, to.row_stride, valid) }
            }
        }
        start = end;
    }
}
