//! Convolutions with constant weights, and products of two activations.
//!
//! A convolution is a product of two matrices: a row for each output position, with the elements of its window, and a
//! column for each output channel. [`ConvWeights`] is the right one, packed when a plan is loaded; rows are gathered a
//! block at a time. A plain product with a constant matrix is a 1 x 1 convolution. Depthwise convolutions are computed
//! by `depthwise`.

use std::ops::Range;

// Builds without the instruction do without its kernels.
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
mod bytes;
mod driver;
mod finish;
mod gather;
mod kernel;
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
mod maddubs;
mod matmul;
mod panel;
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
mod program;
#[cfg(test)]
pub(super) mod reference;
#[cfg(not(target_arch = "wasm32"))]
mod scalar;
#[cfg(target_arch = "wasm32")]
mod simd;
#[cfg(all(target_arch = "wasm32", any(test, target_feature = "relaxed-simd")))]
mod simd_bytes;
#[cfg(all(target_arch = "wasm32", any(test, target_feature = "relaxed-simd")))]
mod simd_maddubs;
mod weights;

pub use finish::{Finish, Out};
pub use matmul::{MatMul, MatMulShape};
pub use weights::{ConvShape, ConvWeights, Prepared};
// The depthwise convolutions finish their sums alike.
pub(super) use driver::{SIGN, carve};
pub(super) use finish::Kind;
pub(super) use weights::{operand, product, within_magic};

use super::isa::Dot;
use driver::{Destination, multiply};
use gather::Windows;

impl Dot {
    /// `self` if this build has the instruction, else [`Dot::Pairs`], which gives the same integers.
    pub fn compiled(self) -> Self {
        if cfg!(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd")) { self } else { Self::Pairs }
    }
}

/// Computes the output positions `positions` (counted through `[n, oh, ow]`) of a convolution; `x` is `[n, h, w, c]`.
/// `y` begins with the first of them: element `(p, n)` of the result goes to `(p - positions.start) * row_stride + column
/// + n`.
///
/// Any division of the positions gives the same results; ranges that are long, or multiples of
/// [`ConvWeights::block_positions`], are fastest. `scratch` has at least [`ConvWeights::scratch_bytes`] bytes, of any
/// contents.
///
/// # Panics
///
/// When a slice is too short, `y` is of another type than the finish, or `prepared` belongs to other weights.
#[allow(clippy::too_many_arguments)]
pub fn conv(
    weights: &ConvWeights,
    prepared: &Prepared,
    x: &[u8],
    y: &mut Out<'_>,
    positions: Range<usize>,
    row_stride: usize,
    column: usize,
    scratch: &mut [u8],
) {
    let ConvShape { window, groups, .. } = &weights.shape;
    assert!(positions.end <= weights.positions(), "positions beyond the output");
    assert!(x.len() >= weights::product(&window.input), "the input is too short");
    let source = Windows { x, window, groups: *groups, zero_point: prepared.zero_point };
    let right = weights.right(prepared);
    let to = Destination { y, row_stride, offset: column };
    multiply(weights.dot, &source, &right, to, positions, scratch);
}

/// Output channels of a panel.
pub const PANEL: usize = weights::PANEL;

/// [`conv`] of the panels `panels` (of [`PANEL`] output channels, counted from the first) of every position, for
/// convolutions without groups. `y` begins with the first of their channels, which follow each other.
///
/// # Panics
///
/// As [`conv`], or when there are groups.
pub fn conv_panels(
    weights: &ConvWeights,
    prepared: &Prepared,
    x: &[u8],
    y: &mut Out<'_>,
    panels: Range<usize>,
    row_stride: usize,
    scratch: &mut [u8],
) {
    let ConvShape { window, groups, .. } = &weights.shape;
    assert!(x.len() >= weights::product(&window.input), "the input is too short");
    let source = Windows { x, window, groups: *groups, zero_point: prepared.zero_point };
    let right = weights.right(prepared).only(panels);
    let to = Destination { y, row_stride, offset: 0 };
    multiply(weights.dot, &source, &right, to, 0..weights.positions(), scratch);
}

impl ConvWeights {
    /// Positions that are worked on together, when there are many.
    pub fn block_positions(&self) -> usize {
        driver::block_rows(self.dot, self.steps)
    }

