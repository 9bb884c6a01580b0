//! Reading a turned part of a picture row by row.

use std::ops::Range;

use super::orient::Flips;
use super::reserved;
use super::view::Seen;
use crate::error::Result;

/// Rows that are read at once where stored columns become rows: as many pixels as a cache line holds.
const BAND: usize = 16;

/// A part of an RGBA picture that hands out the rows of what is seen. Where rows are stored as they are seen, nothing is
/// copied.
pub(super) struct Turned<'a> {
    pixels: &'a [[u8; 4]],
    /// Columns that are stored.
    stride: usize,
    seen: Seen,
    /// Rows that had to be put together.
    band: Vec<[u8; 4]>,
    /// Which rows and columns they are.
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<'a> Turned<'a> {
    /// What is seen of a picture that is stored with `width` columns.
    pub fn new(rgba: &'a [u8], width: usize, seen: Seen) -> Result<Self> {
        let (columns, rows) = seen.size();
        let Flips { swap, columns: mirrored, .. } = seen.orientation.flips();
        let band = if swap { BAND.min(rows) } else { usize::from(mirrored) };
        Ok(Self {
            pixels: rgba.as_chunks().0,
            stride: width,
            seen,
            band: reserved(columns * band)?,
            rows: 0..0,
            columns: 0..0,
        })
    }

    /// The pixels of `columns` in row `y`, both within what is seen.
    pub fn row(&mut self, y: usize, columns: Range<usize>) -> &[u8] {
        let flips = self.seen.orientation.flips();
        if !flips.swap && !flips.columns {
            return self.stored(self.stored_row(y), columns).as_flattened();
        }
        if self.columns != columns || !self.rows.contains(&y) {
            self.fill(y, columns.clone());
        }
        self.band[(y - self.rows.start) * columns.len()..][..columns.len()].as_flattened()
    }

    /// The row of the part in which the seen row (or, with sides swapped, the seen column) `at` is stored.
    fn stored_row(&self, at: usize) -> usize {
        if self.seen.orientation.flips().rows { self.seen.part.height - 1 - at } else { at }
    }

    /// Stored pixels, counted from the corner of the part.
    fn stored(&self, row: usize, columns: Range<usize>) -> &'a [[u8; 4]] {
        let part = self.seen.part;
        &self.pixels[(part.top + row) * self.stride + part.left + columns.start..][..columns.len()]
    }

    /// Puts rows from `y` on together.
    fn fill(&mut self, y: usize, columns: Range<usize>) {
        let flips = self.seen.orientation.flips();
        // Where the seen positions of a range lie along the stored rows.
        let width = self.seen.part.width;
        let along = |seen: Range<usize>| if flips.columns { width - seen.end..width - seen.start } else { seen };
        self.band.clear();
        if flips.swap {
            let rows = y..(y + BAND).min(self.seen.size().1);
            self.band.resize(rows.len() * columns.len(), [0; 4]);
            for (x, column) in columns.clone().enumerate() {
                let pixels = self.stored(self.stored_row(column), along(rows.clone()));
                let targets = self.band[x..].iter_mut().step_by(columns.len());
                if flips.columns {
                    targets.zip(pixels.iter().rev()).for_each(|(to, from)| *to = *from);
                } else {
                    targets.zip(pixels).for_each(|(to, from)| *to = *from);
                }
            }
            self.rows = rows;
        } else {
            let pixels = self.stored(self.stored_row(y), along(columns.clone()));
            self.band.extend(pixels.iter().rev());
            self.rows = y..y + 1;
        }
        self.columns = columns;
    }
}
