//! Integer convolution over one channels-first image with any number of spatial dimensions.
//!
//! `acc[o][p] = sum over c, t of (x[c][p * stride - pad + t * dilation] - x_zero_point) * (w[o][c][t] - w_zero_point)`;
//! outside of the image the difference is zero, which is what padding with the zero point means.
//!
//! Groups of one input channel run directly; all others go through [`super::gemm`], with eight output positions
//! gathered into a panel at a time, so that no im2col matrix is ever held.

use super::gemm::{self, NR, PackedA};
use crate::kernels::quantize::Quantum;

/// Sizes of a convolution. Spatial lists are outermost first and of equal length, at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Input spatial sizes.
    pub input: Vec<usize>,
    /// Kernel sizes.
    pub kernel: Vec<usize>,
    /// Strides, at least 1.
    pub strides: Vec<usize>,
    /// Dilations, at least 1.
    pub dilations: Vec<usize>,
    /// Padding before the first element.
    pub pads_begin: Vec<usize>,
    /// Output spatial sizes.
    pub output: Vec<usize>,
}

impl Geometry {
    /// Positions of one output channel.
    pub fn positions(&self) -> usize {
        self.output.iter().product()
    }

    /// Elements of one input channel.
    pub fn plane(&self) -> usize {
        self.input.iter().product()
    }

    /// Weights of one input channel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn is_pointwise(&self) -> bool {
        self.kernel.iter().all(|&k| k == 1) && self.input == self.output && self.pads_begin.iter().all(|&p| p == 0)
    }

    /// For every tap and every position of the range, the offset in the plane, or `OUTSIDE`.
    fn offsets(&self, first: usize, count: usize, out: &mut Vec<usize>) {
        out.clear();
        let rank = self.output.len();
        let mut tap = vec![0usize; rank];
        let mut start = vec![0usize; rank];
        let mut rest = first;
        for d in (0..rank).rev() {
            start[d] = rest % self.output[d];
            rest /= self.output[d];
        }
        for _ in 0..self.taps() {
            let mut at = start.clone();
            for _ in 0..count {
                let mut offset = 0;
                for d in 0..rank {
                    let i = at[d] * self.strides[d] + tap[d] * self.dilations[d];
                    match i.checked_sub(self.pads_begin[d]) {
                        Some(i) if i < self.input[d] && offset != OUTSIDE => offset = offset * self.input[d] + i,
                        _ => offset = OUTSIDE,
                    }
                }
                out.push(offset);
                increment(&mut at, &self.output);
            }
            increment(&mut tap, &self.kernel);
        }
    }
}

const OUTSIDE: usize = usize::MAX;

fn increment(at: &mut [usize], sizes: &[usize]) {
    for d in (0..at.len()).rev() {
        at[d] += 1;
        if at[d] < sizes[d] {
            return;
        }
        at[d] = 0;
    }
}

/// Weights, widened, with their zero points taken off and packed for the way they will be used.
#[derive(Clone, Debug)]
pub struct Weights {
    groups: usize,
    /// Output channels over all groups.
    pub channels_out: usize,
    channels_in_per_group: usize,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// `[output channel][tap]`
    Direct(Vec<i16>),
    /// One packed matrix a group: rows are output channels, columns `[input channel][tap]`.
    Packed(Vec<PackedA>),
}

impl Weights {
    /// From `[channels_out][channels_in / groups][taps]`; `zero_point` has one element or one an output channel.
    /// The caller has checked that the sizes belong together.
    pub fn new<W: Quantum>(
        w: &[W],
        zero_point: &[i32],
        groups: usize,
        channels_out: usize,
        channels_in_per_group: usize,
        taps: usize,
    ) -> Self {
        let per_channel = channels_in_per_group * taps;
        let at = |o: usize, k: usize| {
            let zero_point = if zero_point.len() > 1 { zero_point[o] } else { zero_point[0] };
            let w: i32 = w[o * per_channel + k].into();
            (w - zero_point) as i16
        };
        let body = if channels_in_per_group == 1 && groups > 1 {
            Body::Direct((0..channels_out).flat_map(|o| (0..taps).map(move |t| at(o, t))).collect())
        } else {
            let rows = channels_out / groups;
            Body::Packed((0..groups).map(|g| PackedA::new(rows, per_channel, |r, k| at(g * rows + r, k))).collect())
        };
        Self { groups, channels_out, channels_in_per_group, body }
    }

    /// Input channels over all groups.
    pub fn channels_in(&self) -> usize {
        self.groups * self.channels_in_per_group
    }
}

/// Memory reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    panel: Vec<i16>,
    offsets: Vec<usize>,
    row: Vec<i32>,
    widened: Vec<i16>,
}

