//! The bias of a convolution or a matrix product.

use super::graph::Graph;
use super::quantization::Dequantized;
use crate::compiler::onnx::raw_tensor;
use crate::tensor::DataType;

/// Relative distance up to which a bias's scale counts as the product of the other two, computed elsewhere.
const SCALE_TOLERANCE: f32 = 1e-5;

/// A constant bias: its quanta, where it has any, and its numbers.
struct Bias {
    /// Name of int32 quanta with the zero point 0, and their scales.
    quanta: Option<(String, Vec<f32>)>,
    /// In float64.
    values: Vec<f64>,
    /// As `DequantizeLinear` computes them.
    floats: Vec<f32>,
    dims: Vec<i64>,
}

impl Bias {
    /// One value for each output channel or column, along the last dimension (`trailing`) or whichever is not 1.
    fn of(graph: &mut Graph, name: &str) -> Option<Self> {
        let Some(bias) = graph.dequantized(name) else {
            let floats = graph.constant_f32(name)?;
            let dims = graph.constant_dims(name)?.to_vec();
            return Some(Self { quanta: None, values: floats.iter().map(|&v| v.into()).collect(), floats, dims });
        };
        let quanta = graph.constant_i32(&bias.quanta)?;
        let dims = graph.constant_dims(&bias.quanta)?.to_vec();
        if ![1, quanta.len()].contains(&bias.scales.len()) {
            return None;
        }
        let at = |i: usize| if bias.per_tensor() { 0 } else { i };
        let difference = |i: usize, q: i32| q.wrapping_sub(bias.zero_points[at(i)]);
        let number = |(i, &q): (usize, &i32)| f64::from(difference(i, q)) * f64::from(bias.scales[at(i)]);
        let float = |(i, &q): (usize, &i32)| difference(i, q) as f32 * bias.scales[at(i)];
        let plain = bias.data_type == DataType::Int32 && bias.zero_points.iter().all(|&z| z == 0);
        Some(Self {
            values: quanta.iter().enumerate().map(number).collect(),
            floats: quanta.iter().enumerate().map(float).collect(),
            quanta: plain.then_some((bias.quanta, bias.scales)),
            dims,
        })
    }

    /// Whether only the last dimension is longer than 1.
    fn is_row(&self) -> bool {
        self.dims.iter().rev().skip(1).all(|&d| d == 1)
    }
}

/// A bias in units of `alpha * x scale * w scale`, int32, in one dimension.
pub fn in_quanta(graph: &mut Graph, name: &str, x: &Dequantized, w: &Dequantized, alpha: f32) -> Option<String> {
    let bias = Bias::of(graph, name)?;
    let unit = |channel: usize| alpha * x.scales[0] * w.scales[if w.per_tensor() { 0 } else { channel }];
    let count = bias.values.len();
    if !bias.is_row() || !(w.per_tensor() || count == w.scales.len()) {
        return None;
    }
    let given = bias.quanta.filter(|(_, scales)| {
        let scale = |channel: usize| scales[if scales.len() == 1 { 0 } else { channel }];
        (0..count).all(|c| (scale(c) - unit(c)).abs() <= SCALE_TOLERANCE * unit(c).abs())
    });
    let quanta = match given {
        Some((name, _)) if bias.dims.len() == 1 => return Some(name),
        Some((name, _)) => graph.constant_i32(&name)?,
        None => {
            let round = |(c, &v): (usize, &f64)| (v / f64::from(unit(c))).round_ties_even() as i32;
            bias.values.iter().enumerate().map(round).collect()
        }
    };
    let name = graph.fresh("bias");
    graph.add(raw_tensor(name.clone(), &[count], &quanta));
    Some(name)
}

/// A bias in real numbers, one for each of `count` output channels or columns; its dimensions, other than `at`
/// counted from the end, are 1.
pub fn in_numbers(graph: &mut Graph, name: &str, count: usize, at: usize) -> Option<String> {
    let bias = Bias::of(graph, name)?;
    let own = bias.dims.len().checked_sub(at + 1)?;
    let fits = bias.dims.iter().enumerate().all(|(d, &n)| n == if d == own { count as i64 } else { 1 });
    if !fits {
        return None;
    }
    let name = graph.fresh("bias");
    graph.add(raw_tensor(name.clone(), &[count], &bias.floats));
    Some(name)
}

/// Rank and number of elements of a bias that is added by a node of its own, if it is a constant.
pub fn shape(graph: &mut Graph, name: &str) -> Option<Vec<i64>> {
    Some(Bias::of(graph, name)?.dims)
}
