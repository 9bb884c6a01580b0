//! Nested loops over several arrays with steps, and operands that are broadcast.

use super::lanes::BLOCK;

/// An operand with a step for each dimension of the result, in elements; 0 repeats.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// One step for each dimension.
    pub strides: &'a [usize],
}

/// One of nested loops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dim<const N: usize> {
    /// How often.
    pub count: usize,
    /// Step in each array.
    pub steps: [usize; N],
}

/// Nested loops over `N` arrays, outermost first; as few as do the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loops<const N: usize>(pub Vec<Dim<N>>);

impl<const N: usize> Loops<N> {
    /// Drops dimensions of one element and merges those that continue one another in every array. `None` where there is
    /// nothing to do.
    ///
    /// # Panics
    /// If a list of strides has another length than the shape.
    pub fn new(shape: &[usize], strides: [&[usize]; N]) -> Option<Self> {
        assert!(strides.iter().all(|s| s.len() == shape.len()), "a step for each dimension");
        if shape.contains(&0) {
            return None;
        }
        let mut dims: Vec<Dim<N>> = Vec::with_capacity(shape.len());
        for (d, &count) in shape.iter().enumerate().filter(|&(_, &count)| count != 1) {
            let dim = Dim { count, steps: strides.map(|s| s[d]) };
            dims.push(dim);
        }
        let mut loops = Self(dims);
        loops.merge();
        Some(loops)
    }

    /// Merges neighbours that continue one another.
    pub fn merge(&mut self) {
        let mut merged: Vec<Dim<N>> = Vec::with_capacity(self.0.len());
        for &dim in &self.0 {
            match merged.last_mut() {
                Some(outer) if (0..N).all(|i| dim.steps[i].checked_mul(dim.count) == Some(outer.steps[i])) => {
                    *outer = Dim { count: outer.count.checked_mul(dim.count).expect("too large"), steps: dim.steps };
                }
                _ => merged.push(dim),
            }
        }
        self.0 = merged;
    }

    /// Checks that an array of `len` elements that starts at `offset` holds everything the loops touch of array `i`.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self, i: usize, offset: usize, len: usize) {
        let last = self.0.iter().try_fold(offset, |at, d| (d.count - 1).checked_mul(d.steps[i])?.checked_add(at));
        assert!(last.is_some_and(|last| last < len), "array {i} is too short");
    }

    /// Calls `f` with the offsets of each step of the loops.
    #[inline(always)]
    pub fn for_each(&self, mut offsets: [usize; N], mut f: impl FnMut([usize; N])) {
        let mut at = vec![0; self.0.len()];
        'steps: loop {
            f(offsets);
            for (dim, at) in self.0.iter().zip(&mut at).rev() {
                *at += 1;
                if *at < dim.count {
                    for (offset, step) in offsets.iter_mut().zip(dim.steps) {
                        *offset += step;
                    }
                    continue 'steps;
                }
                for (offset, step) in offsets.iter_mut().zip(dim.steps) {
                    *offset -= step * (dim.count - 1);
                }
                *at = 0;
            }
            return;
        }
    }

    /// Takes off the innermost loop; one of a single step where there is none.
    pub fn split_inner(&mut self) -> Dim<N> {
        self.0.pop().unwrap_or(Dim { count: 1, steps: [1; N] })
    }
}

/// Steps of a dense array of that shape.
///
/// # Panics
/// If the array has more elements than an address.
pub(crate) fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1usize;
    for (stride, &count) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.checked_mul(count.max(1)).expect("too large");
    }
    strides
}

/// Rows shorter than this are joined to longer ones where only one operand repeats.
const SHORT: usize = 64;

