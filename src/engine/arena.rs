//! One block of memory for all that a run computes, laid out ahead of time.
//!
//! A value needs its place from the step that writes it first to the last step that touches it; values whose times do
//! not overlap share bytes. Places are given out in order of size, largest first, each at the lowest offset that is
//! free for the whole time ("greedy by size": Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net
//! Inference, 2020).

use std::ops::Range;

use crate::error::{Error, ErrorCode, Result};
use crate::plan::ALIGNMENT;

/// What needs a place.
#[derive(Clone, Debug)]
pub struct Request {
    /// How many bytes.
    pub bytes: usize,
    /// First and last step that need them.
    pub time: (usize, usize),
}

/// Memory of a page ends at 4 GiB, and one block of it at half of that.
const MAX_BYTES: usize = i32::MAX as usize;

/// Gives every request a range of bytes, in their order, and says how many there are in all.
///
/// # Errors
/// `OUT_OF_MEMORY` if they need more than one block can have.
pub fn place(requests: &[Request]) -> Result<(Vec<Range<usize>>, usize)> {
    let beyond = || Error::new(ErrorCode::OutOfMemory, "the plan needs more memory than there can be");
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(requests[i].bytes), requests[i].time));
    let mut places: Vec<Range<usize>> = vec![0..0; requests.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(requests.len());
    let mut total = 0usize;
    for index in order {
        let Request { bytes, time } = requests[index];
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|&&other| requests[other].time.0 <= time.1 && time.0 <= requests[other].time.1)
            .map(|&other| places[other].clone())
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0usize;
        for range in taken {
            if start.checked_add(bytes).ok_or_else(beyond)? <= range.start {
                break;
            }
            start = start.max(range.end.checked_next_multiple_of(ALIGNMENT).ok_or_else(beyond)?);
        }
        let end = start.checked_add(bytes).ok_or_else(beyond)?;
        places[index] = start..end;
        total = total.max(end);
        placed.push(index);
    }
    if total > MAX_BYTES {
        return Err(beyond());
    }
    Ok((places, total))
}

/// Parts of a block: to read, to write, scratch.
pub type Parts<'b, const R: usize, const W: usize> = ([&'b [u8]; R], [&'b mut [u8]; W], &'b mut [u8]);

/// Parts of a block: some to read, which may overlap each other, and some to write, which overlap nothing, as scratch
/// memory does.
///
/// # Errors
/// `INVALID_PLAN` if a range lies outside of the block or one to write meets another.
pub fn split<const R: usize, const W: usize>(
    block: &mut [u8],
    reads: [Range<usize>; R],
    writes: [Range<usize>; W],
    scratch: Range<usize>,
) -> Result<Parts<'_, R, W>> {
    let len = block.len();
    let inside = |range: &Range<usize>| range.start <= range.end && range.end <= len;
    let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    let apart = writes.iter().chain([&scratch]).enumerate().all(|(i, write)| {
        !reads.iter().any(|read| meet(write, read)) && !writes.iter().take(i).any(|other| meet(write, other))
    });
    if !apart || !reads.iter().chain(&writes).chain([&scratch]).all(inside) {
        return Err(Error::new(ErrorCode::InvalidPlan, "a step writes to what it reads"));
    }
    let base = block.as_mut_ptr();
    // SAFETY: all ranges lie within the block, which is borrowed mutably for as long as the parts live; those to write
    // are disjoint from all others, so nothing is aliased mutably.
    Ok(unsafe {
        (
            reads.map(|range| std::slice::from_raw_parts(base.add(range.start), range.len())),
            writes.map(|range| std::slice::from_raw_parts_mut(base.add(range.start), range.len())),
            std::slice::from_raw_parts_mut(base.add(scratch.start), scratch.len()),
        )
    })
}

/// What lies before, between and behind the parts that are written to, each with its place.
pub type Around<'b> = [(usize, &'b [u8]); 3];

