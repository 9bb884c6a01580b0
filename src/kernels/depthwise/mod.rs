//! Depthwise convolutions with constant weights: every channel by itself.
//!
//! Two rows of the input are interleaved, widened to 16 bits, into a *pair row*, so that `i32x4.dot_i16x8` adds two taps
//! of four channels at a time. Rows `2 q` and `2 q + 1` of the padded input make pair row `q`; an output row that starts
//! at an odd row reads the same pair rows with other weights, so every input row is interleaved once. A kernel of an odd
//! height leaves one tap of a pair unused.

use std::ops::Range;

mod driver;
#[cfg(not(target_arch = "wasm32"))]
mod scalar;
#[cfg(target_arch = "wasm32")]
mod simd;
mod weights;

pub use weights::{DepthwiseWeights, Prepared};

use super::conv::Out;

/// Channels of a vector of sums.
const CHANNELS: usize = 4;
/// Channels that are interleaved at a time.
const CHUNK: usize = 16;

/// Computes the output rows `rows` (counted through `[n, oh]`); `x` is `[n, h, w, c]`. Element `(p, n)` of the result, with
/// `p` counted through `[n, oh, ow]`, goes to `p * row_stride + column + n` of `y`.
///
/// Any division of the rows gives the same results. `scratch` has at least [`DepthwiseWeights::scratch_bytes`] bytes, of
/// any contents.
///
/// # Panics
///
/// When a slice is too short, `y` is of another type than the finish, or `prepared` belongs to other weights.
#[allow(clippy::too_many_arguments)]
pub fn depthwise(
    weights: &DepthwiseWeights,
    prepared: &Prepared,
    x: &[u8],
    y: &mut Out<'_>,
    rows: Range<usize>,
    row_stride: usize,
    column: usize,
    scratch: &mut [u8],
) {
    driver::run(weights, prepared, x, y, rows, row_stride, column, scratch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Window;
    use crate::kernels::conv::{ConvShape, Finish, reference};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A repeatable sequence of bytes, about a third of them extreme.
    struct Random(u32);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0
        }

        fn quantum(&mut self) -> u8 {
            match self.next() >> 8 & 7 {
                0 => 0,
                1 => 255,
                2 => 128,
                _ => (self.next() >> 8) as u8,
            }
        }

        fn weight(&mut self) -> i8 {
            (self.quantum() ^ 128) as i8
        }
    }

    /// Sizes, with pads at the top, left, bottom and right.
    fn window(
        input: [usize; 4],
        kernel: [usize; 2],
        strides: [usize; 2],
        dilations: [usize; 2],
        pads: [usize; 4],
    ) -> Window {
        let output = [0, 1].map(|i| {
            let padded = input[1 + i] + pads[i] + pads[2 + i];
            (padded - (kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1
        });
        Window { input, output, kernel, strides, dilations, pads: [pads[0], pads[1]] }
    }

    /// Compares [`depthwise`] with the definition.
    fn check_with(window: &Window, x: &[u8], weights: &[i8], z: &[i8], zero_point: u8, finish: &Finish<'_>) {
        let c = window.input[3];
        let packed = DepthwiseWeights::new(window, weights, z);
        let prepared = packed.prepare(zero_point, finish);
        let mut scratch = vec![0xa5u8; packed.scratch_bytes()];
        let rows = packed.rows();
        let (row_stride, column) = (c + 3, 2);
        let size = rows * window.output[1] * row_stride + 1;
        // Parts of any length, also such that start where a pair row is half used.
        let cut = rows * (zero_point as usize % 5) / 4;
        let mut run = |y: &mut Out<'_>| {
            for part in [0..cut, cut..rows] {
                depthwise(&packed, &prepared, x, y, part, row_stride, column, &mut scratch);
            }
        };
        let shape = ConvShape { window: *window, channels: c, groups: c.max(1) };
        let definition = |y: &mut Out<'_>| {
            reference::conv(&shape, weights, z, zero_point, finish, x, y, row_stride, column);
        };
        match finish {
            Finish::Quantized { .. } => {
                let (mut y, mut expected) = (vec![77u8; size], vec![77u8; size]);
                run(&mut Out::Uint8(&mut y));
                definition(&mut Out::Uint8(&mut expected));
                assert!(y == expected, "{finish:?} {window:?}");
            }
            Finish::Float { .. } => {
                let (mut y, mut expected) = (vec![77f32; size], vec![77f32; size]);
                run(&mut Out::Float32(&mut y));
                definition(&mut Out::Float32(&mut expected));
                let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert!(bits(&y) == bits(&expected), "{finish:?} {window:?}");
            }
            Finish::Integer { .. } => {
                let (mut y, mut expected) = (vec![77i32; size], vec![77i32; size]);
                run(&mut Out::Int32(&mut y));
                definition(&mut Out::Int32(&mut expected));
                assert!(y == expected, "{finish:?} {window:?}");
            }
        }
    }

    /// Random numbers, results of every type.
    fn check(window: &Window, random: &mut Random) {
        let c = window.input[3];
        let taps = window.kernel[0] * window.kernel[1];
        let x: Vec<u8> = (0..window.input.iter().product()).map(|_| random.quantum()).collect();
        let weights: Vec<i8> = (0..c * taps).map(|_| random.weight()).collect();
        let bias: Vec<i32> = (0..c).map(|_| random.next() as i32 >> 12).collect();
        let multipliers: Vec<f32> = (0..c).map(|n| (n as f32 + 1.0) * 0.00037).collect();
        let large: Vec<f32> = (0..c).map(|n| 1e30 * (n as f32 - 1.5)).collect();
        let addend: Vec<f32> = (0..c).map(|n| n as f32 - 1.25).collect();
        let zero_points: Vec<i8> = (0..c).map(|_| random.weight()).collect();
        let infinity = f32::INFINITY;
        let finishes = [
            Finish::Quantized { bias: &bias, multipliers: &multipliers, zero_point: 7, low: 0, high: 255 },
            Finish::Quantized { bias: &[], multipliers: &[0.001], zero_point: 255, low: 3, high: 250 },
            Finish::Quantized { bias: &bias, multipliers: &large, zero_point: 128, low: 0, high: 255 },
            Finish::Quantized { bias: &bias, multipliers: &[0.5], zero_point: 0, low: 9, high: 9 },
            Finish::Float {
                bias: &bias,
                multipliers: &multipliers,
                scale: 0.3,
                addend: &addend,
                low: -infinity,
                high: infinity,
            },
            Finish::Float { bias: &[], multipliers: &[-0.1], scale: 1.0, addend: &[], low: 0.0, high: 6.0 },
            Finish::Integer { bias: &bias },
            Finish::Integer { bias: &[] },
        ];
        for (i, finish) in finishes.iter().enumerate() {
            let z: &[i8] = match i % 3 {
                0 => &[],
                1 => &zero_points[..c.min(1)],
                _ => &zero_points,
            };
            let zero_point = random.quantum();
            check_with(window, &x, &weights, z, zero_point, finish);
        }
    }

    #[test]
    fn every_remainder_of_channels_and_columns() {
        let mut random = Random(1);
        for c in (1..=17).chain([20, 31, 32, 33, 48]) {
            let size = 3 + c % 7;
            check(&window([1, 4, size, c], [3, 3], [1, 1], [1, 1], [1; 4]), &mut random);
        }
        for width in 1..=33 {
            let c = 4 + width % 3;
            check(&window([1, 5, width, c], [3, 3], [1, 1], [1, 1], [1; 4]), &mut random);
            check(&window([1, 5, width, c], [3, 3], [2, 2], [1, 1], [1; 4]), &mut random);
            check(&window([1, 5, width, c], [5, 5], [1, 1], [1, 1], [2; 4]), &mut random);
            check(&window([1, 5, width, c], [5, 5], [2, 2], [1, 1], [2; 4]), &mut random);
            check(&window([1, 3, width, c], [2, 4], [1, 1], [1, 1], [1, 2, 1, 1]), &mut random);
        }
    }

    #[test]
    fn windows_of_all_kinds() {
        let mut random = Random(2);
        type Case = ([usize; 4], [usize; 2], [usize; 2], [usize; 2], [usize; 4]);
        let cases: &[Case] = &[
            ([2, 7, 7, 24], [3, 3], [1, 1], [1, 1], [1, 1, 1, 1]),
            ([3, 8, 9, 5], [3, 3], [2, 2], [1, 1], [0, 0, 1, 1]),
            ([2, 9, 16, 6], [5, 5], [1, 1], [1, 1], [2, 2, 2, 2]),
            ([1, 9, 16, 6], [5, 5], [2, 2], [1, 1], [1, 1, 2, 2]),
            ([1, 9, 9, 6], [7, 7], [1, 1], [1, 1], [3, 3, 3, 3]),
            ([1, 9, 9, 6], [3, 3], [1, 1], [2, 2], [2, 2, 2, 2]),
            ([2, 11, 9, 6], [3, 3], [2, 1], [3, 2], [2, 2, 2, 2]),
            ([1, 11, 10, 3], [3, 3], [3, 3], [1, 1], [1, 1, 1, 1]),
            ([1, 13, 10, 3], [4, 2], [3, 1], [1, 3], [1, 1, 1, 1]),
            ([1, 13, 10, 3], [2, 2], [5, 4], [1, 1], [0, 0, 1, 1]),
            ([1, 13, 10, 3], [6, 6], [1, 2], [1, 1], [2, 3, 3, 2]),
            ([1, 9, 9, 4], [3, 1], [1, 1], [2, 5], [2, 0, 2, 0]),
            ([1, 9, 9, 4], [1, 3], [1, 1], [1, 1], [0, 1, 0, 1]),
            ([1, 9, 9, 4], [1, 1], [1, 1], [1, 1], [1, 1, 1, 1]),
            ([1, 9, 9, 4], [1, 1], [2, 2], [1, 1], [0, 0, 0, 0]),
            ([1, 2, 2, 16], [5, 5], [1, 1], [1, 1], [2, 2, 2, 2]),
            ([1, 1, 1, 2], [3, 3], [1, 1], [3, 3], [4, 4, 4, 4]),
            ([1, 4, 30, 1], [2, 9], [1, 3], [1, 1], [1, 8, 0, 8]),
            ([1, 2, 3, 20], [3, 3], [1, 1], [1, 1], [6, 9, 6, 12]),
            ([0, 2, 3, 20], [3, 3], [1, 1], [1, 1], [1, 1, 1, 1]),
            ([1, 3, 3, 0], [3, 3], [1, 1], [1, 1], [1, 1, 1, 1]),
        ];
        for &(input, kernel, strides, dilations, pads) in cases {
            check(&window(input, kernel, strides, dilations, pads), &mut random);
        }
    }

    #[test]
    fn extremes() {
        let window = window([1, 6, 9, 5], [5, 5], [1, 1], [1, 1], [2; 4]);
        for (q, w, z) in [(255, -128, 127), (255, 127, -128), (0, -128, 127), (0, 127, -128), (255, -128, 0)] {
            for zero_point in [0, 255, 128] {
                let (x, weights) = (vec![q; 6 * 9 * 5], vec![w; 25 * 5]);
                check_with(&window, &x, &weights, &[z], zero_point, &Finish::Integer { bias: &[] });
                for multiplier in [0.0, 1.0, 2.57, 1e-30, -0.01, f32::MAX] {
                    let multipliers = &[multiplier];
                    let bias = &[0, 1, -1, i32::MAX, i32::MIN];
                    let finish = Finish::Quantized { bias, multipliers, zero_point, low: 0, high: 255 };
                    check_with(&window, &x, &weights, &[z], zero_point, &finish);
                }
            }
        }
    }

    /// The least magnitude that the short rounding may not take, and ties.
    #[test]
    fn rounding() {
        let window = window([1, 1, 256, 1], [1, 1], [1, 1], [1, 1], [0; 4]);
        let x: Vec<u8> = (0..=255).collect();
        for multiplier in [0.5, 0.25, 1.5, 129.0, 16448.0, 16460.0, 16500.0, 32896.0] {
            for b in [0, 1, -1, 127, -128] {
                let (bias, multipliers) = (&[b][..], &[multiplier][..]);
                for zero_point in [0, 1, 254, 255] {
                    let finish = Finish::Quantized { bias, multipliers, zero_point, low: 0, high: 255 };
                    check_with(&window, &x, &[1], &[], 128, &finish);
                    check_with(&window, &x, &[-1], &[], 0, &finish);
                }
            }
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn what_is_too_short_is_refused() {
        let window = window([1, 5, 5, 3], [3, 3], [1, 1], [1, 1], [1; 4]);
        let packed = DepthwiseWeights::new(&window, &[1; 27], &[]);
        let finish = Finish::Quantized { bias: &[], multipliers: &[1.0], zero_point: 0, low: 0, high: 255 };
        let prepared = packed.prepare(0, &finish);
        let run = |x: usize, y: usize, rows: Range<usize>, scratch: usize| {
            let (x, mut y, mut scratch) = (vec![0; x], vec![0; y], vec![0; scratch]);
            let call = || depthwise(&packed, &prepared, &x, &mut Out::Uint8(&mut y), rows, 3, 0, &mut scratch);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_ok()
        };
        let scratch = packed.scratch_bytes();
        assert!(run(75, 75, 0..5, scratch));
        assert!(!run(74, 75, 0..5, scratch));
        assert!(!run(75, 74, 0..5, scratch));
        assert!(!run(75, 75, 0..6, scratch));
        assert!(!run(75, 75, 0..5, scratch / 2));
    }
}
