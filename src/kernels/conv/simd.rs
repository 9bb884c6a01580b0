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

use super::finish::Kind;
use super::panel::{Panel, Pointer};
use super::weights::PANEL;

/// Sums of one row and eight columns.
pub(super) type Sums = [v128; 2];

/// Sums of `M` rows of 16-bit elements times a widened panel.
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
) -> [Sums; M] {
    let mut sums = [[i32x4_splat(0); 2]; M];
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

/// Sums of `M` rows of 16-bit elements times a packed panel: for few rows, where widening it first does not pay.
///
/// # Safety
///
/// Rows of `4 * steps` elements, `stride` bytes apart, can be read at `a`; `32 * steps` bytes at `b`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn few_pairs<const M: usize>(a: *const u8, stride: usize, b: *const u8, steps: usize) -> [Sums; M] {
    // Each vector has two columns, the sums of even and of odd pairs of each.
    let mut sums = [[i32x4_splat(0); 4]; M];
    for step in 0..steps {
        let x: [v128; M] = std::array::from_fn(|i| {
            // SAFETY: within the row, as the caller promises.
            unsafe { v128_load64_splat(a.add(i * stride + step * 8).cast()) }
        });
        for j in 0..4 {
            // SAFETY: within the panel, as the caller promises.
            let w = unsafe { i16x8_load_extend_i8x8(b.add(step * 32 + j * 8).cast()) };
            for i in 0..M {
                sums[i][j] = i32x4_add(sums[i][j], i32x4_dot_i16x8(w, x[i]));
            }
        }
    }
    sums.map(|s| {
        [0, 2].map(|j| {
            let even = i32x4_shuffle::<0, 2, 4, 6>(s[j], s[j + 1]);
            i32x4_add(even, i32x4_shuffle::<1, 3, 5, 7>(s[j], s[j + 1]))
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

/// Elements that [`widen_run`] works on at a time.
pub(super) const WIDEN_CHUNK: usize = 8;

/// Widens `len` bytes to 16 bits.
///
/// # Safety
///
/// `len`, rounded up to [`WIDEN_CHUNK`], elements can be read at `from` and written at `to`.
#[inline(always)]
pub(super) unsafe fn widen_run(from: *const u8, to: *mut u8, len: usize) {
    for i in (0..len).step_by(WIDEN_CHUNK) {
        // SAFETY: as the caller promises.
        unsafe { v128_store(to.add(2 * i).cast(), u16x8_load_extend_u8x8(from.add(i))) }
    }
}

/// 1.5 * 2^23: the sum of it and a number of magnitude up to 2^22 is that number rounded to an integer, half to even, in
/// the low bits.
const MAGIC: f32 = 12_582_912.0;

/// Finishes the sums of `M` rows and stores them from element `at` of `y` on.
///
/// # Safety
///
/// The `valid` elements of each row lie inside of `y`.
#[inline(always)]
pub(super) unsafe fn finish<const M: usize>(
    mut sums: [Sums; M],
    panel: &Panel<'_>,
    row_sums: Option<&[i32; M]>,
    at: usize,
) {
    // SAFETY: all lists have eight elements.
    let (bias, m, addend, z) = unsafe {
        (
            [v128_load(panel.bias.as_ptr().cast()), v128_load(panel.bias.as_ptr().add(4).cast())],
            [v128_load(panel.multipliers.as_ptr().cast()), v128_load(panel.multipliers.as_ptr().add(4).cast())],
            [v128_load(panel.addend.as_ptr().cast()), v128_load(panel.addend.as_ptr().add(4).cast())],
            i16x8_load_extend_i8x8(panel.zero_points.as_ptr()),
        )
    };
    for s in &mut sums {
        *s = [i32x4_add(s[0], bias[0]), i32x4_add(s[1], bias[1])];
    }
    if let Some(row_sums) = row_sums {
        let z = [i32x4_extend_low_i16x8(z), i32x4_extend_high_i16x8(z)];
        for (s, &row) in sums.iter_mut().zip(row_sums) {
            let row = i32x4_splat(row);
            *s = [0, 1].map(|h| i32x4_sub(s[h], i32x4_mul(row, z[h])));
        }
    }
    match (panel.kind, panel.y) {
        (Kind::Quantized { zero_point, low, high, bounded }, Pointer::Uint8(y)) => {
            let magic = f32x4_splat(MAGIC);
            // The bits of the sum, less this, are the rounded number plus the zero point.
            let offset = i32x4_splat(MAGIC.to_bits() as i32 - zero_point as i32);
            let (low, high) = (u8x16_splat(low), u8x16_splat(high));
            for (i, s) in sums.into_iter().enumerate() {
                let q = [0, 1].map(|h| {
                    let mut v = f32x4_mul(f32x4_convert_i32x4(s[h]), m[h]);
                    if !bounded {
                        // Far beyond all quanta, near enough for the trick.
                        v = f32x4_pmin(f32x4_splat(65536.0), f32x4_pmax(f32x4_splat(-65536.0), v));
                    }
                    i32x4_sub(f32x4_add(v, magic), offset)
                });
                let q = i16x8_narrow_i32x4(q[0], q[1]);
                let q = u8x16_min(u8x16_max(u8x16_narrow_i16x8(q, q), low), high);
                let at = at + i * panel.row_stride;
                // SAFETY: inside, as the caller promises.
                unsafe {
                    if panel.valid == PANEL {
                        v128_store64_lane::<0>(q, y.add(at).cast());
                    } else {
                        let mut eight = [0u8; PANEL];
                        v128_store64_lane::<0>(q, eight.as_mut_ptr().cast());
                        std::ptr::copy_nonoverlapping(eight.as_ptr(), y.add(at), panel.valid);
                    }
                }
            }
        }
        (Kind::Float { low, high }, Pointer::Float32(y)) => {
            let (low, high) = (f32x4_splat(low), f32x4_splat(high));
            for (i, s) in sums.into_iter().enumerate() {
                let v = [0, 1].map(|h| {
                    let v = f32x4_add(f32x4_mul(f32x4_convert_i32x4(s[h]), m[h]), addend[h]);
                    f32x4_pmin(f32x4_pmax(v, low), high)
                });
                // SAFETY: inside, as the caller promises.
                unsafe { store_words(v, y.add(at + i * panel.row_stride).cast(), panel.valid) }
            }
        }
        (Kind::Integer, Pointer::Int32(y)) => {
            for (i, s) in sums.into_iter().enumerate() {
                // SAFETY: inside, as the caller promises.
                unsafe { store_words(s, y.add(at + i * panel.row_stride).cast(), panel.valid) }
            }
        }
        _ => unreachable!("the driver checks the type"),
    }
}

/// Stores the first `valid` of eight words.
///
/// # Safety
///
/// They can be written at `y`.
#[inline(always)]
unsafe fn store_words(v: [v128; 2], y: *mut u32, valid: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if valid == PANEL {
            v128_store(y.cast(), v[0]);
            v128_store(y.add(4).cast(), v[1]);
        } else {
            let mut eight = [0u32; PANEL];
            v128_store(eight.as_mut_ptr().cast(), v[0]);
            v128_store(eight.as_mut_ptr().add(4).cast(), v[1]);
            std::ptr::copy_nonoverlapping(eight.as_ptr(), y, valid);
        }
    }
}
