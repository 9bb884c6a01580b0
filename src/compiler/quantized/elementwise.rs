//! Contrib operators on single elements: `QLinearAdd`, `QLinearMul`, `QLinearSigmoid`, `QLinearLeakyRelu`,
//! `QLinearWhere`; and `QLinearSub` and `Table`, which only the fusion of QDQ groups makes.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::inputs::{Inputs, with_quantum};
use super::{Quantized, attribute, broadcast_dims, build, multi_broadcast, quantum, required};
use crate::compiler::fuse::{Clamp, TABLE};
use crate::compiler::quantized::kernels::elementwise::{Operand, add, look_up, mul, sub};
use crate::kernels::quantize::{Quantum, lookup_table};

pub fn register(register: &mut OnnxOpRegister) {
    register.insert(ADD, |_, node| build(node, Binary { function: Function::Add, clamp: Clamp::of(node) }));
    register.insert(SUB, |_, node| build(node, Binary { function: Function::Sub, clamp: Clamp::of(node) }));
    register.insert(MUL, |_, node| build(node, Binary { function: Function::Mul, clamp: Clamp::of(node) }));
    register.insert(SIGMOID, |_, node| build(node, Unary::Sigmoid));
    register.insert(LEAKY_RELU, |_, node| build(node, Unary::leaky_relu(node)?));
    register.insert(WHERE, |_, node| build(node, Where));
    register.insert(TABLE, |_, node| build(node, Table));
}

// Qualified names of contrib operators; the fusion of QDQ groups makes such nodes too.
/// Addition.
pub const ADD: &str = "com.microsoft.QLinearAdd";
/// Subtraction, of ours: operands as those of the addition.
pub const SUB: &str = "tractlet.QLinearSub";
/// Multiplication.
pub const MUL: &str = "com.microsoft.QLinearMul";
/// `1 / (1 + exp(-v))`
pub const SIGMOID: &str = "com.microsoft.QLinearSigmoid";
/// `v >= 0 ? v : alpha * v`
pub const LEAKY_RELU: &str = "com.microsoft.QLinearLeakyRelu";
/// One of two by a condition.
pub const WHERE: &str = "com.microsoft.QLinearWhere";

fn equal_quanta(inputs: &[Option<DatumType>], positions: &[usize]) -> TractResult<DatumType> {
    let first = quantum(inputs, positions[0])?;
    for &p in &positions[1..] {
        ensure!(quantum(inputs, p)? == first, "all operands must be of one type, {first:?}");
    }
    Ok(first)
}

/// A shape with leading ones.
fn padded(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut padded = vec![1; rank - shape.len()];
    padded.extend(shape);
    padded
}

#[derive(Debug)]
enum Function {
    Add,
    Sub,
    Mul,
}

/// Inputs: A, scale, zero point, B, scale, zero point, scale and zero point of the result.
#[derive(Debug)]
struct Binary {
    function: Function,
    clamp: Clamp,
}

impl Quantized for Binary {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        Ok(tvec![equal_quanta(inputs, &[0, 3])?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let (a, b) = (required(inputs, 0, "A")?.to_tvec(), required(inputs, 3, "B")?.to_tvec());
        Ok(tvec![broadcast_dims(&[&a, &b])?])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(3)?);
        let shape = multi_broadcast(&[a.shape(), b.shape()])?;
        let (a_shape, b_shape) = (padded(a.shape(), shape.len()), padded(b.shape(), shape.len()));
        let y_params = inputs.params(6, 7)?;
        let y = with_quantum!(a.datum_type(), Q => {
            let a = Operand { data: inputs.slice::<Q>(0)?, shape: &a_shape, params: inputs.params(1, 2)? };
            let b = Operand { data: inputs.slice::<Q>(3)?, shape: &b_shape, params: inputs.params(4, 5)? };
            let mut y = vec![Q::default(); shape.iter().product()];
            match self.function {
                Function::Add => add(a, b, y_params, &shape, &mut y),
                Function::Sub => sub(a, b, y_params, &shape, &mut y),
                Function::Mul => mul(a, b, y_params, &shape, &mut y),
            }
            if !self.clamp.is_none() {
                let (low, high) = self.clamp.quanta::<Q>(y_params);
                for y in &mut y {
                    *y = Q::saturate(Into::<i32>::into(*y).clamp(low, high));
                }
            }
            Tensor::from_shape(&shape, &y)?
        });
        Ok(tvec![y])
    }
}

