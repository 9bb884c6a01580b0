//! From QDQ groups to integer operators.
//!
//! A group `DequantizeLinear`s → operator → `QuantizeLinear` means an integer operation; executed literally it is float
//! arithmetic on four times the memory. Here such groups become the operators of the QOperator form (`QLinearConv`,
//! `QLinearMatMul`, `QGemm`, ...), with the meaning that onnxruntime gives them (docs/numerics.md). What is not
//! recognised stays as it is, and is computed in float between exact conversions.
//!
//! This works on the canonical ONNX graph, before type inference: what it needs to know (element types of quanta,
//! values of scales) is written in the graph itself.

mod clamp;
mod graph;
mod linear;
mod reduce;
mod sum;

pub use clamp::Clamp;

use tract_onnx::pb::GraphProto;

use graph::Graph;

/// `QLinearConv` with the attributes of [`Clamp`].
pub const CONV: &str = "tractlet.QLinearConv";

/// Replaces every group that is recognised, then drops the nodes that nothing reads any more.
pub fn fuse(proto: &mut GraphProto) {
    let mut graph = Graph::new(proto);
    for index in 0..graph.len() {
        let fused = match graph.op_type(index) {
            "Conv" => linear::conv(&mut graph, index),
            "MatMul" => linear::matmul(&mut graph, index),
            "Gemm" => linear::gemm(&mut graph, index),
            "Add" | "Mul" => sum::binary(&mut graph, index),
            "AveragePool" | "GlobalAveragePool" => reduce::pool(&mut graph, index),
            "ReduceMean" => reduce::reduce_mean(&mut graph, index),
            "Concat" => reduce::concat(&mut graph, index),
            _ => None,
        };
        if let Some(fused) = fused {
            graph.replace(index, fused);
        }
    }
    graph.finish(proto);
}
