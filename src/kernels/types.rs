//! Parameters of kernels; plans hold them as they are.

use serde::{Deserialize, Serialize};

/// Scale and zero point of quanta: `real = (q - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Positive and finite.
    pub scale: f32,
    /// In the range of `Uint8`.
    pub zero_point: u8,
}

/// A window that slides over the two spatial dimensions of `[n, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Batch, height, width, channels of the input.
    pub input: [usize; 4],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Size.
    pub kernel: [usize; 2],
    /// Step between two windows.
    pub strides: [usize; 2],
    /// Step between two taps of a window.
    pub dilations: [usize; 2],
    /// Rows above and columns left of the input. What lies outside on the other sides follows from `output`.
    pub pads: [usize; 2],
}

/// Arithmetic of two quantized operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuantizedBinary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
}

/// Arithmetic of two `Float32` operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FloatBinary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    /// `a < 0 ? a * b : a`
    PRelu,
}

/// Arithmetic, comparison or logic of two numbers of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum NumberBinary {
    Add,
    Sub,
    Mul,
    /// Towards zero.
    Div,
    /// What is left of a division towards minus infinity: it has the sign of the divisor.
    Mod,
    Min,
    Max,
    And,
    Or,
    Xor,
    Equal,
    Less,
    LessOrEqual,
}

impl NumberBinary {
    /// Whether the result has the operands' type; otherwise it is `Bool`.
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Min | Self::Max)
    }

    /// Whether operands are compared, which works for floats too.
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::Less | Self::LessOrEqual)
    }
}

/// What becomes of the elements along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduction {
    /// They are added up.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Where the largest is: the first of equal ones, or the last. `Int64`.
    ArgMax {
        /// The last of equal ones.
        last: bool,
    },
    /// Where the smallest is. `Int64`.
    ArgMin {
        /// The last of equal ones.
        last: bool,
    },
}

/// A function of one `Float32`, as ONNX defines the operator of that name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FloatUnary {
    Abs,
    Ceil,
    /// `min(max(x, low), high)`; Relu is `Clip` from 0.
    Clip {
        low: f32,
        high: f32,
    },
    Elu {
        alpha: f32,
    },
    Erf,
    Exp,
    Floor,
    Gelu,
    GeluTanh,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    LeakyRelu {
        alpha: f32,
    },
    Log,
    Neg,
    Reciprocal,
    Round,
    Sigmoid,
    /// `x * sigmoid(alpha * x)`
    Swish {
        alpha: f32,
    },
    Softplus,
    Sqrt,
    Tanh,
}

/// How elements of an axis map to parameters: element `i` of a dense array has those of `i / inner % count`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// How many parameters; 1 for the whole tensor.
    pub count: usize,
    /// Elements behind each step of the axis.
    pub inner: usize,
}

/// A dense array seen as three dimensions, of which something is done along the middle one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// How many independent blocks.
    pub outer: usize,
    /// Length of the axis.
    pub count: usize,
    /// Elements behind each step of the axis.
    pub inner: usize,
}

/// Parameters of [`QuantizedBinary`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BinaryQuantization {
    /// Of the left operand.
    pub a: Quantization,
    /// Of the right operand.
    pub b: Quantization,
    /// Of the result.
    pub y: Quantization,
    /// Smallest quantum of the result.
    pub low: u8,
    /// Largest quantum of the result.
    pub high: u8,
}

/// A type of numbers in memory, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NumberType {
    Float32,
    Int32,
    Int64,
    Uint8,
    Int8,
    /// One byte, 0 or 1; every other value counts as 1.
    Bool,
}

/// What pooling and means work on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Numbers {
    /// `Float32` to `Float32`.
    Float,
    /// `Uint8` to `Uint8`, requantized.
    Quantized {
        /// Of the input.
        from: Quantization,
        /// Of the output.
        to: Quantization,
    },
}
