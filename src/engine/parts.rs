//! Steps that can be cut into rows: among threads, and into stretches of time.

use std::ops::Range;

use super::frame::{Frame, Values};
use super::steps::Run;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::ValueId;

/// What a part should take at least, in nanoseconds: handing it to another thread costs a few thousand.
const LEAST_TIME: u64 = 8_000;
/// Parts for each thread, where more do not cost more: the others go on when one is interrupted, or slower.
const PARTS: usize = 4;
/// What rows should take that are computed without a look at the clock.
const STRETCH: u64 = 2_000_000;
/// What they may take where fewer would cost more in all.
const LONG_STRETCH: u64 = 50_000_000;
/// Parts of scratch memory begin at multiples of this: no two threads write to one line of cache.
const ALIGNMENT: usize = 128;

/// How a step is cut: rows of what it writes, each computed by itself.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// What is written to, and nothing else is.
    pub y: ValueId,
    /// Bytes before the first row.
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Bytes from one row to the next. A row ends before the next begins.
    pub row_bytes: usize,
    /// Parts have multiples of so many rows, save the last.
    pub unit: usize,
    /// Parts of fewer rows take longer in all; there are no more of them than threads.
    pub good: usize,
    /// What all rows take on one thread, about, in nanoseconds.
    pub time: u64,
}

impl Cut {
    /// Rows that follow one another, any number of which can be computed as quickly.
    pub fn new(y: ValueId, rows: usize, row_bytes: usize, time: u64) -> Self {
        Self { y, offset: 0, rows, row_bytes, unit: 1, good: 1, time }
    }

    /// With parts of multiples of `unit` rows.
    pub fn unit(self, unit: usize) -> Self {
        let unit = unit.max(1);
        Self { unit, good: unit, ..self }
    }

    /// With parts of `good` rows, if there are so many for each thread.
    pub fn good(self, good: usize) -> Self {
        Self { good: good.max(1), ..self }
    }

    /// Rows of each part, when `rows` rows are computed by that many threads.
    fn part(&self, rows: usize, threads: usize) -> usize {
        let time = (self.time as u128 * rows as u128 / self.rows.max(1) as u128) as u64;
        let worth = usize::try_from(time / LEAST_TIME).unwrap_or(usize::MAX);
        let many = (threads * PARTS).min(rows / self.good).max(threads).min(worth);
        // As many for each.
        let parts = if threads <= 1 || many < threads { many.min(threads).max(1) } else { many / threads * threads };
        rows.div_ceil(parts).next_multiple_of(self.unit).max(1)
    }

    /// Rows to compute at a time on so many threads, when there is a time to keep.
    pub fn stretch(&self, threads: usize) -> usize {
        let rows = |time: u64| (time as u128 * self.rows as u128 * threads as u128 / self.time.max(1) as u128) as usize;
        rows(STRETCH).max(self.good.min(rows(LONG_STRETCH))).max(1).next_multiple_of(self.unit)
    }

    /// Threads that can ever be of use.
    pub fn threads(&self, threads: usize) -> usize {
        self.rows.div_ceil(self.part(self.rows, threads)).clamp(1, threads.max(1))
    }
}

/// Some rows of a step, to be computed.
pub struct Part<'p> {
    /// Which.
    pub rows: Range<usize>,
    /// Where they are written to: the first row is the first of them.
    pub y: &'p mut [u8],
    /// As many bytes of scratch memory as the step asks for, of any contents.
    pub scratch: &'p mut [u8],
    /// What can be read.
    pub values: &'p Values<'p>,
}

/// Some rows, and what became of them.
struct Item<'p> {
    rows: Range<usize>,
    y: &'p mut [u8],
    done: Result<()>,
}

/// Runs a step, all of it.
pub fn run(step: &mut dyn Run, frame: &mut Frame) -> Result<()> {
    step.begin(frame)?;
    match step.cut() {
        Some(cut) => run_rows(step, &cut, 0..cut.rows, frame),
        None => Ok(()),
    }
}

