//! Discrete Fourier transforms of any length, with the interface of the crate of this name as far as tract uses it.
//!
//! A length is split by its small prime factors (Cooley and Tukey); what is left is turned into a convolution whose length
//! is a power of two (Bluestein). Everything is computed in double precision, whatever the type of the numbers.

use std::f64::consts::TAU;
use std::marker::PhantomData;
use std::sync::Arc;

pub use num_complex;
pub use num_traits;

use num_complex::Complex;
use num_traits::{FromPrimitive, Signed, ToPrimitive};

type Number = Complex<f64>;

/// Up to this prime factor the definition is quick enough.
const LARGEST_FACTOR: usize = 61;

/// Numbers that can be transformed: `f32` and `f64`.
pub trait FftNum: Copy + FromPrimitive + ToPrimitive + Signed + Send + Sync + 'static {}

impl<T: Copy + FromPrimitive + ToPrimitive + Signed + Send + Sync + 'static> FftNum for T {}

/// Which transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FftDirection {
    /// With the exponent -2 pi i j k / n.
    Forward,
    /// With the exponent 2 pi i j k / n, not divided by n.
    Inverse,
}

/// Makes transforms.
pub struct FftPlanner<T>(PhantomData<T>);

impl<T: FftNum> FftPlanner<T> {
    /// There is nothing to be remembered between two transforms.
    #[allow(clippy::new_without_default, reason = "the interface has no more")]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// A transform of this length.
    pub fn plan_fft(&mut self, len: usize, direction: FftDirection) -> Arc<Fft<T>> {
        Arc::new(Fft { plan: Plan::new(len, direction), numbers: PhantomData })
    }

    /// A forward transform of this length.
    pub fn plan_fft_forward(&mut self, len: usize) -> Arc<Fft<T>> {
        self.plan_fft(len, FftDirection::Forward)
    }
}

/// A transform of one length and direction.
pub struct Fft<T> {
    plan: Plan,
    numbers: PhantomData<T>,
}

impl<T: FftNum> Fft<T> {
    /// Transforms every `len` numbers of the buffer, of which there have to be a multiple.
    pub fn process(&self, buffer: &mut [Complex<T>]) {
        let len = self.plan.roots.len();
        if len == 0 {
            return;
        }
        assert!(buffer.len().is_multiple_of(len), "{} numbers cannot be split into transforms of {len}", buffer.len());
        let to = |x: T| x.to_f64().unwrap_or(f64::NAN);
        // Of the two types there are, neither fails.
        let from = |x: f64| T::from_f64(x).unwrap_or_else(T::zero);
        let mut output = vec![Number::default(); len];
        for part in buffer.chunks_exact_mut(len) {
            let input: Vec<Number> = part.iter().map(|x| Complex::new(to(x.re), to(x.im))).collect();
            self.plan.transform(&input, 1, &mut output);
            for (x, y) in part.iter_mut().zip(&output) {
                *x = Complex::new(from(y.re), from(y.im));
            }
        }
    }
}

struct Plan {
    direction: FftDirection,
    /// The n-th roots of unity.
    roots: Vec<Number>,
}

impl Plan {
    fn new(len: usize, direction: FftDirection) -> Self {
        Self { direction, roots: (0..len).map(|k| root(k as u64, len as u64, direction)).collect() }
    }

    /// Of every `stride`-th number of `input`; `output` says how many.
    fn transform(&self, input: &[Number], stride: usize, output: &mut [Number]) {
        self.split(input, stride, output, &mut [Number::default(); LARGEST_FACTOR]);
    }

    /// From `factor` transforms of a `factor`-th of the length.
    fn split(&self, input: &[Number], stride: usize, output: &mut [Number], scratch: &mut [Number; LARGEST_FACTOR]) {
        let len = output.len();
        if len == 1 {
            output[0] = input[0];
            return;
        }
        let factor = smallest_factor(len);
        if factor > LARGEST_FACTOR {
            let part: Vec<Number> = input.iter().step_by(stride).take(len).copied().collect();
            output.copy_from_slice(&convolved(&part, self.direction));
            return;
        }
        let shorter = len / factor;
        for (start, part) in output.chunks_exact_mut(shorter).enumerate() {
            self.split(&input[start * stride..], stride * factor, part, scratch);
        }
        let all = self.roots.len();
        let parts = &mut scratch[..factor];
        for k in 0..shorter {
            for (r, part) in parts.iter_mut().enumerate() {
                *part = output[r * shorter + k] * self.roots[r * k * (all / len)];
            }
            for q in 0..factor {
                output[q * shorter + k] =
                    parts.iter().enumerate().map(|(r, part)| part * self.roots[r * q % factor * (all / factor)]).sum();
            }
        }
    }
}

