//! Float convolutions of `[n, h, w, c]`.

use std::ops::Range;

use super::Window;
use super::float_tile::{self, COLUMNS, ROWS};
use super::lanes::{BLOCK, F32x4, load_block, store_block};

/// Weights in the order in which [`float_conv`] reads them.
#[derive(Clone, Debug)]
pub struct FloatWeights {
    groups: usize,
    /// Output channels of a group.
    channels: usize,
    /// Length of the sums.
    depth: usize,
    order: Order,
}

#[derive(Clone, Debug)]
enum Order {
    /// `[groups][channels / COLUMNS, rounded up][depth]`, zeros where channels are missing.
    Panels(Vec<[f32; COLUMNS]>),
    /// `[depth][groups]`: one input and one output channel each.
    Depthwise(Vec<f32>),
}

impl FloatWeights {
    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        match &self.order {
            Order::Panels(panels) => size_of_val(&**panels),
            Order::Depthwise(weights) => size_of_val(&**weights),
        }
    }

    /// From `[channels][kh][kw][c / groups]`, with as many channels for each of the groups.
    ///
    /// # Panics
    /// If the numbers do not divide each other.
    pub fn pack(weights: &[f32], channels: usize, groups: usize) -> Self {
        assert!(channels > 0 && groups > 0 && channels.is_multiple_of(groups), "channels in groups");
        assert!(!weights.is_empty() && weights.len().is_multiple_of(channels), "weights for each channel");
        let depth = weights.len() / channels;
        let per_group = channels / groups;
        let order = if per_group == 1 {
            Order::Depthwise((0..weights.len()).map(|i| weights[i % groups * depth + i / groups]).collect())
        } else {
            let mut panels = Vec::new();
            for group in weights.chunks_exact(per_group * depth) {
                for columns in group.chunks(COLUMNS * depth) {
                    let weight = |l: usize, c: usize| columns.get(c * depth + l).copied().unwrap_or(0.0);
                    panels.extend((0..depth).map(|l| std::array::from_fn(|c| weight(l, c))));
                }
            }
            Order::Panels(panels)
        };
        Self { groups, channels: per_group, depth, order }
    }
}

/// `y = clamp(conv(x) + bias, low, high)` of the output positions `positions`, counted through `[n, oh, ow]`, the first of
/// which `y` begins with. What lies outside of `x` is 0. `bias` has an element for each channel.
///
/// # Panics
/// If a slice has not the length that the sizes say, or the weights are those of another window.
pub fn float_conv(
    x: &[f32],
    window: &Window,
    weights: &FloatWeights,
    bias: Option<&[f32]>,
    [low, high]: [f32; 2],
    positions: Range<usize>,
    y: &mut [f32],
) {
    let [n, h, w, c] = window.input;
    let FloatWeights { groups, channels, depth, .. } = *weights;
    let product = |counts: &[usize]| counts.iter().try_fold(1usize, |product, &count| product.checked_mul(count));
    assert_eq!(product(&[n, h, w, c]), Some(x.len()), "length of x");
    let each = product(&window.output).expect("too large");
    assert!(product(&[n, each]).is_some_and(|all| positions.end <= all), "positions beyond the output");
    assert_eq!(product(&[positions.len(), groups, channels]), Some(y.len()), "length of y");
    assert!(c.is_multiple_of(groups), "channels in groups");
    assert_eq!(product(&[window.kernel[0], window.kernel[1], c / groups]), Some(depth), "size of the weights");
    assert!(bias.is_none_or(|bias| bias.len() == groups * channels), "a bias for each channel");
    if y.is_empty() {
        return;
    }
    let zeros;
    let bias = match bias {
        Some(bias) => bias,
        None => {
            zeros = vec![0.0; groups * channels];
            &zeros
        }
    };
    let finish = Finish { bias, low: F32x4::splat(low), high: F32x4::splat(high) };
    let mut rest = y;
    for image in positions.start / each..positions.end.div_ceil(each) {
        let x = &x[image * h * w * c..][..h * w * c];
        let first = positions.start.max(image * each);
        let part = first - image * each..positions.end.min((image + 1) * each) - image * each;
        let (y, behind) = std::mem::take(&mut rest).split_at_mut(part.len() * groups * channels);
        rest = behind;
        match &weights.order {
            Order::Depthwise(weights) if c == groups => depthwise(x, window, weights, &finish, part, y),
            Order::Depthwise(weights) => {
                // One output channel of several inputs: as panels of a single column.
                let column = |group: usize| (0..depth).map(move |l| weights[l * groups + group]);
                for group in 0..groups {
                    let panel: Vec<_> =
                        column(group).map(|v| std::array::from_fn(|i| if i == 0 { v } else { 0.0 })).collect();
                    group_of_channels(x, window, &panel, [group, groups, channels], &finish, part.clone(), y);
                }
            }
            Order::Panels(panels) => {
                let size = panels.len() / groups;
                for (group, panels) in panels.chunks_exact(size).enumerate() {
                    group_of_channels(x, window, panels, [group, groups, channels], &finish, part.clone(), y);
                }
            }
        }
    }
}

