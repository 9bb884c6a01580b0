//! Convolutions of floats.

use std::rc::Rc;

use super::{Run, first, first_mut, product};
use crate::engine::frame::{Frame, elements, elements_mut};
use crate::engine::load::Loader;
use crate::error::Result;
use crate::kernels::float_conv::{FloatWeights, float_conv as kernel};
use crate::plan::{FloatConv, Source};

struct Convolution {
    plan: FloatConv,
    weights: Rc<FloatWeights>,
    bias: Vec<f32>,
}

pub fn float_conv<S: Source + ?Sized>(plan: &FloatConv, loader: &mut Loader<S>) -> Result<Box<dyn Run>> {
    // Packed alike for every size of input.
    let key = (plan.weights, plan.channels, plan.groups);
    let weights = match loader.cache.float.get(&key) {
        Some(packed) => packed.clone(),
        None => {
            let packed = FloatWeights::pack(&loader.list::<f32>(plan.weights)?, plan.channels, plan.groups);
            loader.cache.float.entry(key).or_insert(Rc::new(packed)).clone()
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
    fn run(&self, frame: &mut Frame) -> Result<()> {
        let FloatConv { x, y, window, low, high, .. } = &self.plan;
        let ([x], [y], _) = frame.views([*x], [*y])?;
        let x = first(elements(x)?, product(&window.input))?;
        let y = first_mut(elements_mut(y)?, self.results())?;
        let bias = Some(&*self.bias).filter(|b| !b.is_empty());
        kernel(x, window, &self.weights, bias, [*low, *high], y);
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
