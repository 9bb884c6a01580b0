//! Turning a picture the right way up.
//!
//! Cameras store pictures as the sensor saw them and note in EXIF how they were held. Browsers apply that when they
//! decode an image; this is for pixels that come from another decoder.

use super::{check_pixels, zeroed};
use crate::error::{Error, ErrorCode, Result};

/// EXIF's `Orientation`: where the first row and the first column of the stored picture belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Orientation {
    /// As it is.
    Upright = 1,
    /// Mirrored left to right.
    MirroredHorizontally = 2,
    /// Upside down.
    Rotated180 = 3,
    /// Mirrored top to bottom.
    MirroredVertically = 4,
    /// Rows and columns exchanged.
    Transposed = 5,
    /// To be turned a quarter clockwise.
    Rotated90 = 6,
    /// Rows and columns exchanged, and upside down.
    Transversed = 7,
    /// To be turned a quarter counter-clockwise.
    Rotated270 = 8,
}

impl Orientation {
    /// All of them, in EXIF's order.
    pub const ALL: [Self; 8] = [
        Self::Upright,
        Self::MirroredHorizontally,
        Self::Rotated180,
        Self::MirroredVertically,
        Self::Transposed,
        Self::Rotated90,
        Self::Transversed,
        Self::Rotated270,
    ];

    /// Whether rows become columns.
    pub const fn swaps_sides(self) -> bool {
        matches!(self, Self::Transposed | Self::Rotated90 | Self::Transversed | Self::Rotated270)
    }
}

impl TryFrom<u8> for Orientation {
    type Error = Error;

    fn try_from(exif: u8) -> Result<Self> {
        Self::ALL.into_iter().find(|o| *o as u8 == exif).ok_or_else(|| {
            Error::new(ErrorCode::InvalidOption, format!("{exif} is no EXIF orientation"))
                .expected("1 to 8", exif)
                .with_hint("use 1 where it is missing or unknown")
        })
    }
}

/// The picture as it is meant to be seen, with its width and height. Bytes are RGBA, though nothing here minds.
///
/// # Errors
/// `InvalidImage`, `ImageTooLarge`, `OutOfMemory`, as in [`preprocess`](super::preprocess).
pub fn orient(rgba: &[u8], width: u32, height: u32, orientation: Orientation) -> Result<(Vec<u8>, u32, u32)> {
    let (w, h) = check_pixels(rgba, width, height, 4)?;
    let (source, _) = rgba.as_chunks::<4>();
    let mut turned: Vec<u8> = zeroed(rgba.len())?;
    let (new_width, new_height) = if orientation.swaps_sides() { (height, width) } else { (width, height) };
    let (right, bottom) = (w - 1, h - 1);
    for (y, row) in turned.chunks_exact_mut(new_width as usize * 4).enumerate() {
        // Where the pixel (x, y) comes from: a start and a step, so that the loop within the row only adds.
        let at = |x: usize, y: usize| (y * w + x) as isize;
        let down = w as isize;
        let (start, step) = match orientation {
            Orientation::Upright => (at(0, y), 1),
            Orientation::MirroredHorizontally => (at(right, y), -1),
            Orientation::Rotated180 => (at(right, bottom - y), -1),
            Orientation::MirroredVertically => (at(0, bottom - y), 1),
            Orientation::Transposed => (at(y, 0), down),
            Orientation::Rotated90 => (at(y, bottom), -down),
            Orientation::Transversed => (at(right - y, bottom), -down),
            Orientation::Rotated270 => (at(right - y, 0), down),
        };
        let mut from = start;
        for pixel in row.as_chunks_mut::<4>().0 {
            *pixel = source[from as usize];
            from += step;
        }
    }
    Ok((turned, new_width, new_height))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn all_eight() {
        // 0 1 2
        // 3 4 5
        let rgba: Vec<u8> = (0..6).flat_map(|i| [i; 4]).collect();
        let expected: [(&[u8], u32); 8] = [
            (&[0, 1, 2, 3, 4, 5], 3),
            (&[2, 1, 0, 5, 4, 3], 3),
            (&[5, 4, 3, 2, 1, 0], 3),
            (&[3, 4, 5, 0, 1, 2], 3),
            (&[0, 3, 1, 4, 2, 5], 2),
            (&[3, 0, 4, 1, 5, 2], 2),
            (&[5, 2, 4, 1, 3, 0], 2),
            (&[2, 5, 1, 4, 0, 3], 2),
        ];
        for (exif, (pixels, width)) in (1..=8).zip(expected) {
            let orientation = Orientation::try_from(exif).unwrap();
            let (turned, w, h) = orient(&rgba, 3, 2, orientation).unwrap();
            let firsts: Vec<u8> = turned.chunks(4).map(|p| p[0]).collect();
            assert_eq!((&firsts[..], w, h), (pixels, width, 6 / width), "{orientation:?}");
        }
    }

    #[test]
    fn mistakes_are_typed_errors() {
        for exif in [0, 9, 255] {
            assert_eq!(Orientation::try_from(exif).unwrap_err().code, ErrorCode::InvalidOption);
        }
        let code = |w, h| orient(&[0; 4], w, h, Orientation::Rotated90).unwrap_err().code;
        assert_eq!(code(0, 1), ErrorCode::InvalidImage);
        assert_eq!(code(2, 1), ErrorCode::InvalidImage);
        assert_eq!(code(20_000, 20_000), ErrorCode::ImageTooLarge);
    }
}
