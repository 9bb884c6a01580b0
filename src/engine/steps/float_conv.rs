//! Convolutions of floats.

use std::sync::Arc;

use super::{Run, first, first_mut, product};
use crate::engine::frame::{elements, elements_mut};
use crate::engine::load::Loader;
use crate::engine::parts::{Cut, Part};
use crate::error::Result;
use crate::kernels::float_conv::{FloatWeights, float_conv as kernel};
use crate::plan::{FloatConv, Source};

/// Positions that reading the weights is worth.
const GOOD_POSITIONS: usize = 60;

struct Convolution {
    plan: FloatConv,
    weights: Arc<FloatWeights>,
    bias: Vec<f32>,
}

pub fn float_conv<S: Source + ?Sized>(plan: &FloatConv, loader: &mut Loader<S>) -> Result<Box<dyn Run>> {
    // Packed alike for every size of input.
    let key = (plan.weights, plan.channels, plan.groups);
    let weights = match loader.cache.float.get(&key) {
        Some(packed) => packed.clone(),
        None => {
            let packed = FloatWeights::pack(&loader.list::<f32>(plan.weights)?, plan.channels, plan.groups);
            loader.cache.float.entry(key).or_insert(Arc::new(packed)).clone()
        }
    };
    Ok(Box::new(Convolution { plan: plan.clone(), weights, bias: loader.optional(plan.bias)? }))
}

impl Convolution {
    fn results(&self) -> usize {
        let FloatConv { window, channels, .. } = &self.plan;
        product(&[window.input[0], window.output[0], window.output[1], *channels])
    }
}

impl Run for Convolution {
    fn cut(&self) -> Option<Cut> {
        let FloatConv { y, window, channels, .. } = &self.plan;
        let positions = product(&[window.input[0], window.output[0], window.output[1]]);
        let row_bytes = channels.saturating_mul(size_of::<f32>());
        Some(Cut::new(*y, positions, row_bytes, self.macs() / 6).good(GOOD_POSITIONS))
    }

    fn rows(&self, part: Part<'_>) -> Result<()> {
        let FloatConv { x, window, channels, low, high, .. } = &self.plan;
        let x = first(elements(part.values.read(*x)?)?, product(&window.input))?;
        let y = first_mut(elements_mut(part.y)?, part.rows.len() * channels)?;
        let bias = Some(&*self.bias).filter(|b| !b.is_empty());
        kernel(x, window, &self.weights, bias, [*low, *high], part.rows, y);
        Ok(())
    }

    fn kernel(&self) -> &'static str {
        "float conv"
    }

    fn macs(&self) -> u64 {
        let FloatConv { window, groups, .. } = &self.plan;
        product(&[self.results(), window.kernel[0], window.kernel[1], window.input[3] / groups]) as u64
    }
}
