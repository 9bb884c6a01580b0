//! Constant weights, packed once, and what the epilogue needs of them.

use super::driver::Geometry;
use super::kernel::rows_of_group;
use crate::kernels::conv::{Finish, Kind, operand, product, within_magic};
use crate::kernels::{Window, isa::Dot};

/// Channels that are worked on together.
pub(super) const BLOCK: usize = 16;
/// Vectors of four 32-bit sums that a block makes.
pub(super) const QUARTERS: usize = BLOCK / 4;

/// What one instruction multiplies with: four channels, with a weight for each row of a group.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct Vector(pub [u8; 16]);

/// Weights for windows that begin with the same row of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// Groups of rows that such a window touches; 0 where no window begins there.
    pub groups: usize,
    /// Index of its first vector in each block.
    first: usize,
}

/// Weights of a depthwise convolution in the order in which the kernels read them.
///
/// Blocks of 16 channels, in each `[phase][4][group][kw]` vectors. The last block ends with the last channel, and so
/// may repeat channels of the one before; fewer than 16 channels are filled up with zeros.
#[derive(Clone, Debug)]
pub struct DepthwiseWeights {
    pub(super) dot: Dot,
    pub(super) window: Window,
    pub(super) geometry: Geometry,
    phases: Vec<Phase>,
    /// Vectors of each block.
    block_vectors: usize,
    vectors: Vec<Vector>,
    /// Sum of `w - zero point`, by channel of each block.
    sums: Vec<i32>,
    /// Sum of `|w - zero point|`, by channel of each block.
    magnitudes: Vec<u32>,
}

/// A [`Finish`] with the zero point of `x`, laid out for the epilogue of one [`DepthwiseWeights`].
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Of `x`: what lies outside of it.
    pub(super) zero_point: u8,
    pub(super) bias: Vec<i32>,
    pub(super) multipliers: Vec<f32>,
    pub(super) addend: Vec<f32>,
    pub(super) kind: Kind,
}

/// First channel of a block.
pub(super) fn first_channel(block: usize, channels: usize) -> usize {
    (block * BLOCK).min(channels.saturating_sub(BLOCK))
}

impl DepthwiseWeights {
    /// Packs `weights`, `[c][kh][kw]`; `zero_points` holds one for each channel, a single one, or none for 0.
    ///
    /// # Panics
    ///
    /// When sizes contradict each other.
    pub fn new(dot: Dot, window: &Window, weights: &[i8], zero_points: &[i8]) -> Self {
        let Window { input, output, kernel, strides, dilations, pads } = *window;
        let sizes = [&input[..], &output, &kernel, &strides, &dilations, &pads].concat();
        assert!(sizes.iter().all(|&size| size <= 1 << 30), "a size beyond all memory");
        let channels = input[3];
        let [kh, kw] = kernel;
        assert!(kh > 0 && kw > 0, "an empty kernel");
        let taps = product(&kernel);
        assert_eq!(weights.len(), product(&[channels, taps]), "one weight for each channel and tap");
        assert!(
            zero_points.len() <= 1 || zero_points.len() == channels,
            "no zero point of the weights, one, or one for each channel"
        );
        let zero_point = |c: usize| match zero_points {
            [] => 0,
            [one] => *one as i32,
            all => all[c] as i32,
        };
        // Bytes cannot hold the difference to a zero point.
        let dot = if zero_points.iter().any(|&z| z != 0) { Dot::Pairs } else { dot.compiled().for_any_weights() };
        let rows = rows_of_group(dot);
        let mut block_vectors = 0;
        let phases: Vec<Phase> = (0..rows)
            .map(|phase| {
                // Groups are counted from the first row with padding; with dilation each window has its own.
                let used = if dilations[0] == 1 {
                    (0..rows.min(output[0])).any(|y| (y * (strides[0] % rows)) % rows == phase)
                } else {
                    phase == 0
                };
                let groups = if used { (phase + kh).div_ceil(rows) } else { 0 };
                let first = block_vectors;
                block_vectors += product(&[QUARTERS, groups, kw]);
                Phase { groups, first }
            })
            .collect();
        let blocks = channels.div_ceil(BLOCK);
        let mut packed = Self {
            dot,
            window: *window,
            geometry: Geometry::new(window, phases.iter().map(|p| p.groups).max().unwrap_or(0)),
            block_vectors,
            vectors: vec![Vector([0; 16]); product(&[blocks, block_vectors])],
            phases,
            sums: vec![0; product(&[blocks, BLOCK])],
            magnitudes: vec![0; product(&[blocks, BLOCK])],
        };
        for at in 0..blocks * BLOCK {
            let (block, lane) = (at / BLOCK, at % BLOCK);
            let channel = first_channel(block, channels) + lane;
            if channel >= channels {
                continue;
            }
            let vectors = &mut packed.vectors[block * block_vectors..][..block_vectors];
            for (tap, &w) in weights[channel * taps..][..taps].iter().enumerate() {
                let (ky, kx) = (tap / kw, tap % kw);
                let w = w as i32 - zero_point(channel);
                packed.sums[at] = packed.sums[at].wrapping_add(w);
                packed.magnitudes[at] = packed.magnitudes[at].saturating_add(w.unsigned_abs());
                for (row, phase) in packed.phases.iter().enumerate().filter(|(_, phase)| phase.groups > 0) {
                    let (group, slot) = ((row + ky) / rows, (row + ky) % rows);
                    let index = phase.first + ((lane / 4 * phase.groups) + group) * kw + kx;
                    let vector = &mut vectors[index].0;
                    if rows == 2 {
                        vector[lane % 4 * 4 + slot * 2..][..2].copy_from_slice(&(w as i16).to_le_bytes());
                    } else {
                        vector[lane % 4 * 4 + slot] = w as u8;
                    }
                }
            }
        }
        packed
    }

