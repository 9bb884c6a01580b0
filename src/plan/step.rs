//! What a plan does: steps and their parameters.
//!
//! **Quanta.** Every 8-bit quantized activation is `Uint8` inside a plan, every 8-bit weight `Int8`: what the model holds
//! the other way is shifted by 128 together with its zero point ([`Operation::Table`] does it at the borders), which
//! changes no difference `q - zero point`. So kernels know one pair of types.
//!
//! **Layout.** A value is a dense array; the shape in its fact is that of the array as it lies in memory. Images are
//! channels last (`[n, h, w, c]`), whatever the model declares. Steps carry the sizes and strides that they need, in
//! elements; the same bytes may be read under another shape.
//!
//! `docs/numerics.md` says what each operation computes.

use serde::{Deserialize, Serialize};

use super::{ConstantId, ValueId};
pub use crate::kernels::{
    Axis, FloatBinary, FloatUnary, NumberBinary, Numbers, Quantization, QuantizedBinary, Reduction, Rows, Window,
};
use crate::tensor::DataType;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The model's name for the node, or the last node of the group, that it computes.
    pub node: String,
    /// Operator of that node, as ONNX calls it; `Transpose` and so on for steps that the compiler added.
    pub op_type: String,
    /// What is computed.
    pub operation: Operation,
}

/// Zero point of the activations of a product.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ZeroPoint {
    /// Known when compiling.
    Fixed(u8),
    /// Found while running: a value of two `Float32`, the scale and the zero point of [`Operation::DynamicQuantize`].
    /// The scale joins the multipliers of [`Finish::Float`].
    Dynamic(ValueId),
}

/// From exact 32-bit sums to results; `n` is the output channel or column. Lists have one element or one for each `n`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Finish {
    /// `Uint8`: `clamp(rint(f32(sum + bias[n]) * multiplier[n]) + zero_point, low, high)`.
    Quantized {
        /// `Float32`, finite.
        multipliers: ConstantId,
        /// Of the result.
        zero_point: u8,
        /// Smallest quantum, from a fused activation; else 0.
        low: u8,
        /// Largest quantum; else 255.
        high: u8,
    },
    /// `Float32`: `clamp(f32(sum + bias[n]) * multiplier[n] + addend[n], low, high)`. With [`ZeroPoint::Dynamic`] the
    /// multiplier is `scale * multiplier[n]`, rounded.
    Float {
        /// `Float32`, finite.
        multipliers: ConstantId,
        /// `Float32`, a bias in real numbers.
        addend: Option<ConstantId>,
        /// From a fused activation; else negative infinity.
        low: f32,
        /// Else infinity.
        high: f32,
    },
    /// `Int32`: `sum + bias[n]`.
    Integer,
}

/// A convolution with constant weights; a product with a constant matrix is one of `[1, rows, 1, k]` with a 1 x 1 kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// `Uint8`, `[n, h, w, c]`.
    pub x: ValueId,
    /// Result; type by `finish`. Element `(position, channel)` of `[n, oh, ow, channels]` goes to
    /// `position * row_stride + column + channel`.
    pub y: ValueId,
    /// Elements between neighbouring positions: `channels`, or more where `y` is a join of several results.
    pub row_stride: usize,
    /// First channel in `y`: 0, or more in a join.
    pub column: usize,
    /// Sizes.
    pub window: Window,
    /// Output channels.
    pub channels: usize,
    /// Input and output channels are split into as many independent parts.
    pub groups: usize,
    /// Of `x`.
    pub zero_point: ZeroPoint,
    /// `Int8`, `[channels][kh][kw][c / groups]`.
    pub weights: ConstantId,
    /// Of the weights, 1 or `channels` of them, `Int8`; absent: 0.
    pub weight_zero_points: Option<ConstantId>,
    /// `Int32`, `[channels]`.
    pub bias: Option<ConstantId>,
    /// What becomes of the sums.
    pub finish: Finish,
}

/// A convolution of floats with constant weights: `clamp(conv(x) + bias[n], low, high)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloatConv {
    /// `Float32`, `[n, h, w, c]`.
    pub x: ValueId,
    /// `Float32`, dense, `[n, oh, ow, channels]`.
    pub y: ValueId,
    /// Sizes.
    pub window: Window,
    /// Output channels.
    pub channels: usize,
    /// Input and output channels are split into as many independent parts.
    pub groups: usize,
    /// `Float32`, `[channels][kh][kw][c / groups]`.
    pub weights: ConstantId,
    /// `Float32`, `[channels]`.
    pub bias: Option<ConstantId>,
    /// From a fused activation; else negative infinity.
    pub low: f32,
    /// Else infinity.
    pub high: f32,
}

