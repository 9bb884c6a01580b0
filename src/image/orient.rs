//! Turning a picture the right way up.
//!
//! Cameras store pictures as the sensor saw them and note in EXIF how they were held. Browsers apply that when they
//! decode an image; this is for pixels that come from another decoder.

use super::crop::Rect;
use super::turned::Turned;
use super::view::Seen;
use super::{check_pixels, reserved};
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
        self.flips().swap
    }

    /// This one first, then `next` on what is then seen.
    pub const fn then(self, next: Self) -> Self {
        let (first, next) = (self.flips(), next.flips());
        // With sides swapped, what `next` takes for columns are stored rows.
        let (columns, rows) = if first.swap { (next.rows, next.columns) } else { (next.columns, next.rows) };
        match (first.swap != next.swap, first.columns != columns, first.rows != rows) {
            (false, false, false) => Self::Upright,
            (false, true, false) => Self::MirroredHorizontally,
            (false, true, true) => Self::Rotated180,
            (false, false, true) => Self::MirroredVertically,
            (true, false, false) => Self::Transposed,
            (true, false, true) => Self::Rotated90,
            (true, true, true) => Self::Transversed,
            (true, true, false) => Self::Rotated270,
        }
    }

    pub(super) const fn flips(self) -> Flips {
        let (swap, columns, rows) = match self {
            Self::Upright => (false, false, false),
            Self::MirroredHorizontally => (false, true, false),
            Self::Rotated180 => (false, true, true),
            Self::MirroredVertically => (false, false, true),
            Self::Transposed => (true, false, false),
            Self::Rotated90 => (true, false, true),
            Self::Transversed => (true, true, true),
            Self::Rotated270 => (true, true, false),
        };
        Flips { swap, columns, rows }
    }

    /// Where `seen`, a part of the turned picture, is in the stored one of `width` x `height`.
    pub(super) fn part_of(self, seen: Rect, width: usize, height: usize) -> Rect {
        let Flips { swap, columns, rows } = self.flips();
        let stored =
            if swap { Rect { left: seen.top, top: seen.left, width: seen.height, height: seen.width } } else { seen };
        Rect {
            left: if columns { width - stored.left - stored.width } else { stored.left },
            top: if rows { height - stored.top - stored.height } else { stored.top },
            ..stored
        }
    }
}

/// Where a pixel that is seen at (x, y) is stored: at (x, y), or at (y, x) with `swap`, counted from the right with
/// `columns` and from the bottom with `rows`.
#[derive(Clone, Copy)]
pub(super) struct Flips {
    pub swap: bool,
    pub columns: bool,
    pub rows: bool,
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
    let seen = Seen { part: Rect { left: 0, top: 0, width: w, height: h }, orientation };
    let (new_width, new_height) = seen.size();
    let mut turned = reserved(rgba.len())?;
    let mut rows = Turned::new(rgba, w, seen)?;
    for y in 0..new_height {
        turned.extend_from_slice(rows.row(y, 0..new_width));
    }
    Ok((turned, new_width as u32, new_height as u32))
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
    fn two_turns_are_one() {
        let rgba: Vec<u8> = (0..40 * 3).flat_map(|i| [i; 4]).collect();
        for first in Orientation::ALL {
            for next in Orientation::ALL {
                let (once, w, h) = orient(&rgba, 40, 3, first).unwrap();
                let twice = orient(&once, w, h, next).unwrap();
                assert_eq!(orient(&rgba, 40, 3, first.then(next)).unwrap(), twice, "{first:?}, then {next:?}");
            }
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
