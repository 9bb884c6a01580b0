//! Rows of the left operand: windows of an image, or rows of a matrix, brought together in a block.

use super::kernel::Rows;
use crate::kernels::Window;

/// Where rows come from.
pub(super) trait Source {
    /// Writes `rows` rows from `first` on, of `group`, every `row_bytes` bytes of `to`; elements are xor `mask`. What
    /// follows the elements of a row keeps any contents.
    fn gather<R: Rows>(&self, first: usize, rows: usize, group: usize, mask: u8, to: &mut [u8], row_bytes: usize);

    /// The rows of `group` as they lie in memory, and the bytes from one to the next, where they can be used so: whole
    /// blocks of k, nothing behind the last row needed.
    fn direct(&self, group: usize) -> Option<(&[u8], usize)>;
}

/// Copies `from[at..at + len]` to element `element` of `to`. Elements behind are overwritten: rows are written in order.
#[inline(always)]
fn copy<R: Rows>(from: &[u8], at: usize, len: usize, mask: u8, to: &mut [u8], element: usize) {
    let whole = len.next_multiple_of(R::CHUNK);
    let fits = |size: usize, start: usize, len: usize| start <= size && len <= size - start;
    if fits(from.len(), at, whole) && fits(to.len(), element * R::ELEMENT, whole * R::ELEMENT) {
        // SAFETY: just checked.
        unsafe { R::copy(from.as_ptr().add(at), to.as_mut_ptr().add(element * R::ELEMENT), len, mask) }
    } else {
        for (i, &byte) in from[at..][..len].iter().enumerate() {
            R::put(to, element + i, byte ^ mask);
        }
    }
}

/// Sets `len` elements.
fn fill<R: Rows>(to: &mut [u8], element: usize, len: usize, byte: u8) {
    if R::ELEMENT == 1 {
        to[element..][..len].fill(byte);
    } else {
        for pair in to[2 * element..][..2 * len].chunks_exact_mut(2) {
            pair.copy_from_slice(&[byte, 0]);
        }
    }
}

/// Windows of `[n, h, w, c]`, less groups.
pub(super) struct Windows<'a> {
    /// All of the input; sizes are checked to be within 2^30.
    pub x: &'a [u8],
    pub window: &'a Window,
    pub groups: usize,
    /// What lies outside.
    pub zero_point: u8,
}

impl Windows<'_> {
    /// Whether each output position sees just the same position of the input.
    fn plain(&self) -> bool {
        let Window { input: [_, h, w, _], output, kernel, strides, pads, .. } = *self.window;
        kernel == [1, 1] && strides == [1, 1] && pads == [0, 0] && output == [h, w]
    }

    /// Whether the taps of a row of the window follow each other in memory.
    fn dense(&self) -> bool {
        self.groups == 1 && (self.window.dilations[1] == 1 || self.window.kernel[1] == 1)
    }

    /// A window that lies partly outside.
    fn border<R: Rows>(&self, [image, y, x]: [usize; 3], group: usize, mask: u8, to: &mut [u8], mut element: usize) {
        let Window { input: [_, h, w, c], kernel: [kh, kw], strides, dilations, pads, .. } = *self.window;
        let depth = c / self.groups;
        let outside = self.zero_point ^ mask;
        let dense = self.dense();
        let top = y as i64 * strides[0] as i64 - pads[0] as i64;
        let left = x as i64 * strides[1] as i64 - pads[1] as i64;
        let (top_in, bottom_in) = inside(top, dilations[0], kh, h);
        let (left_in, right_in) = inside(left, dilations[1], kw, w);
        for ky in 0..kh {
            if ky < top_in || ky >= bottom_in || left_in == right_in {
                fill::<R>(to, element, kw * depth, outside);
                element += kw * depth;
                continue;
            }
            // Of the tap kx = 0, wherever it lies.
            let line = (image * h) as i64 + top + (ky * dilations[0]) as i64;
            let start = (line * w as i64 + left) * c as i64 + (group * depth) as i64;
            if dense {
                let (before, len, after) = (left_in * depth, (right_in - left_in) * depth, (kw - right_in) * depth);
                fill::<R>(to, element, before, outside);
                copy::<R>(self.x, (start + before as i64) as usize, len, mask, to, element + before);
                fill::<R>(to, element + before + len, after, outside);
                element += kw * depth;
            } else {
                for kx in 0..kw {
                    if (left_in..right_in).contains(&kx) {
                        let at = (start + kx as i64 * dilations[1] as i64 * c as i64) as usize;
                        copy::<R>(self.x, at, depth, mask, to, element);
                    } else {
                        fill::<R>(to, element, depth, outside);
                    }
                    element += depth;
                }
            }
        }
    }
}

/// Windows side by side that lie inside.
struct Inner {
    /// First element of the first.
    at: usize,
    /// From one window to the next.
    step: usize,
    /// How many lines, and the step between them.
    lines: (usize, usize),
    /// Runs in each line, and the step between them.
    runs: (usize, usize),
    /// Length of a run.
    run: usize,
}