struct Finish<'a> {
    bias: &'a [f32],
    low: F32x4,
    high: F32x4,
}

/// Floats of gathered input that are worked on at a time.
const GATHERED: usize = 32 * 1024;

/// The channels of one group, by tiles of gathered input.
fn group_of_channels(
    x: &[f32],
    window: &Window,
    panels: &[[f32; COLUMNS]],
    [group, groups, channels]: [usize; 3],
    finish: &Finish,
    positions: Range<usize>,
    y: &mut [f32],
) {
    let c = window.input[3] / groups;
    let depth = window.kernel[0] * window.kernel[1] * c;
    let block = (GATHERED / (depth * ROWS)).clamp(1, 64) * ROWS;
    let mut gathered = Vec::new();
    let mut tile = [[0.0; COLUMNS]; ROWS];
    for top in positions.clone().step_by(block) {
        let height = block.min(positions.end - top);
        gathered.clear();
        gathered.resize(height.div_ceil(ROWS) * depth, [0.0; ROWS]);
        for (i, position) in (top..top + height).enumerate() {
            let panel = &mut gathered[i / ROWS * depth..][..depth];
            for_each_tap(window, position, |tap, pixel| {
                let from = &x[pixel * window.input[3] + group * c..][..c];
                for (to, &from) in panel[tap * c..][..c].iter_mut().zip(from) {
                    to[i % ROWS] = from;
                }
            });
        }
        for (panel, left) in panels.chunks_exact(depth).zip((0..channels).step_by(COLUMNS)) {
            let width = COLUMNS.min(channels - left);
            let at = group * channels + left;
            let mut bias = [0.0; COLUMNS];
            bias[..width].copy_from_slice(&finish.bias[at..][..width]);
            let (bias, _) = bias.as_chunks::<4>();
            let bias = [F32x4::load(&bias[0]), F32x4::load(&bias[1])];
            for (i, rows) in gathered.chunks_exact(depth).enumerate() {
                float_tile::multiply(rows, panel, &mut tile);
                let row = top - positions.start + i * ROWS;
                for (r, tile) in tile.iter_mut().enumerate().take(height - i * ROWS) {
                    let (quads, _) = tile.as_chunks_mut::<4>();
                    for (quad, bias) in quads.iter_mut().zip(bias) {
                        (F32x4::load(quad) + bias).at_least(finish.low).at_most(finish.high).store(quad);
                    }
                    let y = &mut y[(row + r) * groups * channels + at..][..width];
                    match y.first_chunk_mut() {
                        Some(y) => *y = *tile,
                        None => y.iter_mut().zip(tile).for_each(|(y, &mut v)| *y = v),
                    }
                }
            }
        }
    }
}

/// Calls `f` with number and input pixel of each tap that lies inside.
#[inline(always)]
fn for_each_tap(window: &Window, position: usize, mut f: impl FnMut(usize, usize)) {
    let [_, h, w, _] = window.input;
    let place = [position / window.output[1], position % window.output[1]];
    // Where a tap lies, if inside.
    let inside = |axis: usize, tap: usize, size: usize| {
        let at =
            place[axis].checked_mul(window.strides[axis])?.checked_add(tap.checked_mul(window.dilations[axis])?)?;
        at.checked_sub(window.pads[axis]).filter(|&at| at < size)
    };
    for i in 0..window.kernel[0] {
        let Some(row) = inside(0, i, h) else { continue };
        for j in 0..window.kernel[1] {
            if let Some(column) = inside(1, j, w) {
                f(i * window.kernel[1] + j, row * w + column);
            }
        }
    }
}

