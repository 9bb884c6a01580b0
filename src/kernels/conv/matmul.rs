//! Products of two activations.

use std::ops::Range;

use super::driver::{self, BLOCK, Destination, Right, SIGN, carve_numbers, multiply};
use super::finish::Kind;
use super::gather::Matrix;
use super::kernel::{interleave, sum_columns};
use super::weights::{Columns, PANEL, check_depth, operand, product, within_magic};
use super::{Finish, Out};
use crate::kernels::isa::Dot;

/// Four of [`SIGN`].
const SIGNS: u32 = u32::from_ne_bytes([SIGN; 4]);

/// Sizes of a product `y[m][n] = sum over k of a[m][k] * b[k][n]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMulShape {
    /// Rows.
    pub m: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Steps in `a`, in elements, for m and for k.
    pub a_strides: [usize; 2],
    /// Steps in `b`, for k and for n.
    pub b_strides: [usize; 2],
}

/// A product of two matrices of quanta, ready to run on any number of pairs.
///
/// The right one is shifted to s8 and packed as weights are, see [`super::ConvWeights`], each time.
#[derive(Clone, Debug)]
pub struct MatMul {
    dot: Dot,
    shape: MatMulShape,
    a_zero_point: u8,
    /// Of `b`, as s8.
    b_zero_point: i8,
    /// From the finish, by padded column.
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    addend: Vec<f32>,
    zero_points: Vec<i8>,
    kind: Kind,
}

impl MatMul {
    /// Both operands are u8 with one zero point each.
    ///
    /// # Panics
    ///
    /// When the lists of `finish` have other lengths than they must, or sizes overflow.
    pub fn new(dot: Dot, shape: &MatMulShape, a_zero_point: u8, b_zero_point: u8, finish: &Finish<'_>) -> Self {
        let n = shape.n;
        finish.check(n);
        let padded = product(&[n.div_ceil(PANEL), PANEL]);
        // Kernels step through rows without looking.
        check_depth(shape.k);
        product(&[padded, shape.k.next_multiple_of(4)]);
        for (sizes, strides) in [([shape.m, shape.k], shape.a_strides), ([shape.k, n], shape.b_strides)] {
            let ends = [0, 1].map(|i| product(&[sizes[i], strides[i]]));
            assert!(ends[0].checked_add(ends[1]).is_some(), "strides overflow");
        }
        let reach = |z: u8| z.max(255 - z) as f64;
        let largest = shape.k as f64 * reach(a_zero_point) * reach(b_zero_point);
        let bias = |i: usize| finish.bias().get(i).copied().unwrap_or(0);
        let bounded = (0..n).all(|i| within_magic(largest + bias(i).unsigned_abs() as f64, finish.multiplier(i)));
        let list = |used: bool, f: &dyn Fn(usize) -> f32| {
            (0..if used { padded } else { 0 }).map(|i| if i < n { f(i) } else { 0.0 }).collect()
        };
        let z = (b_zero_point ^ SIGN) as i8;
        Self {
            dot: dot.compiled().for_any_weights(),
            shape: *shape,
            a_zero_point,
            b_zero_point: z,
            bias: (0..padded).map(bias).collect(),
            multipliers: list(!matches!(finish, Finish::Integer { .. }), &|i| finish.multiplier(i)),
            addend: list(matches!(finish, Finish::Float { .. }), &|i| finish.addend(i)),
            zero_points: vec![z; if z == 0 { 0 } else { padded }],
            kind: finish.kind(bounded),
        }
    }

    fn steps(&self) -> usize {
        self.shape.k.div_ceil(4)
    }

    fn panels(&self) -> usize {
        self.shape.n.div_ceil(PANEL)
    }

    /// Number of rows of the product.
    pub fn rows(&self) -> usize {
        self.shape.m
    }

    /// Scratch memory that [`Self::run`] needs.
    pub fn scratch_bytes(&self) -> usize {
        let packed = product(&[self.panels(), PANEL, self.steps() * 4 + size_of::<i32>()]);
        driver::scratch_bytes(self.dot, self.steps(), self.shape.m) + packed + 2 * driver::ALIGNMENT
    }