impl Inner {
    /// Copies `count` windows, to element `element` on, `row_elements` from one to the next.
    fn copy<R: Rows>(&self, x: &[u8], count: usize, mask: u8, to: &mut [u8], element: usize, row_elements: usize) {
        let (whole, all) = (self.run.next_multiple_of(R::CHUNK), self.lines.0 * self.runs.0);
        let last = (self.lines.0 - 1) * self.lines.1 + (self.runs.0 - 1) * self.runs.1;
        for i in 0..count {
            let (at, mut next) = (self.at + i * self.step, element + i * row_elements);
            let fits = at + last + whole <= x.len() && (next + (all - 1) * self.run + whole) * R::ELEMENT <= to.len();
            for line in 0..self.lines.0 {
                for run in 0..self.runs.0 {
                    let start = at + line * self.lines.1 + run * self.runs.1;
                    if fits {
                        // SAFETY: the last run ends within both, even rounded up, and the others before it.
                        unsafe {
                            R::copy(x.as_ptr().add(start), to.as_mut_ptr().add(next * R::ELEMENT), self.run, mask);
                        }
                    } else {
                        copy::<R>(x, start, self.run, mask, to, next);
                    }
                    next += self.run;
                }
            }
        }
    }
}

/// The first tap that lies within `size`, and the one behind the last, when tap 0 lies at `start`.
#[inline(always)]
fn inside(start: i64, step: usize, taps: usize, size: usize) -> (usize, usize) {
    // How many taps lie before `limit`.
    let until = |limit: i64| {
        let distance = (limit - start).max(0) as u64;
        let steps = if step == 1 { distance } else { distance.div_ceil(step.max(1) as u64) };
        steps.min(taps as u64) as usize
    };
    let first = until(0);
    (first, until(size as i64).max(first))
}

impl Source for Windows<'_> {
    fn gather<R: Rows>(&self, first: usize, rows: usize, group: usize, mask: u8, to: &mut [u8], row_bytes: usize) {
        let Window { input: [_, h, w, c], output: [oh, ow], kernel: [kh, kw], strides, dilations, pads } = *self.window;
        let depth = c / self.groups;
        let row_elements = row_bytes / R::ELEMENT;
        if self.plain() {
            if row_elements == c && self.groups == 1 {
                copy::<R>(self.x, first * c, rows * c, mask, to, 0);
            } else {
                for row in 0..rows {
                    copy::<R>(self.x, (first + row) * c + group * depth, depth, mask, to, row * row_elements);
                }
            }
            return;
        }
        if kh * kw * depth == 0 {
            return;
        }
        // One run of elements for each line of the window, or for each tap.
        let (runs, run) = if self.dense() { (1, kw * depth) } else { (kw, depth) };
        let (mut image, mut y, mut x) = (first / (oh * ow), first / ow % oh, first % ow);
        let mut row = 0;
        while row < rows {
            let top = y as i64 * strides[0] as i64 - pads[0] as i64;
            let left = x as i64 * strides[1] as i64 - pads[1] as i64;
            let (top_in, bottom_in) = inside(top, dilations[0], kh, h);
            let (left_in, right_in) = inside(left, dilations[1], kw, w);
            if (top_in, bottom_in, left_in, right_in) == (0, kh, 0, kw) {
                // So are the next ones, up to the last that ends within the line.
                let room = w - 1 - (left as usize + (kw - 1) * dilations[1]);
                let count = (room / strides[1].max(1) + 1).min(ow - x).min(rows - row);
                let windows = Inner {
                    at: ((image * h + top as usize) * w + left as usize) * c + group * depth,
                    step: strides[1].saturating_mul(c),
                    lines: (kh, dilations[0].saturating_mul(w * c)),
                    runs: (runs, dilations[1].saturating_mul(c)),
                    run,
                };
                windows.copy::<R>(self.x, count, mask, to, row * row_elements, row_elements);
                (row, x) = (row + count, x + count);
            } else {
                self.border::<R>([image, y, x], group, mask, to, row * row_elements);
                (row, x) = (row + 1, x + 1);
            }
            if x == ow {
                (x, y) = (0, y + 1);
                if y == oh {
                    (y, image) = (0, image + 1);
                }
            }
        }
    }

    fn direct(&self, group: usize) -> Option<(&[u8], usize)> {
        let c = self.window.input[3];
        let depth = c / self.groups;
        (self.plain() && depth.is_multiple_of(4)).then(|| (&self.x[(group * depth).min(self.x.len())..], c))
    }
}

/// Rows of a matrix.
pub(super) struct Matrix<'a> {
    pub a: &'a [u8],
    pub k: usize,
    /// For m and k.
    pub strides: [usize; 2],
}

impl Source for Matrix<'_> {
    fn gather<R: Rows>(&self, first: usize, rows: usize, _group: usize, mask: u8, to: &mut [u8], row_bytes: usize) {
        for row in 0..rows {
            let (at, element) = ((first + row) * self.strides[0], row * (row_bytes / R::ELEMENT));
            if self.strides[1] == 1 {
                copy::<R>(self.a, at, self.k, mask, to, element);
            } else {
                for k in 0..self.k {
                    R::put(to, element + k, self.a[at + k * self.strides[1]] ^ mask);
                }
            }
        }
    }

    fn direct(&self, _group: usize) -> Option<(&[u8], usize)> {
        (self.strides[1] == 1 && self.k.is_multiple_of(4)).then_some((self.a, self.strides[0]))
    }
}