    /// Memory of the packed weights and lists, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.vectors) + size_of_val(&*self.sums) + size_of_val(&*self.magnitudes)
    }

    /// Sizes that the weights were packed for.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Number of output rows, `n * oh`.
    pub fn rows(&self) -> usize {
        product(&[self.window.input[0], self.window.output[0]])
    }

    /// Scratch memory that [`super::depthwise`] needs.
    pub fn scratch_bytes(&self) -> usize {
        self.geometry.scratch_bytes()
    }

    /// Lays out `finish`; `zero_point` is that of `x`.
    ///
    /// # Panics
    ///
    /// When the lists of `finish` have other lengths than they must.
    pub fn prepare(&self, zero_point: u8, finish: &Finish<'_>) -> Prepared {
        let mut prepared =
            Prepared { zero_point, bias: Vec::new(), multipliers: Vec::new(), addend: Vec::new(), kind: Kind::Integer };
        self.prepare_again(&mut prepared, zero_point, finish);
        prepared
    }

    /// [`Self::prepare`] in the memory of an earlier one, for parameters that are found at run time.
    pub fn prepare_again(&self, prepared: &mut Prepared, zero_point: u8, finish: &Finish<'_>) {
        let channels = self.window.input[3];
        finish.check(channels);
        let z = operand(self.dot, zero_point);
        // x - zero point of x, in magnitude.
        let reach = zero_point.max(255 - zero_point) as f64;
        let mut bounded = true;
        prepared.zero_point = zero_point;
        prepared.bias.clear();
        prepared.multipliers.clear();
        prepared.addend.clear();
        for (at, (&sum, &magnitude)) in self.sums.iter().zip(&self.magnitudes).enumerate() {
            let channel = first_channel(at / BLOCK, channels) + at % BLOCK;
            if channel >= channels {
                prepared.bias.push(0);
                prepared.multipliers.push(0.0);
                prepared.addend.push(0.0);
                continue;
            }
            let b = finish.bias().get(channel).copied().unwrap_or(0);
            let m = finish.multiplier(channel);
            bounded &= within_magic(magnitude as f64 * reach + b.unsigned_abs() as f64, m);
            prepared.bias.push(b.wrapping_sub(z.wrapping_mul(sum)));
            prepared.multipliers.push(m);
            prepared.addend.push(finish.addend(channel));
        }
        prepared.kind = finish.kind(bounded);
    }

    /// Vectors of a block for windows that begin with row `phase` of a group, and the groups they touch.
    pub(super) fn phase(&self, block: usize, phase: usize) -> (&[Vector], usize) {
        let Phase { groups, first } = self.phases[phase];
        let len = QUARTERS * groups * self.window.kernel[1];
        (&self.vectors[block * self.block_vectors + first..][..len], groups)
    }

    /// Panics unless `prepared` was made by these weights, or ones of as many channels.
    pub(super) fn check(&self, prepared: &Prepared) {
        assert_eq!(prepared.bias.len(), self.sums.len(), "prepared for other weights");
    }
}
