//! From a model's outputs to what they mean.

mod classify;

pub use classify::{Activation, Class, ClassifySpec, classify, classify_smoothed};
