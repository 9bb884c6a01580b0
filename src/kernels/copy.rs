//! Moving elements: slices, joins, transposes, repeats.

use super::lanes::{interleave_2, interleave_3, interleave_4, transpose_4, transpose_16};
use super::strided::{Dim, Loops};

/// Where the elements of a copy lie in an array.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// First element.
    pub offset: usize,
    /// Step for each dimension of the copy, in elements.
    pub strides: &'a [usize],
}

/// Copies `shape` elements of `size` bytes (1, 2, 4 or 8) from `x` to `y`; bytes are looked up in `table` on the way.
/// What of `y` is not written keeps its contents.
///
/// # Panics
/// If a place lies outside of its slice, the size is another one, or there is a table for elements of more than a byte.
pub fn copy(x: &[u8], y: &mut [u8], size: usize, shape: &[usize], from: Place, to: Place, table: Option<&[u8; 256]>) {
    match (size, table) {
        (1, None) => copy_elements::<1>(x, y, shape, from, to),
        (2, None) => copy_elements::<2>(x, y, shape, from, to),
        (4, None) => copy_elements::<4>(x, y, shape, from, to),
        (8, None) => copy_elements::<8>(x, y, shape, from, to),
        (1, Some(table)) => copy_looked_up(x, y, shape, from, to, table),
        _ => panic!("no elements of {size} bytes"),
    }
}

/// Sets every element to `value`.
///
/// # Panics
/// If the length of `y` is no multiple of that of `value`.
pub fn fill(y: &mut [u8], value: &[u8]) {
    assert!(!value.is_empty() && y.len().is_multiple_of(value.len()), "whole elements");
    if value.iter().all(|&byte| byte == value[0]) {
        return y.fill(value[0]);
    }
    for element in y.chunks_exact_mut(value.len()) {
        element.copy_from_slice(value);
    }
}

/// `copy_from_slice` without `memory.copy`, which is a call, and for some sizes on some processors many times slower
/// than vector instructions.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn copy_bytes(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "lengths differ");
    if from.len() < 16 {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from;
        }
        return;
    }
    // Four at a time; a loop over single blocks LLVM would turn into `memory.copy`.
    let (large, rest) = from.as_chunks::<64>();
    let (large_to, rest_to) = to.as_chunks_mut::<64>();
    for (to, from) in large_to.iter_mut().zip(large) {
        copy_64(from, to);
    }
    let n = rest.len();
    for at in (0..n & !15).step_by(16) {
        copy_16(rest[at..].first_chunk().expect("whole"), rest_to[at..].first_chunk_mut().expect("whole"));
    }
    if n % 16 != 0 {
        // Reaches back.
        copy_16(from.last_chunk().expect("long enough"), to.last_chunk_mut().expect("long enough"));
    }
}

#[inline(always)]
fn copy_16(from: &[u8; 16], to: &mut [u8; 16]) {
    *to = *from;
}

#[inline(always)]
fn copy_64(from: &[u8; 64], to: &mut [u8; 64]) {
    let (from, to) = (from.as_chunks::<16>().0, to.as_chunks_mut::<16>().0);
    let [a, b, c, d] = [from[0], from[1], from[2], from[3]];
    (to[0], to[1], to[2], to[3]) = (a, b, c, d);
}

