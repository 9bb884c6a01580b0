//! Softmax over quanta, computed in f32.

use crate::kernels::quantize::{Params, Quantum, quantize};

/// Softmax of `count` elements, `stride` apart, starting at `first`. The exponentials are taken of differences to the
/// largest element, so they lie in (0, 1].
pub fn softmax<Q: Quantum>(x: &[Q], y: &mut [Q], first: usize, count: usize, stride: usize, from: Params, to: Params) {
    let quanta = || (0..count).map(|i| Into::<i32>::into(x[first + i * stride]));
    let Some(max) = quanta().max() else { return };
    let exp = |q: i32| ((q - max) as f32 * from.scale).exp();
    let sum: f32 = quanta().map(exp).sum();
    for i in 0..count {
        let at = first + i * stride;
        y[at] = quantize(exp(x[at].into()) / sum, to);
    }
}
