//! Quantized arithmetic for the operators that tract executes: any signedness, any zero point, channels first, operands
//! that may be computed. What the engine executes has kernels of its own, in [`crate::kernels`].

pub mod average_pool;
pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod matmul;
pub mod softmax;