/// The k-th of the n-th roots of unity.
fn root(k: u64, n: u64, direction: FftDirection) -> Number {
    let angle = TAU * (k % n) as f64 / n as f64;
    Complex::new(angle.cos(), if direction == FftDirection::Forward { -angle.sin() } else { angle.sin() })
}

fn smallest_factor(n: usize) -> usize {
    (2..).take_while(|p| p * p <= n).find(|p| n.is_multiple_of(*p)).unwrap_or(n)
}

/// Bluestein: with j k = (j^2 + k^2 - (k - j)^2) / 2 the transform is a convolution with a chirp.
fn convolved(input: &[Number], direction: FftDirection) -> Vec<Number> {
    let len = input.len();
    let padded = (2 * len - 1).next_power_of_two();
    let chirp: Vec<Number> = (0..len as u64).map(|k| root(k * k, 2 * len as u64, direction)).collect();

    let forward = Plan::new(padded, FftDirection::Forward);
    let spectrum = |values: &[Number]| {
        let mut output = vec![Number::default(); padded];
        forward.transform(values, 1, &mut output);
        output
    };
    let mut signal = vec![Number::default(); padded];
    let mut filter = signal.clone();
    for (k, &c) in chirp.iter().enumerate() {
        signal[k] = input[k] * c;
        filter[k] = c.conj();
        filter[(padded - k) % padded] = c.conj();
    }
    let product: Vec<Number> = spectrum(&signal).iter().zip(spectrum(&filter)).map(|(s, f)| s * f).collect();
    let mut result = vec![Number::default(); padded];
    Plan::new(padded, FftDirection::Inverse).transform(&product, 1, &mut result);
    chirp.iter().zip(&result).map(|(c, r)| c * r / padded as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition.
    fn defined(input: &[Number], direction: FftDirection) -> Vec<Number> {
        let n = input.len() as u64;
        let term = |j: usize, k: u64| input[j] * root(j as u64 * k, n, direction);
        (0..n).map(|k| (0..input.len()).map(|j| term(j, k)).sum()).collect()
    }

    fn noise(len: usize) -> Vec<Number> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        };
        (0..len).map(|_| Complex::new(next(), next())).collect()
    }

    #[test]
    fn every_length_gives_what_the_definition_says() {
        // Small ones, powers, products, primes that are convolved (67, 997), and multiples of such.
        for len in (1..80).chain([81, 128, 134, 160, 400, 512, 603, 997, 1000, 67 * 67]) {
            for direction in [FftDirection::Forward, FftDirection::Inverse] {
                let input = noise(len);
                let mut result = input.clone();
                FftPlanner::<f64>::new().plan_fft(len, direction).process(&mut result);
                for (got, want) in result.iter().zip(defined(&input, direction)) {
                    assert!((got - want).norm() < 1e-11 * len as f64, "{len} {direction:?}: {got}, expected {want}");
                }
            }
        }
    }

    #[test]
    fn there_and_back_in_single_precision() {
        for len in [1, 2, 30, 101, 4096, 10_007] {
            let input: Vec<Complex<f32>> = noise(len).iter().map(|x| Complex::new(x.re as f32, x.im as f32)).collect();
            let mut result = input.clone();
            let mut planner = FftPlanner::<f32>::new();
            planner.plan_fft_forward(len).process(&mut result);
            planner.plan_fft(len, FftDirection::Inverse).process(&mut result);
            for (x, y) in input.iter().zip(&result) {
                assert!((x - y / len as f32).norm() < 1e-6, "{len}: {x}, {y}");
            }
        }
    }

    #[test]
    fn buffers_hold_any_number_of_transforms() {
        let mut planner = FftPlanner::<f64>::new();
        planner.plan_fft_forward(0).process(&mut []);
        let mut twice = [noise(6), noise(6)].concat();
        planner.plan_fft_forward(6).process(&mut twice);
        assert_eq!(twice[..6], twice[6..]);
    }
}
