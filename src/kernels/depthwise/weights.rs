//! Constant weights, packed once, and what the epilogue needs of them.

use super::{CHANNELS, CHUNK};
use crate::kernels::Window;
use crate::kernels::conv::{Finish, Kind, within_magic};

/// Two taps for each of four channels: `[channel][tap]`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct Pair(pub [i16; 2 * CHANNELS]);

/// How a convolution is divided; follows from its sizes alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Output columns of a tile.
    pub tile: usize,
    /// Tiles of an output row.
    pub tiles: usize,
    /// Columns of a pair row: those of the padded input that all tiles read.
    pub columns: usize,
    /// Four channels each, those of a chunk that is not full included.
    pub groups: usize,
    /// Whether pair rows serve several output rows. Else (dilated) they are made for each.
    pub shared: bool,
    /// Pair rows for an output row that starts at an even and at an odd row.
    pub pairs: [usize; 2],
    /// Pair rows that are kept at a time.
    pub slots: usize,
    /// Of a pair row of four channels.
    pub plane_bytes: usize,
    /// Of a pair row.
    pub slot_bytes: usize,
}

impl Layout {
    fn new(window: &Window) -> Self {
        let Window { input, output, kernel, strides, dilations, .. } = *window;
        let waste = |tile: usize| output[1].next_multiple_of(tile) - output[1];
        // Two widths, so that 7, 14, 28 and 8, 16, 32 come out even; 8 is the most that registers hold.
        let tile = if waste(7) < waste(8) { 7 } else { 8 };
        let tiles = output[1].div_ceil(tile);
        let reach = |count: usize, step: usize| product(&[count.saturating_sub(1), step]);
        let columns = reach(product(&[tiles, tile]), strides[1])
            .checked_add(reach(kernel[1], dilations[1]))
            .and_then(|c| c.checked_add(1))
            .expect("sizes overflow");
        let groups = input[3].div_ceil(CHUNK) * (CHUNK / CHANNELS);
        let shared = dilations[0] == 1;
        // Rows at which an output row starts are odd only with odd strides.
        let odd = shared && strides[0] % 2 == 1;
        let pairs = [kernel[0].div_ceil(2), if odd { (kernel[0] + 1).div_ceil(2) } else { 0 }];
        let slots = pairs[0].max(pairs[1]);
        let plane_bytes = product(&[columns, size_of::<Pair>()]);
        let slot_bytes = product(&[groups, plane_bytes]);
        product(&[slots, slot_bytes]);
        Self { tile, tiles, columns, groups, shared, pairs, slots, plane_bytes, slot_bytes }
    }
}

/// Weights of a depthwise convolution in the order in which the kernels read them: 16 bits wide, zero points taken off,
/// `[start even, start odd][group of 4 channels][pair of rows][kw][4 channels][2 rows]`.
#[derive(Clone, Debug)]
pub struct DepthwiseWeights {
    pub(super) window: Window,
    pub(super) layout: Layout,
    pub(super) packed: Vec<Pair>,
    /// Sum of `w - zero point`, by channel, padded.
    sums: Vec<i32>,
    /// Sum of `|w - zero point|`, by channel, padded.
    magnitudes: Vec<u32>,
}

/// A [`Finish`] with the zero point of `x`, laid out for the epilogue of one [`DepthwiseWeights`].
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Of `x`: what lies outside of it.
    pub(super) zero_point: u8,
    /// Added to the raw sums: the bias and what the zero point contributes.
    pub(super) bias: Vec<i32>,
    /// 1 where nothing is multiplied.
    pub(super) multipliers: Vec<f32>,
    /// -0 where nothing is added.
    pub(super) addend: Vec<f32>,
    pub(super) kind: Kind,
}

