//! `QLinearMatMul`, `MatMulInteger`, and the contrib `MatMulIntegerToFloat`, `DynamicQuantizeMatMul` and `QGemm`.

use std::sync::OnceLock;

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::inputs::{Inputs, with_quantum};
use super::{Built, Quantized, attribute, broadcast_dims, build, required};
use crate::compiler::fuse::{self, Clamp};
use crate::compiler::quantized::kernels::matmul::{PackedColumns, Rows, Scratch, multiply};
use crate::kernels::quantize::{Quantum, dynamic_params, quantize, requantize};

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("QLinearMatMul", |_, node| build(node, MatMul::new(&Q_LINEAR)));
    register.insert(fuse::MATMUL, |_, node| build(node, MatMul::clamped(&Q_LINEAR_BIAS, node)));
    register.insert("MatMulInteger", |_, node| build(node, MatMul::new(&INTEGER)));
    register.insert(INTEGER_TO_FLOAT, |_, node| build(node, MatMul::clamped(&TO_FLOAT, node)));
    register.insert(fuse::DYNAMIC_MATMUL, |_, node| build(node, MatMul::clamped(&TO_FLOAT, node)));
    register.insert("com.microsoft.DynamicQuantizeMatMul", |_, node| build(node, MatMul::new(&DYNAMIC)));
    register.insert(Q_GEMM, q_gemm);
}

/// Qualified name of the contrib operator; the fusion of QDQ groups makes such nodes too.
pub const INTEGER_TO_FLOAT: &str = "com.microsoft.MatMulIntegerToFloat";
/// Qualified name of the contrib operator; the fusion of QDQ groups makes such nodes too.
pub const Q_GEMM: &str = "com.microsoft.QGemm";

fn q_gemm(_: &ParsingContext, node: &NodeProto) -> Built {
    build(
        node,
        MatMul {
            transpose_a: attribute(node, "transA", 0i64)? != 0,
            transpose_b: attribute(node, "transB", 0i64)? != 0,
            alpha: attribute(node, "alpha", 1f32)?,
            ..MatMul::clamped(&GEMM, node)
        },
    )
}

/// Where an operator has its operands.
#[derive(Debug)]
struct Positions {
    a: usize,
    /// `None`: computed from the float operand A while running.
    a_scale: Option<usize>,
    a_zero_point: Option<usize>,
    b: usize,
    b_scale: Option<usize>,
    b_zero_point: usize,
    bias: Option<usize>,
    /// The bias is int32 and part of the sum; otherwise it is float.
    integer_bias: bool,
    y: Option<[usize; 2]>,
    /// The output is the int32 sum itself.
    integer: bool,
}

const Q_LINEAR_BIAS: Positions = Positions { bias: Some(8), integer_bias: true, ..Q_LINEAR };
const Q_LINEAR: Positions = Positions {
    a: 0,
    a_scale: Some(1),
    a_zero_point: Some(2),
    b: 3,
    b_scale: Some(4),
    b_zero_point: 5,
    bias: None,
    integer_bias: false,
    y: Some([6, 7]),
    integer: false,
};
const INTEGER: Positions = Positions {
    a: 0,
    a_scale: None,
    a_zero_point: Some(2),
    b: 1,
    b_scale: None,
    b_zero_point: 3,
    bias: None,
    integer_bias: false,
    y: None,
    integer: true,
};
const TO_FLOAT: Positions = Positions {
    a: 0,
    a_scale: Some(2),
    a_zero_point: Some(4),
    b: 1,
    b_scale: Some(3),
    b_zero_point: 5,
    bias: Some(6),
    integer_bias: false,
    y: None,
    integer: false,
};
const DYNAMIC: Positions = Positions {
    a: 0,
    a_scale: None,
    a_zero_point: None,
    b: 1,
    b_scale: Some(2),
    b_zero_point: 3,
    bias: Some(4),
    integer_bias: false,
    y: None,
    integer: false,
};
const GEMM: Positions = Positions {
    a: 0,
    a_scale: Some(1),
    a_zero_point: Some(2),
    b: 3,
    b_scale: Some(4),
    b_zero_point: 5,
    bias: Some(6),
    integer_bias: true,
    y: Some([7, 8]),
    integer: false,
};

