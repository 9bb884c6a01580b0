//! Reading rows: what is opaque is handed on where it lies, what is not is blended over the background first.

use std::ops::Range;

use super::crop::Rect;
use super::reserved;
use super::turned::Turned;
use crate::error::Result;

/// A picture that hands out rows of RGBA, of which alpha does not count any more.
pub(super) trait Rows {
    /// The pixels of `columns` in row `y`, both within the picture.
    fn row(&mut self, y: usize, columns: Range<usize>) -> &[u8];
}

/// A part of an RGBA picture with straight alpha over a background.
pub(super) struct RgbaRows<'a> {
    picture: Turned<'a>,
    part: Rect,
    background: [u8; 3],
    blended: Vec<u8>,
}

impl<'a> RgbaRows<'a> {
    /// `part` of what is seen of a picture.
    pub fn new(picture: Turned<'a>, part: Rect, background: [u8; 3]) -> Result<Self> {
        Ok(Self { picture, part, background, blended: reserved(part.width * 4)? })
    }
}

impl Rows for RgbaRows<'_> {
    fn row(&mut self, y: usize, columns: Range<usize>) -> &[u8] {
        let Rect { left, top, .. } = self.part;
        let row = self.picture.row(top + y, left + columns.start..left + columns.end);
        let (pixels, _) = row.as_chunks::<4>();
        // All of the row rather than up to the first: without a way out the loop becomes vectors.
        if pixels.iter().fold(255, |all, pixel| all & pixel[3]) == 255 {
            return row;
        }
        let [r, g, b] = self.background;
        self.blended.clear();
        for &[pr, pg, pb, alpha] in pixels {
            self.blended.extend([over(pr, r, alpha), over(pg, g, alpha), over(pb, b, alpha), 255]);
        }
        &self.blended
    }
}

/// An RGB picture.
pub(super) struct RgbRows<'a> {
    rgb: &'a [u8],
    width: usize,
    widened: Vec<u8>,
}

impl<'a> RgbRows<'a> {
    /// A picture that is `width` pixels wide.
    pub fn new(rgb: &'a [u8], width: usize) -> Result<Self> {
        Ok(Self { rgb, width, widened: reserved(width * 4)? })
    }
}

impl Rows for RgbRows<'_> {
    fn row(&mut self, y: usize, columns: Range<usize>) -> &[u8] {
        let row = &self.rgb[(y * self.width + columns.start) * 3..(y * self.width + columns.end) * 3];
        self.widened.clear();
        for &[r, g, b] in row.as_chunks::<3>().0 {
            self.widened.extend([r, g, b, 255]);
        }
        &self.widened
    }
}

/// `front` over `back`, rounded to the nearest: the division by 255 is exact, in the way PIL does it.
fn over(front: u8, back: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    let sum = u32::from(front) * alpha + u32::from(back) * (255 - alpha) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::orient::Orientation;
    use crate::image::view::Seen;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn picture(rgba: &[u8], width: usize, height: usize) -> Turned<'_> {
        let part = Rect { left: 0, top: 0, width, height };
        Turned::new(rgba, width, Seen { part, orientation: Orientation::Upright }).unwrap()
    }

    #[test]
    fn blending_rounds_to_the_nearest() {
        for alpha in 0..=255 {
            for front in (0..=255).step_by(5) {
                for back in (0..=255).step_by(17) {
                    let exact = (f64::from(front) * f64::from(alpha) + f64::from(back) * f64::from(255 - alpha)) / 255.;
                    assert_eq!(over(front, back, alpha), exact.round() as u8, "{front} over {back} at {alpha}");
                }
            }
        }
    }

    #[test]
    fn opaque_rows_are_not_copied_and_others_lose_what_is_hidden() {
        let rgba = [
            [1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255],
            [1, 2, 3, 0, 4, 5, 6, 255, 200, 100, 0, 51], //
        ]
        .concat();
        let part = Rect { left: 0, top: 0, width: 3, height: 2 };
        let mut rows = RgbaRows::new(picture(&rgba, 3, 2), part, [10, 20, 30]).unwrap();
        assert_eq!(rows.row(0, 0..3).as_ptr(), rgba.as_ptr());
        assert_eq!(rows.row(1, 0..3), [10, 20, 30, 255, 4, 5, 6, 255, 48, 36, 24, 255]);
        assert_eq!(rows.row(1, 1..2), [4, 5, 6, 255]);
    }

    #[test]
    fn a_part_is_counted_from_its_corner() {
        let rgba: Vec<u8> = (0..4 * 3).flat_map(|i| [i, i, i, 255]).collect();
        let part = Rect { left: 1, top: 1, width: 3, height: 2 };
        let mut rows = RgbaRows::new(picture(&rgba, 4, 3), part, [0; 3]).unwrap();
        assert_eq!(rows.row(1, 1..3), [10, 10, 10, 255, 11, 11, 11, 255]);
    }
}
