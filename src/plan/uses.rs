//! Which values a step reads and writes.

use super::{Operation, Step, ValueId, ZeroPoint};

impl Step {
    /// The values it reads.
    pub fn reads(&self) -> Vec<ValueId> {
        match &self.operation {
            Operation::Subgraph { inputs, .. } => inputs.clone(),
            Operation::Conv(conv) => match conv.zero_point {
                ZeroPoint::Fixed(_) => vec![conv.x],
                ZeroPoint::Dynamic(parameters) => vec![conv.x, parameters],
            },
            Operation::FloatConv(conv) => vec![conv.x],
            Operation::MatMul(product) => vec![product.a, product.b],
            Operation::FloatMatMul(product) => vec![product.a, product.b],
            Operation::QuantizedBinary { operands, .. }
            | Operation::FloatBinary { operands, .. }
            | Operation::NumberBinary { operands, .. } => vec![operands.a, operands.b],
            Operation::Gather { x, indices, .. } => vec![*x, *indices],
            Operation::Where { condition, operands, .. } => vec![*condition, operands.a, operands.b],
            Operation::Fill { .. } => vec![],
            Operation::FloatUnary { x, .. }
            | Operation::Table { x, .. }
            | Operation::FloatTable { x, .. }
            | Operation::Quantize { x, .. }
            | Operation::Dequantize { x, .. }
            | Operation::DynamicQuantize { x, .. }
            | Operation::Pool { x, .. }
            | Operation::Mean { x, .. }
            | Operation::Reduce { x, .. }
            | Operation::TopK { x, .. }
            | Operation::Softmax { x, .. }
            | Operation::LayerNorm { x, .. }
            | Operation::Copy { x, .. }
            | Operation::Resize { x, .. }
            | Operation::Cast { x, .. } => vec![*x],
        }
    }

    /// The values it writes.
    pub fn writes(&self) -> Vec<ValueId> {
        match &self.operation {
            Operation::Subgraph { outputs, .. } => outputs.clone(),
            Operation::Conv(conv) => vec![conv.y],
            Operation::FloatConv(conv) => vec![conv.y],
            Operation::MatMul(product) => vec![product.y],
            Operation::FloatMatMul(product) => vec![product.y],
            Operation::QuantizedBinary { operands, .. }
            | Operation::FloatBinary { operands, .. }
            | Operation::NumberBinary { operands, .. }
            | Operation::Where { operands, .. } => vec![operands.y],
            Operation::TopK { values, places, .. } => vec![*values, *places],
            Operation::DynamicQuantize { y, parameters, .. } => vec![*y, *parameters],
            Operation::Gather { y, .. }
            | Operation::Fill { y, .. }
            | Operation::FloatUnary { y, .. }
            | Operation::Table { y, .. }
            | Operation::FloatTable { y, .. }
            | Operation::Quantize { y, .. }
            | Operation::Dequantize { y, .. }
            | Operation::Pool { y, .. }
            | Operation::Mean { y, .. }
            | Operation::Reduce { y, .. }
            | Operation::Softmax { y, .. }
            | Operation::LayerNorm { y, .. }
            | Operation::Copy { y, .. }
            | Operation::Resize { y, .. }
            | Operation::Cast { y, .. } => vec![*y],
        }
    }
}
