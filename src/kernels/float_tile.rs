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
    for (a, b) in a.iter().zip(b) {
        let (b, _) = b.as_chunks::<4>();
        let (low, high) = (F32x4::load(&b[0]), F32x4::load(&b[1]));
        for (sums, &a) in sums.iter_mut().zip(a) {
            let a = F32x4::splat(a);
            sums[0] = a.times_plus(low, sums[0]);
            sums[1] = a.times_plus(high, sums[1]);
        }
    }
    for (to, sums) in tile.iter_mut().zip(sums) {
        let (to, _) = to.as_chunks_mut::<4>();
        sums[0].store(&mut to[0]);
        sums[1].store(&mut to[1]);
    }
}