/// Computes some rows of a step that has begun.
pub fn run_rows(step: &dyn Run, cut: &Cut, rows: Range<usize>, frame: &mut Frame) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (pool, threads) = (frame.pool, frame.threads);
    let (values, y, scratch) = frame.cut(cut.y)?;
    let start = cut.row_bytes.checked_mul(rows.start).and_then(|at| at.checked_add(cut.offset));
    let mut y = start.and_then(|start| y.get_mut(start..)).ok_or_else(short)?;
    let mut scratches = scratches(scratch, step.scratch(), cut.threads(threads))?;
    let size = cut.part(rows.len(), scratches.len());
    let mut items = Vec::with_capacity(rows.len().div_ceil(size));
    for start in rows.clone().step_by(size) {
        let rows = start..rows.end.min(start + size);
        // The last row may end where its results do.
        let len = rows.len().saturating_mul(cut.row_bytes).min(y.len());
        let (part, rest) = std::mem::take(&mut y).split_at_mut(len);
        y = rest;
        items.push(Item { rows, y: part, done: Ok(()) });
    }
    pool.for_each(&mut scratches, &mut items, |scratch, Item { rows, y, done }| {
        *done = step.rows(Part { rows: rows.clone(), y, scratch, values: &values });
    });
    items.into_iter().try_for_each(|item| item.done)
}

/// Bytes of scratch memory for a step that wants `each` for every thread.
pub fn scratch_bytes(each: usize, threads: usize) -> usize {
    if each == 0 { 0 } else { each.saturating_add(stride(each).saturating_mul(threads.saturating_sub(1))) }
}

fn stride(each: usize) -> usize {
    each.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

/// For as many threads as there is room for; at least one.
fn scratches(all: &mut [u8], each: usize, threads: usize) -> Result<Vec<&mut [u8]>> {
    if each == 0 {
        return Ok((0..threads).map(|_| &mut [][..]).collect());
    }
    let scratches: Vec<_> =
        all.chunks_mut(stride(each)).take(threads).filter_map(|part| part.get_mut(..each)).collect();
    if scratches.is_empty() { Err(short()) } else { Ok(scratches) }
}

fn short() -> Error {
    Error::new(ErrorCode::Internal, "a value is smaller than its step needs")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn parts_are_worth_their_while() {
        let cut = |rows, time| Cut::new(0, rows, 1, time);
        // Alone, or small: one part.
        assert_eq!(cut(1000, 1 << 40).part(1000, 1), 1000);
        assert_eq!(cut(1000, LEAST_TIME).part(1000, 4), 1000);
        // A part for each thread at least, then more.
        assert_eq!(cut(1000, 2 * LEAST_TIME).part(1000, 2), 500);
        assert_eq!(cut(1000, 1 << 40).part(1000, 2), 125);
        assert_eq!(cut(1000, 1 << 40).part(100, 2), 13);
        // Multiples of the unit.
        assert_eq!(cut(49, 1 << 40).unit(6).part(49, 2), 12);
        assert_eq!(cut(49, 1 << 40).unit(6).good(120).part(49, 2), 30);
        // As many for each thread.
        assert_eq!(cut(90, 1 << 40).good(30).part(90, 2), 45);
        assert_eq!(cut(90, 5 * LEAST_TIME).part(90, 2), 23);
        assert_eq!(cut(90, 2 * LEAST_TIME).part(90, 4), 45);
        assert_eq!(cut(3, 1 << 40).part(3, 8), 1);
        assert_eq!(cut(0, 0).part(0, 2), 1);
        assert_eq!((cut(3, 1 << 40).threads(8), cut(1000, 1).threads(8), cut(0, 0).threads(8)), (3, 1, 1));
    }

    #[test]
    fn stretches_take_some_milliseconds() {
        let cut = |rows, time| Cut::new(0, rows, 1, time);
        assert_eq!(cut(1000, 1_000_000_000).stretch(1), 2);
        assert_eq!(cut(1000, 1_000_000_000).stretch(3), 6);
        assert_eq!(cut(1000, 1_000_000_000).unit(4).stretch(1), 4);
        // Rather longer ones, within limits.
        assert_eq!(cut(1000, 1_000_000_000).good(20).stretch(1), 20);
        assert_eq!(cut(1000, 1_000_000_000).good(900).stretch(1), 50);
        assert_eq!(cut(3, u64::MAX).stretch(1), 1);
        assert!(cut(1000, 1).stretch(8) >= 1000 && cut(0, 0).stretch(1) >= 1);
    }

    #[test]
    fn scratch_memory_for_each() {
        let mut all = vec![0; scratch_bytes(200, 3)];
        assert_eq!(all.len(), 256 + 256 + 200);
        assert_eq!(scratches(&mut all, 200, 3).unwrap().len(), 3);
        assert_eq!(scratches(&mut all, 200, 2).unwrap().len(), 2);
        assert_eq!(scratches(&mut all[..500], 200, 3).unwrap().len(), 2);
        assert!(scratches(&mut all[..199], 200, 3).is_err());
        assert_eq!(scratches(&mut [], 0, 3).unwrap().len(), 3);
        assert_eq!(scratch_bytes(0, 3), 0);
    }
}