/// Every channel by itself; `weights` are `[kh][kw][c]`.
fn depthwise(x: &[f32], window: &Window, weights: &[f32], finish: &Finish, positions: Range<usize>, y: &mut [f32]) {
    let c = window.input[3];
    let mut taps: Vec<(&[f32], &[f32])> = Vec::with_capacity(window.kernel[0] * window.kernel[1]);
    for (position, y) in positions.zip(y.chunks_exact_mut(c)) {
        taps.clear();
        for_each_tap(window, position, |tap, pixel| taps.push((&x[pixel * c..][..c], &weights[tap * c..][..c])));
        let (blocks, rest) = y.as_chunks_mut::<BLOCK>();
        let done = blocks.len() * BLOCK;
        for (i, y) in blocks.iter_mut().enumerate() {
            let part = |v: &[f32]| load_block(v[i * BLOCK..].first_chunk().expect("whole"));
            let mut sums = part(finish.bias);
            for (x, weights) in &taps {
                let (x, weights) = (part(x), part(weights));
                sums = std::array::from_fn(|i| x[i].times_plus(weights[i], sums[i]));
            }
            store_block(sums.map(|sum| sum.at_least(finish.low).at_most(finish.high)), y);
        }
        let (quads, rest) = rest.as_chunks_mut::<4>();
        let last = done + 4 * quads.len();
        for (i, y) in quads.iter_mut().enumerate() {
            let part = |v: &[f32]| F32x4::load(v[done + 4 * i..].first_chunk().expect("whole"));
            let mut sum = part(finish.bias);
            for (x, weights) in &taps {
                sum = part(x).times_plus(part(weights), sum);
            }
            sum.at_least(finish.low).at_most(finish.high).store(y);
        }
        for (i, y) in rest.iter_mut().enumerate() {
            let at = last + i;
            let sum = taps.iter().fold(finish.bias[at], |sum, (x, weights)| sum + x[at] * weights[at]);
            [*y, ..] = F32x4::splat(sum).at_least(finish.low).at_most(finish.high).to_array();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn check(window: Window, channels: usize, groups: usize) {
        let [n, h, w, c] = window.input;
        let ([oh, ow], [kh, kw], cg) = (window.output, window.kernel, c / groups);
        let x: Vec<f32> = (0..n * h * w * c).map(|i| (i * 37 % 41) as f32 * 0.25 - 5.0).collect();
        let weights: Vec<f32> = (0..channels * kh * kw * cg).map(|i| (i * 29 % 43) as f32 * 0.125 - 2.0).collect();
        let bias: Vec<f32> = (0..channels).map(|i| i as f32 - 3.5).collect();
        let packed = FloatWeights::pack(&weights, channels, groups);
        let mut y = vec![f32::NAN; n * oh * ow * channels];
        for (bias, bounds) in [(None, [f32::NEG_INFINITY, f32::INFINITY]), (Some(&bias[..]), [0.0, 6.0])] {
            let positions = n * oh * ow;
            let cut = positions * 3 / 7;
            for part in [cut..positions, 0..cut] {
                let y = &mut y[part.start * channels..part.end * channels];
                float_conv(&x, &window, &packed, bias, bounds, part, y);
            }
            for (i, &y) in y.iter().enumerate() {
                let (image, row, column, channel) =
                    (i / (oh * ow * channels), i / (ow * channels) % oh, i / channels % ow, i % channels);
                let group = channel / (channels / groups);
                let mut sum = bias.map_or(0.0, |bias| bias[channel] as f64);
                let mut size = sum.abs();
                for (a, b) in (0..kh).flat_map(|a| (0..kw).map(move |b| (a, b))) {
                    let r = (row * window.strides[0] + a * window.dilations[0]) as isize - window.pads[0] as isize;
                    let s = (column * window.strides[1] + b * window.dilations[1]) as isize - window.pads[1] as isize;
                    if r < 0 || s < 0 || r >= h as isize || s >= w as isize {
                        continue;
                    }
                    for l in 0..cg {
                        let x = x[((image * h + r as usize) * w + s as usize) * c + group * cg + l] as f64;
                        let term = x * weights[((channel * kh + a) * kw + b) * cg + l] as f64;
                        sum += term;
                        size += term.abs();
                    }
                }
                let expected = sum.clamp(bounds[0] as f64, bounds[1] as f64);
                assert!(
                    (y as f64 - expected).abs() <= 1e-5 * size,
                    "{window:?} {channels} {groups} {i}: {y} {expected}"
                );
            }
        }
    }

    fn windows(c: usize) -> [Window; 4] {
        let window = |kernel, strides, dilations, pads, output| Window {
            input: [2, 6, 7, c],
            output,
            kernel,
            strides,
            dilations,
            pads,
        };
        [
            window([1, 1], [1, 1], [1, 1], [0, 0], [6, 7]),
            window([3, 3], [1, 1], [1, 1], [1, 1], [6, 7]),
            window([3, 2], [2, 3], [1, 1], [0, 1], [3, 3]),
            window([2, 3], [1, 2], [2, 2], [3, 2], [9, 4]),
        ]
    }

    #[test]
    fn any_window() {
        for (c, channels, groups) in
            [(1, 1, 1), (3, 8, 1), (5, 9, 1), (16, 7, 1), (4, 6, 2), (6, 3, 3), (8, 32, 2), (3, 6, 3), (4, 1, 1)]
        {
            for window in windows(c) {
                check(window, channels, groups);
            }
        }
    }

    #[test]
    fn depthwise_of_any_width() {
        for c in (1..24).chain([32, 39]) {
            for window in windows(c) {
                check(window, c, c);
            }
        }
    }
}
