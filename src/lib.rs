//! tractlet runs quantized ONNX models inside the web page.
//!
//! Two halves, one crate:
//!
//! * the **compiler** (feature `compiler`) turns ONNX bytes into a [`plan::Plan`], with tract as parser and shape
//!   inference, and executes the parts of a graph that the engine has no step for;
//! * the **engine** (feature `engine`) executes plans, prepares images and reads classification results. It knows
//!   neither tract nor protobuf.
//!
//! On `wasm32` each half is built into a WebAssembly module of its own (see `web`); natively both run in one process,
//! which is what the tests and the command line use.

pub mod error;
pub mod kernels;
pub mod plan;
pub mod tensor;

#[cfg(feature = "compiler")]
pub mod compiler;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod image;
#[cfg(all(feature = "compiler", feature = "engine"))]
pub mod local;
#[cfg(feature = "engine")]
mod settings;
#[cfg(feature = "engine")]
pub mod task;

#[cfg(target_arch = "wasm32")]
pub mod web;

pub use error::{Error, ErrorCode, Result};
pub use tensor::{DataType, Tensor};
