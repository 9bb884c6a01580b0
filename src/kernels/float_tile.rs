//! The innermost loop of float products.

use super::lanes::F32x4;

/// Rows of a tile. V8 has 15 vector registers on x86-64: two accumulators a row, two vectors of `b`, one of `a`, and one
/// for the product where multiplication and addition are separate.
pub(crate) const ROWS: usize = if cfg!(all(target_arch = "wasm32", target_feature = "relaxed-simd")) { 6 } else { 5 };

/// Columns of a tile.
pub(crate) const COLUMNS: usize = 8;

/// `tile[r][c] = sum over l of a[l][r] * b[l][c]`
#[inline(never)]
pub(crate) fn multiply(a: &[[f32; ROWS]], b: &[[f32; COLUMNS]], tile: &mut [[f32; COLUMNS]; ROWS]) {
    let mut sums = [[F32x4::splat(0.0); 2]; ROWS];
    let steps = a.len().min(b.len());
    let (mut a, mut b): (*const f32, *const f32) = (a.as_ptr().cast(), b.as_ptr().cast());
    for _ in 0..steps {
        // SAFETY: both slices have that many steps. Pointers, because LLVM folds offsets into the loads only where it
        // knows that they do not wrap; otherwise each costs an addition.
        unsafe {
            let (low, high) = (F32x4::load(&*b.cast()), F32x4::load(&*b.add(4).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = F32x4::splat(*a.add(r));
                sums[0] = a.times_plus(low, sums[0]);
                sums[1] = a.times_plus(high, sums[1]);
            }
            (a, b) = (a.add(ROWS), b.add(COLUMNS));
        }
    }
    for (to, sums) in tile.iter_mut().zip(sums) {
        let (to, _) = to.as_chunks_mut::<4>();
        sums[0].store(&mut to[0]);
        sums[1].store(&mut to[1]);
    }
}