/// Convolves one image `x` of `[channels][plane]`. `emit(channel, position, accumulators)` receives every output
/// exactly once, in runs of consecutive positions.
pub fn convolve<X: Quantum>(
    x: &[X],
    x_zero_point: i32,
    weights: &Weights,
    geometry: &Geometry,
    scratch: &mut Scratch,
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    if geometry.positions() == 0 {
        return;
    }
    match &weights.body {
        Body::Direct(w) => direct(x, x_zero_point, w, weights, geometry, scratch, &mut emit),
        Body::Packed(groups) => {
            let rows = weights.channels_out / weights.groups;
            let inputs = weights.channels_in_per_group * geometry.plane();
            for (g, a) in groups.iter().enumerate() {
                let x = &x[g * inputs..][..inputs];
                by_panels(x, x_zero_point, a, geometry, scratch, |row, position, acc| {
                    emit(g * rows + row, position, acc)
                });
            }
        }
    }
}

fn by_panels<X: Quantum>(
    x: &[X],
    x_zero_point: i32,
    a: &PackedA,
    geometry: &Geometry,
    scratch: &mut Scratch,
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    let (plane, positions, taps) = (geometry.plane(), geometry.positions(), geometry.taps());
    let zero_point = x_zero_point as i16;
    let pointwise = geometry.is_pointwise();
    let Scratch { panel, offsets, .. } = scratch;
    panel.clear();
    panel.resize(gemm::panel_b_len(a.k), 0);
    for first in (0..positions).step_by(NR) {
        let count = NR.min(positions - first);
        if pointwise {
            offsets.clear();
            offsets.extend(first..first + count);
        } else {
            geometry.offsets(first, count, offsets);
        }
        if count < NR {
            panel.fill(0);
        }
        for (t, offsets) in offsets.chunks_exact(count).enumerate() {
            let run = count == NR && offsets[0] != OUTSIDE && (1..NR).all(|j| offsets[j] == offsets[0] + j);
            for (c, x) in x.chunks_exact(plane).enumerate() {
                let k = c * taps + t;
                let to = &mut panel[(k / 2) * 2 * NR + k % 2..];
                if run {
                    let from = &x[offsets[0]..][..NR];
                    for j in 0..NR {
                        to[2 * j] = Into::<i16>::into(from[j]) - zero_point;
                    }
                } else {
                    for (j, &offset) in offsets.iter().enumerate() {
                        to[2 * j] = if offset == OUTSIDE { 0 } else { Into::<i16>::into(x[offset]) - zero_point };
                    }
                }
            }
        }
        gemm::gemm_panel(a, panel, |row, tile| {
            for (i, acc) in tile.iter().enumerate().take(a.rows - row) {
                emit(row + i, first, &acc[..count]);
            }
        });
    }
}

