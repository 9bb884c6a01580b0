//! What is known of quanta: the `DequantizeLinear` in front of an operator and the `QuantizeLinear` behind it.

use std::cmp::Ordering;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::graph::{Fused, Graph, is_op, plain};
use super::{Clamp, TABLE};
use crate::compiler::onnx::{attribute, raw_tensor};
use crate::kernels::quantize::Params;
use crate::tensor::DataType;

/// A value behind a `DequantizeLinear` with constant parameters.
#[derive(Clone, Debug)]
pub struct Dequantized {
    /// The quanta.
    pub quanta: String,
    /// Their type.
    pub data_type: DataType,
    /// Name of the scale.
    pub scale: String,
    /// Name of the zero point; made if the node had none.
    pub zero_point: String,
    /// Scales; more than one if per axis.
    pub scales: Vec<f32>,
    /// Zero points, as many.
    pub zero_points: Vec<i32>,
    /// The attribute `axis`.
    pub axis: i64,
}

impl Dequantized {
    /// One scale and zero point for all.
    pub fn per_tensor(&self) -> bool {
        self.scales.len() == 1
    }

    /// 8 bits wide.
    pub fn is_quantum(&self) -> bool {
        matches!(self.data_type, DataType::Uint8 | DataType::Int8)
    }

    /// 8 bits wide, one positive scale for all: the order of quanta is that of the numbers.
    pub fn is_activation(&self) -> bool {
        self.is_quantum() && self.per_tensor() && is_step(self.scales[0])
    }

    /// Scale and zero point of an activation.
    pub fn params(&self) -> Params {
        Params { scale: self.scales[0], zero_point: self.zero_points[0] }
    }

    /// Names of quanta, scale and zero point.
    pub fn names(&self) -> [String; 3] {
        [self.quanta.clone(), self.scale.clone(), self.zero_point.clone()]
    }
}

/// What follows an operator: an activation, if any, and a `QuantizeLinear` with constant per-tensor parameters.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The output of the `QuantizeLinear`.
    pub quanta: String,
    /// Its type.
    pub data_type: DataType,
    /// Name of the scale.
    pub scale: String,
    /// Name of the zero point; made if the node had none.
    pub zero_point: String,
    /// Both.
    pub params: Params,
    /// Bounds of the activation.
    pub clamp: Clamp,
    /// The nodes that the group makes superfluous.
    pub nodes: Vec<usize>,
}

/// A scale with which quanta are finite numbers in the order of the quanta.
fn is_step(scale: f32) -> bool {
    scale > 0.0 && (scale * 255.0).is_finite()
}