/// `y = f(a, b)`, a block of elements at a time; `y` is dense. Elements of a block that lie past the end of a row are
/// made up and their results dropped, and some are computed twice.
///
/// # Panics
/// If a slice is too short for the shape, or `y` has another length.
#[inline(always)]
pub(crate) fn broadcast<T: Copy + Default>(
    shape: &[usize],
    a: Strided<T>,
    b: Strided<T>,
    y: &mut [T],
    f: impl Fn(&[T; BLOCK], &[T; BLOCK], &mut [T; BLOCK]),
) {
    let y_strides = dense(shape);
    let Some(mut loops) = Loops::new(shape, [a.strides, b.strides, &y_strides]) else {
        assert!(y.is_empty(), "y has elements, its shape has none");
        return;
    };
    loops.check(0, 0, a.data.len());
    loops.check(1, 0, b.data.len());
    assert_eq!(y.len(), shape.iter().product::<usize>(), "length of y");
    let inner = loops.split_inner();
    let n = inner.count;
    // A short row of one operand that all rows of the other meet: repeat it until it is long.
    let outer = loops.split_inner();
    let mut group = 1;
    let joins = |i: usize| outer.steps[i] == n * inner.steps[i] && inner.steps[i] == 1;
    let repeats = |i: usize| outer.steps[i] == 0;
    if n < SHORT && outer.count > 1 && (joins(0) && repeats(1) || joins(1) && repeats(0)) {
        group = (2 * SHORT).div_ceil(n).min(outer.count);
    }
    let (mut a_row, mut b_row) = (Vec::new(), Vec::new());
    loops.for_each([0; 3], |[a_at, b_at, y_at]| {
        let mut row = 0;
        let mut repeated = false;
        while row < outer.count {
            let rows = group.min(outer.count - row);
            let at = |i: usize, base: usize| base + row * outer.steps[i];
            // `inner` of a repeated operand is read once for a whole group, which begins anew with each row.
            let pick = |i: usize| if group > 1 && repeats(i) { group } else { 1 };
            let a = Row::new(&a.data[at(0, a_at)..], inner.steps[0], n, pick(0), rows, repeated, &mut a_row);
            let b = Row::new(&b.data[at(1, b_at)..], inner.steps[1], n, pick(1), rows, repeated, &mut b_row);
            blocks(a, b, &mut y[at(2, y_at)..][..n * rows], &f);
            repeated = true;
            row += rows;
        }
    });
}

/// One operand of a row.
#[derive(Clone, Copy)]
enum Row<'a, T> {
    /// Element for element.
    Each(&'a [T]),
    /// The same for all.
    Same(T),
}

impl<'a, T: Copy> Row<'a, T> {
    /// `count` elements of `data`, `step` apart, of `rows` rows. With `group > 1` the row is repeated that often in
    /// `scratch`, unless it is there already.
    fn new(
        data: &'a [T],
        step: usize,
        count: usize,
        group: usize,
        rows: usize,
        repeated: bool,
        scratch: &'a mut Vec<T>,
    ) -> Self {
        if group > 1 {
            if !repeated {
                scratch.clear();
                for _ in 0..group {
                    scratch.extend((0..count).map(|i| data[i * step]));
                }
            }
            return Self::Each(&scratch[..count * rows]);
        }
        match step {
            0 => Self::Same(data[0]),
            1 => Self::Each(&data[..count * rows]),
            _ => {
                scratch.clear();
                scratch.extend((0..count).map(|i| data[i * step]));
                Self::Each(scratch)
            }
        }
    }
}

#[inline(always)]
fn blocks<T: Copy + Default>(
    a: Row<T>,
    b: Row<T>,
    y: &mut [T],
    f: &impl Fn(&[T; BLOCK], &[T; BLOCK], &mut [T; BLOCK]),
) {
    let n = y.len();
    let (mut a_short, mut b_short, mut y_short) = ([T::default(); BLOCK], [T::default(); BLOCK], [T::default(); BLOCK]);
    if n < BLOCK {
        a.fill(&mut a_short);
        b.fill(&mut b_short);
        f(&a_short, &b_short, &mut y_short);
        for (to, from) in y.iter_mut().zip(y_short) {
            *to = from;
        }
        return;
    }
    let (a, a_step) = a.blocks(&mut a_short);
    let (b, b_step) = b.blocks(&mut b_short);
    let mut at = 0;
    loop {
        let a = a[at * a_step..].first_chunk().expect("checked");
        let b = b[at * b_step..].first_chunk().expect("checked");
        f(a, b, y[at..].first_chunk_mut().expect("checked"));
        if at + BLOCK == n {
            return;
        }
        // The last block reaches back, so that it is whole.
        at = (at + BLOCK).min(n - BLOCK);
    }
}

impl<'a, T: Copy> Row<'a, T> {
    /// The first elements.
    fn fill(self, to: &mut [T; BLOCK]) {
        match self {
            Self::Each(row) => to.iter_mut().zip(row).for_each(|(to, &from)| *to = from),
            Self::Same(v) => *to = [v; BLOCK],
        }
    }

    /// The elements, and the step from one to the next.
    fn blocks(self, splat: &'a mut [T; BLOCK]) -> (&'a [T], usize) {
        match self {
            Self::Each(row) => (row, 1),
            Self::Same(v) => {
                *splat = [v; BLOCK];
                (&splat[..], 0)
            }
        }
    }
}
