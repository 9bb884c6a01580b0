//! Depthwise convolutions: each output channel is computed from the input channel of the same index.
//!
//! There is no matrix to multiply with, so nothing is shared between channels, and bringing operands together costs as
//! much as multiplying them. 16 channels are worked on at a time. Rows of the input are interleaved once, two by two
//! (as 16-bit numbers) or four by four (as bytes), into a ring of scratch memory that stays in the first-level cache;
//! then one instruction multiplies a whole group of rows, whatever the column, and each group serves all windows that
//! it is part of. What lies outside of the input is written there as its zero point, so no kernel knows of borders.

use std::ops::Range;

mod driver;
mod kernel;
#[cfg(not(target_arch = "wasm32"))]
mod scalar;
#[cfg(target_arch = "wasm32")]
mod simd;
mod tile;
mod weights;

pub use weights::{DepthwiseWeights, Prepared};

use super::conv::{Out, product};
use super::isa::Dot;
use kernel::Pairs;
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
use kernel::{Sdot, Usdot};

/// Computes the rows `rows` of the output (counted through `[n, oh]`) of a depthwise convolution; `x` is `[n, h, w, c]`.
/// `y` begins with the first of them: element `(p, c)` of the result, `p` counted from its first position, goes to
/// `p * row_stride + column + c`.
///
/// Any division of the rows gives the same results; long ranges are fastest. `scratch` has at least
/// [`DepthwiseWeights::scratch_bytes`] bytes, of any contents.
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
    assert!(rows.end <= weights.rows(), "rows beyond the output");
    assert!(x.len() >= product(&weights.window.input), "the input is too short");
    let to = driver::Destination { y, row_stride, column };
    match weights.dot {
        Dot::Pairs | Dot::Maddubs => driver::run::<Pairs>(weights, prepared, x, to, rows, scratch),
        #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        Dot::Usdot => driver::run::<Usdot>(weights, prepared, x, to, rows, scratch),
        #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        Dot::Sdot => driver::run::<Sdot>(weights, prepared, x, to, rows, scratch),
        #[cfg(not(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd")))]
        _ => unreachable!("replaced when packing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Window;
    use crate::kernels::conv::tests::Random;
    use crate::kernels::conv::{ConvShape, Finish, reference};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const DOTS: [Dot; 4] = [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs];

    /// Compares [`depthwise`] with the definition, in all ways of multiplying, with results of every type.
    fn check(window: &Window, zero_point: u8, weight_zero_points: &[i8], random: &mut Random) {
        let channels = window.input[3];
        let shape = ConvShape { window: *window, channels, groups: channels };
        let x: Vec<u8> = (0..window.input.iter().product()).map(|_| random.quantum()).collect();
        let taps = window.kernel[0] * window.kernel[1];
        let weights: Vec<i8> = (0..channels * taps).map(|_| random.weight()).collect();
        let bias: Vec<i32> = (0..channels).map(|_| random.next() as i32 >> 12).collect();
        let multipliers: Vec<f32> = (0..channels).map(|n| (n as f32 + 1.0) * 0.0017).collect();
        let large: Vec<f32> = (0..channels).map(|n| 1e30 * (n as f32 - 1.5)).collect();
        let addend: Vec<f32> = (0..channels).map(|n| n as f32 - 1.25).collect();
        let infinity = f32::INFINITY;
        let finishes = [
            Finish::Quantized { bias: &bias, multipliers: &multipliers, zero_point: 7, low: 0, high: 255 },
            Finish::Quantized { bias: &[], multipliers: &[0.01], zero_point: 255, low: 3, high: 250 },
            Finish::Quantized { bias: &bias, multipliers: &large, zero_point: 128, low: 0, high: 255 },
            Finish::Quantized { bias: &[], multipliers: &[0.5], zero_point: 0, low: 9, high: 9 },
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
        ];
        let rows = window.input[0] * window.output[0];
        let (row_stride, column) = (channels + 3, 2);
        let size = (rows * window.output[1]).max(1) * row_stride + 1;
        for dot in DOTS {
            let packed = DepthwiseWeights::new(dot, window, &weights, weight_zero_points);
            assert_eq!(packed.rows(), rows);
            let mut scratch = vec![0xa5u8; packed.scratch_bytes()];
            for (i, finish) in finishes.iter().enumerate() {
                let prepared = packed.prepare(zero_point, finish);
                let cut = rows * (i + 1) / 8;
                let mut run = |y: &mut Out<'_>| {
                    for part in [cut..rows, 0..cut] {
                        let mut y = y.from(part.start * window.output[1] * row_stride);
                        depthwise(&packed, &prepared, &x, &mut y, part, row_stride, column, &mut scratch);
                    }
                };
                let definition = |y: &mut Out<'_>| {
                    let z = weight_zero_points;
                    reference::conv(&shape, &weights, z, zero_point, finish, &x, y, row_stride, column);
                };
                match finish {
                    Finish::Quantized { .. } => {
                        let (mut y, mut expected) = (vec![77u8; size], vec![77u8; size]);
                        run(&mut Out::Uint8(&mut y));
                        definition(&mut Out::Uint8(&mut expected));
                        assert!(y == expected, "{dot:?} {finish:?} {window:?}");
                    }
                    Finish::Float { .. } => {
                        let (mut y, mut expected) = (vec![77f32; size], vec![77f32; size]);
                        run(&mut Out::Float32(&mut y));
                        definition(&mut Out::Float32(&mut expected));
                        let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert!(bits(&y) == bits(&expected), "{dot:?} {finish:?} {window:?}");
                    }
                    Finish::Integer { .. } => {
                        let (mut y, mut expected) = (vec![77i32; size], vec![77i32; size]);
                        run(&mut Out::Int32(&mut y));
                        definition(&mut Out::Int32(&mut expected));
                        assert!(y == expected, "{dot:?} {finish:?} {window:?}");
                    }
                }
            }
        }
    }

    /// A square kernel and its usual padding.
    fn window(n: usize, size: [usize; 2], c: usize, kernel: usize, stride: usize) -> Window {
        Window {
            input: [n, size[0], size[1], c],
            output: size.map(|s| s.div_ceil(stride)),
            kernel: [kernel; 2],
            strides: [stride; 2],
            dilations: [1, 1],
            pads: [(kernel - stride.min(kernel)).div_ceil(2); 2],
        }
    }

    #[test]
    fn every_remainder_of_channels() {
        let mut random = Random(1);
        for c in (1..=34).chain([47, 48, 49]) {
            let z = random.quantum();
            check(&window(2, [4, 5], c, 3, 1), z, &[], &mut random);
            let each: Vec<i8> = (0..c).map(|_| random.weight()).collect();
            check(&window(1, [5, 4], c, 3, 2), z, &each, &mut random);
        }
    }

    #[test]
    fn every_width_and_height() {
        let mut random = Random(2);
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 3)] {
            for width in 1..=15 {
                let z = random.quantum();
                check(&window(1, [1 + width % 9, width], 5, kernel, stride), z, &[], &mut random);
            }
            for height in 1..=11 {
                check(&window(2, [height, 8], 17, kernel, stride), 255, &[], &mut random);
            }
        }
    }

    #[test]
    fn windows_of_all_kinds() {
        let mut random = Random(3);
        // Input, kernel, strides, dilations, pads (top, left, bottom, right).
        type Case = ([usize; 4], [usize; 2], [usize; 2], [usize; 2], [usize; 4]);
        let cases: &[Case] = &[
            ([1, 9, 8, 18], [3, 3], [2, 2], [1, 1], [0, 0, 1, 1]),
            ([1, 9, 9, 6], [3, 3], [1, 1], [2, 2], [2, 2, 2, 2]),
            ([2, 9, 9, 20], [5, 3], [2, 1], [2, 1], [4, 1, 3, 0]),
            ([1, 9, 9, 4], [3, 1], [1, 1], [2, 5], [2, 0, 2, 0]),
            ([1, 9, 9, 4], [3, 3], [1, 1], [1, 3], [2, 3, 2, 1]),
            ([1, 5, 6, 6], [3, 2], [3, 1], [1, 2], [1, 2, 1, 1]),
            ([1, 2, 2, 16], [5, 5], [1, 1], [1, 1], [2, 2, 2, 2]),
            ([1, 1, 1, 2], [3, 3], [1, 1], [3, 3], [4, 4, 4, 4]),
            ([1, 4, 30, 3], [2, 9], [1, 3], [1, 1], [1, 8, 0, 8]),
            ([2, 5, 5, 24], [1, 1], [1, 1], [1, 1], [1, 1, 1, 1]),
            ([1, 5, 5, 24], [1, 1], [2, 2], [1, 1], [0, 0, 0, 0]),
            ([1, 30, 4, 7], [2, 2], [9, 2], [1, 1], [0, 0, 0, 0]),
            ([1, 11, 11, 16], [8, 6], [1, 1], [1, 1], [3, 3, 4, 2]),
            ([3, 3, 3, 8], [3, 3], [1, 1], [1, 1], [7, 9, 8, 6]),
            ([2, 7, 7, 16], [7, 7], [1, 1], [1, 1], [0, 0, 0, 0]),
        ];
        for &(input, kernel, strides, dilations, pads) in cases {
            let output = [0, 1].map(|i| {
                let reach = dilations[i] * (kernel[i] - 1) + 1;
                (input[1 + i] + pads[i] + pads[2 + i] - reach) / strides[i] + 1
            });
            let window = Window { input, output, kernel, strides, dilations, pads: [pads[0], pads[1]] };
            for zero_point in [0, 255, 77] {
                check(&window, zero_point, &[], &mut random);
                check(&window, zero_point, &[random.weight()], &mut random);
            }
        }
    }

    #[test]
    fn the_largest_sums() {
        for (x, w, zero_point, z) in
            [(255u8, -128i8, 0u8, 127i8), (0, -128, 255, 127), (255, 127, 0, -128), (255, -128, 0, 0), (0, 127, 255, 0)]
        {
            let window = window(1, [6, 9], 16, 5, 1);
            let shape = ConvShape { window, channels: 16, groups: 16 };
            let (x, w) = (vec![x; 6 * 9 * 16], vec![w; 25 * 16]);
            for dot in DOTS {
                let packed = DepthwiseWeights::new(dot, &window, &w, &[z]);
                let mut scratch = vec![0; packed.scratch_bytes()];
                let finish = Finish::Integer { bias: &[i32::MAX; 16] };
                let (mut y, mut expected) = (vec![0i32; 6 * 9 * 16], vec![0i32; 6 * 9 * 16]);
                let prepared = packed.prepare(zero_point, &finish);
                depthwise(&packed, &prepared, &x, &mut Out::Int32(&mut y), 0..6, 16, 0, &mut scratch);
                reference::conv(&shape, &w, &[z], zero_point, &finish, &x, &mut Out::Int32(&mut expected), 16, 0);
                assert_eq!(y, expected);
            }
        }
    }

    #[test]
    fn parameters_found_at_run_time() {
        let window = window(1, [4, 4], 3, 1, 1);
        let packed = DepthwiseWeights::new(Dot::Sdot, &window, &[3; 3], &[]);
        let float = Finish::Float {
            bias: &[],
            multipliers: &[0.1],
            scale: 0.3,
            addend: &[1.0; 3],
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
        };
        let mut prepared = packed.prepare(9, &Finish::Integer { bias: &[] });
        packed.prepare_again(&mut prepared, 200, &float);
        let mut y = [0f32; 48];
        let mut scratch = vec![0; packed.scratch_bytes()];
        depthwise(&packed, &prepared, &[50; 48], &mut Out::Float32(&mut y), 0..4, 3, 0, &mut scratch);
        assert_eq!(y, [(-150.0 * 3.0) * (0.3 * 0.1f32) + 1.0; 48]);
        assert!(packed.bytes() > 0 && *packed.window() == window);
    }

    #[test]
    fn slices_too_short_are_refused() {
        // A panic would abort the wasm test.
        if cfg!(target_arch = "wasm32") {
            return;
        }
        let window = window(1, [5, 5], 20, 3, 1);
        let packed = DepthwiseWeights::new(Dot::Pairs, &window, &[1; 180], &[]);
        let finish = Finish::Quantized { bias: &[], multipliers: &[1.0], zero_point: 0, low: 0, high: 255 };
        let prepared = packed.prepare(0, &finish);
        let attempt = |x: usize, y: usize, end: usize, stride: usize, scratch: usize| {
            std::panic::catch_unwind(|| {
                let (x, mut y, mut scratch) = (vec![0; x], vec![0; y], vec![0; scratch]);
                depthwise(&packed, &prepared, &x, &mut Out::Uint8(&mut y), 0..end, stride, 0, &mut scratch);
            })
            .is_ok()
        };
        let enough = packed.scratch_bytes();
        assert!(attempt(500, 500, 5, 20, enough));
        assert!(!attempt(499, 500, 5, 20, enough));
        assert!(!attempt(500, 499, 5, 20, enough));
        assert!(!attempt(500, 500, 6, 20, enough));
        assert!(!attempt(500, 500, 5, 21, enough));
        assert!(!attempt(500, 500, 5, usize::MAX, enough));
        assert!(!attempt(500, 500, 5, 20, enough / 2));
    }
}
