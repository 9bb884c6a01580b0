//! Arithmetic on plain slices: what the engine's steps compute.
//!
//! Kernels know shapes, scales and zero points, never plans, graphs or JavaScript. What each computes, in integers, is
//! written down in `docs/numerics.md`.

pub mod conv;
pub mod isa;
pub mod quantize;
mod types;

pub use types::*;