#[derive(Debug)]
struct MatMul {
    positions: &'static Positions,
    transpose_a: bool,
    transpose_b: bool,
    alpha: f32,
    clamp: Clamp,
    weights: OnceLock<Vec<PackedColumns>>,
}

/// Sizes of a product, and which matrix of each operand belongs to every matrix of the result.
struct Product {
    m: usize,
    k: usize,
    n: usize,
    pairs: Vec<(usize, usize)>,
    shape: TVec<usize>,
}

impl MatMul {
    fn new(positions: &'static Positions) -> Self {
        let (transpose_a, transpose_b, clamp) = (false, false, Clamp::default());
        Self { positions, transpose_a, transpose_b, alpha: 1.0, clamp, weights: OnceLock::new() }
    }

    fn clamped(positions: &'static Positions, node: &NodeProto) -> Self {
        Self { clamp: Clamp::of(node), ..Self::new(positions) }
    }

    fn is_gemm(&self) -> bool {
        std::ptr::eq(self.positions, &GEMM)
    }

    /// Output type: `None` without a scale of Y.
    fn y_type(&self, present: impl Fn(usize) -> Option<DatumType>) -> Option<DatumType> {
        let [scale, zero_point] = self.positions.y?;
        present(scale)?;
        Some(present(zero_point).unwrap_or(DatumType::U8))
    }

    fn output_shape(&self, a: &ShapeFact, b: &ShapeFact) -> TractResult<TVec<TDim>> {
        let (mut a, mut b) = (a.to_tvec(), b.to_tvec());
        if self.is_gemm() {
            ensure!(a.len() == 2 && b.len() == 2, "QGemm multiplies matrices, not {a:?} and {b:?}");
            if self.transpose_a {
                a.swap(0, 1);
            }
            if self.transpose_b {
                b.swap(0, 1);
            }
        }
        ensure!(!a.is_empty() && !b.is_empty(), "a matrix product needs at least one dimension");
        let (vector_a, vector_b) = (a.len() == 1, b.len() == 1);
        if vector_a {
            a.insert(0, 1.to_dim());
        }
        if vector_b {
            b.push(1.to_dim());
        }
        let (ra, rb) = (a.len(), b.len());
        if let (Ok(ka), Ok(kb)) = (a[ra - 1].to_usize(), b[rb - 2].to_usize()) {
            ensure!(ka == kb, "a product of {ka} columns and {kb} rows is not possible");
        }
        let mut shape = broadcast_dims(&[&a[..ra - 2], &b[..rb - 2]])?;
        if !vector_a {
            shape.push(a[ra - 2].clone());
        }
        if !vector_b {
            shape.push(b[rb - 1].clone());
        }
        Ok(shape)
    }

    fn product(&self, a: &[usize], b: &[usize]) -> TractResult<Product> {
        let dims = |shape: &[usize]| ShapeFact::from_dims(shape.iter().map(|d| d.to_dim()));
        let shape = super::concrete_all(&self.output_shape(&dims(a), &dims(b))?)?;
        let m = if a.len() == 1 { 1 } else { a[a.len() - if self.transpose_a { 1 } else { 2 }] };
        let k = a[a.len() - if self.transpose_a { 2 } else { 1 }];
        let n = if b.len() == 1 { 1 } else { b[b.len() - if self.transpose_b { 2 } else { 1 }] };
        let (batch_a, batch_b) = (&a[..a.len().saturating_sub(2)], &b[..b.len().saturating_sub(2)]);
        let rank = batch_a.len().max(batch_b.len());
        let total: usize = shape[..rank].iter().product();
        let index = |mut i: usize, batch: &[usize]| {
            let (mut index, mut step) = (0, 1);
            for d in (0..rank).rev() {
                let at = i % shape[d];
                i /= shape[d];
                if let Some(own) = (d + batch.len()).checked_sub(rank)
                    && batch[own] != 1
                {
                    index += at * step;
                    step *= batch[own];
                }
            }
            index
        };
        Ok(Product {
            m,
            k,
            n,
            pairs: (0..total).map(|i| (index(i, batch_a), index(i, batch_b))).collect(),
            shape: shape.into(),
        })
    }

