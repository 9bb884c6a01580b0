//! Kernels for WebAssembly SIMD.
//!
//! V8 has 15 vector registers on x86-64. A tile of 5 x 8 with a multiplication and an addition needs 10 sums, 2 vectors
//! of weights, 1 of activations and 1 product; with the fused relaxed instruction 6 x 8 fits.
//!
//! Steps are written in the order in which they should run, and builds tell LLVM's scheduler to keep it. But LLVM also
//! nests expressions, within a basic block: of several steps in a row it would load all operands first, and they do not
//! fit. So each step of an unrolled loop ends with a branch out of it, which may or may not be taken ever: one cheap
//! instruction.

use core::arch::wasm32::*;
use std::mem::MaybeUninit;

use super::finish::Kind;
use super::panel::{Panel, Pointer};
use super::weights::PANEL;
use crate::kernels::vectors::{Rounding, clamp, within_reach};

/// Sums of one row and eight columns.
pub(super) type Sums = [v128; 2];

/// Sums of `M` rows of 16-bit elements times a widened panel, added to `first`.
///
/// # Safety
///
/// Rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`; `64 * steps` bytes at `b`.
#[inline(always)]
pub(super) unsafe fn tile_pairs<const M: usize>(
    a: *const u8,
    stride: usize,
    mut b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    // SAFETY: these are the rows.
    let mut rows: [*const u8; M] = std::array::from_fn(|i| unsafe { a.add(i * stride) });
    // Pairs of elements; even, but LLVM must not know, see above.
    let mut left = std::hint::black_box(2 * steps);
    if left == 0 {
        return sums;
    }
    macro_rules! pair {
        ($i:expr) => {
            // SAFETY: as long as something is left, the rows and the panel go on.
            unsafe {
                let b0 = v128_load(b.add($i * 32).cast());
                let b1 = v128_load(b.add($i * 32 + 16).cast());
                for i in 0..M {
                    let x = v128_load32_splat(rows[i].add($i * 4).cast());
                    sums[i][0] = i32x4_add(sums[i][0], i32x4_dot_i16x8(b0, x));
                    sums[i][1] = i32x4_add(sums[i][1], i32x4_dot_i16x8(b1, x));
                }
            }
            if left == $i + 1 {
                break;
            }
        };
    }
    loop {
        pair!(0);
        pair!(1);
        pair!(2);
        pair!(3);
        left -= 4;
        // SAFETY: something is left, so they go on. (Not `wrapping_add`: offsets would not be folded into the loads.)
        unsafe {
            b = b.add(128);
            rows = rows.map(|row| row.add(16));
        }
    }
    sums
}

/// Sums of `M` rows of 16-bit elements times a packed panel, added to `first`: for few rows, where widening it first does not pay.
///
/// # Safety
///
/// Rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`; `32 * steps` bytes at `b`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn few_pairs<const M: usize>(
    a: *const u8,
    stride: usize,
    mut b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    // Each vector has two columns, the sums of even and of odd pairs of each.
    let mut sums = [[i32x4_splat(0); 4]; M];
    // SAFETY: these are the rows.
    let mut rows: [*const u8; M] = std::array::from_fn(|i| unsafe { a.add(i * stride) });
    let mut left = steps;
    macro_rules! four {
        ($i:expr) => {
            // SAFETY: as long as something is left, the rows and the panel go on.
            unsafe {
                let x = rows.map(|row| v128_load64_splat(row.add($i * 8).cast()));
                for j in 0..4 {
                    let w = i16x8_load_extend_i8x8(b.add($i * 32 + j * 8).cast());
                    for i in 0..M {
                        sums[i][j] = i32x4_add(sums[i][j], i32x4_dot_i16x8(w, x[i]));
                    }
                }
            }
            if left == $i + 1 {
                break;
            }
        };
    }
    if left > 0 {
        loop {
            four!(0);
            four!(1);
            four!(2);
            four!(3);
            left -= 4;
            // SAFETY: something is left, so they go on.
            unsafe {
                b = b.add(128);
                rows = rows.map(|row| row.add(32));
            }
        }
    }
    sums.map(|s| {
        [0, 2].map(|j| {
            let even = i32x4_shuffle::<0, 2, 4, 6>(s[j], s[j + 1]);
            let odd = i32x4_shuffle::<1, 3, 5, 7>(s[j], s[j + 1]);
            i32x4_add(first[j / 2], i32x4_add(even, odd))
        })
    })
}

