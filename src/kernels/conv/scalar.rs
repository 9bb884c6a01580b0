//! Kernels in plain Rust, for native builds: the same interface as `simd`.

use super::finish::Kind;
use super::panel::{Panel, Pointer};
use super::program::{HEADER, LANES, Load};
use super::weights::PANEL;
use crate::kernels::quantize::requantize;

/// Sums of one row and eight columns.
pub(super) type Sums = [i32; PANEL];

/// How a byte of the left operand is read.
pub(super) trait ByteDot {
    fn read(byte: u8) -> i32;
}

/// Both readings, under the names that `simd_bytes` has for its models.
pub(super) mod model {
    use super::ByteDot;

    /// u8 x s8.
    pub struct Unsigned;
    /// s8 x s8.
    pub struct Signed;

    impl ByteDot for Unsigned {
        fn read(byte: u8) -> i32 {
            byte as i32
        }
    }

    impl ByteDot for Signed {
        fn read(byte: u8) -> i32 {
            byte as i8 as i32
        }
    }
}

/// Sums of `M` rows of 16-bit elements times a widened panel, added to `first`.
///
/// # Safety
///
/// Rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`; `64 * steps` bytes at `b`.
pub(super) unsafe fn tile_pairs<const M: usize>(
    a: *const u8,
    stride: usize,
    b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    for (i, row) in sums.iter_mut().enumerate() {
        for pair in 0..2 * steps {
            for (n, sum) in row.iter_mut().enumerate() {
                for j in 0..2 {
                    // SAFETY: as the caller promises.
                    let (p, q) = unsafe {
                        (
                            a.add(i * stride + (2 * pair + j) * 2).cast::<i16>().read_unaligned(),
                            b.add(pair * 32 + (2 * n + j) * 2).cast::<i16>().read_unaligned(),
                        )
                    };
                    *sum = sum.wrapping_add(p as i32 * q as i32);
                }
            }
        }
    }
    sums
}

/// Sums of `M` rows of 16-bit elements times a packed panel, added to `first`.
///
/// # Safety
///
/// Rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`; `32 * steps` bytes at `b`.
pub(super) unsafe fn few_pairs<const M: usize>(
    a: *const u8,
    stride: usize,
    b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    for (i, row) in sums.iter_mut().enumerate() {
        for k in 0..4 * steps {
            for (n, sum) in row.iter_mut().enumerate() {
                // SAFETY: as the caller promises.
                let (p, q) = unsafe {
                    (
                        a.add(i * stride + 2 * k).cast::<i16>().read_unaligned(),
                        b.add(k / 4 * 32 + n * 4 + k % 4).cast::<i8>().read(),
                    )
                };
                *sum = sum.wrapping_add(p as i32 * q as i32);
            }
        }
    }
    sums
}

/// Sums of `M` rows of bytes times a packed panel, added to `first`.
///
/// # Safety
///
/// Rows of `4 * steps` bytes, `stride` bytes apart, can be read at `a`; `32 * steps` bytes at `b`.
pub(super) unsafe fn tile_bytes<D: ByteDot, const M: usize>(
    a: *const u8,
    stride: usize,
    b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    let mut sums = [first; M];
    for (i, row) in sums.iter_mut().enumerate() {
        for k in 0..4 * steps {
            for (n, sum) in row.iter_mut().enumerate() {
                // SAFETY: as the caller promises.
                let (p, q) =
                    unsafe { (a.add(i * stride + k).read(), b.add(k / 4 * 32 + n * 4 + k % 4).cast::<i8>().read()) };
                *sum = sum.wrapping_add(D::read(p) * q as i32);
            }
        }
    }
    sums
}

/// [`tile_bytes`] for one or two rows.
///
/// # Safety
///
/// As there.
pub(super) unsafe fn few_bytes<D: ByteDot, const M: usize>(
    a: *const u8,
    stride: usize,
    b: *const u8,
    steps: usize,
    first: Sums,
) -> [Sums; M] {
    // SAFETY: the same conditions.
    unsafe { tile_bytes::<D, M>(a, stride, b, steps, first) }
}

/// Sums of two products of a weight, s8, and an activation, u8.
pub(super) trait PairSums {
    fn pair(weights: [i8; 2], activations: [u8; 2]) -> i16;
}