impl DepthwiseWeights {
    /// Packs `weights`, `[c][kh][kw]`; `zero_points` holds one for each channel, a single one, or none for 0.
    ///
    /// # Panics
    ///
    /// When sizes contradict each other.
    pub fn new(window: &Window, weights: &[i8], zero_points: &[i8]) -> Self {
        let Window { input, output, kernel, strides, dilations, pads } = *window;
        let sizes = [&input[..], &output, &kernel, &strides, &dilations, &pads].concat();
        assert!(sizes.iter().all(|&size| size <= 1 << 30), "a size beyond all memory");
        let c = input[3];
        let [kh, kw] = kernel;
        assert!(kh > 0 && kw > 0, "a kernel without taps");
        let taps = product(&kernel);
        assert_eq!(weights.len(), product(&[c, taps]), "one weight for each channel and tap");
        assert!(zero_points.len() <= 1 || zero_points.len() == c, "no zero point, one, or one for each channel");
        let layout = Layout::new(window);
        let padded = layout.groups * CHANNELS;
        let count = product(&[layout.groups, layout.pairs[0] + layout.pairs[1], kw]);
        let mut packed = Self {
            window: *window,
            layout,
            packed: vec![Pair([0; 2 * CHANNELS]); count],
            sums: vec![0; padded],
            magnitudes: vec![0; padded],
        };
        for n in 0..c {
            let z = match zero_points {
                [] => 0,
                [one] => *one,
                all => all[n],
            } as i16;
            for ky in 0..kh {
                for kx in 0..kw {
                    let w = weights[(n * kh + ky) * kw + kx] as i16 - z;
                    packed.sums[n] = packed.sums[n].wrapping_add(w as i32);
                    packed.magnitudes[n] = packed.magnitudes[n].saturating_add(w.unsigned_abs() as u32);
                    for start in 0..2 {
                        let row = ky + start;
                        if row / 2 < layout.pairs[start] {
                            let at = packed.offset(n / CHANNELS, start) + row / 2 * kw + kx;
                            packed.packed[at].0[n % CHANNELS * 2 + row % 2] = w;
                        }
                    }
                }
            }
        }
        packed
    }

    /// First pair of a group, for output rows that start at an even (0) or an odd (1) row.
    pub(super) fn offset(&self, group: usize, start: usize) -> usize {
        let Layout { groups, pairs, .. } = self.layout;
        let before = if start == 0 { 0 } else { groups * pairs[0] };
        (before + group * pairs[start]) * self.window.kernel[1]
    }

    /// Memory of the packed weights and lists, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.packed) + size_of_val(&*self.sums) + size_of_val(&*self.magnitudes)
    }

    /// Sizes that the weights were packed for.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Number of output rows, `n * oh`.
    pub fn rows(&self) -> usize {
        product(&[self.window.input[0], self.window.output[0]])
    }

    /// Scratch memory that [`super::depthwise`] needs, for any number of rows.
    pub fn scratch_bytes(&self) -> usize {
        self.layout.slots * self.layout.slot_bytes + align_of::<Pair>()
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
        let c = self.window.input[3];
        finish.check(c);
        let padded = self.sums.len();
        // x - zero point of x, in magnitude.
        let reach = zero_point.max(255 - zero_point) as f64;
        let bias = finish.bias();
        let mut bounded = true;
        prepared.zero_point = zero_point;
        prepared.bias.clear();
        prepared.bias.resize(padded, 0);
        prepared.multipliers.clear();
        prepared.multipliers.resize(padded, 1.0);
        prepared.addend.clear();
        prepared.addend.resize(padded, -0.0);
        for n in 0..c {
            let b = bias.get(n).copied().unwrap_or(0);
            prepared.bias[n] = b.wrapping_sub((zero_point as i32).wrapping_mul(self.sums[n]));
            let multiplier = finish.multiplier(n);
            prepared.multipliers[n] = multiplier;
            prepared.addend[n] = finish.addend(n);
            let largest = self.magnitudes[n] as f64 * reach + b.unsigned_abs() as f64;
            bounded &= within_magic(largest, multiplier);
        }
        prepared.kind = finish.kind(bounded);
    }

    /// Panics unless `prepared` has the lists that these weights need.
    pub(super) fn check(&self, prepared: &Prepared) {
        let padded = self.sums.len();
        assert!(
            prepared.bias.len() == padded && prepared.multipliers.len() == padded && prepared.addend.len() == padded,
            "prepared for other weights"
        );
    }
}

/// Panics rather than to overflow.
pub(super) fn product(sizes: &[usize]) -> usize {
    sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).expect("sizes of a convolution overflow")
}