/// Inputs: X, scale, zero point, scale and zero point of the result.
#[derive(Debug)]
pub enum Unary {
    /// `1 / (1 + exp(-v))`
    Sigmoid,
    /// `v >= 0 ? v : alpha * v`
    LeakyRelu {
        /// Slope below 0.
        alpha: f32,
    },
}

impl Unary {
    /// From a node's attributes.
    pub fn leaky_relu(node: &NodeProto) -> TractResult<Self> {
        Ok(Self::LeakyRelu { alpha: attribute(node, "alpha", 0.01)? })
    }

    /// The function.
    pub fn apply(&self, x: f32) -> f32 {
        match self {
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::LeakyRelu { alpha } => {
                if x >= 0.0 {
                    x
                } else {
                    alpha * x
                }
            }
        }
    }
}

impl Quantized for Unary {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        Ok(tvec![quantum(inputs, 0)?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        Ok(tvec![required(inputs, 0, "X")?.to_tvec()])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (from, to) = (inputs.params(1, 2)?, inputs.params(3, 4)?);
        let y = with_quantum!(x.datum_type(), Q => {
            let table = lookup_table::<Q, Q>(from, to, |v| self.apply(v));
            let mut y = vec![Q::default(); x.len()];
            look_up(inputs.slice::<Q>(0)?, &table, &mut y);
            Tensor::from_shape(x.shape(), &y)?
        });
        Ok(tvec![y])
    }
}

/// Inputs: condition, X, scale, zero point, Y, scale, zero point, scale and zero point of the result.
#[derive(Debug)]
struct Where;

impl Quantized for Where {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        let condition = *required(inputs, 0, "condition")?;
        ensure!(condition == DatumType::Bool, "the condition cannot be {condition:?}");
        Ok(tvec![equal_quanta(inputs, &[1, 4])?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let shapes = [0, 1, 4]
            .map(|p| required(inputs, p, "operand").map(|s| s.to_tvec()))
            .into_iter()
            .collect::<TractResult<Vec<_>>>()?;
        Ok(tvec![broadcast_dims(&[&shapes[0], &shapes[1], &shapes[2]])?])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let (condition, x, y) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(4)?);
        let shape = multi_broadcast(&[condition.shape(), x.shape(), y.shape()])?;
        let condition = condition.broadcast_to_shape(&shape)?;
        let condition = condition.try_as_plain_ram()?.as_slice::<bool>()?;
        let to = inputs.params(7, 8)?;
        let result = with_quantum!(x.datum_type(), Q => {
            let choose = |position: usize, tensor: &Tensor| -> TractResult<Vec<Q>> {
                let table = lookup_table::<Q, Q>(inputs.params(position + 1, position + 2)?, to, |v| v);
                let all = tensor.broadcast_to_shape(&shape)?;
                let all = all.try_as_plain_ram()?.as_slice::<Q>()?;
                let mut quanta = vec![Q::default(); all.len()];
                look_up(all, &table, &mut quanta);
                Ok(quanta)
            };
            let (x, y) = (choose(1, x)?, choose(4, y)?);
            let result: Vec<Q> =
                condition.iter().zip(x.iter().zip(&y)).map(|(&c, (&x, &y))| if c { x } else { y }).collect();
            Tensor::from_shape(&shape, &result)?
        });
        Ok(tvec![result])
    }
}

/// Inputs: quanta, table.
#[derive(Debug)]
struct Table;

impl Quantized for Table {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        quantum(inputs, 0)?;
        Ok(tvec![quantum(inputs, 1)?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        Ok(tvec![required(inputs, 0, "X")?.to_tvec()])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let (x, table) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let y = with_quantum!(x.datum_type(), X => {
            with_quantum!(table.datum_type(), Y => {
                let entries: &[Y; 256] = inputs.slice::<Y>(1)?.try_into().context("a table has 256 entries")?;
                let mut y = vec![Y::default(); x.len()];
                look_up(inputs.slice::<X>(0)?, entries, &mut y);
                Tensor::from_shape(x.shape(), &y)?
            })
        });
        Ok(tvec![y])
    }
}