/// [`copy_bytes`] of floats.
///
/// # Panics
/// If the lengths differ.
pub fn copy_floats(from: &[f32], to: &mut [f32]) {
    copy_bytes(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
}

/// Outermost first: what is written lies in order, as far as it can.
fn loops(shape: &[usize], from: Place, to: Place, lens: [usize; 2]) -> Option<Loops<2>> {
    let mut loops = Loops::new(shape, [from.strides, to.strides])?;
    loops.check(0, from.offset, lens[0]);
    loops.check(1, to.offset, lens[1]);
    // There are few, and a sort of the standard library is much code.
    for i in 1..loops.0.len() {
        for j in (1..=i).rev() {
            if loops.0[j - 1].steps[1] >= loops.0[j].steps[1] {
                break;
            }
            loops.0.swap(j - 1, j);
        }
    }
    loops.merge();
    Some(loops)
}

fn copy_elements<const N: usize>(x: &[u8], y: &mut [u8], shape: &[usize], from: Place, to: Place) {
    let (x, y) = (x.as_chunks::<N>().0, y.as_chunks_mut::<N>().0);
    let Some(mut loops) = loops(shape, from, to, [x.len(), y.len()]) else { return };
    let start = [from.offset, to.offset];
    let inner = loops.split_inner();
    if inner.steps == [1, 1] {
        return loops.for_each(start, |[from, to]| {
            let (from, to) = (&x[from..][..inner.count], &mut y[to..][..inner.count]);
            copy_bytes(from.as_flattened(), to.as_flattened_mut());
        });
    }
    // Written in order by the inner loop and read in order by another one: a transpose.
    if inner.steps[1] == 1
        && let Some(d) = loops.0.iter().position(|d| d.steps[0] == 1)
    {
        let other = loops.0.remove(d);
        return loops.for_each(start, |[from, to]| {
            transpose(&x[from..], inner.steps[0], &mut y[to..], other.steps[1], inner.count, other.count);
        });
    }
    loops.for_each(start, |[from, to]| {
        for i in 0..inner.count {
            y[to + i * inner.steps[1]] = x[from + i * inner.steps[0]];
        }
    });
}

/// `y[c * y_step + r] = x[r * x_step + c]`
fn transpose<const N: usize>(
    x: &[[u8; N]],
    x_step: usize,
    y: &mut [[u8; N]],
    y_step: usize,
    rows: usize,
    columns: usize,
) {
    if N == 1 && rows == y_step {
        let (x, y) = (x.as_flattened(), y.as_flattened_mut());
        match rows {
            2 => return interleave(x, x_step, &mut y[..2 * columns], columns, interleave_2),
            3 => return interleave(x, x_step, &mut y[..3 * columns], columns, interleave_3),
            4 => return interleave(x, x_step, &mut y[..4 * columns], columns, interleave_4),
            _ => {}
        }
    }
    // Tiles, so that the lines that are written to stay in the cache.
    let tile = if N == 4 { 4 } else { 16 };
    for top in (0..rows).step_by(tile) {
        let height = tile.min(rows - top);
        for left in (0..columns).step_by(tile) {
            let width = tile.min(columns - left);
            let (x, y) = (&x[top * x_step + left..], &mut y[left * y_step + top..]);
            if height == tile && width == tile && N == 1 {
                transpose_16(x.as_flattened(), x_step, y.as_flattened_mut(), y_step);
                continue;
            }
            if height == tile && width == tile && N == 4 {
                // The elements have four bytes: this changes nothing but the type.
                let (x, y) = (x.as_flattened().as_chunks().0, y.as_flattened_mut().as_chunks_mut().0);
                transpose_4(x, x_step, y, y_step);
                continue;
            }
            for c in 0..width {
                for (r, to) in y[c * y_step..][..height].iter_mut().enumerate() {
                    *to = x[r * x_step + c];
                }
            }
        }
    }
}

/// Joins few rows of bytes, `x_step` apart, to one with the first bytes of all, the second bytes of all, and so on.
fn interleave<const R: usize, const B: usize>(
    x: &[u8],
    x_step: usize,
    y: &mut [u8],
    columns: usize,
    mix: impl Fn([[u8; 16]; R]) -> [u8; B],
) {
    let rows: [&[u8]; R] = std::array::from_fn(|r| &x[r * x_step..][..columns]);
    let (blocks, rest) = y.as_chunks_mut::<B>();
    for (i, block) in blocks.iter_mut().enumerate() {
        *block = mix(rows.map(|row| *row[16 * i..].first_chunk().expect("whole")));
    }
    let at = columns & !15;
    for (pixel, c) in rest.chunks_exact_mut(R).zip(at..) {
        for (to, row) in pixel.iter_mut().zip(rows) {
            *to = row[c];
        }
    }
}

fn copy_looked_up(x: &[u8], y: &mut [u8], shape: &[usize], from: Place, to: Place, table: &[u8; 256]) {
    let Some(mut loops) = loops(shape, from, to, [x.len(), y.len()]) else { return };
    let Dim { count, steps } = loops.split_inner();
    loops.for_each([from.offset, to.offset], |[from, to]| {
        if steps == [1, 1] {
            return super::table::look_up(&x[from..][..count], table, &mut y[to..][..count]);
        }
        for i in 0..count {
            y[to + i * steps[1]] = table[x[from + i * steps[0]] as usize];
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Copies element by element and compares.
    fn check(shape: &[usize], from: Place, to: Place) {
        let reach = |p: Place| p.offset + shape.iter().zip(p.strides).map(|(n, s)| (n - 1) * s).sum::<usize>() + 1;
        for size in [1, 2, 4, 8] {
            let x: Vec<u8> = (0..reach(from) * size).map(|i| (i * 31 + i / 256) as u8).collect();
            let table: [u8; 256] = std::array::from_fn(|i| (255 - i) as u8);
            for table in [None, Some(&table)].into_iter().take(if size == 1 { 2 } else { 1 }) {
                let mut y = vec![0xa5; reach(to) * size + 3];
                let mut expected = y.clone();
                for i in 0..shape.iter().product() {
                    let (mut at_x, mut at_y, mut rest) = (from.offset, to.offset, i);
                    for d in (0..shape.len()).rev() {
                        at_x += rest % shape[d] * from.strides[d];
                        at_y += rest % shape[d] * to.strides[d];
                        rest /= shape[d];
                    }
                    for b in 0..size {
                        let byte = x[at_x * size + b];
                        expected[at_y * size + b] = table.map_or(byte, |t| t[byte as usize]);
                    }
                }
                copy(&x, &mut y, size, shape, from, to, table);
                assert_eq!(y, expected, "{size} {shape:?} {from:?} {to:?}");
            }
        }
    }

    #[test]
    fn runs_of_all_lengths() {
        for n in (1..70).chain([255, 256, 257, 300]) {
            check(&[3, n], Place { offset: 2, strides: &[n + 5, 1] }, Place { offset: 1, strides: &[n, 1] });
            check(&[3, n], Place { offset: 0, strides: &[0, 1] }, Place { offset: 7, strides: &[n + 1, 1] });
        }
    }

    #[test]
    fn transposes() {
        for rows in [1, 2, 3, 4, 7, 8, 15, 16, 17, 33] {
            for columns in [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 40] {
                let image = rows * columns;
                check(
                    &[2, columns, rows],
                    Place { offset: 0, strides: &[image, 1, columns] },
                    Place { offset: 0, strides: &[image, rows, 1] },
                );
                check(
                    &[2, rows, columns],
                    Place { offset: 0, strides: &[image, 1, rows] },
                    Place { offset: 0, strides: &[image, columns, 1] },
                );
                check(
                    &[columns, 2, rows],
                    Place { offset: 3, strides: &[1, image + 9, columns + 2] },
                    Place { offset: 1, strides: &[2 * rows + 3, rows, 1] },
                );
            }
        }
    }

    #[test]
    fn anything_else() {
        // Every order of four dimensions.
        let shape = [3, 4, 5, 2];
        let strides = [40, 10, 2, 1];
        let mut orders = vec![vec![]];
        for _ in 0..4 {
            orders = orders
                .into_iter()
                .flat_map(|o: Vec<usize>| {
                    (0..4).filter(|d| !o.contains(d)).map(|d| [o.clone(), vec![d]].concat()).collect::<Vec<_>>()
                })
                .collect();
        }
        for order in orders {
            let shape: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
            let from: Vec<usize> = order.iter().map(|&d| strides[d]).collect();
            let to = super::super::strided::dense(&shape);
            check(&shape, Place { offset: 0, strides: &from }, Place { offset: 0, strides: &to });
            check(&shape, Place { offset: 0, strides: &to }, Place { offset: 4, strides: &from });
        }
        check(&[], Place { offset: 5, strides: &[] }, Place { offset: 2, strides: &[] });
        check(&[7, 3], Place { offset: 0, strides: &[0, 0] }, Place { offset: 0, strides: &[3, 1] });
        check(&[7, 3], Place { offset: 0, strides: &[6, 2] }, Place { offset: 0, strides: &[12, 4] });
        // Nothing to copy, whatever the places.
        let nowhere = Place { offset: 99, strides: &[1, 1] };
        copy(&[], &mut [], 4, &[0, 3], nowhere, nowhere, None);
    }

    #[test]
    fn fills() {
        let mut y = [9; 12];
        fill(&mut y, &[1, 2, 3, 4]);
        assert_eq!(y, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
        fill(&mut y, &[0; 4]);
        assert_eq!(y, [0; 12]);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn places_outside_are_refused() {
        let run = |from: usize, to: usize, step: usize| {
            std::panic::catch_unwind(|| {
                let from = Place { offset: from, strides: &[step] };
                copy(&[0; 16], &mut [0; 16], 4, &[2], from, Place { offset: to, strides: &[1] }, None)
            })
        };
        assert!(run(2, 2, 1).is_ok());
        assert!(
            run(3, 2, 1).is_err() && run(2, 3, 1).is_err() && run(0, 0, 4).is_err() && run(1, 0, usize::MAX).is_err()
        );
    }
}
