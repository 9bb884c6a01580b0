//! From QDQ groups to integer operators.
//!
//! A group `DequantizeLinear`s → operator → `QuantizeLinear` means an integer operation; executed literally it is float
//! arithmetic on four times the memory. Here such groups become the operators of the QOperator form (`QLinearConv`,
//! `QLinearMatMul`, `QGemm`, ...) and some of our own, with the meaning that docs/numerics.md gives. What is not
//! recognised stays as it is, and is computed in float between exact conversions.
//!
//! This works on the canonical ONNX graph, before type inference: what it needs to know (element types of quanta,
//! values of scales) is written in the graph itself. In order:
//!
//! 1. [`evaluate`]: constants behind movement and `QuantizeLinear` are computed;
//! 2. [`movement`]: quanta are moved instead of floats, conversions that meet cancel;
//! 3. one file per kind of group: [`linear`], [`operands`], [`reduce`], [`dynamic`];
//! 4. [`table`]: functions of one quantum;
//! 5. [`compose`]: groups that turned out to be functions of one quantum.

mod bias;
mod clamp;
mod compose;
mod dynamic;
mod evaluate;
mod graph;
mod linear;
mod movement;
mod operands;
mod quantization;
mod reduce;
mod table;
#[cfg(test)]
mod tests;

pub use clamp::Clamp;

use tract_onnx::pb::ModelProto;

use super::store::Store;
use graph::Graph;

/// `QLinearConv` with the attributes of [`Clamp`].
pub const CONV: &str = "tractlet.QLinearConv";
/// Inputs: x, w, scales of both, zero points of both, float bias; attributes of `Conv` and of [`Clamp`].
pub const CONV_TO_FLOAT: &str = "tractlet.ConvIntegerToFloat";
/// `QLinearMatMul` with a ninth input, an int32 bias for each column, and the attributes of [`Clamp`].
pub const MATMUL: &str = "tractlet.QLinearMatMul";
/// As [`CONV_TO_FLOAT`]; scale and zero point of x come from a `DynamicQuantizeLinear`.
pub const DYNAMIC_CONV: &str = "tractlet.DynamicConv";
/// As `MatMulIntegerToFloat` with the attributes of [`Clamp`]; scale and zero point of a come from a
/// `DynamicQuantizeLinear`.
pub const DYNAMIC_MATMUL: &str = "tractlet.DynamicMatMul";
/// Inputs: quanta, and 256 bytes, indexed by bit pattern, of the result's type.
pub const TABLE: &str = "tractlet.Table";

/// Replaces every group that is recognised, then drops the nodes that nothing reads any more.
pub fn fuse(model: &mut ModelProto, store: &mut Store) {
    let mut graph = Graph::new(model, std::mem::take(store));
    movement::move_quanta(&mut graph);
    each(&mut graph, group);
    each(&mut graph, table::tabulate);
    each(&mut graph, compose::compose);
    *store = graph.finish(model);
}

/// Calls `f` for every node there is, and leaves out those that have no use afterwards.
fn each(graph: &mut Graph, f: impl Fn(&mut Graph, usize) -> Option<()>) {
    for index in graph.order() {
        f(graph, index);
    }
    graph.prune();
}

/// Replaces the group around a node, if it is one.
fn group(graph: &mut Graph, index: usize) -> Option<()> {
    let fused = match graph.op_type(index) {
        "Conv" => linear::conv(graph, index),
        "MatMul" => linear::matmul(graph, index),
        "Gemm" => linear::gemm(graph, index),
        "ConvInteger" | "MatMulInteger" => dynamic::dynamic(graph, index),
        "Add" | "Sub" | "Mul" => return operands::binary(graph, index),
        "Where" => return operands::select(graph, index),
        "Concat" => return movement::concat(graph, index),
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "Softmax" => return reduce::reduce(graph, index),
        _ => None,
    }?;
    graph.replace(index, fused);
    Some(())
}