/// Widens a packed panel, less its zero points, to pairs: for each two steps of k `[8][2]` 16-bit numbers.
///
/// # Safety
///
/// `32 * steps` bytes can be read at `b`, `64 * steps` bytes written at `to`.
pub(super) unsafe fn widen_panel(b: *const u8, steps: usize, zero_points: &[i8; PANEL], to: *mut u8) {
    // SAFETY: eight bytes.
    let z = unsafe { i16x8_load_extend_i8x8(zero_points.as_ptr()) };
    // A zero point twice for each pair.
    let z0 = i16x8_shuffle::<0, 0, 1, 1, 2, 2, 3, 3>(z, z);
    let z1 = i16x8_shuffle::<4, 4, 5, 5, 6, 6, 7, 7>(z, z);
    for step in 0..steps {
        // SAFETY: as the caller promises.
        unsafe {
            let w0 = split_pairs(v128_load(b.add(step * 32).cast()));
            let w1 = split_pairs(v128_load(b.add(step * 32 + 16).cast()));
            let to = to.add(step * 64);
            v128_store(to.cast(), i16x8_sub(i16x8_extend_low_i8x16(w0), z0));
            v128_store(to.add(16).cast(), i16x8_sub(i16x8_extend_low_i8x16(w1), z1));
            v128_store(to.add(32).cast(), i16x8_sub(i16x8_extend_high_i8x16(w0), z0));
            v128_store(to.add(48).cast(), i16x8_sub(i16x8_extend_high_i8x16(w1), z1));
        }
    }
}

/// The first two of each four bytes, then the other two.
#[inline(always)]
fn split_pairs(v: v128) -> v128 {
    i8x16_shuffle::<0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15>(v, v)
}

/// Four rows of a matrix as a packed block, each byte xor `mask`.
#[inline(always)]
pub(super) fn interleave(rows: [&[u8; PANEL]; 4], mask: u8, block: &mut [u8; 4 * PANEL]) {
    // SAFETY: eight bytes each, and 32 of the block.
    unsafe {
        let rows = rows.map(|row| v128_load64_zero(row.as_ptr().cast()));
        let mask = u8x16_splat(mask);
        let upper = u8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(rows[0], rows[1]);
        let lower = u8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(rows[2], rows[3]);
        let first = u16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(upper, lower);
        let second = u16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(upper, lower);
        v128_store(block.as_mut_ptr().cast(), v128_xor(first, mask));
        v128_store(block.as_mut_ptr().add(16).cast(), v128_xor(second, mask));
    }
}

/// Sum of each column of a packed panel.
pub(super) fn sum_columns(panel: &[u8]) -> [i32; PANEL] {
    let mut sums = [i32x4_splat(0); 2];
    for block in panel.chunks_exact(4 * PANEL) {
        for (h, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a half of 32 bytes.
            let w = unsafe { v128_load(block.as_ptr().add(16 * h).cast()) };
            *sum = i32x4_add(*sum, i32x4_extadd_pairwise_i16x8(i16x8_extadd_pairwise_i8x16(w)));
        }
    }
    let mut list = [0i32; PANEL];
    // SAFETY: eight words.
    unsafe { store_words(sums, list.as_mut_ptr().cast()) }
    list
}

/// Elements that [`widen_run`] works on at a time.
pub(super) const WIDEN_CHUNK: usize = 8;