    fn pack(&self, inputs: &Inputs, p: &Product, zero_points: &[i32]) -> TractResult<Vec<PackedColumns>> {
        let (b, (k, n)) = (inputs.tensor(self.positions.b)?, (p.k, p.n));
        let matrices = b.len().checked_div(k * n).unwrap_or(0);
        ensure!([1, n, n * matrices].contains(&zero_points.len()), "{} zero points for {n} columns", zero_points.len());
        let (step_k, step_n) = if self.transpose_b { (1, k) } else { (n, 1) };
        Ok(with_quantum!(b.datum_type(), W => {
            let b = inputs.slice::<W>(self.positions.b)?;
            (0..matrices)
                .map(|matrix| {
                    let b = &b[matrix * k * n..];
                    PackedColumns::new(k, n, |i, column| {
                        let value: i16 = b[i * step_k + column * step_n].into();
                        value - *per_column(zero_points, matrix, column, n) as i16
                    })
                })
                .collect()
        }))
    }

    /// Computes, handing `(result row, matrix of B, sums of the row)` to `emit`.
    fn run<X: Quantum>(
        &self,
        inputs: &Inputs,
        p: &Product,
        a: &[X],
        a_zero_points: &[i32],
        mut emit: impl FnMut(usize, usize, &[i32]),
    ) -> TractResult<()> {
        let zero_points = inputs.zero_points(self.positions.b_zero_point)?;
        let constant = inputs.is_constant(self.positions.b)
            && (inputs.get(self.positions.b_zero_point).is_none() || inputs.is_constant(self.positions.b_zero_point));
        let local;
        let packed = if constant {
            if self.weights.get().is_none() {
                let _ = self.weights.set(self.pack(inputs, p, &zero_points)?);
            }
            self.weights.get().context("packed weights")?
        } else {
            local = self.pack(inputs, p, &zero_points)?;
            &local
        };
        let matrices = a.len().checked_div(p.m * p.k).unwrap_or(0);
        ensure!(
            [1, p.m, p.m * matrices].contains(&a_zero_points.len()),
            "{} zero points for {} rows",
            a_zero_points.len(),
            p.m
        );
        let (row_stride, k_stride) = if self.transpose_a { (1, p.m) } else { (p.k, 1) };
        let mut scratch = Scratch::default();
        let nothing = vec![0; p.n];
        for (i, &(ia, ib)) in p.pairs.iter().enumerate() {
            match packed.get(ib) {
                Some(b) if p.k > 0 => {
                    let data = &a[ia * p.m * p.k..];
                    let zero_points = match a_zero_points.len() {
                        len if len == 1 || len == p.m => a_zero_points,
                        _ => &a_zero_points[ia * p.m..][..p.m],
                    };
                    let rows = Rows { data, rows: p.m, row_stride, k_stride, zero_points };
                    multiply(rows, b, &mut scratch, |row, sums| emit(i * p.m + row, ib, sums));
                }
                _ => (0..p.m).for_each(|row| emit(i * p.m + row, ib, &nothing)),
            }
        }
        Ok(())
    }