    /// Scratch memory that [`conv`] needs for up to `positions` at a time.
    pub fn scratch_bytes(&self, positions: usize) -> usize {
        driver::scratch_bytes(self.dot, self.steps, positions)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::Window;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const DOTS: [Dot; 4] = [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs];

    /// A repeatable sequence of bytes, about a third of them extreme.
    pub(in crate::kernels) struct Random(pub u32);

    impl Random {
        pub fn next(&mut self) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0
        }

        pub fn quantum(&mut self) -> u8 {
            match self.next() >> 8 & 7 {
                0 => 0,
                1 => 255,
                2 => 128,
                _ => (self.next() >> 8) as u8,
            }
        }

        pub fn weight(&mut self) -> i8 {
            (self.quantum() ^ 128) as i8
        }
    }

    fn plain(rows: usize, k: usize, channels: usize) -> ConvShape {
        let window = Window {
            input: [1, rows, 1, k],
            output: [rows, 1],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0, 0],
        };
        ConvShape { window, channels, groups: 1 }
    }

    /// Compares [`conv`] with the definition, in all ways of multiplying, with results of every type.
    fn check(shape: &ConvShape, zero_point: u8, weight_zero_points: &[i8], random: &mut Random) {
        let ConvShape { window, channels, groups } = *shape;
        let k = window.kernel[0] * window.kernel[1] * window.input[3] / groups;
        let x: Vec<u8> = (0..window.input.iter().product()).map(|_| random.quantum()).collect();
        // Large ones all over, or here and there.
        let shift = random.next() >> 9 & 3;
        let weights = (0..channels * k).map(|i| random.weight() >> if i % 11 == 0 { 0 } else { shift });
        let weights: Vec<i8> = weights.collect();
        let bias: Vec<i32> = (0..channels).map(|_| random.next() as i32 >> 12).collect();
        let multipliers: Vec<f32> = (0..channels).map(|n| (n as f32 + 1.0) * 0.00037).collect();
        let large: Vec<f32> = (0..channels).map(|n| 1e30 * (n as f32 - 1.5)).collect();
        let addend: Vec<f32> = (0..channels).map(|n| n as f32 - 1.25).collect();
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
        let positions = window.input[0] * window.output[0] * window.output[1];
        let (row_stride, column) = (channels + 3, 2);
        let size = positions * row_stride + 1;
        for dot in DOTS {
            let packed = match dot {
                Dot::Maddubs => ConvWeights::programmed(shape, &weights, weight_zero_points),
                _ => ConvWeights::new(dot, shape, &weights, weight_zero_points),
            };
            assert_eq!(packed.dot(), dot);
            let mut scratch = vec![0xa5u8; packed.scratch_bytes(positions)];
            for (i, finish) in finishes.iter().enumerate() {
                let prepared = packed.prepare(zero_point, finish);
                // Cut at a place that moves, so that blocks of any size come up.
                let cut = positions * (i + 1) / 9;
                let run = |y: &mut Out<'_>, scratch: &mut [u8]| {
                    for part in [cut..positions, 0..cut] {
                        let mut y = y.from(part.start * row_stride);
                        conv(&packed, &prepared, &x, &mut y, part, row_stride, column, scratch);
                    }
                };
                let panels = channels.div_ceil(PANEL);
                let run_panels = |y: &mut Out<'_>, scratch: &mut [u8]| {
                    for part in [panels / 2..panels, 0..panels / 2] {
                        let mut y = y.from(column + part.start * PANEL);
                        conv_panels(&packed, &prepared, &x, &mut y, part, row_stride, scratch);
                    }
                };
                let definition = |y: &mut Out<'_>| {
                    let z = weight_zero_points;
                    reference::conv(shape, &weights, z, zero_point, finish, &x, y, row_stride, column);
                };
                match finish {
                    Finish::Quantized { .. } => {
                        let (mut y, mut expected) = (vec![77u8; size], vec![77u8; size]);
                        run(&mut Out::Uint8(&mut y), &mut scratch);
                        definition(&mut Out::Uint8(&mut expected));
                        assert!(y == expected, "{dot:?} {finish:?} {shape:?}");
                        if groups == 1 {
                            y.fill(77);
                            run_panels(&mut Out::Uint8(&mut y), &mut scratch);
                            assert!(y == expected, "panels: {dot:?} {finish:?} {shape:?}");
                        }
                    }
                    Finish::Float { .. } => {
                        let (mut y, mut expected) = (vec![77f32; size], vec![77f32; size]);
                        run(&mut Out::Float32(&mut y), &mut scratch);
                        definition(&mut Out::Float32(&mut expected));
                        let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert!(bits(&y) == bits(&expected), "{dot:?} {finish:?} {shape:?}");
                    }
                    Finish::Integer { .. } => {
                        let (mut y, mut expected) = (vec![77i32; size], vec![77i32; size]);
                        run(&mut Out::Int32(&mut y), &mut scratch);
                        definition(&mut Out::Int32(&mut expected));
                        assert!(y == expected, "{dot:?} {finish:?} {shape:?}");
                        if groups == 1 {
                            y.fill(77);
                            run_panels(&mut Out::Int32(&mut y), &mut scratch);
                            assert!(y == expected, "panels: {dot:?} {finish:?} {shape:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_remainder_of_rows_depth_and_columns() {
        let mut random = Random(1);
        for rows in (1..=14).chain([24, 25, 31]) {
            for k in 1..=17 {
                let channels = 1 + (rows + k) % 17;
                let z = random.quantum();
                check(&plain(rows, k, channels), z, &[], &mut random);
                check(&plain(rows, k, channels), z, &[random.weight()], &mut random);
            }
        }
        for k in [31, 32, 33, 64, 100] {
            check(&plain(13, k, 24), 0, &[], &mut random);
        }
    }

    #[test]
    fn several_blocks() {
        let mut random = Random(2);
        check(&plain(401, 12, 9), 3, &[], &mut random);
        check(&plain(367, 1030, 3), 3, &[-5, 0, 127], &mut random);
    }

    #[test]
    fn windows_of_all_kinds() {
        let mut random = Random(3);
        // Input, kernel, strides, dilations, pads (top, left, bottom, right), channels, groups.
        type Case = ([usize; 4], [usize; 2], [usize; 2], [usize; 2], [usize; 4], usize, usize);
        let cases: &[Case] = &[
            ([1, 9, 8, 3], [3, 3], [2, 2], [1, 1], [0, 0, 1, 1], 8, 1),
            ([2, 7, 7, 4], [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 5, 1),
            ([1, 11, 13, 3], [7, 7], [2, 2], [1, 1], [3, 3, 3, 3], 9, 1),
            ([1, 8, 9, 5], [1, 1], [2, 2], [1, 1], [0, 0, 0, 0], 10, 1),
            ([1, 9, 9, 6], [3, 3], [1, 1], [2, 2], [2, 2, 2, 2], 4, 1),
            ([1, 9, 9, 4], [3, 1], [1, 1], [2, 5], [2, 0, 2, 0], 4, 1),
            ([1, 6, 7, 8], [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 12, 2),
            ([2, 5, 6, 12], [1, 1], [1, 1], [1, 1], [0, 0, 0, 0], 6, 3),
            ([1, 5, 6, 6], [3, 2], [2, 1], [1, 2], [1, 2, 1, 1], 9, 3),
            ([1, 2, 2, 16], [5, 5], [1, 1], [1, 1], [2, 2, 2, 2], 16, 1),
            ([1, 1, 1, 2], [3, 3], [1, 1], [3, 3], [4, 4, 4, 4], 2, 1),
            ([1, 4, 30, 1], [2, 9], [1, 3], [1, 1], [1, 8, 0, 8], 3, 1),
            ([1, 5, 5, 4], [1, 1], [1, 1], [1, 1], [1, 1, 1, 1], 3, 1),
            ([1, 5, 5, 8], [1, 1], [1, 1], [1, 1], [0, 0, 0, 0], 8, 4),
            ([1, 5, 5, 8], [1, 1], [1, 1], [1, 1], [0, 0, 0, 0], 9, 1),
        ];
        for &(input, kernel, strides, dilations, pads, channels, groups) in cases {
            let output = [0, 1].map(|i| {
                let reach = dilations[i] * (kernel[i] - 1) + 1;
                (input[1 + i] + pads[i] + pads[2 + i] - reach) / strides[i] + 1
            });
            let window = Window { input, output, kernel, strides, dilations, pads: [pads[0], pads[1]] };
            let shape = ConvShape { window, channels, groups };
            let each: Vec<i8> = (0..channels).map(|_| random.weight()).collect();
            for zero_point in [0, 255, 77] {
                check(&shape, zero_point, &[], &mut random);
                check(&shape, zero_point, &each, &mut random);
            }
        }
    }

    #[test]
    fn the_largest_sums() {
        for (x, w, zero_point, z) in
            [(255u8, -128i8, 0u8, 127i8), (0, -128, 255, 127), (255, 127, 0, -128), (255, -128, 0, 0)]
        {
            let k = 519;
            let shape = plain(11, k, 9);
            let (x, w) = (vec![x; 11 * k], vec![w; 9 * k]);
            for dot in DOTS {
                let packed = ConvWeights::new(dot, &shape, &w, &[z]);
                let mut scratch = vec![0; packed.scratch_bytes(11)];
                let finish = Finish::Integer { bias: &[i32::MAX; 9] };
                let (mut y, mut expected) = (vec![0i32; 99], vec![0i32; 99]);
                let prepared = packed.prepare(zero_point, &finish);
                conv(&packed, &prepared, &x, &mut Out::Int32(&mut y), 0..11, 9, 0, &mut scratch);
                reference::conv(&shape, &w, &[z], zero_point, &finish, &x, &mut Out::Int32(&mut expected), 9, 0);
                assert_eq!(y, expected);
            }
        }
    }

    #[test]
    fn ties_go_to_even() {
        // One product each: the sums are x, halved.
        let shape = plain(256, 1, 1);
        let x: Vec<u8> = (0..=255).collect();
        for (multiplier, zero_point) in [(0.5, 0), (-0.5, 255), (1.5, 3)] {
            let finish = Finish::Quantized { bias: &[], multipliers: &[multiplier], zero_point, low: 0, high: 255 };
            let packed = ConvWeights::new(Dot::Pairs, &shape, &[1], &[]);
            let mut y = vec![0u8; 256];
            let mut scratch = vec![0; packed.scratch_bytes(256)];
            let prepared = packed.prepare(0, &finish);
            conv(&packed, &prepared, &x, &mut Out::Uint8(&mut y), 0..256, 1, 0, &mut scratch);
            for (x, y) in x.iter().zip(y) {
                let exact = (*x as f64 * multiplier as f64).round_ties_even() + zero_point as f64;
                assert_eq!(y as f64, exact.clamp(0.0, 255.0), "{x} * {multiplier}");
            }
        }
    }

    #[test]
    fn parameters_found_at_run_time() {
        let shape = plain(5, 6, 7);
        let packed = ConvWeights::new(Dot::Sdot, &shape, &[3; 42], &[]);
        let float = |scale| Finish::Float {
            bias: &[],
            multipliers: &[0.1],
            scale,
            addend: &[1.0; 7],
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
        };
        let mut prepared = packed.prepare(9, &Finish::Integer { bias: &[] });
        packed.prepare_again(&mut prepared, 200, &float(0.3));
        let mut y = [0f32; 35];
        let mut scratch = vec![0; packed.scratch_bytes(5)];
        conv(&packed, &prepared, &[50; 30], &mut Out::Float32(&mut y), 0..5, 7, 0, &mut scratch);
        assert_eq!(y, [(-150.0 * 18.0) * (0.3 * 0.1f32) + 1.0; 35]);
        assert!(packed.bytes() >= 64 && packed.bytes() < 200);
    }

    #[test]
    fn programs_are_for_some_rows_at_least() {
        let with_rows = |rows: usize| {
            let window = Window {
                input: [1, rows, 1, 96],
                output: [rows, 1],
                kernel: [1, 1],
                strides: [1, 1],
                dilations: [1, 1],
                pads: [0, 0],
            };
            let shape = ConvShape { window, channels: 16, groups: 1 };
            ConvWeights::new(Dot::Maddubs, &shape, &[20; 96 * 16], &[]).dot
        };
        assert_eq!([3, 4].map(with_rows), [Dot::Pairs, Dot::Maddubs.compiled()]);
    }

    #[test]
    fn slices_too_short_are_refused() {
        // A panic would abort the wasm test.
        if cfg!(target_arch = "wasm32") {
            return;
        }
        let shape = plain(20, 8, 8);
        let packed = ConvWeights::new(Dot::Usdot, &shape, &[1; 64], &[]);
        let prepared =
            packed.prepare(0, &Finish::Quantized { bias: &[], multipliers: &[1.0], zero_point: 0, low: 0, high: 255 });
        let attempt = |x: usize, y: usize, end: usize, stride: usize, scratch: usize| {
            std::panic::catch_unwind(|| {
                let (x, mut y, mut scratch) = (vec![0; x], vec![0; y], vec![0; scratch]);
                conv(&packed, &prepared, &x, &mut Out::Uint8(&mut y), 0..end, stride, 0, &mut scratch);
            })
            .is_ok()
        };
        let enough = packed.scratch_bytes(20);
        assert!(attempt(160, 160, 20, 8, enough));
        assert!(!attempt(159, 160, 20, 8, enough));
        assert!(!attempt(160, 159, 20, 8, enough));
        assert!(!attempt(160, 160, 21, 8, enough));
        assert!(!attempt(160, 160, 20, 9, enough));
        assert!(!attempt(160, 160, 20, usize::MAX, enough));
    }
}