/// A product of two activations, batched: `y[b][m][n] = sum over k of a[b][m][k] * b[b][k][n]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatMul<Kind> {
    /// Left operand.
    pub a: ValueId,
    /// Right operand.
    pub b: ValueId,
    /// Dense, `[batch..., m, n]`.
    pub y: ValueId,
    /// Sizes of the batch dimensions.
    pub batch: Vec<usize>,
    /// Rows.
    pub m: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Steps in `a`, in elements: one for each batch dimension (0 repeats), then for m and k.
    pub a_strides: Vec<usize>,
    /// Steps in `b`: one for each batch dimension, then for k and n.
    pub b_strides: Vec<usize>,
    /// What differs between quanta and floats.
    pub kind: Kind,
}

/// Both operands are `Uint8`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quanta {
    /// Of `a`.
    pub a_zero_point: u8,
    /// Of `b`.
    pub b_zero_point: u8,
    /// What becomes of the sums; no bias.
    pub finish: Finish,
}

/// Both operands are `Float32`; the result is `alpha * sum`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floats {
    /// Factor.
    pub alpha: f32,
}

/// Two operands, broadcast: element `i...` of `y` reads `a` and `b` at the sum of `i * stride`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broadcast {
    /// Left operand.
    pub a: ValueId,
    /// Right operand.
    pub b: ValueId,
    /// Dense, of `shape`.
    pub y: ValueId,
    /// Of the result.
    pub shape: Vec<usize>,
    /// Steps in `a`, in elements, 0 where it is repeated.
    pub a_strides: Vec<usize>,
    /// Steps in `b`.
    pub b_strides: Vec<usize>,
}

/// What a pool does with its window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pooling {
    /// Largest element, of `Uint8` or `Float32`; the value's type says which.
    Max,
    /// Mean of what lies inside, or of the whole window with zeros outside.
    Average {
        /// Types and parameters.
        numbers: Numbers,
        /// Divide by the size of the window, whatever lies inside.
        count_include_pad: bool,
    },
}

/// A strided part of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// First element.
    pub offset: usize,
    /// Steps, in elements, for each dimension of the copy.
    pub strides: Vec<usize>,
}

/// Where the two taps of a linear interpolation lie along one axis, for each output position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taps {
    /// `Uint32` pairs: the lower and the upper source position.
    pub positions: ConstantId,
    /// `Float32` pairs: their weights. Absent for nearest: the lower position is the source.
    pub weights: Option<ConstantId>,
}