    fn finish<X: Quantum>(
        &self,
        inputs: &Inputs,
        p: &Product,
        a: &[X],
        a_scale: f32,
        zero_points: &[i32],
    ) -> TractResult<Tensor> {
        let at = self.positions;
        let (n, rows) = (p.n, p.m * p.pairs.len());
        if at.integer {
            let mut y = vec![0i32; rows * n];
            self.run(inputs, p, a, zero_points, |row, _, sums| y[row * n..][..n].copy_from_slice(sums))?;
            return Tensor::from_shape(&p.shape, &y);
        }
        let b_scales = inputs.scales(at.b_scale.context("scale of B")?)?;
        ensure!(b_scales.len() == 1 || b_scales.len() % n.max(1) == 0, "{} scales for {n} columns", b_scales.len());
        let multipliers: Vec<f32> = b_scales.iter().map(|s| self.alpha * a_scale * s).collect();
        let y_type = self.y_type(|i| inputs.get(i).map(Tensor::datum_type));
        let integer_bias = at.integer_bias.then(|| bias::<i32>(inputs, at.bias, &[p.m, n])).transpose()?.flatten();
        let with_bias = |row: usize, column: usize, sum: i32| match &integer_bias {
            Some(bias) => sum.wrapping_add(bias[(row % p.m) * n + column]),
            None => sum,
        };
        if let Some(y_type) = y_type {
            let [scale, zero_point_y] = at.y.context("scale of Y")?;
            let y_params = inputs.params(scale, zero_point_y)?;
            let multipliers: Vec<f32> = multipliers.iter().map(|m| m / y_params.scale).collect();
            return Ok(with_quantum!(y_type, Y => {
                let mut y = vec![Y::default(); rows * n];
                let (low, high) = self.clamp.quanta::<Y>(y_params);
                self.run(inputs, p, a, zero_points, |row, matrix, sums| {
                    for (column, (y, &sum)) in y[row * n..].iter_mut().zip(sums).enumerate() {
                        let multiplier = *per_column(&multipliers, matrix, column, n);
                        let q: Y = requantize(with_bias(row, column, sum), multiplier, y_params.zero_point);
                        *y = Y::saturate(Into::<i32>::into(q).clamp(low, high));
                    }
                })?;
                Tensor::from_shape(&p.shape, &y)?
            }));
        }
        let float_bias = if at.integer_bias { None } else { bias::<f32>(inputs, at.bias, &[1, n])? };
        let mut y = vec![0f32; rows * n];
        self.run(inputs, p, a, zero_points, |row, matrix, sums| {
            for (column, (y, &sum)) in y[row * n..].iter_mut().zip(sums).enumerate() {
                *y = with_bias(row, column, sum) as f32 * per_column(&multipliers, matrix, column, n);
                if let Some(bias) = &float_bias {
                    *y += bias[column];
                }
                *y = self.clamp.apply(*y);
            }
        })?;
        Tensor::from_shape(&p.shape, &y)
    }
}

/// A parameter of a column: one for all, one a column, or one a column of every matrix.
fn per_column<T>(values: &[T], matrix: usize, column: usize, columns: usize) -> &T {
    match values.len() {
        1 => &values[0],
        len if len == columns => &values[column],
        _ => &values[matrix * columns + column],
    }
}

/// The bias, broadcast to a shape.
fn bias<T: Datum + Copy>(inputs: &Inputs, position: Option<usize>, shape: &[usize]) -> TractResult<Option<Vec<T>>> {
    let Some(bias) = position.and_then(|p| inputs.get(p)) else { return Ok(None) };
    let bias = bias.broadcast_to_shape(shape)?;
    Ok(Some(bias.try_as_plain_ram()?.as_slice::<T>()?.to_vec()))
}

impl Quantized for MatMul {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        let at = self.positions;
        let present = |p: usize| inputs.get(p).copied().flatten();
        let a = *required(inputs, at.a, "A")?;
        let dynamic = at.a_zero_point.is_none();
        ensure!(
            if dynamic { a == DatumType::F32 } else { matches!(a, DatumType::U8 | DatumType::I8) },
            "the left operand cannot be {a:?}"
        );
        let b = *required(inputs, at.b, "B")?;
        ensure!(matches!(b, DatumType::U8 | DatumType::I8), "the right operand cannot be {b:?}");
        if at.integer {
            return Ok(tvec![DatumType::I32]);
        }
        Ok(tvec![self.y_type(present).unwrap_or(DatumType::F32)])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        let at = self.positions;
        Ok(tvec![self.output_shape(required(inputs, at.a, "A")?, required(inputs, at.b, "B")?)?])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let at = self.positions;
        let a = inputs.tensor(at.a)?;
        let product = self.product(a.shape(), inputs.tensor(at.b)?.shape())?;
        let y = match at.a_zero_point {
            Some(zero_point) => {
                let a_scale = at.a_scale.map(|p| inputs.scale(p)).transpose()?.unwrap_or(1.0);
                let zero_points = inputs.zero_points(zero_point)?;
                with_quantum!(a.datum_type(), X => {
                    self.finish(inputs, &product, inputs.slice::<X>(at.a)?, a_scale, &zero_points)?
                })
            }
            None => {
                let values = inputs.slice::<f32>(at.a)?;
                let params = dynamic_params(values);
                let quanta: Vec<u8> = values.iter().map(|&v| quantize(v, params)).collect();
                self.finish(inputs, &product, &quanta, params.scale, &[params.zero_point])?
            }
        };
        Ok(tvec![y])
    }
}