/// A part of a block to write to, scratch memory, and the rest of it, to read.
///
/// # Errors
/// `INVALID_PLAN` if they lie outside of the block or meet.
pub fn around(
    block: &mut [u8],
    write: Range<usize>,
    scratch: Range<usize>,
) -> Result<(&mut [u8], &mut [u8], Around<'_>)> {
    let scratch = if scratch.is_empty() { write.end..write.end } else { scratch };
    let swap = scratch.start < write.start;
    let (low, high) = if swap { (&scratch, &write) } else { (&write, &scratch) };
    if low.start > low.end || low.end > high.start || high.start > high.end || high.end > block.len() {
        return Err(Error::new(ErrorCode::InvalidPlan, "a step writes to what it reads"));
    }
    let (before, rest) = block.split_at_mut(low.start);
    let (first, rest) = rest.split_at_mut(low.len());
    let (between, rest) = rest.split_at_mut(high.start - low.end);
    let (second, behind) = rest.split_at_mut(high.len());
    let around: Around = [(0, before), (low.end, between), (high.end, behind)];
    Ok(if swap { (second, first, around) } else { (first, second, around) })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_lives_at_the_same_time_lies_apart() {
        let mut seed = 1u32;
        let mut number = |below: u32| {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            ((seed >> 8) % below) as usize
        };
        for _ in 0..50 {
            let requests: Vec<Request> = (0..40)
                .map(|_| {
                    let from = number(30);
                    Request { bytes: number(1000), time: (from, from + number(5)) }
                })
                .collect();
            let (places, total) = place(&requests).unwrap();
            for (i, a) in places.iter().enumerate() {
                assert_eq!(a.len(), requests[i].bytes);
                assert!(a.end <= total && a.start % ALIGNMENT == 0);
                for (j, b) in places.iter().enumerate().skip(i + 1) {
                    let together = requests[i].time.0 <= requests[j].time.1 && requests[j].time.0 <= requests[i].time.1;
                    assert!(!together || a.start >= b.end || b.start >= a.end || a.is_empty() || b.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let chain: Vec<Request> =
            [64, 256, 512, 128].iter().enumerate().map(|(i, &bytes)| Request { bytes, time: (i, i + 1) }).collect();
        assert_eq!(place(&chain).unwrap().1, 768);
        assert!(
            place(&[Request { bytes: usize::MAX, time: (0, 0) }, Request { bytes: usize::MAX, time: (0, 0) }]).is_err()
        );
    }

    #[test]
    fn what_is_around() {
        let mut block: Vec<u8> = (0..32).collect();
        for (write, scratch, sizes) in
            [(4..8, 10..16, [4, 2, 16]), (10..16, 4..8, [4, 2, 16]), (4..8, 0..0, [4, 0, 24]), (0..32, 9..9, [0, 0, 0])]
        {
            let (y, s, around) = super::around(&mut block, write.clone(), scratch.clone()).unwrap();
            assert!(y.iter().map(|&b| b as usize).eq(write) && s.iter().map(|&b| b as usize).eq(scratch));
            assert_eq!(around.map(|(_, bytes)| bytes.len()), sizes);
            assert!(around.iter().all(|(at, bytes)| bytes.first().is_none_or(|&b| b as usize == *at)));
        }
        for (write, scratch) in [(4..8, 7..9), (7..9, 4..8), (4..33, 0..0), (4..8, 30..33), (4..8, 5..6)] {
            assert!(super::around(&mut block, write, scratch).is_err());
        }
    }

    #[test]
    fn parts_are_never_aliased_mutably() {
        fn fits<const R: usize, const W: usize>(
            reads: [(usize, usize); R],
            writes: [(usize, usize); W],
            scratch: (usize, usize),
        ) -> bool {
            let range = |(start, end): (usize, usize)| start..end;
            split(&mut [0u8; 32], reads.map(range), writes.map(range), range(scratch)).is_ok()
        }
        assert!(fits([(0, 8), (4, 12)], [(12, 20), (20, 28)], (28, 32)));
        assert!(fits([(8, 8)], [(8, 8)], (0, 0)));
        assert!(!fits([(0, 8)], [(7, 9)], (0, 0)));
        assert!(!fits([], [(0, 8), (7, 9)], (0, 0)));
        assert!(!fits([(0, 33)], [], (0, 0)));
        assert!(!fits([(0, 8)], [(8, 16)], (15, 20)));
        assert!(!fits([(0, 8)], [(8, 16)], (7, 8)));
    }
}
