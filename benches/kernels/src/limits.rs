//! What bounds the kernels: the clock, and bare inner loops whose operands stay in the first-level cache.

use core::arch::wasm32::*;

/// A chain of `16 * times` dependent additions and exclusive ors, one cycle each.
#[unsafe(no_mangle)]
pub extern "C" fn clock(times: u32) -> u32 {
    let (mut x, y) = (1u32, times | 1);
    for i in 0..times {
        x = (x.wrapping_add(y)) ^ i;
        x = (x.wrapping_add(i)) ^ y;
        x = (x.wrapping_add(y)) ^ i;
        x = (x.wrapping_add(i)) ^ y;
        x = (x.wrapping_add(y)) ^ i;
        x = (x.wrapping_add(i)) ^ y;
        x = (x.wrapping_add(y)) ^ i;
        x = (x.wrapping_add(i)) ^ y;
    }
    x
}

static mut A: [u8; 8192] = [3; 8192];
static mut B: [u8; 16384] = [2; 16384];

/// Steps of the inner loops for each tile.
const STEPS: usize = 128;

macro_rules! limit {
    ($name:ident, $rows:literal, $step:expr) => {
        /// `times` tiles with `STEPS` vectors of each column; interleaved operands, no epilogue.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(times: usize) -> i32 {
            let mut total = i32x4_splat(0);
            for _ in 0..times {
                let mut sums = [[i32x4_splat(0); 2]; $rows];
                let (mut a, mut b) = ((&raw const A).cast::<u8>(), (&raw const B).cast::<u8>());
                for _ in 0..STEPS {
                    // SAFETY: 128 steps of at most 24 and 32 bytes lie inside.
                    unsafe {
                        let (b0, b1) = (v128_load(b.cast()), v128_load(b.add(16).cast()));
                        for i in 0..$rows {
                            let x = v128_load32_splat(a.add(4 * i).cast());
                            sums[i][0] = $step(b0, x, sums[i][0]);
                            sums[i][1] = $step(b1, x, sums[i][1]);
                        }
                        a = a.add(4 * $rows);
                        b = b.add(32);
                    }
                }
                for s in sums {
                    total = i32x4_add(total, i32x4_add(s[0], s[1]));
                }
            }
            i32x4_extract_lane::<0>(total)
        }
    };
}

limit!(limit_pairs, 5, |b, x, sum| i32x4_add(sum, i32x4_dot_i16x8(b, x)));
#[cfg(target_feature = "relaxed-simd")]
limit!(limit_bytes, 6, i32x4_relaxed_dot_i8x16_i7x16_add);

/// As the others, for sums of two products that are added up in 16 bits: `STEPS` quads of each column, two at a time.
#[cfg(target_feature = "relaxed-simd")]
#[unsafe(no_mangle)]
pub extern "C" fn limit_maddubs(times: usize) -> i32 {
    const ROWS: usize = 3;
    let mut total = i32x4_splat(0);
    let ones = std::hint::black_box(i16x8_splat(1));
    for _ in 0..times {
        let mut sums = [[i32x4_splat(0); 2]; ROWS];
        let (mut a, mut b) = ((&raw const A).cast::<u8>(), (&raw const B).cast::<u8>());
        for _ in 0..STEPS / 2 {
            // SAFETY: 64 steps of 32 and 64 bytes lie inside.
            unsafe {
                let [p0, p1, q0, q1] = [0, 16, 32, 48].map(|at| v128_load(b.add(at).cast()));
                for i in 0..ROWS {
                    let x = v128_load32_splat(a.add(8 * i).cast());
                    let y = v128_load32_splat(a.add(8 * i + 4).cast());
                    let pairs = |p: v128, q: v128| {
                        i16x8_add(i16x8_relaxed_dot_i8x16_i7x16(p, x), i16x8_relaxed_dot_i8x16_i7x16(q, y))
                    };
                    sums[i][0] = i32x4_add(sums[i][0], i32x4_dot_i16x8(pairs(p0, q0), ones));
                    sums[i][1] = i32x4_add(sums[i][1], i32x4_dot_i16x8(pairs(p1, q1), ones));
                }
                a = a.add(8 * ROWS);
                b = b.add(64);
            }
        }
        for s in sums {
            total = i32x4_add(total, i32x4_add(s[0], s[1]));
        }
    }
    i32x4_extract_lane::<0>(total)
}
