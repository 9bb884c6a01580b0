//! Scaling pictures, with the same results as PIL's `Image.resize`: weights in fixed point, first along the rows, with
//! 8 bits kept in between, then along the columns.
//!
//! The work is done as a stream: a source row is read once, scaled along the row, and kept in a ring of as many rows as
//! one row of the result needs. Rows and columns that the result does not need are never touched.

use super::alpha::Rows;
use super::filter::{Axis, PRECISION_BITS, Taps};
use super::spec::{MAX_OUTPUT_SIDE, Resample};
use super::{check_pixels, zeroed};
use crate::error::{Error, ErrorCode, Result};

/// Half of the last place that is kept: sums start from it, so that cutting off rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// What to scale to what.
pub(super) struct Resampling {
    /// Width and height of the source.
    pub source: (usize, usize),
    /// Width and height to scale to.
    pub scaled: (usize, usize),
    /// The part of it to compute.
    pub window: super::crop::Rect,
    /// The filter.
    pub filter: Resample,
}

/// Where a window is written: at (`left`, `top`) of an RGB image of `width` columns, in which it fits.
pub(super) struct Target<'a> {
    /// RGB.
    pub pixels: &'a mut [u8],
    /// Columns.
    pub width: usize,
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
}

impl Target<'_> {
    fn rows(&mut self, width: usize, height: usize) -> impl Iterator<Item = &mut [u8]> {
        let bytes = self.left * 3..(self.left + width) * 3;
        self.pixels.chunks_exact_mut(self.width * 3).skip(self.top).take(height).map(move |row| &mut row[bytes.clone()])
    }
}

/// Scales an RGB picture (8 bits each, rows from the top, no padding) as PIL's `Image.resize` does, to the bit.
///
/// # Errors
/// Those of [`preprocess`](super::preprocess); the new sides are limited to [`MAX_OUTPUT_SIDE`].
pub fn resize(
    rgb: &[u8],
    width: u32,
    height: u32,
    new_width: u32,
    new_height: u32,
    filter: Resample,
) -> Result<Vec<u8>> {
    for side in [new_width, new_height] {
        if !(1..=MAX_OUTPUT_SIDE).contains(&side) {
            return Err(Error::new(
                ErrorCode::InvalidOption,
                format!("cannot scale an image to {new_width}x{new_height}"),
            )
            .with_hint(format!("sides must be 1 to {MAX_OUTPUT_SIDE} pixels")));
        }
    }
    let source = check_pixels(rgb, width, height, 3)?;
    let scaled = (new_width as usize, new_height as usize);
    let mut pixels = zeroed(scaled.0 * scaled.1 * 3)?;
    let window = super::crop::Rect { left: 0, top: 0, width: scaled.0, height: scaled.1 };
    let mut rows = super::alpha::RgbRows::new(rgb, source.0)?;
    Resampling { source, scaled, window, filter }
        .run(&mut rows, Target { pixels: &mut pixels, width: scaled.0, left: 0, top: 0 })?;
    Ok(pixels)
}

impl Resampling {
    /// Does it.
    pub fn run(&self, rows: &mut impl Rows, mut target: Target<'_>) -> Result<()> {
        let window = self.window;
        let across = Axis::new(self.source.0, self.scaled.0, window.left..window.left + window.width, self.filter)?;
        let down = Axis::new(self.source.1, self.scaled.1, window.top..window.top + window.height, self.filter)?;
        let columns = across.span();
        let across = across.relative_to(columns.start);
        let mut out = target.rows(window.width, window.height);

        match down {
            Axis::Pick(picks) => {
                for (y, out) in picks.into_iter().zip(&mut out) {
                    scale_row(rows.row(y, columns.clone()), &across, out);
                }
            }
            Axis::Blend(taps) => {
                let mut ring = Ring::new(taps.longest(), window.width * 3)?;
                let mut sums = zeroed(window.width * 3)?;
                let mut next = 0;
                for ((first, weights), out) in taps.iter().zip(&mut out) {
                    for y in next.max(first)..first + weights.len() {
                        scale_row(rows.row(y, columns.clone()), &across, ring.row_mut(y));
                        next = y + 1;
                    }
                    blend_rows(&ring, first, weights, &mut sums, out);
                }
            }
        }
        Ok(())
    }
}

/// The latest rows, by their number.
struct Ring {
    bytes: Vec<u8>,
    row_len: usize,
    rows: usize,
}

impl Ring {
    fn new(rows: usize, row_len: usize) -> Result<Self> {
        // Few rows of little width or many of much: only the product can be too much, on 32 bits.
        let len = rows.saturating_mul(row_len);
        Ok(Self { bytes: zeroed(len)?, row_len, rows })
    }

    fn start(&self, y: usize) -> usize {
        y % self.rows * self.row_len
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.bytes[self.start(y)..][..self.row_len]
    }

    fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = self.start(y);
        &mut self.bytes[start..][..self.row_len]
    }
}

