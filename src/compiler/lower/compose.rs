//! Operators that become several steps: rarer activations and normalisations.

use tract_onnx::pb::NodeProto;

use super::elementwise::{broadcast, chosen};
use super::{Lowering, Value};
use crate::compiler::onnx::{attribute, resolve_axis};
use crate::kernels::{FloatBinary, FloatUnary, NumberBinary, Numbers, Reduction, Window};
use crate::plan::{Operation, Pooling};
use crate::tensor::DataType;

impl Lowering<'_> {
    /// A name for a value that the model has none for.
    pub fn unnamed(&self) -> String {
        format!("tractlet.value.{}", self.facts.len())
    }

    /// A function of a float.
    pub fn unary(&mut self, function: FloatUnary, x: &Value) -> Value {
        let y = self.output(&self.unnamed(), DataType::Float32, &x.shape, &x.order, false);
        self.step(Operation::FloatUnary { function, x: x.id, y: y.id });
        y
    }

    /// A function of two floats, broadcast.
    pub fn binary(&mut self, function: FloatBinary, a: &Value, b: &Value) -> Option<Value> {
        let name = self.unnamed();
        let operands = broadcast(self, &name, DataType::Float32, a, b)?;
        self.step(Operation::FloatBinary { function, operands });
        self.value(&name)
    }

    /// A constant float.
    pub fn number(&mut self, number: f32) -> Value {
        let id = self.constant_list(&[number], &[]);
        Value::plain(id, DataType::Float32, &[])
    }

    fn float_input(&mut self, node: &NodeProto) -> Option<Value> {
        self.input(node, 0).filter(|x| x.data_type == DataType::Float32)
    }
}

/// Of one float: Celu, Mish, Selu, Softsign, ThresholdedRelu.
pub fn activation(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.float_input(node)?;
    let parameter = |name: &str, default: f32| attribute(node, name).map_or(default, |a| a.f);
    let y = match node.op_type.as_str() {
        "Celu" => {
            let alpha = parameter("alpha", 1.0);
            if alpha == 0.0 || !alpha.is_finite() {
                return None;
            }
            let alpha = l.number(alpha);
            let part = l.binary(FloatBinary::Div, &x, &alpha)?;
            let elu = l.unary(FloatUnary::Elu { alpha: 1.0 }, &part);
            l.binary(FloatBinary::Mul, &elu, &alpha)?
        }
        "Selu" => {
            let elu = l.unary(FloatUnary::Elu { alpha: parameter("alpha", 1.673_263_2) }, &x);
            let gamma = l.number(parameter("gamma", 1.050_701));
            l.binary(FloatBinary::Mul, &elu, &gamma)?
        }
        "Mish" => {
            let plus = l.unary(FloatUnary::Softplus, &x);
            let tanh = l.unary(FloatUnary::Tanh, &plus);
            l.binary(FloatBinary::Mul, &x, &tanh)?
        }
        "Softsign" => {
            let (size, one) = (l.unary(FloatUnary::Abs, &x), l.number(1.0));
            let more = l.binary(FloatBinary::Add, &size, &one)?;
            l.binary(FloatBinary::Div, &x, &more)?
        }
        _ => {
            // Larger than alpha, or 0.
            let (alpha, zero) = (l.number(parameter("alpha", 1.0)), l.number(0.0));
            let name = l.unnamed();
            let operands = broadcast(l, &name, DataType::Bool, &alpha, &x)?;
            l.step(Operation::NumberBinary { function: NumberBinary::Less, operands });
            let condition = l.value(&name)?;
            return chosen(l, node.output.first()?, &condition, &x, &zero, DataType::Float32);
        }
    };
    l.alias(node.output.first()?, y);
    Some(())
}

/// `x - max - log(sum(exp(x - max)))`. Before opset 13 all dimensions from the axis on are one.
pub fn log_softmax(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.float_input(node)?;
    let coerced = l.opset < 13;
    let rank = x.shape.len();
    let axis = resolve_axis(attribute(node, "axis").map_or(if coerced { 1 } else { -1 }, |a| a.i), rank)?;
    let axes: Vec<usize> = if coerced { (axis..rank).collect() } else { vec![axis] };
    let largest = l.reduce_over(&l.unnamed(), &x, &axes, true, Reduction::Max)?;
    let less = l.binary(FloatBinary::Sub, &x, &largest)?;
    let powers = l.unary(FloatUnary::Exp, &less);
    let sum = l.reduce_over(&l.unnamed(), &powers, &axes, true, Reduction::Sum)?;
    let log = l.unary(FloatUnary::Log, &sum);
    let y = l.binary(FloatBinary::Sub, &less, &log)?;
    l.alias(node.output.first()?, y);
    Some(())
}

