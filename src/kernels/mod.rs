//! Arithmetic on plain slices: what the engine's steps compute.
//!
//! Kernels know shapes, scales and zero points, never plans, graphs or JavaScript. What each computes, in integers, is
//! written down in `docs/numerics.md`.

pub mod binary;
pub mod cast;
pub mod conv;
pub mod copy;
pub mod depthwise;
mod eights;
pub mod float_binary;
pub mod float_conv;
pub mod float_gemm;
mod float_tile;
pub mod float_unary;
pub mod gather;
pub mod isa;
mod lanes;
pub mod layer_norm;
pub mod linear;
mod math;
pub mod numbers;
pub mod pool;
pub mod quantize;
pub mod reduce;
pub mod resize;
pub mod softmax;
mod strided;
pub mod table;
pub mod top_k;
mod types;
#[cfg(target_arch = "wasm32")]
mod vectors;
pub mod where_;

pub use strided::Strided;
pub use types::*;