/// One input channel a group: every row of the output gathers its taps row by row.
fn direct<X: Quantum>(
    x: &[X],
    x_zero_point: i32,
    w: &[i16],
    weights: &Weights,
    geometry: &Geometry,
    scratch: &mut Scratch,
    emit: &mut impl FnMut(usize, usize, &[i32]),
) {
    let (plane, positions, taps) = (geometry.plane(), geometry.positions(), geometry.taps());
    let last = geometry.output.len() - 1;
    let (width_in, width_out, width_k) = (geometry.input[last], geometry.output[last], geometry.kernel[last]);
    let (stride, dilation, pad) = (geometry.strides[last], geometry.dilations[last], geometry.pads_begin[last]);
    // The rows an output row draws from: the same geometry without the innermost dimension.
    let outer = Geometry {
        input: geometry.input[..last].to_vec(),
        kernel: geometry.kernel[..last].to_vec(),
        strides: geometry.strides[..last].to_vec(),
        dilations: geometry.dilations[..last].to_vec(),
        pads_begin: geometry.pads_begin[..last].to_vec(),
        output: geometry.output[..last].to_vec(),
    };
    let rows_out = positions / width_out;
    let Scratch { offsets, row, widened, .. } = scratch;
    // [outer tap][output row] -> input row
    outer.offsets(0, rows_out, offsets);
    let per_group = weights.channels_out / weights.groups;
    row.clear();
    row.resize(width_out, 0);
    for (g, x) in x.chunks_exact(plane).enumerate().take(weights.groups) {
        widened.clear();
        widened.extend(x.iter().map(|&q| Into::<i16>::into(q) - x_zero_point as i16));
        for o in g * per_group..(g + 1) * per_group {
            let w = &w[o * taps..][..taps];
            for r in 0..rows_out {
                row.fill(0);
                for (t, w) in w.chunks_exact(width_k).enumerate() {
                    let input_row = offsets[t * rows_out + r];
                    if input_row == OUTSIDE {
                        continue;
                    }
                    let x = &widened[input_row * width_in..][..width_in];
                    for (kx, &w) in w.iter().enumerate() {
                        // Output positions whose tap falls inside of the row: pad <= ox * stride + kx * dilation < pad + width_in.
                        let shift = kx * dilation;
                        let from = pad.saturating_sub(shift).div_ceil(stride).min(width_out);
                        let to = match (pad + width_in).checked_sub(shift + 1) {
                            Some(limit) => (limit / stride + 1).min(width_out),
                            None => 0,
                        };
                        if from >= to {
                            continue;
                        }
                        let x = &x[from * stride + shift - pad..];
                        let w = w as i32;
                        if stride == 1 {
                            for (acc, &x) in row[from..to].iter_mut().zip(x) {
                                *acc = acc.wrapping_add(x as i32 * w);
                            }
                        } else {
                            for (acc, &x) in row[from..to].iter_mut().zip(x.iter().step_by(stride)) {
                                *acc = acc.wrapping_add(x as i32 * w);
                            }
                        }
                    }
                }
                emit(o, r * width_out, row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    struct Noise(u32);
    impl Noise {
        fn next(&mut self) -> u8 {
            self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
            (self.0 >> 24) as u8
        }
    }

    /// The definition, straight from the module's formula.
    #[allow(clippy::too_many_arguments)]
    fn definition(x: &[i32], w: &[i32], g: &Geometry, groups: usize, cin: usize, cout: usize) -> Vec<i32> {
        let (plane, taps, rank) = (g.plane(), g.taps(), g.output.len());
        let mut y = vec![];
        for o in 0..cout {
            let mut at = vec![0; rank];
            for _ in 0..g.positions() {
                let mut acc = 0i32;
                for c in 0..cin / groups {
                    let channel = (o / (cout / groups)) * (cin / groups) + c;
                    let mut tap = vec![0; rank];
                    for t in 0..taps {
                        let mut offset = Some(0usize);
                        for d in 0..rank {
                            let i =
                                (at[d] * g.strides[d] + tap[d] * g.dilations[d]) as isize - g.pads_begin[d] as isize;
                            offset = offset
                                .filter(|_| i >= 0 && (i as usize) < g.input[d])
                                .map(|o| o * g.input[d] + i as usize);
                        }
                        if let Some(offset) = offset {
                            acc =
                                acc.wrapping_add(x[channel * plane + offset] * w[(o * (cin / groups) + c) * taps + t]);
                        }
                        increment(&mut tap, &g.kernel);
                    }
                }
                y.push(acc);
                increment(&mut at, &g.output);
            }
        }
        y
    }

    #[test]
    fn every_geometry_equals_the_definition() {
        let mut noise = Noise(1);
        let mut tried = 0;
        for (input, kernel) in [
            (vec![9usize], vec![3usize]),
            (vec![7, 6], vec![3, 3]),
            (vec![5, 9], vec![1, 1]),
            (vec![6, 7], vec![5, 2]),
            (vec![3, 4, 5], vec![2, 1, 3]),
            (vec![1, 1], vec![3, 3]),
        ] {
            let rank = input.len();
            for stride in [1, 2, 3] {
                for dilation in [1, 2] {
                    for pad in [0, 1, 2] {
                        let output: Option<Vec<usize>> = (0..rank)
                            .map(|d| {
                                (input[d] + 2 * pad).checked_sub((kernel[d] - 1) * dilation + 1).map(|n| n / stride + 1)
                            })
                            .collect();
                        let Some(output) = output else { continue };
                        let g = Geometry {
                            input: input.clone(),
                            kernel: kernel.clone(),
                            strides: vec![stride; rank],
                            dilations: vec![dilation; rank],
                            pads_begin: vec![pad; rank],
                            output,
                        };
                        for (groups, cin, cout) in [(1, 1, 1), (1, 3, 7), (2, 4, 6), (4, 4, 4), (3, 3, 6)] {
                            let x: Vec<u8> = (0..cin * g.plane()).map(|_| noise.next()).collect();
                            let w: Vec<i8> = (0..cout * cin / groups * g.taps()).map(|_| noise.next() as i8).collect();
                            let (xz, wz) = (noise.next() as i32, noise.next() as i8 as i32);
                            let weights = Weights::new(&w, &[wz], groups, cout, cin / groups, g.taps());
                            let mut y = vec![i32::MIN; cout * g.positions()];
                            convolve(&x, xz, &weights, &g, &mut Scratch::default(), |o, p, acc| {
                                y[o * g.positions() + p..][..acc.len()].copy_from_slice(acc);
                            });
                            let x: Vec<i32> = x.iter().map(|&v| v as i32 - xz).collect();
                            let w: Vec<i32> = w.iter().map(|&v| v as i32 - wz).collect();
                            assert_eq!(y, definition(&x, &w, &g, groups, cin, cout), "{g:?} groups {groups}");
                            tried += 1;
                        }
                    }
                }
            }
        }
        assert!(tried > 300);
    }
}
