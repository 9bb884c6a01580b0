//! Integer matrix product with 32-bit accumulation.
//!
//! Both operands are widened to i16 with their zero points taken off while they are packed, so one micro-kernel serves
//! every signedness and every zero point: values lie in [-255, 255], a pair of products in 18 bits, and
//! `i32x4.dot_i16x8` is exact. Sums wrap at 32 bits, as onnxruntime's do.
//!
//! Packing: A (left) in panels of [`MR`] rows, B (right) in panels of [`NR`] columns, both in pairs along K:
//! `panel[k / 2][row or column][k % 2]`, K padded to even with zeros. On x86-64, V8 has 15 vector registers; 5 x 8 uses
//! 10 accumulators + 2 of B + 1 of A + 1 temporary.

/// Rows of a tile.
pub const MR: usize = 5;
/// Columns of a tile.
pub const NR: usize = 8;

/// Tile of accumulators, row-major.
pub type Tile = [[i32; NR]; MR];

/// K after padding.
pub const fn padded_k(k: usize) -> usize {
    k.next_multiple_of(2)
}

/// Elements of one panel of B.
pub const fn panel_b_len(k: usize) -> usize {
    padded_k(k) * NR
}

/// A left operand of `rows` x `k`, packed once and used many times.
#[derive(Clone, Debug, Default)]
pub struct PackedA {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub k: usize,
    data: Vec<i16>,
}

impl PackedA {
    /// Packs; `at(row, k)` gives elements with the zero point already taken off.
    pub fn new(rows: usize, k: usize, at: impl Fn(usize, usize) -> i16) -> Self {
        let kp = padded_k(k);
        let mut data = vec![0i16; rows.div_ceil(MR) * kp * MR];
        for row in 0..rows {
            let panel = &mut data[(row / MR) * kp * MR..];
            for i in 0..k {
                panel[(i / 2) * 2 * MR + (row % MR) * 2 + i % 2] = at(row, i);
            }
        }
        Self { rows, k, data }
    }

    fn panel(&self, index: usize) -> &[i16] {
        let len = padded_k(self.k) * MR;
        &self.data[index * len..][..len]
    }
}

/// Writes element (`k`, `column`) of a panel of B.
#[inline]
pub fn put_b(panel: &mut [i16], k: usize, column: usize, value: i16) {
    panel[(k / 2) * 2 * NR + column * 2 + k % 2] = value;
}

/// Multiplies every row of `a` with one panel of `b` (`panel_b_len(a.k)` elements) and hands each tile to `store`
/// with the number of its first row.
pub fn gemm_panel(a: &PackedA, b: &[i16], mut store: impl FnMut(usize, &Tile)) {
    debug_assert_eq!(b.len(), panel_b_len(a.k));
    for index in 0..a.rows.div_ceil(MR) {
        store(index * MR, &micro_kernel(a.panel(index), b));
    }
}

/// `tile[i][j] = sum over k of a[k][i] * b[k][j]`; the panels hold the same number of pairs.
#[inline]
fn micro_kernel(a: &[i16], b: &[i16]) -> Tile {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return simd128(a, b);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    scalar(a, b)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn scalar(a: &[i16], b: &[i16]) -> Tile {
    let mut tile = [[0i32; NR]; MR];
    for (a, b) in a.chunks_exact(2 * MR).zip(b.chunks_exact(2 * NR)) {
        for i in 0..MR {
            let (a0, a1) = (a[2 * i] as i32, a[2 * i + 1] as i32);
            for j in 0..NR {
                let pair = a0 * b[2 * j] as i32 + a1 * b[2 * j + 1] as i32;
                tile[i][j] = tile[i][j].wrapping_add(pair);
            }
        }
    }
    tile
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn simd128(a: &[i16], b: &[i16]) -> Tile {
    use core::arch::wasm32::*;
    let mut acc = [[i32x4_splat(0); 2]; MR];
    for (a, b) in a.chunks_exact(2 * MR).zip(b.chunks_exact(2 * NR)) {
        // SAFETY: the chunks hold exactly 2 * NR and 2 * MR i16; unaligned loads are allowed.
        unsafe {
            let b0 = v128_load(b.as_ptr().cast());
            let b1 = v128_load(b.as_ptr().add(8).cast());
            // Written out in source order: each A pair is used twice and dropped, so 15 registers suffice.
            macro_rules! row {
                ($i:expr) => {
                    let x = v128_load32_splat(a.as_ptr().add(2 * $i).cast());
                    acc[$i][0] = i32x4_add(acc[$i][0], i32x4_dot_i16x8(b0, x));
                    acc[$i][1] = i32x4_add(acc[$i][1], i32x4_dot_i16x8(b1, x));
                };
            }
            row!(0);
            row!(1);
            row!(2);
            row!(3);
            row!(4);
        }
    }
    let mut tile = [[0i32; NR]; MR];
    for (row, acc) in tile.iter_mut().zip(acc) {
        // SAFETY: a row of the tile is NR = 8 i32, two vectors.
        unsafe {
            v128_store(row.as_mut_ptr().cast(), acc[0]);
            v128_store(row.as_mut_ptr().add(4).cast(), acc[1]);
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn noise(seed: &mut u32) -> i16 {
        *seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        ((*seed >> 16) % 511) as i16 - 255
    }

    #[test]
    fn every_remainder_equals_the_plain_sum() {
        let mut seed = 7;
        for rows in 1..=2 * MR + 1 {
            for k in [1, 2, 3, 4, 5, 8, 31, 32, 33] {
                let a: Vec<i16> = (0..rows * k).map(|_| noise(&mut seed)).collect();
                let b: Vec<i16> = (0..k * NR).map(|_| noise(&mut seed)).collect();
                let packed = PackedA::new(rows, k, |r, i| a[r * k + i]);
                let mut panel = vec![0; panel_b_len(k)];
                for i in 0..k {
                    for j in 0..NR {
                        put_b(&mut panel, i, j, b[i * NR + j]);
                    }
                }
                gemm_panel(&packed, &panel, |first, tile| {
                    for i in 0..MR.min(rows - first) {
                        for j in 0..NR {
                            let sum: i32 = (0..k).map(|x| a[(first + i) * k + x] as i32 * b[x * NR + j] as i32).sum();
                            assert_eq!(tile[i][j], sum, "rows {rows} k {k} at {i},{j}");
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn extremes_are_exact_and_sums_wrap() {
        for (x, y) in [(255i16, 255i16), (-255, 255), (-255, -255), (255, -128)] {
            for k in [2, 4096, 40_000] {
                let packed = PackedA::new(1, k, |_, _| x);
                let tile = micro_kernel(packed.panel(0), &vec![y; panel_b_len(k)]);
                assert_eq!(tile[0][0], (x as i32 * y as i32).wrapping_mul(k as i32));
                assert_eq!(tile[1][0], 0);
            }
        }
    }
}