/// As `pmaddubsw` has them.
pub(super) struct Saturating;

impl PairSums for Saturating {
    fn pair(weights: [i8; 2], activations: [u8; 2]) -> i16 {
        let product = |i: usize| weights[i] as i32 * activations[i] as i32;
        (product(0) + product(1)).clamp(i16::MIN as i32, i16::MAX as i32) as i16
    }
}

/// Sums of `M` rows of bytes times the panel of `program`, added to `first`.
///
/// # Safety
///
/// `program` was made for rows as long as those, `stride` bytes apart, that can be read at `a`.
pub(super) unsafe fn tile_program<P: PairSums, const M: usize>(
    a: *const u8,
    stride: usize,
    program: *const u8,
    first: Sums,
) -> [Sums; M] {
    // SAFETY: every program has a header, and so many offsets and weights as it says.
    let word = |i: usize| unsafe { program.cast::<u32>().add(i).read() } as usize;
    let [doubles, singles, left, right] = [0, 1, 2, 3].map(word);
    let offset = |i: usize| word(HEADER / 4 + i);
    let mut weights = HEADER + (4 * (2 * doubles + singles + left + right)).next_multiple_of(32);
    let mut sums = [first; M];
    // Quads `at..at + quads`, added up in 16 bits, of the columns from `column` on.
    let mut step = |at: usize, quads: usize, column: usize, columns: usize| {
        for (row, sums) in sums.iter_mut().enumerate() {
            for n in 0..columns {
                for half in [0, 2] {
                    let mut sum = 0i16;
                    for quad in 0..quads {
                        let place = weights + 4 * (quad * columns + n) + half;
                        // SAFETY: as the caller promises.
                        let (w, x) = unsafe {
                            let x = a.add(row * stride + offset(at + quad) + half);
                            (program.add(place).cast::<[i8; 2]>().read(), x.cast::<[u8; 2]>().read())
                        };
                        sum = sum.wrapping_add(P::pair(w, x));
                    }
                    sums[column + n] = sums[column + n].wrapping_add(sum as i32);
                }
            }
        }
        weights += 4 * quads * columns;
    };
    let mut at = 0;
    for (count, quads, column, columns) in [(doubles, 2, 0, 8), (singles, 1, 0, 8), (left, 1, 0, 4), (right, 1, 4, 4)] {
        for _ in 0..count {
            step(at, quads, column, columns);
            at += quads;
        }
    }
    sums
}

/// What the weights of each sign add up to in each lane of a quad.
pub(super) fn lane_sums(weights: &[i8; 4 * PANEL]) -> Load {
    let mut load = [0; 2 * LANES];
    for (lane, &[a, b]) in weights.as_chunks::<2>().0.iter().enumerate() {
        load[lane] = a.max(0) as u8 + b.max(0) as u8;
        load[LANES + lane] = a.min(0).unsigned_abs().saturating_add(b.min(0).unsigned_abs());
    }
    load
}

/// The largest of the sums.
pub(super) fn largest(load: &Load) -> u8 {
    load.iter().fold(0, |most, &sum| most.max(sum))
}

/// Whether no two sums exceed `most` together.
pub(super) fn fit(a: &Load, b: &Load, most: u8) -> bool {
    a.iter().zip(b).all(|(&a, &b)| a.saturating_add(b) <= most)
}

/// Eight sums to start from.
pub(super) fn initial(bias: &[i32; PANEL]) -> Sums {
    *bias
}

/// Widens a packed panel, less its zero points, to pairs: for each two steps of k `[8][2]` 16-bit numbers.
///
/// # Safety
///
/// `32 * steps` bytes can be read at `b`, `64 * steps` bytes written at `to`.
pub(super) unsafe fn widen_panel(b: *const u8, steps: usize, zero_points: &[i8; PANEL], to: *mut u8) {
    for k in 0..4 * steps {
        for (n, &z) in zero_points.iter().enumerate() {
            // SAFETY: as the caller promises.
            unsafe {
                let w = b.add(k / 4 * 32 + n * 4 + k % 4).cast::<i8>().read();
                to.add(k / 2 * 32 + n * 4 + k % 2 * 2).cast::<i16>().write_unaligned(w as i16 - z as i16);
            }
        }
    }
}