impl Graph {
    /// Scale and zero point of a Q or DQ node, both constant: (zero point's name, scales, zero points).
    fn parameters(&mut self, node: &NodeProto, data_type: DataType) -> Option<(String, Vec<f32>, Vec<i32>)> {
        if node.attribute.iter().any(|a| a.name == "block_size" && a.i != 0) {
            return None;
        }
        let scales = self.constant_f32(node.input.get(1)?)?;
        if scales.is_empty() {
            return None;
        }
        match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => {
                let zero_points = self.constant_i32(name)?;
                (zero_points.len() == scales.len()).then(|| (name.clone(), scales, zero_points))
            }
            None => {
                let dims: Vec<i64> = if scales.len() == 1 { vec![] } else { vec![scales.len() as i64] };
                let name = self.fresh("zero_point");
                self.add(TensorProto {
                    raw_data: vec![0; scales.len() * data_type.size()],
                    data_type: data_type as i32,
                    name: name.clone(),
                    dims,
                    ..TensorProto::default()
                });
                let zero_points = vec![0; scales.len()];
                Some((name, scales, zero_points))
            }
        }
    }

    /// The value, if it is dequantized with constant parameters.
    pub fn dequantized(&mut self, name: &str) -> Option<Dequantized> {
        let node = self.node(self.maker(name)?);
        if !is_op(node, "DequantizeLinear") {
            return None;
        }
        let node = node.clone();
        let quanta = node.input.first()?.clone();
        let data_type = match node.input.get(2).filter(|n| !n.is_empty()) {
            Some(zero_point) => DataType::from_onnx(self.constant(zero_point)?.data_type)?,
            None => self.type_of(&quanta)?,
        };
        let (zero_point, scales, zero_points) = self.parameters(&node, data_type)?;
        let axis = attribute(&node, "axis").map_or(1, |a| a.i);
        Some(Dequantized { quanta, data_type, scale: node.input[1].clone(), zero_point, scales, zero_points, axis })
    }

    /// The value, if it is dequantized from 8 bits with one scale.
    pub fn activation(&mut self, name: &str) -> Option<Dequantized> {
        self.dequantized(name).filter(Dequantized::is_activation)
    }

    /// What a `QuantizeLinear` to 8 bits with constant per-tensor parameters makes.
    pub fn quantizer(&mut self, index: usize) -> Option<Quantized> {
        let node = self.node(index);
        if !is_op(node, "QuantizeLinear") {
            return None;
        }
        let node = node.clone();
        let zero_point = node.input.get(2).filter(|n| !n.is_empty());
        if zero_point.is_none() && attribute(&node, "output_dtype").is_some_and(|a| a.i != 0) {
            return None;
        }
        let data_type = match zero_point {
            Some(zero_point) => DataType::from_onnx(self.constant(zero_point)?.data_type)?,
            None => DataType::Uint8,
        };
        if !matches!(data_type, DataType::Uint8 | DataType::Int8) {
            return None;
        }
        let (zero_point, scales, zero_points) = self.parameters(&node, data_type)?;
        if scales.len() != 1 || !is_step(scales[0]) {
            return None;
        }
        Some(Quantized {
            quanta: node.output.first()?.clone(),
            data_type,
            scale: node.input[1].clone(),
            zero_point,
            params: Params { scale: scales[0], zero_point: zero_points[0] },
            clamp: Clamp::default(),
            nodes: vec![index],
        })
    }

    /// What makes quanta of an operator's only output.
    pub fn quantized(&mut self, output: &str) -> Option<Quantized> {
        let (clamp, value, activation) = self.activated(output);
        // The reader must read the value as its data.
        let index = self.only_reader(&value)?;
        if self.node(index).input.first() != Some(&value) {
            return None;
        }
        let mut quantized = self.quantizer(index)?;
        quantized.clamp = clamp;
        quantized.nodes.extend(activation);
        Some(quantized)
    }

    /// The value behind an activation with bounds, if that is all that reads the output: (bounds, value, node).
    pub fn activated(&self, output: &str) -> (Clamp, String, Option<usize>) {
        let found = self.only_reader(output).and_then(|index| {
            let node = self.node(index);
            let clamp = self.bounds(node).filter(|_| node.input.first().is_some_and(|i| i == output))?;
            Some((clamp, node.output.first()?.clone(), Some(index)))
        });
        found.unwrap_or_else(|| (Clamp::default(), output.to_owned(), None))
    }

    /// Bounds of a `Relu` or `Clip`.
    fn bounds(&self, node: &NodeProto) -> Option<Clamp> {
        match node.op_type.as_str() {
            "Relu" => Some(Clamp { low: Some(0.0), high: None }),
            "Clip" => {
                let bound = |position: usize, name| match node.input.get(position).filter(|n| !n.is_empty()) {
                    Some(input) => self.constant_f32(input).filter(|v| v.len() == 1).map(|v| Some(v[0])),
                    None => Some(attribute(node, name).map(|a| a.f)),
                };
                let clamp = Clamp { low: bound(1, "min")?, high: bound(2, "max")? };
                // Where the bounds cross, Clip gives the upper one; leave such graphs to the operator itself.
                let nan = [clamp.low, clamp.high].iter().flatten().any(|b| b.is_nan());
                let crossed = matches!((clamp.low, clamp.high), (Some(low), Some(high)) if low.partial_cmp(&high).is_none_or(Ordering::is_gt));
                (!crossed && !nan).then_some(clamp)
            }
            _ => None,
        }
    }

    /// The same numbers as quanta of the other type: shifted by 128, together with their zero point.
    pub fn shifted(&mut self, x: &Dequantized, to: DataType, place: usize) -> Dequantized {
        if x.data_type == to {
            return x.clone();
        }
        let offset = if to == DataType::Int8 { -128 } else { 128 };
        let zero_points: Vec<i32> = x.zero_points.iter().map(|z| z + offset).collect();
        let quanta = self.fresh("shifted");
        if let Some(mut constant) = self.filled(&x.quanta) {
            constant.raw_data.iter_mut().for_each(|b| *b ^= 0x80);
            constant.data_type = to as i32;
            constant.name.clone_from(&quanta);
            self.add(constant);
        } else {
            let table: [u8; 256] = std::array::from_fn(|bits| bits as u8 ^ 0x80);
            self.table(&x.quanta, table, to, quanta.clone(), place);
        }
        let zero_point = self.zero_point(to, zero_points[0]);
        Dequantized { quanta, data_type: to, zero_point, zero_points, ..x.clone() }
    }

    /// A constant zero point.
    fn zero_point(&mut self, data_type: DataType, value: i32) -> String {
        let name = self.fresh("zero_point");
        let tensor = TensorProto { data_type: data_type as i32, ..raw_tensor(name.clone(), &[], &[value as u8]) };
        self.add(tensor);
        name
    }

    /// A node that looks every quantum up. The table is indexed by bit patterns and holds bit patterns.
    pub fn table(&mut self, x: &str, table: [u8; 256], to: DataType, output: String, place: usize) {
        let name = self.fresh("table");
        self.add(TensorProto { data_type: to as i32, ..raw_tensor(name.clone(), &[256], &table) });
        let label = output.clone();
        self.insert(plain(TABLE, vec![x.to_owned(), name], output, &label), place);
    }

    /// Replaces a group by an operator that makes quanta but knows no bounds: they are applied to the quanta.
    pub fn replace_then_clamp(&mut self, index: usize, mut node: NodeProto, y: Quantized) {
        let place = self.place(y.nodes[0]).max(self.place(index));
        let bounded = (!y.clamp.is_none()).then(|| std::mem::replace(&mut node.output[0], self.fresh("unclamped")));
        let from = node.output[0].clone();
        self.replace(index, Fused { node, gone: y.nodes });
        if let Some(output) = bounded {
            let table = std::array::from_fn(|bits| match y.data_type {
                DataType::Int8 => {
                    let (low, high) = y.clamp.quanta::<i8>(y.params);
                    i32::from(bits as u8 as i8).clamp(low, high) as u8
                }
                _ => {
                    let (low, high) = y.clamp.quanta::<u8>(y.params);
                    (bits as i32).clamp(low, high) as u8
                }
            });
            self.table(&from, table, y.data_type, output, place);
        }
    }
}