/// Widens `len` bytes to 16 bits.
///
/// # Safety
///
/// `len`, rounded up to [`WIDEN_CHUNK`], elements can be read at `from` and written at `to`.
#[inline(always)]
pub(super) unsafe fn widen_run(from: *const u8, to: *mut u8, len: usize) {
    let mut i = 0;
    while i < len {
        // SAFETY: as the caller promises.
        unsafe {
            v128_store(to.add(2 * i).cast(), u16x8_load_extend_u8x8(from.add(i)));
            // Half the loop's cost.
            if i + WIDEN_CHUNK < len {
                let i = i + WIDEN_CHUNK;
                v128_store(to.add(2 * i).cast(), u16x8_load_extend_u8x8(from.add(i)));
            }
        }
        i += 2 * WIDEN_CHUNK;
    }
}

/// Eight sums to start from.
#[inline(always)]
pub(super) fn initial(bias: &[i32; PANEL]) -> Sums {
    // SAFETY: eight words.
    unsafe { load_words(bias.as_ptr().cast()) }
}

/// The epilogue of a panel, what it needs of it for each tile at hand.
pub(super) struct Epilogue<'a> {
    panel: &'a Panel<'a>,
    m: [v128; 2],
    rounding: Rounding,
    low: v128,
    high: v128,
}

impl<'a> Epilogue<'a> {
    #[inline(always)]
    pub fn new(panel: &'a Panel<'a>) -> Self {
        let (zero_point, low, high) = match panel.kind {
            Kind::Quantized { zero_point, low, high, .. } => (zero_point, low, high),
            _ => (0, 0, 0),
        };
        Self {
            panel,
            // SAFETY: eight elements.
            m: unsafe { load_words(panel.multipliers.as_ptr().cast()) },
            rounding: Rounding::new(zero_point),
            low: u8x16_splat(low),
            high: u8x16_splat(high),
        }
    }

    /// Finishes the sums of `M` rows and stores them from element `at` of the output on.
    ///
    /// # Safety
    ///
    /// The elements of each row that are valid lie inside of the output.
    #[inline(always)]
    pub unsafe fn finish<const M: usize>(&self, mut sums: [Sums; M], row_sums: Option<&[i32; M]>, at: usize) {
        let panel = self.panel;
        if let Some(row_sums) = row_sums {
            // SAFETY: eight elements.
            let z = unsafe { i16x8_load_extend_i8x8(panel.zero_points.as_ptr()) };
            let z = [i32x4_extend_low_i16x8(z), i32x4_extend_high_i16x8(z)];
            for (s, &row) in sums.iter_mut().zip(row_sums) {
                let row = i32x4_splat(row);
                *s = [0, 1].map(|h| i32x4_sub(s[h], i32x4_mul(row, z[h])));
            }
        }
        // SAFETY: inside, as the caller promises; lists have eight elements.
        unsafe {
            match (panel.kind, panel.y) {
                (Kind::Quantized { bounded, .. }, Pointer::Uint8(y)) => {
                    let mut target = Target::<u8, M>::new(y, at, panel);
                    let (to, stride) = target.place();
                    if bounded {
                        self.quantize::<M>(sums, to, stride, |v| v);
                    } else {
                        self.quantize::<M>(sums, to, stride, within_reach);
                    }
                    target.written();
                }
                (Kind::Float { low, high }, Pointer::Float32(y)) => {
                    let mut target = Target::<f32, M>::new(y, at, panel);
                    let (to, stride) = target.place();
                    if low == f32::NEG_INFINITY && high == f32::INFINITY {
                        self.floats::<M>(sums, to, stride, |v| v);
                    } else {
                        let (low, high) = (f32x4_splat(low), f32x4_splat(high));
                        self.floats::<M>(sums, to, stride, |v| clamp(v, low, high));
                    }
                    target.written();
                }
                (Kind::Integer, Pointer::Int32(y)) => {
                    let mut target = Target::<i32, M>::new(y, at, panel);
                    let (to, stride) = target.place();
                    for (i, s) in sums.into_iter().enumerate() {
                        store_words(s, to.add(i * stride).cast());
                    }
                    target.written();
                }
                _ => unreachable!("the driver checks the type"),
            }
        }
    }

