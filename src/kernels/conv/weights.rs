//! Constant weights, packed once, and what the epilogue needs of them.

use super::Finish;
use super::driver::Right;
use super::finish::Kind;
#[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
use super::program::Programs;
use crate::kernels::{Window, isa::Dot};

/// Columns of a panel.
pub(super) const PANEL: usize = 8;
/// Programs are used only if they cost no more than so many parts of what [`super::kernel::Pairs`] cost.
pub(super) const WORTH: f32 = 0.95;
/// And only with so many rows.
const PROGRAM_ROWS: usize = 4;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvShape {
    /// Input, output and kernel.
    pub window: Window,
    /// Output channels.
    pub channels: usize,
    /// Input and output channels are split into as many independent parts.
    pub groups: usize,
}

/// 4 steps of k for each of 8 columns: `[8][4]`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Block(pub [i8; 4 * PANEL]);

/// Lists by column, padded to whole panels in each group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    /// Added to the raw sums: the bias and what the zero points contribute.
    pub bias: &'a [i32],
    /// Multipliers; empty where nothing is multiplied.
    pub multipliers: &'a [f32],
    /// Added behind the product; empty where nothing is.
    pub addend: &'a [f32],
    /// Zero points of the weights; empty where all are 0.
    pub zero_points: &'a [i8],
    pub kind: Kind,
}

/// Weights of a convolution in the order in which the kernels read them, about as large as in the model.
///
/// Groups one after the other, each in panels of 8 columns, each panel in blocks of 4 steps of k. k counts the elements
/// of a window, `[kh][kw][c / groups]`. The last block and the last panel of a group are filled up with the zero point of
/// the column, so that nothing depends on what they are multiplied with.
#[derive(Clone, Debug)]
pub struct ConvWeights {
    pub(super) dot: Dot,
    pub(super) shape: ConvShape,
    /// Blocks of each panel.
    pub(super) steps: usize,
    /// Panels of each group.
    panels: usize,
    /// Panels, or programs.
    blocks: Vec<Block>,
    /// Block at which each program begins, and behind the last; empty where there are panels.
    starts: Vec<u32>,
    /// By padded column; empty where all are 0.
    zero_points: Vec<i8>,
    /// Sum of `w - zero point`, by padded column.
    sums: Vec<i32>,
    /// Sum of `|w - zero point|`, by padded column.
    magnitudes: Vec<u32>,
}

/// A [`Finish`] with the zero point of `x`, laid out for the epilogue of one [`ConvWeights`].
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Of `x`: what lies outside of it.
    pub(super) zero_point: u8,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    addend: Vec<f32>,
    kind: Kind,
}

impl ConvWeights {
    /// Packs `weights`, `[channels][kh][kw][c / groups]`; `zero_points` holds one for each channel, a single one, or
    /// none for 0.
    ///
    /// # Panics
    ///
    /// When sizes contradict each other.
    pub fn new(dot: Dot, shape: &ConvShape, weights: &[i8], zero_points: &[i8]) -> Self {
        let mut packed = Self::panels(dot, shape, weights, zero_points);
        // With few rows it is the weights that take the time, and programs are larger.
        let enough = packed.positions() >= PROGRAM_ROWS;
        if packed.dot == Dot::Maddubs && !(enough && packed.program(WORTH)) {
            packed.dot = Dot::Pairs;
        }
        packed
    }

    /// Packs panels.
    fn panels(dot: Dot, shape: &ConvShape, weights: &[i8], zero_points: &[i8]) -> Self {
        let ConvShape { window, channels, groups } = *shape;
        let c = window.input[3];
        let Window { input, output, kernel, strides, dilations, pads } = window;
        let sizes = [&input[..], &output, &kernel, &strides, &dilations, &pads].concat();
        assert!(sizes.iter().all(|&size| size <= 1 << 30), "a size beyond all memory");
        assert!(
            groups > 0 && c.is_multiple_of(groups) && channels.is_multiple_of(groups),
            "groups divide the channels"
        );
        let (depth, outputs) = (c / groups, channels / groups);
        let k = product(&[window.kernel[0], window.kernel[1], depth]);
        assert_eq!(weights.len(), product(&[channels, k]), "one weight for each channel and element of the window");
        assert!(
            zero_points.len() <= 1 || zero_points.len() == channels,
            "no zero point of the weights, one, or one for each channel"
        );
        let zero_point = |n: usize| match zero_points {
            [] => 0,
            [one] => *one,
            all => all[n],
        };
        check_depth(k);
        let (steps, panels) = (k.div_ceil(4), outputs.div_ceil(PANEL));
        let padded = product(&[groups, panels, PANEL]);
        let mut packed = Self {
            dot: dot.compiled(),
            shape: *shape,
            steps,
            panels,
            starts: Vec::new(),
            blocks: vec![Block([0; 4 * PANEL]); product(&[groups, panels, steps])],
            zero_points: vec![0; if zero_points.iter().any(|&z| z != 0) { padded } else { 0 }],
            sums: vec![0; padded],
            magnitudes: vec![0; padded],
        };
        for n in 0..channels {
            let column = packed.column(n);
            let z = zero_point(n);
            if let Some(slot) = packed.zero_points.get_mut(column) {
                *slot = z;
            }
            let row = &weights[n * k..][..k];
            let blocks = &mut packed.blocks[column / PANEL * steps..][..steps];
            // Pages do this before their first answer, when browsers have not optimised the code yet: few instructions.
            let (fours, rest) = row.as_chunks::<4>();
            for (block, four) in blocks.iter_mut().zip(fours) {
                block.0.as_chunks_mut::<4>().0[column % PANEL] = *four;
            }
            if let Some(block) = blocks.get_mut(fours.len()) {
                let four = &mut block.0.as_chunks_mut::<4>().0[column % PANEL];
                four.fill(z);
                four[..rest.len()].copy_from_slice(rest);
            }
            // Parts of which the sums cannot overflow.
            for part in row.chunks(1 << 16) {
                let differences = part.iter().map(|&w| w as i32 - z as i32);
                let magnitude = differences.clone().map(i32::unsigned_abs).sum();
                packed.sums[column] = packed.sums[column].wrapping_add(differences.sum());
                packed.magnitudes[column] = packed.magnitudes[column].saturating_add(magnitude);
            }
        }
        packed
    }

