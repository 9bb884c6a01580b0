//! `QuantizeLinear` and `DequantizeLinear`, per tensor and per axis, also under `com.microsoft`.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{NodeProto, tensor_proto};
use tract_onnx::tract_hir::internal::*;

use super::inputs::Inputs;
use super::{Built, Quantized, attribute, build, dimension, required};
use crate::kernels::quantize::round_to_i32;

pub fn register(register: &mut OnnxOpRegister) {
    register.insert("QuantizeLinear", quantize_linear);
    register.insert("DequantizeLinear", dequantize_linear);
    register.insert("com.microsoft.QuantizeLinear", quantize_linear);
    register.insert("com.microsoft.DequantizeLinear", dequantize_linear);
}

fn axis(node: &NodeProto) -> TractResult<i64> {
    let block_size: i64 = attribute(node, "block_size", 0)?;
    ensure!(block_size == 0, "{}: blocked quantization (block_size {block_size}) is not supported", node.op_type);
    attribute(node, "axis", 1)
}

fn quantize_linear(_: &ParsingContext, node: &NodeProto) -> Built {
    let output: i64 = attribute(node, "output_dtype", 0)?;
    let output = match i32::try_from(output).ok().filter(|&o| o != 0) {
        None => None,
        Some(code) => Some(
            tensor_proto::DataType::try_from(code)
                .map_err(|_| format_err!("unknown output_dtype {code}"))?
                .try_into()?,
        ),
    };
    build(node, QuantizeLinear { axis: axis(node)?, output })
}

fn dequantize_linear(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, DequantizeLinear { axis: axis(node)? })
}

/// Types and shapes of the parameters, as far as they are known before running.
fn check_types(inputs: &[Option<DatumType>]) -> TractResult<()> {
    let scale = *required(inputs, 1, "scale")?;
    ensure!(
        matches!(scale, DatumType::F32 | DatumType::F16 | DatumType::I32),
        "a scale must be float32, float16 or int32, not {scale:?}"
    );
    Ok(())
}

fn check_shapes(inputs: &[Option<ShapeFact>], axis: i64) -> TractResult<()> {
    let volume = |shape: &ShapeFact| shape.volume().to_usize().ok();
    let x = required(inputs, 0, "x")?;
    let Some(scales) = volume(required(inputs, 1, "scale")?) else { return Ok(()) };
    ensure!(scales > 0, "a scale must not be empty");
    if let Some(zero_points) = inputs.get(2).and_then(Option::as_ref).and_then(volume) {
        ensure!(
            zero_points == scales || zero_points == 1 || scales == 1 && zero_points > 0,
            "{scales} scales and {zero_points} zero points do not go together"
        );
    }
    if let Ok(shape) = super::concrete_all(x.iter()) {
        Layout::new(&shape, axis, scales)?;
    }
    Ok(())
}

/// How parameters map onto elements: element `i` has the parameters `(i / inner) % channels`.
struct Layout {
    inner: usize,
}

impl Layout {
    /// Per tensor unless there are several parameters; then they lie along the axis.
    fn new(shape: &[usize], axis: i64, parameters: usize) -> TractResult<Self> {
        if parameters == 1 {
            return Ok(Self { inner: shape.iter().product::<usize>().max(1) });
        }
        let axis = dimension(axis, shape.len()).context("quantization")?;
        ensure!(
            shape[axis] == parameters,
            "{parameters} scales or zero points for a dimension of {} (axis {axis} of {shape:?})",
            shape[axis]
        );
        Ok(Self { inner: shape[axis + 1..].iter().product() })
    }

    /// Calls `f(parameter index, x, y)` for every run of elements that share their parameters.
    fn runs<X, Y>(&self, x: &[X], y: &mut [Y], parameters: usize, mut f: impl FnMut(usize, &[X], &mut [Y])) {
        if self.inner == 0 {
            return;
        }
        for (i, (x, y)) in x.chunks(self.inner).zip(y.chunks_mut(self.inner)).enumerate() {
            f(i % parameters, x, y);
        }
    }
}

fn at<T: Copy>(values: &[T], i: usize) -> T {
    if values.len() == 1 { values[0] } else { values[i] }
}

fn check_lengths(scales: &[f32], zero_points: &[i32]) -> TractResult<usize> {
    let parameters = scales.len().max(zero_points.len());
    ensure!(
        [scales.len(), zero_points.len()].iter().all(|&n| n == 1 || n == parameters),
        "{} scales and {} zero points do not go together",
        scales.len(),
        zero_points.len()
    );
    Ok(parameters)
}

#[derive(Debug)]
struct QuantizeLinear {
    axis: i64,
    output: Option<DatumType>,
}

