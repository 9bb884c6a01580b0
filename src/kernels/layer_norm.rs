//! Layer normalisation.

use super::lanes::F32x4;
use super::softmax::sum;

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of each row of `scale.len()` floats.
///
/// # Panics
/// If the lengths of `x` and `y` differ or are no whole rows, or the bias has another length than the scale.
pub fn layer_norm(x: &[f32], y: &mut [f32], scale: &[f32], bias: Option<&[f32]>, epsilon: f32) {
    let count = scale.len();
    assert_eq!(x.len(), y.len(), "lengths differ");
    assert!(bias.is_none_or(|bias| bias.len() == count), "a bias for each scale");
    if x.is_empty() {
        return;
    }
    assert!(count > 0 && x.len().is_multiple_of(count), "whole rows");
    for (x, y) in x.chunks_exact(count).zip(y.chunks_exact_mut(count)) {
        let mean = sum(x) / count as f32;
        let inverse = 1.0 / (squares(x, mean) / count as f32 + epsilon).sqrt();
        let (means, inverses) = (F32x4::splat(mean), F32x4::splat(inverse));
        let ((from, rest), (to, last), (scales, scale)) = (x.as_chunks(), y.as_chunks_mut(), scale.as_chunks());
        match bias.map(|bias| bias.as_chunks()) {
            Some((biases, bias)) => {
                for (((to, from), scale), bias) in to.iter_mut().zip(from).zip(scales).zip(biases) {
                    ((F32x4::load(from) - means) * inverses * F32x4::load(scale) + F32x4::load(bias)).store(to);
                }
                for (((y, x), scale), bias) in last.iter_mut().zip(rest).zip(scale).zip(bias) {
                    *y = (x - mean) * inverse * scale + bias;
                }
            }
            None => {
                for ((to, from), scale) in to.iter_mut().zip(from).zip(scales) {
                    ((F32x4::load(from) - means) * inverses * F32x4::load(scale)).store(to);
                }
                for ((y, x), scale) in last.iter_mut().zip(rest).zip(scale) {
                    *y = (x - mean) * inverse * scale;
                }
            }
        }
    }
}

/// Sum of the squared distances to the mean.
fn squares(x: &[f32], mean: f32) -> f32 {
    let (quads, rest) = x.as_chunks();
    let lanes = quads.iter().fold(F32x4::splat(0.0), |sum, quad| {
        let d = F32x4::load(quad) - F32x4::splat(mean);
        sum + d * d
    });
    rest.iter().fold(lanes.sum(), |sum, v| sum + (v - mean) * (v - mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rows_of_all_lengths() {
        for count in (1..20).chain([384, 770]) {
            let x: Vec<f32> = (0..3 * count).map(|i| (i * 29 % 97) as f32 * 0.1 + 3.0).collect();
            let scale: Vec<f32> = (0..count).map(|i| 1.0 + i as f32 * 0.01).collect();
            let bias: Vec<f32> = (0..count).map(|i| i as f32 * 0.1 - 2.0).collect();
            let (mut y, mut plain) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            layer_norm(&x, &mut y, &scale, Some(&bias), 1e-3);
            layer_norm(&x, &mut plain, &scale, None, 1e-3);
            for (r, row) in x.chunks(count).enumerate() {
                let mean = row.iter().map(|&v| v as f64).sum::<f64>() / count as f64;
                let variance = row.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / count as f64;
                for (i, &x) in row.iter().enumerate() {
                    let expected = (x as f64 - mean) / (variance + 1e-3).sqrt() * scale[i] as f64;
                    assert!((plain[r * count + i] as f64 - expected).abs() < 2e-5);
                    assert!((y[r * count + i] as f64 - expected - bias[i] as f64).abs() < 2e-5);
                }
            }
        }
    }
}