    /// Makes programs of the panels, if they are worth it.
    #[cfg(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
    fn program(&mut self, worth: f32) -> bool {
        let programs = Programs::new(&self.blocks, self.steps, worth);
        let made = programs.is_some();
        if let Some(programs) = programs {
            (self.blocks, self.starts) = (programs.blocks, programs.starts);
        }
        made
    }

    /// Builds without the instruction have no programs.
    #[cfg(not(any(test, not(target_arch = "wasm32"), target_feature = "relaxed-simd")))]
    fn program(&mut self, _worth: f32) -> bool {
        false
    }

    /// [`Self::new`], with programs whatever they cost.
    #[cfg(test)]
    pub(super) fn programmed(shape: &ConvShape, weights: &[i8], zero_points: &[i8]) -> Self {
        let mut packed = Self::panels(Dot::Maddubs, shape, weights, zero_points);
        if !packed.program(f32::INFINITY) {
            packed.dot = Dot::Pairs;
        }
        packed
    }

    /// How these weights are multiplied.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// Memory of the packed weights and lists, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
            + size_of_val(&*self.starts)
            + self.zero_points.len()
            + size_of_val(&*self.sums)
            + size_of_val(&*self.magnitudes)
    }

    /// Sizes that the weights were packed for.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Number of output positions, `n * oh * ow`.
    pub fn positions(&self) -> usize {
        let Window { input, output, .. } = self.shape.window;
        product(&[input[0], output[0], output[1]])
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
        let channels = self.shape.channels;
        finish.check(channels);
        let padded = self.sums.len();
        let z = operand(self.dot, zero_point);
        // x - zero point of x, in magnitude.
        let reach = zero_point.max(255 - zero_point) as f64;
        let bias = finish.bias();
        let mut bounded = true;
        prepared.zero_point = zero_point;
        prepared.bias.clear();
        prepared.bias.resize(padded, 0);
        let float = matches!(finish, Finish::Float { .. });
        prepared.multipliers.clear();
        prepared.multipliers.resize(if matches!(finish, Finish::Integer { .. }) { 0 } else { padded }, 0.0);
        prepared.addend.clear();
        prepared.addend.resize(if float { padded } else { 0 }, 0.0);
        for n in 0..channels {
            let column = self.column(n);
            let b = bias.get(n).copied().unwrap_or(0);
            prepared.bias[column] = b.wrapping_sub(z.wrapping_mul(self.sums[column]));
            if let Some(slot) = prepared.multipliers.get_mut(column) {
                *slot = finish.multiplier(n);
                let largest = self.magnitudes[column] as f64 * reach + b.unsigned_abs() as f64;
                bounded &= within_magic(largest, *slot);
            }
            if let Some(slot) = prepared.addend.get_mut(column) {
                *slot = finish.addend(n);
            }
        }
        prepared.kind = finish.kind(bounded);
    }

    /// The packed weights, as kernels read them.
    pub(super) fn right<'a>(&'a self, prepared: &'a Prepared) -> Right<'a> {
        let bytes = size_of_val(&*self.blocks);
        Right {
            // SAFETY: blocks are bytes without gaps.
            blocks: unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast::<u8>(), bytes) },
            starts: &self.starts,
            steps: self.steps,
            panels: self.panels,
            groups: self.shape.groups,
            outputs: self.shape.channels / self.shape.groups,
            columns: self.columns(prepared),
        }
    }

    fn columns<'a>(&'a self, prepared: &'a Prepared) -> Columns<'a> {
        assert_eq!(prepared.bias.len(), self.sums.len(), "prepared for other weights");
        Columns {
            bias: &prepared.bias,
            multipliers: &prepared.multipliers,
            addend: &prepared.addend,
            zero_points: &self.zero_points,
            kind: prepared.kind,
        }
    }

    /// Padded column of an output channel.
    fn column(&self, n: usize) -> usize {
        let outputs = self.shape.channels / self.shape.groups;
        n / outputs * self.panels * PANEL + n % outputs
    }
}

/// A quantum as the left operand of the dot product holds it.
pub(in crate::kernels) fn operand(dot: Dot, q: u8) -> i32 {
    match dot {
        Dot::Pairs | Dot::Usdot | Dot::Maddubs => q as i32,
        Dot::Sdot => q as i32 - 128,
    }
}

/// Whether `f32(sum) * multiplier` stays within 2^22 for sums up to `largest`, with room for the two roundings.
pub(in crate::kernels) fn within_magic(largest: f64, multiplier: f32) -> bool {
    largest * (multiplier as f64).abs() < 4_194_304.0 * 0.999
}

/// Panics when a block of rows of `k` elements, and its panel, could be larger than all memory.
pub(super) fn check_depth(k: usize) {
    product(&[256, k.checked_next_multiple_of(16).expect("sizes of a convolution overflow")]);
}

/// Panics rather than to overflow.
pub(in crate::kernels) fn product(sizes: &[usize]) -> usize {
    sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).expect("sizes of a convolution overflow")
}