impl Quantized for QuantizeLinear {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        check_types(inputs)?;
        let zero_point = inputs.get(2).copied().flatten();
        let output = zero_point.or(self.output).unwrap_or(DatumType::U8);
        ensure!(
            matches!(output, DatumType::U8 | DatumType::I8 | DatumType::U16 | DatumType::I16),
            "quantizing to {output:?} is not supported"
        );
        Ok(tvec![output])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        check_shapes(inputs, self.axis)?;
        Ok(tvec![required(inputs, 0, "x")?.to_tvec()])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (scales, zero_points) = (inputs.scales(1)?, inputs.zero_points(2)?);
        let parameters = check_lengths(&scales, &zero_points)?;
        let output = inputs.get(2).map(Tensor::datum_type).or(self.output).unwrap_or(DatumType::U8);
        let layout = Layout::new(x.shape(), self.axis, parameters)?;
        let mut y = Tensor::zero_dt(output, x.shape())?;
        // int32 input (allowed by the standard) becomes f32 first, as in onnxruntime.
        macro_rules! quantize {
            ($x:ty, $y:ty) => {{
                let to = y.try_as_plain_ram_mut()?;
                let mut to = to;
                layout.runs(inputs.slice::<$x>(0)?, to.as_slice_mut::<$y>()?, parameters, |p, x, y| {
                    let (scale, zero_point) = (at(&scales, p), at(&zero_points, p));
                    for (y, &x) in y.iter_mut().zip(x) {
                        let q = round_to_i32(x as f32 / scale).saturating_add(zero_point);
                        *y = q.clamp(<$y>::MIN as i32, <$y>::MAX as i32) as $y;
                    }
                });
            }};
        }
        macro_rules! to {
            ($x:ty) => {
                match output {
                    DatumType::U8 => quantize!($x, u8),
                    DatumType::I8 => quantize!($x, i8),
                    DatumType::U16 => quantize!($x, u16),
                    DatumType::I16 => quantize!($x, i16),
                    other => bail!("quantizing to {other:?} is not supported"),
                }
            };
        }
        match x.datum_type() {
            DatumType::F32 => to!(f32),
            DatumType::I32 => to!(i32),
            DatumType::F16 => {
                let wide = x.cast_to::<f32>()?.into_owned().into_tvalue();
                let mut all: TVec<TValue> = tvec![wide];
                let mut positions = vec![Some(0)];
                for p in 1..inputs.len() {
                    positions.push(inputs.get(p).map(|t| {
                        all.push(t.clone().into_tvalue());
                        all.len() - 1
                    }));
                }
                return self.eval(&Inputs::new(&positions, &[], &all));
            }
            other => bail!("quantizing from {other:?} is not supported"),
        }
        Ok(tvec![y])
    }
}

#[derive(Debug)]
struct DequantizeLinear {
    axis: i64,
}

impl Quantized for DequantizeLinear {
    fn output_types(&self, inputs: &[Option<DatumType>]) -> TractResult<TVec<DatumType>> {
        let x = *required(inputs, 0, "x")?;
        ensure!(
            matches!(x, DatumType::U8 | DatumType::I8 | DatumType::U16 | DatumType::I16 | DatumType::I32),
            "dequantizing from {x:?} is not supported"
        );
        check_types(inputs)?;
        if let Some(zero_point) = inputs.get(2).copied().flatten() {
            ensure!(zero_point == x, "a zero point of {zero_point:?} does not go with {x:?}");
        }
        Ok(tvec![*required(inputs, 1, "x_scale")?])
    }

    fn output_shapes(&self, inputs: &[Option<ShapeFact>]) -> TractResult<TVec<TVec<TDim>>> {
        check_shapes(inputs, self.axis)?;
        Ok(tvec![required(inputs, 0, "x")?.to_tvec()])
    }

    fn eval(&self, inputs: &Inputs) -> TractResult<TVec<Tensor>> {
        let x = inputs.tensor(0)?;
        let (scales, zero_points) = (inputs.scales(1)?, inputs.zero_points(2)?);
        let parameters = check_lengths(&scales, &zero_points)?;
        let layout = Layout::new(x.shape(), self.axis, parameters)?;
        let mut y = Tensor::zero::<f32>(x.shape())?;
        macro_rules! dequantize {
            ($x:ty) => {{
                let mut to = y.try_as_plain_ram_mut()?;
                layout.runs(inputs.slice::<$x>(0)?, to.as_slice_mut::<f32>()?, parameters, |p, x, y| {
                    let (scale, zero_point) = (at(&scales, p), at(&zero_points, p));
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = (x as i32).wrapping_sub(zero_point) as f32 * scale;
                    }
                });
            }};
        }
        match x.datum_type() {
            DatumType::U8 => dequantize!(u8),
            DatumType::I8 => dequantize!(i8),
            DatumType::U16 => dequantize!(u16),
            DatumType::I16 => dequantize!(i16),
            DatumType::I32 => dequantize!(i32),
            other => bail!("dequantizing from {other:?} is not supported"),
        }
        let scale_type = inputs.tensor(1)?.datum_type();
        if scale_type != DatumType::F32 {
            y = y.cast_to_dt(scale_type)?.into_owned();
        }
        Ok(tvec![y])
    }
}