    /// Rows of eight floats, `stride` floats apart.
    ///
    /// # Safety
    ///
    /// They can be written at `to`.
    #[inline(always)]
    unsafe fn floats<const M: usize>(
        &self,
        sums: [Sums; M],
        to: *mut f32,
        stride: usize,
        limit: impl Fn(v128) -> v128,
    ) {
        // SAFETY: lists have eight elements, and the rows can be written.
        unsafe {
            let addend = load_words(self.panel.addend.as_ptr().cast());
            for (i, s) in sums.into_iter().enumerate() {
                let v = [0, 1].map(|h| limit(f32x4_add(f32x4_mul(f32x4_convert_i32x4(s[h]), self.m[h]), addend[h])));
                store_words(v, to.add(i * stride).cast());
            }
        }
    }

    /// Rows of eight quanta, `stride` bytes apart.
    ///
    /// # Safety
    ///
    /// They can be written at `to`.
    #[inline(always)]
    unsafe fn quantize<const M: usize>(
        &self,
        sums: [Sums; M],
        to: *mut u8,
        stride: usize,
        limit: impl Fn(v128) -> v128,
    ) {
        const { assert!(M <= 6) };
        // Written out: LLVM would make a loop, for which all sums are in memory.
        macro_rules! rows {
            ($($i:literal)*) => {
                $(if $i < M {
                    let q = [0, 1].map(|h| {
                        let v = limit(f32x4_mul(f32x4_convert_i32x4(sums[$i % M][h]), self.m[h]));
                        self.rounding.signed(v)
                    });
                    let q = i16x8_narrow_i32x4(q[0], q[1]);
                    let q = self.rounding.quanta(i8x16_narrow_i16x8(q, q));
                    let q = u8x16_min(u8x16_max(q, self.low), self.high);
                    // SAFETY: as the caller promises.
                    unsafe { v128_store64_lane::<0>(q, to.add($i * stride).cast()) }
                })*
            };
        }
        rows!(0 1 2 3 4 5);
    }
}

/// Where rows of eight elements go: to the output, or where there are fewer columns, to a copy first.
struct Target<T, const M: usize> {
    copy: MaybeUninit<[[T; PANEL]; M]>,
    y: *mut T,
    stride: usize,
    valid: usize,
}

impl<T: Copy, const M: usize> Target<T, M> {
    /// # Safety
    ///
    /// The valid elements of each row from `at` on lie inside of `y`.
    #[inline(always)]
    unsafe fn new(y: *mut T, at: usize, panel: &Panel<'_>) -> Self {
        // SAFETY: as the caller promises.
        let y = unsafe { y.add(at) };
        Self { copy: MaybeUninit::uninit(), y, stride: panel.row_stride, valid: panel.valid }
    }

    /// Where to write, and the elements from one row to the next.
    #[inline(always)]
    fn place(&mut self) -> (*mut T, usize) {
        if self.valid == PANEL { (self.y, self.stride) } else { (self.copy.as_mut_ptr().cast(), PANEL) }
    }

    /// Copies what is valid.
    ///
    /// # Safety
    ///
    /// All `M` rows were written.
    #[inline(always)]
    unsafe fn written(&self) {
        if self.valid == PANEL {
            return;
        }
        // SAFETY: written, as the caller promises, and what is valid lies inside.
        unsafe {
            for (i, row) in self.copy.assume_init_ref().iter().enumerate() {
                for (n, &value) in row[..self.valid].iter().enumerate() {
                    self.y.add(i * self.stride + n).write(value);
                }
            }
        }
    }
}

/// Eight words.
///
/// # Safety
///
/// They can be read at `from`.
#[inline(always)]
pub(super) unsafe fn load_words(from: *const u32) -> [v128; 2] {
    // SAFETY: as the caller promises.
    unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
}

/// # Safety
///
/// Eight words can be written at `to`.
#[inline(always)]
unsafe fn store_words(v: [v128; 2], to: *mut u32) {
    // SAFETY: as the caller promises.
    unsafe {
        v128_store(to.cast(), v[0]);
        v128_store(to.add(4).cast(), v[1]);
    }
}
