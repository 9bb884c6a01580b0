//! Quantized arithmetic on plain slices.
//!
//! Kernels know shapes, scales and zero points, never plans, graphs or JavaScript. What each computes, in integers, is
//! written down in `docs/numerics.md`; the functions here are that definition in code.

pub mod average_pool;
pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod matmul;
pub mod quantize;
pub mod softmax;
