//! Pools and means over `[n, h, w, c]`.

use std::ops::Range;

use super::quantize::{Params, round_to_i32};
use super::{Quantization, Rows, Window};

fn windows<T: Copy>(window: Window, x: &[T], rows: Range<usize>, mut f: impl FnMut(usize, &[T])) {
    let [_, h, w, c] = window.input;
    let [oh, ow] = window.output;
    let mut taps = Vec::new();
    for row in rows {
        let (b, oy) = (row / oh, row % oh);
        for ox in 0..ow {
            for ch in 0..c {
                taps.clear();
                for ky in 0..window.kernel[0] {
                    for kx in 0..window.kernel[1] {
                        let iy = (oy * window.strides[0] + ky * window.dilations[0]).checked_sub(window.pads[0]);
                        let ix = (ox * window.strides[1] + kx * window.dilations[1]).checked_sub(window.pads[1]);
                        if let (Some(iy), Some(ix)) = (iy.filter(|&i| i < h), ix.filter(|&i| i < w)) {
                            taps.push(x[((b * h + iy) * w + ix) * c + ch]);
                        }
                    }
                }
                f((row * ow + ox) * c + ch, &taps);
            }
        }
    }
}

pub fn max_pool(window: Window, x: &[u8], y: &mut [u8], rows: Range<usize>) {
    windows(window, x, rows, |at, taps| y[at] = taps.iter().copied().max().unwrap_or(0));
}

pub fn max_pool_f32(window: Window, x: &[f32], y: &mut [f32], rows: Range<usize>) {
    windows(window, x, rows, |at, taps| y[at] = taps.iter().copied().fold(f32::NEG_INFINITY, f32::max));
}

pub fn average_pool(
    window: Window,
    x: &[u8],
    y: &mut [u8],
    from: Quantization,
    to: Quantization,
    include: bool,
    rows: Range<usize>,
) {
    let whole = window.kernel[0] * window.kernel[1];
    windows(window, x, rows, |at, taps| {
        let count = if include { whole } else { taps.len() };
        let sum = taps.iter().fold(0f32, |s, &q| s + (q as i32 - from.zero_point as i32) as f32 * from.scale);
        y[at] = round_to_i32(sum / count as f32 / to.scale + to.zero_point as f32).clamp(0, 255) as u8;
    });
}

pub fn average_pool_f32(window: Window, x: &[f32], y: &mut [f32], include: bool, rows: Range<usize>) {
    let whole = window.kernel[0] * window.kernel[1];
    windows(window, x, rows, |at, taps| {
        let count = if include { whole } else { taps.len() };
        y[at] = taps.iter().sum::<f32>() / count as f32;
    });
}

pub fn mean(rows: Rows, x: &[u8], y: &mut [u8], from: Quantization, to: Quantization) {
    let _ = Params { scale: 1.0, zero_point: 0 };
    for o in 0..rows.outer {
        for i in 0..rows.inner {
            let sum: i32 =
                (0..rows.count).map(|k| x[(o * rows.count + k) * rows.inner + i] as i32 - from.zero_point as i32).sum();
            let m = from.scale / (to.scale * rows.count as f32);
            y[o * rows.inner + i] =
                round_to_i32(sum as f32 * m).saturating_add(to.zero_point as i32).clamp(0, 255) as u8;
        }
    }
}

pub fn mean_f32(rows: Rows, x: &[f32], y: &mut [f32]) {
    for o in 0..rows.outer {
        for i in 0..rows.inner {
            let sum: f32 = (0..rows.count).map(|k| x[(o * rows.count + k) * rows.inner + i]).sum();
            y[o * rows.inner + i] = sum / rows.count as f32;
        }
    }
}