/// InstanceNormalization, which has a group for each channel, and GroupNormalization: `(x - mean) / sqrt(variance +
/// epsilon)` over the channels of a group and all positions, times a scale, plus a bias.
pub fn group_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.float_input(node)?;
    let rank = x.shape.len();
    let channels = *x.shape.get(1)?;
    let groups = match node.op_type.as_str() {
        "GroupNormalization" => usize::try_from(attribute(node, "num_groups")?.i).ok()?,
        _ => channels,
    };
    if rank < 3 || groups == 0 || !channels.is_multiple_of(groups) || x.len() == 0 {
        return None;
    }
    let [scale, bias] = [1, 2].map(|i| l.floats(node, i));
    let by_channel = |list: Option<Vec<f32>>| {
        let list = list?;
        match list.len() {
            n if n == channels => Some(list),
            // Before opset 21 there was one for each group.
            n if n == groups => Some(list.iter().flat_map(|&v| vec![v; channels / groups]).collect()),
            _ => None,
        }
    };
    let (scale, bias) = (by_channel(scale)?, by_channel(bias)?);
    let epsilon = l.number(attribute(node, "epsilon").map_or(1e-5, |a| a.f));
    // As [n, group, channel of the group, positions...], in whatever order the dimensions lie.
    let mut shape = vec![x.shape[0], groups, channels / groups];
    shape.extend(&x.shape[2..]);
    let order =
        x.order.iter().flat_map(|&d| if d == 1 { vec![1, 2] } else { vec![if d > 1 { d + 1 } else { d }] }).collect();
    let grouped = Value { shape, order, ..x.clone() };
    let positions: Vec<usize> = (3..rank + 1).collect();
    // Channels have equally many positions, so the mean of their means is the mean of the group.
    let mean_of = |l: &mut Lowering, x: &Value| {
        let mean = l.mean_over(&l.unnamed(), x, &positions)?;
        if channels == groups { Some(mean) } else { l.mean_over(&l.unnamed(), &mean, &[2]) }
    };
    let mean = mean_of(l, &grouped)?;
    let centred = l.binary(FloatBinary::Sub, &grouped, &mean)?;
    let squares = l.binary(FloatBinary::Mul, &centred, &centred)?;
    let variance = mean_of(l, &squares)?;
    let more = l.binary(FloatBinary::Add, &variance, &epsilon)?;
    let deviation = l.unary(FloatUnary::Sqrt, &more);
    let mut dims = vec![1; rank + 1];
    (dims[1], dims[2]) = (groups, channels / groups);
    let constant = |l: &mut Lowering, list: &[f32]| {
        let id = l.constant_list(list, &dims);
        Value::plain(id, DataType::Float32, &dims)
    };
    let (scale, bias) = (constant(l, &scale), constant(l, &bias));
    let factor = l.binary(FloatBinary::Div, &scale, &deviation)?;
    let scaled = l.binary(FloatBinary::Mul, &centred, &factor)?;
    let y = l.binary(FloatBinary::Add, &scaled, &bias)?;
    // Both channel dimensions lie side by side, as they did in x.
    let order: Vec<usize> = y.order.iter().filter(|&&d| d != 2).map(|&d| if d > 2 { d - 1 } else { d }).collect();
    if y.order != grouped.order {
        return None;
    }
    l.alias(node.output.first()?, Value { shape: x.shape, order, ..y });
    Some(())
}

/// `x / (bias + alpha / size * sum of squares of the neighbouring channels) ^ beta`.
pub fn local_response_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.float_input(node)?;
    let x = l.plain(&x)?;
    let channels = *x.shape.get(1)?;
    let size = usize::try_from(attribute(node, "size")?.i).ok().filter(|s| (1..1 << 20).contains(s))?;
    if x.len() == 0 {
        return None;
    }
    let inner = x.shape[2..].iter().product();
    let squares = l.binary(FloatBinary::Mul, &x, &x)?;
    let means = l.output(&l.unnamed(), DataType::Float32, &x.shape, &x.order, false);
    // The mean over the whole window, with zeros outside: the sum divided by the size.
    let window = Window {
        input: [x.shape[0], channels, 1, inner],
        output: [channels, 1],
        kernel: [size, 1],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [(size - 1) / 2, 0],
    };
    let pooling = Pooling::Average { numbers: Numbers::Float, count_include_pad: true };
    l.step(Operation::Pool { x: squares.id, y: means.id, window, pooling });
    let parameter = |name: &str, default: f32| attribute(node, name).map_or(default, |a| a.f);
    let [alpha, beta, bias] =
        [("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)].map(|(name, default)| l.number(parameter(name, default)));
    let scaled = l.binary(FloatBinary::Mul, &means, &alpha)?;
    let more = l.binary(FloatBinary::Add, &scaled, &bias)?;
    let power = l.binary(FloatBinary::Pow, &more, &beta)?;
    let y = l.binary(FloatBinary::Div, &x, &power)?;
    l.alias(node.output.first()?, y);
    Some(())
}

/// `x / norm`, the norm being the sum of sizes or the root of the sum of squares.
pub fn lp_normalization(l: &mut Lowering, node: &NodeProto) -> Option<()> {
    let x = l.float_input(node)?;
    let axis = resolve_axis(attribute(node, "axis").map_or(-1, |a| a.i), x.shape.len())?;
    let p = attribute(node, "p").map_or(2, |a| a.i);
    let parts = match p {
        1 => l.unary(FloatUnary::Abs, &x),
        2 => l.binary(FloatBinary::Mul, &x, &x)?,
        _ => return None,
    };
    let sum = l.reduce_over(&l.unnamed(), &parts, &[axis], true, Reduction::Sum)?;
    let norm = if p == 2 { l.unary(FloatUnary::Sqrt, &sum) } else { sum };
    let y = l.binary(FloatBinary::Div, &x, &norm)?;
    l.alias(node.output.first()?, y);
    Some(())
}