/// One row of RGBA (of which alpha is ignored) to one row of RGB.
fn scale_row(row: &[u8], across: &Axis, out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<4>();
    let (out, _) = out.as_chunks_mut::<3>();
    match across {
        Axis::Pick(picks) => {
            for (&x, out) in picks.iter().zip(out) {
                let [r, g, b, _] = pixels[x];
                *out = [r, g, b];
            }
        }
        Axis::Blend(taps) => blend_columns(pixels, taps, out),
    }
}

/// The inner loop that nearly all of the time goes to: of a large photograph every pixel is here several times.
fn blend_columns(pixels: &[[u8; 4]], taps: &Taps, out: &mut [[u8; 3]]) {
    for ((first, weights), out) in taps.iter().zip(out) {
        // Four sums, alpha's for nothing: they are one vector. They wrap, as PIL's do where that is built, rather than
        // be checked; weights of a filter cannot bring them that far.
        let mut sums = [HALF; 4];
        for (pixel, &weight) in pixels[first..first + weights.len()].iter().zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
            }
        }
        *out = [to_level(sums[0]), to_level(sums[1]), to_level(sums[2])];
    }
}

/// Rows `first..` of the ring, weighted, to one row.
fn blend_rows(ring: &Ring, first: usize, weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
    sums.fill(HALF);
    for (y, &weight) in (first..).zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(ring.row(y)) {
            *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
        }
    }
    for (out, &sum) in out.iter_mut().zip(&*sums) {
        *out = to_level(sum);
    }
}

fn to_level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const FILTERS: [Resample; 5] =
        [Resample::Nearest, Resample::Box, Resample::Bilinear, Resample::Bicubic, Resample::Lanczos];

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn same_size_is_a_copy() {
        let rgb = noise(7 * 5 * 3);
        for filter in FILTERS {
            assert_eq!(resize(&rgb, 7, 5, 7, 5, filter).unwrap(), rgb, "{filter:?}");
        }
    }

    #[test]
    fn even_colours_stay_even() {
        for level in [0, 1, 127, 254, 255] {
            for filter in FILTERS {
                for (from, to) in [((5, 9), (50, 3)), ((300, 2), (7, 200)), ((1, 1), (9, 9)), ((1000, 1), (1, 1))] {
                    let rgb = vec![level; from.0 * from.1 * 3];
                    let scaled = resize(&rgb, from.0 as u32, from.1 as u32, to.0, to.1, filter).unwrap();
                    assert!(scaled.iter().all(|v| *v == level), "{filter:?} {from:?} -> {to:?} {level}");
                }
            }
        }
    }

    #[test]
    fn overshoot_is_clipped() {
        // A hard edge: the negative lobes would leave 0..=255 on both sides of it.
        let rgb: Vec<u8> = [0, 0, 0, 255, 255, 255].into_iter().flat_map(|v| [v; 3]).collect();
        for filter in [Resample::Bicubic, Resample::Lanczos] {
            let scaled = resize(&rgb, 6, 1, 24, 1, filter).unwrap();
            let reds: Vec<u8> = scaled.chunks(3).map(|p| p[0]).collect();
            assert!(reds[..8].iter().all(|v| *v < 30) && reds[16..].iter().all(|v| *v > 225), "{filter:?} {reds:?}");
            assert!(reds.contains(&0) && reds.contains(&255));
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let (width, height) = (37, 23);
        let rgb = noise(width * height * 3);
        for filter in FILTERS {
            for scaled in [(20, 50), (60, 11), (37, 8), (80, 23)] {
                let whole = resize(&rgb, 37, 23, scaled.0 as u32, scaled.1 as u32, filter).unwrap();
                let window = crate::image::crop::Rect { left: 3, top: 2, width: 9, height: 5 };
                // Into the middle of a larger picture, to see that nothing beside it is written.
                let mut pixels = vec![77; 12 * 8 * 3];
                let mut rows = crate::image::alpha::RgbRows::new(&rgb, width).unwrap();
                Resampling { source: (width, height), scaled, window, filter }
                    .run(&mut rows, Target { pixels: &mut pixels, width: 12, left: 2, top: 1 })
                    .unwrap();
                for y in 0..8 {
                    for x in 0..12 {
                        let got = &pixels[(y * 12 + x) * 3..][..3];
                        let expected = if (2..11).contains(&x) && (1..6).contains(&y) {
                            &whole[((y + 1) * scaled.0 + x + 1) * 3..][..3]
                        } else {
                            &[77; 3]
                        };
                        assert_eq!(got, expected, "{filter:?} {scaled:?} at {x}, {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn bad_sizes_are_typed_errors() {
        let rgb = [0; 12];
        let cases = [
            (2, 2, 0, 2, ErrorCode::InvalidOption),
            (2, 2, 2, 8193, ErrorCode::InvalidOption),
            (2, 2, u32::MAX, u32::MAX, ErrorCode::InvalidOption),
            (2, 3, 2, 2, ErrorCode::InvalidImage),
            (0, 0, 2, 2, ErrorCode::InvalidImage),
            (20_000, 20_000, 2, 2, ErrorCode::ImageTooLarge),
        ];
        for (w, h, nw, nh, code) in cases {
            let error = resize(&rgb, w, h, nw, nh, Resample::Box).unwrap_err();
            assert_eq!(error.code, code, "{w}x{h} -> {nw}x{nh}");
        }
    }
}