/// What a step computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// Have the compiler execute a subgraph that the engine has no steps for.
    Subgraph {
        /// The compiler's number for it.
        id: u32,
        /// Values it reads, in its order.
        inputs: Vec<ValueId>,
        /// Values it writes, in its order.
        outputs: Vec<ValueId>,
    },
    /// See [`Conv`].
    Conv(Conv),
    /// See [`FloatConv`].
    FloatConv(FloatConv),
    /// Product of quantized activations.
    MatMul(MatMul<Quanta>),
    /// Product of float activations.
    FloatMatMul(MatMul<Floats>),
    /// `clamp(a ∘ b, low, high)` of quanta.
    QuantizedBinary {
        /// Which.
        function: QuantizedBinary,
        /// Operands.
        operands: Broadcast,
        /// Of `a`.
        a: Quantization,
        /// Of `b`.
        b: Quantization,
        /// Of `y`.
        y: Quantization,
        /// Smallest quantum, from a fused activation; else 0.
        low: u8,
        /// Largest quantum; else 255.
        high: u8,
    },
    /// `a ∘ b` of floats.
    FloatBinary {
        /// Which.
        function: FloatBinary,
        /// Operands.
        operands: Broadcast,
    },
    /// Element by element, `Float32`.
    FloatUnary {
        /// Which.
        function: FloatUnary,
        /// Input.
        x: ValueId,
        /// Output, may be the same value as the input.
        y: ValueId,
    },
    /// `y = table[x]`, bytes.
    Table {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// 256 bytes.
        table: ConstantId,
    },
    /// `y = table[x]`, `Uint8` to `Float32`.
    FloatTable {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// 256 `Float32`.
        table: ConstantId,
    },
    /// `Float32` to `Uint8`: `QuantizeLinear`.
    Quantize {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// `Float32`, `axis.count` of them.
        scales: ConstantId,
        /// `Uint8`, `axis.count` of them.
        zero_points: ConstantId,
        /// Which element has which parameters.
        axis: Axis,
    },
    /// `Uint8` or `Int32` to `Float32`: `DequantizeLinear`.
    Dequantize {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// `Float32`, `axis.count` of them.
        scales: ConstantId,
        /// Of the input's type, `axis.count` of them; absent: 0.
        zero_points: Option<ConstantId>,
        /// Which element has which parameters.
        axis: Axis,
    },
    /// `Float32` to `Uint8` with parameters found on the way: `DynamicQuantizeLinear`.
    DynamicQuantize {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// Two `Float32`: scale and zero point.
        parameters: ValueId,
    },
    /// A window that slides over `[n, h, w, c]`.
    Pool {
        /// Input.
        x: ValueId,
        /// Output, `[n, oh, ow, c]`.
        y: ValueId,
        /// Sizes.
        window: Window,
        /// What is computed.
        pooling: Pooling,
    },
    /// Mean along an axis.
    Mean {
        /// Input.
        x: ValueId,
        /// Output, `[outer, inner]`.
        y: ValueId,
        /// Sizes.
        rows: Rows,
        /// Types and parameters.
        numbers: Numbers,
    },
    /// Softmax along an axis.
    Softmax {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// Sizes.
        rows: Rows,
        /// Types and parameters.
        numbers: Numbers,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` along the last axis, `Float32`.
    LayerNorm {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// `Float32`, `[count]`.
        scale: ConstantId,
        /// `Float32`, `[count]`.
        bias: Option<ConstantId>,
        /// How many.
        outer: usize,
        /// Length of the axis.
        count: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Moves elements: slices, joins, transposes, repeats. What of `y` no copy writes keeps its contents.
    Copy {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// How many elements to move along each dimension.
        shape: Vec<usize>,
        /// Where from.
        from: View,
        /// Where to.
        to: View,
        /// 256 bytes that every byte is looked up in on the way, for parts with other quantization.
        table: Option<ConstantId>,
    },
    /// Sets every element.
    Fill {
        /// Output.
        y: ValueId,
        /// One element, little-endian, as many bytes as `y`'s type has.
        value: Vec<u8>,
    },
    /// `y[o][i][..] = x[o][indices[i]][..]`; negative indices count from the end.
    Gather {
        /// Input.
        x: ValueId,
        /// `Int32` or `Int64`.
        indices: ValueId,
        /// Output.
        y: ValueId,
        /// Sizes of `x`; `inner` in elements.
        rows: Rows,
        /// How many indices.
        indices_count: usize,
    },
    /// Resizes the two spatial dimensions of `[n, h, w, c]`: separable taps along both.
    Resize {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// Of the input.
        input: [usize; 4],
        /// Height and width of the output.
        output: [usize; 2],
        /// Along the height.
        vertical: Taps,
        /// Along the width.
        horizontal: Taps,
        /// Types and parameters; nearest neighbours copy elements and need none.
        numbers: Numbers,
    },
    /// Between number types, as ONNX's `Cast`.
    Cast {
        /// Input.
        x: ValueId,
        /// Output.
        y: ValueId,
        /// Type of the input.
        from: DataType,
        /// Type of the output.
        to: DataType,
    },
    /// `condition ? a : b`; one byte a condition, elements of 1 or 4 bytes.
    Where {
        /// `Bool`.
        condition: ValueId,
        /// Steps in the condition.
        condition_strides: Vec<usize>,
        /// Operands.
        operands: Broadcast,
    },
    /// `a ∘ b` of numbers of one type, `Bool` included; the result has that type too, or is `Bool`. `Float32` is compared
    /// only.
    NumberBinary {
        /// Which.
        function: NumberBinary,
        /// Operands.
        operands: Broadcast,
    },
    /// Reduces an axis of numbers.
    Reduce {
        /// Input.
        x: ValueId,
        /// Output, `[outer, inner]`; `Int64` where it says places, else of the input's type.
        y: ValueId,
        /// Sizes.
        rows: Rows,
        /// What is computed.
        function: Reduction,
    },
    /// The largest or the smallest elements of rows, in order, and where they are.
    TopK {
        /// Input, `Float32`, `[outer, count]`.
        x: ValueId,
        /// `Float32`, `[outer, k]`.
        values: ValueId,
        /// `Int64`, `[outer, k]`.
        places: ValueId,
        /// Rows.
        outer: usize,
        /// Length of a row.
        count: usize,
        /// How many, at most `count`.
        k: usize,
        /// The largest ones.
        largest: bool,
    },
}