/// Four rows of a matrix as a packed block, each byte xor `mask`.
pub(super) fn interleave(rows: [&[u8; PANEL]; 4], mask: u8, block: &mut [u8; 4 * PANEL]) {
    for (i, row) in rows.into_iter().enumerate() {
        for (n, value) in row.iter().enumerate() {
            block[4 * n + i] = value ^ mask;
        }
    }
}

/// Sum of each column of a packed panel.
pub(super) fn sum_columns(panel: &[u8]) -> [i32; PANEL] {
    let mut sums = [0i32; PANEL];
    for block in panel.chunks_exact(4 * PANEL) {
        for (sum, four) in sums.iter_mut().zip(block.chunks_exact(4)) {
            *sum = four.iter().fold(*sum, |sum, &w| sum.wrapping_add(w as i8 as i32));
        }
    }
    sums
}

/// Elements that [`widen_run`] works on at a time.
pub(super) const WIDEN_CHUNK: usize = 8;

/// Widens `len` bytes to 16 bits.
///
/// # Safety
///
/// `len`, rounded up to [`WIDEN_CHUNK`], elements can be read at `from` and written at `to`.
pub(super) unsafe fn widen_run(from: *const u8, to: *mut u8, len: usize) {
    for i in 0..len.next_multiple_of(WIDEN_CHUNK) {
        // SAFETY: as the caller promises.
        unsafe { to.add(2 * i).cast::<i16>().write_unaligned(from.add(i).read() as i16) }
    }
}

/// Bytes that [`copy_run`] works on at a time.
pub(super) const COPY_CHUNK: usize = 16;

/// Copies `len` bytes, each xor `mask`.
///
/// # Safety
///
/// `len`, rounded up to [`COPY_CHUNK`], bytes can be read at `from` and written at `to`.
pub(super) unsafe fn copy_run(from: *const u8, to: *mut u8, len: usize, mask: u8) {
    for i in 0..len.next_multiple_of(COPY_CHUNK) {
        // SAFETY: as the caller promises.
        unsafe { to.add(i).write(from.add(i).read() ^ mask) }
    }
}

/// Sum of bytes, each xor `mask`.
pub(super) fn sum_run(bytes: &[u8], mask: u8) -> i32 {
    bytes.iter().fold(0, |sum: i32, &byte| sum.wrapping_add((byte ^ mask).into()))
}

/// The epilogue of a panel.
pub(super) struct Epilogue<'a> {
    panel: &'a Panel<'a>,
}

impl<'a> Epilogue<'a> {
    pub fn new(panel: &'a Panel<'a>) -> Self {
        Self { panel }
    }

    /// Finishes the sums of `M` rows and stores them from element `at` of the output on.
    ///
    /// # Safety
    ///
    /// The elements of each row that are valid lie inside of the output.
    pub unsafe fn finish<const M: usize>(&self, sums: [Sums; M], row_sums: Option<&[i32; M]>, at: usize) {
        let panel = self.panel;
        for (i, row) in sums.iter().enumerate() {
            for (n, &sum) in row[..panel.valid].iter().enumerate() {
                let mut sum = sum;
                if let Some(row_sums) = row_sums {
                    sum = sum.wrapping_sub(row_sums[i].wrapping_mul(panel.zero_points[n] as i32));
                }
                let at = at + i * panel.row_stride + n;
                // SAFETY: inside, as the caller promises.
                unsafe {
                    match (panel.kind, panel.y) {
                        (Kind::Quantized { zero_point, low, high, .. }, Pointer::Uint8(y)) => {
                            let q = requantize::<u8>(sum, panel.multipliers[n], zero_point as i32);
                            y.add(at).write(q.clamp(low, high));
                        }
                        (Kind::Float { low, high }, Pointer::Float32(y)) => {
                            let v = sum as f32 * panel.multipliers[n] + panel.addend[n];
                            let v = if v < low { low } else { v };
                            y.add(at).write(if high < v { high } else { v });
                        }
                        (Kind::Integer, Pointer::Int32(y)) => y.add(at).write(sum),
                        _ => unreachable!("the driver checks the type"),
                    }
                }
            }
        }
    }
}