    /// Computes the rows `rows` of the product of one pair of matrices, to `y`, which is dense and begins with the first.
    ///
    /// # Panics
    ///
    /// When a slice is too short, or `y` is of another type than the finish.
    pub fn run(&self, a: &[u8], b: &[u8], rows: Range<usize>, y: &mut Out<'_>, mut scratch: &mut [u8]) {
        let MatMulShape { m, k, n, a_strides, .. } = self.shape;
        assert!(rows.end <= m, "rows beyond the product");
        if rows.is_empty() || n == 0 {
            return;
        }
        let (steps, panels) = (self.steps(), self.panels());
        let packed = driver::carve(&mut scratch, panels * steps * 4 * PANEL);
        let bias = carve_numbers(&mut scratch, panels * PANEL);
        self.pack(b, packed, bias);
        let columns = Columns {
            bias,
            multipliers: &self.multipliers,
            addend: &self.addend,
            zero_points: &self.zero_points,
            kind: self.kind,
        };
        let right = Right { blocks: packed, starts: &[], steps, panels, groups: 1, outputs: n, columns };
        let source = Matrix { a, k, strides: a_strides };
        let to = Destination { y, row_stride: n, offset: 0 };
        multiply(self.dot, &source, &right, to, rows, scratch);
    }

    /// Packs `b` and finds the bias of each column.
    fn pack(&self, b: &[u8], packed: &mut [u8], bias: &mut [i32]) {
        let MatMulShape { k, n, b_strides, .. } = self.shape;
        let steps = self.steps();
        let z = self.b_zero_point;
        let a_zero_point = operand(self.dot, self.a_zero_point);
        bias.copy_from_slice(&self.bias);
        if steps == 0 {
            return;
        }
        for (p, panel) in packed.chunks_exact_mut(steps * BLOCK).enumerate() {
            let first = p * PANEL;
            let columns = (n - first).min(PANEL);
            if columns < PANEL || k % 4 != 0 {
                panel.fill(z as u8);
            }
            if b_strides[0] == 1 {
                for column in 0..columns {
                    let run = &b[(first + column) * b_strides[1]..][..k];
                    for (block, values) in panel.chunks_exact_mut(BLOCK).zip(run.chunks(4)) {
                        let to = &mut block[4 * column..][..4];
                        match values.try_into() {
                            Ok(four) => to.copy_from_slice(&(u32::from_ne_bytes(four) ^ SIGNS).to_ne_bytes()),
                            Err(_) => to.iter_mut().zip(values).for_each(|(to, value)| *to = value ^ SIGN),
                        }
                    }
                }
            } else {
                for (step, block) in panel.chunks_exact_mut(BLOCK).enumerate() {
                    let block: &mut [u8; BLOCK] = block.try_into().expect("a block");
                    let rows = (k - 4 * step).min(4);
                    let start = |i: usize| (4 * step + i) * b_strides[0] + first * b_strides[1];
                    if rows == 4 && columns == PANEL && b_strides[1] == 1 {
                        let rows = [0, 1, 2, 3].map(|i| b[start(i)..][..PANEL].try_into().expect("eight bytes"));
                        interleave(rows, SIGN, block);
                    } else {
                        for i in 0..rows {
                            for column in 0..columns {
                                block[4 * column + i] = b[start(i) + column * b_strides[1]] ^ SIGN;
                            }
                        }
                    }
                }
            }
            // What the panel is filled up with, and the zero point, are taken off together.
            let fixed = (z as i32).wrapping_mul(4 * steps as i32);
            for (bias, sum) in bias[first..][..PANEL].iter_mut().zip(sum_columns(panel)) {
                *bias = bias.wrapping_sub(a_zero_point.wrapping_mul(sum.wrapping_sub(fixed)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{reference, tests::Random};
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn check(shape: &MatMulShape, za: u8, zb: u8, random: &mut Random) {
        let MatMulShape { m, k, n, a_strides, b_strides } = *shape;
        let size = |counts: [usize; 2], strides: [usize; 2]| {
            counts.iter().zip(strides).map(|(&c, s)| c.saturating_sub(1) * s).sum::<usize>() + 1
        };
        let a: Vec<u8> = (0..size([m, k], a_strides)).map(|_| random.quantum()).collect();
        let b: Vec<u8> = (0..size([k, n], b_strides)).map(|_| random.quantum()).collect();
        let bias: Vec<i32> = (0..n as i32).map(|n| n * 1000 - 3000).collect();
        let finish = Finish::Integer { bias: &bias };
        let requantize = Finish::Quantized { bias: &[], multipliers: &[0.003], zero_point: 100, low: 1, high: 254 };
        for dot in [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs] {
            for finish in [finish, requantize] {
                let product = MatMul::new(dot, shape, za, zb, &finish);
                let mut scratch = vec![0x5a; product.scratch_bytes()];
                let (mut y, mut expected) = (vec![0i32; m * n], vec![0i32; m * n]);
                let (mut q, mut expected_q) = (vec![0u8; m * n], vec![0u8; m * n]);
                let integer = matches!(finish, Finish::Integer { .. });
                let mut to = if integer { Out::Int32(&mut y) } else { Out::Uint8(&mut q) };
                for part in [m / 3..m, 0..m / 3] {
                    product.run(&a, &b, part.clone(), &mut to.from(part.start * n), &mut scratch);
                }
                let mut to = if integer { Out::Int32(&mut expected) } else { Out::Uint8(&mut expected_q) };
                for row in 0..m {
                    for column in 0..n {
                        let sum = (0..k).map(|i| {
                            let p = a[row * a_strides[0] + i * a_strides[1]] as i32 - za as i32;
                            p * (b[i * b_strides[0] + column * b_strides[1]] as i32 - zb as i32)
                        });
                        reference::store(sum.sum(), column, &finish, &mut to, row * n + column);
                    }
                }
                assert!(y == expected && q == expected_q, "{dot:?} {shape:?} {za} {zb}");
            }
        }
    }

    #[test]
    fn products_of_activations() {
        let mut random = Random(4);
        for (m, k, n) in [(1, 1, 1), (1, 9, 17), (4, 3, 8), (7, 16, 5), (12, 33, 20), (25, 64, 25), (97, 70, 43)] {
            for (za, zb) in [(0, 0), (255, 128), (128, 255), (3, 130), (120, 0)] {
                // Both orders of both operands, and heads that lie side by side.
                for a_strides in [[k, 1], [1, m], [3 * k, 1]] {
                    for b_strides in [[n, 1], [1, k], [1, 2 * k + 1], [2 * n, 2]] {
                        check(&MatMulShape { m, k, n, a_strides, b_strides }, za, zb, &mut random);
                    }
                }
            }
        }
    }

    #[test]
    fn slices_too_short_are_refused() {
        // A panic would abort the wasm test.
        if cfg!(target_arch = "wasm32") {
            return;
        }
        let attempt = |a: usize, b: usize, y: usize, a_strides: [usize; 2]| {
            std::panic::catch_unwind(|| {
                let shape = MatMulShape { m: 20, k: 8, n: 16, a_strides, b_strides: [16, 1] };
                let product = MatMul::new(Dot::Usdot, &shape, 1, 2, &Finish::Integer { bias: &[] });
                let mut scratch = vec![0; product.scratch_bytes()];
                product.run(&vec![0; a], &vec![0; b], 0..20, &mut Out::Int32(&mut vec![0; y]), &mut scratch);
            })
            .is_ok()
        };
        assert!(attempt(160, 128, 320, [8, 1]));
        assert!(!attempt(159, 128, 320, [8, 1]));
        assert!(!attempt(160, 127, 320, [8, 1]));
        assert!(!attempt(160, 128, 319, [8, 1]));
        assert!(!attempt(160, 128, 320, [usize::MAX / 8, 1]));
        assert!(!attempt(160, 128, 320, [9, 1]));
    }

    #[test]
    fn nothing_to_do() {
        for (m, k, n) in [(0, 3, 3), (3, 0, 3), (3, 3, 0)] {
            let shape = MatMulShape { m, k, n, a_strides: [k, 1], b_strides: [n, 1] };
            let product = MatMul::new(Dot::Usdot, &shape, 1, 2, &Finish::Integer { bias: &[] });
            let mut scratch = vec![0; product.scratch_bytes()];
            let mut y = vec![5; m * n];
            product.run(&vec![0; m * k], &vec![0; k * n], 0..m, &mut Out::Int32(&mut y), &mut scratch);
            assert_eq!(y, vec![0; m * n]);
        }
    }
}
