//! Reading operands: element slices, scales and zero points, whatever their types.

use tract_onnx::tract_hir::internal::*;

use crate::kernels::quantize::Params;

/// The operands of one evaluation, by ONNX position.
pub struct Inputs<'a> {
    positions: &'a [Option<usize>],
    constants: &'a [bool],
    values: &'a [TValue],
}

impl<'a> Inputs<'a> {
    /// See [`super::QuantizedOp`].
    pub fn new(positions: &'a [Option<usize>], constants: &'a [bool], values: &'a [TValue]) -> Self {
        Self { positions, constants, values }
    }

    /// How many positions the node has.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// The operand, if present.
    pub fn get(&self, position: usize) -> Option<&'a Tensor> {
        let index = (*self.positions.get(position)?)?;
        self.values.get(index).map(|v| &**v)
    }

    /// The operand, which must be there.
    pub fn tensor(&self, position: usize) -> TractResult<&'a Tensor> {
        self.get(position).with_context(|| format!("input {position} is missing"))
    }

    /// Whether the operand is the same in every run.
    pub fn is_constant(&self, position: usize) -> bool {
        let index = self.positions.get(position).copied().flatten();
        index.and_then(|i| self.constants.get(i).copied()).unwrap_or(false)
    }

    /// Elements of a type.
    pub fn slice<T: Datum>(&self, position: usize) -> TractResult<&'a [T]> {
        self.tensor(position)?.try_as_plain_ram()?.as_slice::<T>()
    }

    /// A per-tensor scale.
    pub fn scale(&self, position: usize) -> TractResult<f32> {
        let scales = self.scales(position)?;
        ensure!(scales.len() == 1, "input {position}: expected one scale, got {}", scales.len());
        Ok(scales[0])
    }

    /// One scale, or one a channel.
    pub fn scales(&self, position: usize) -> TractResult<Vec<f32>> {
        let tensor = self.tensor(position)?.cast_to::<f32>()?;
        let scales = tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        ensure!(!scales.is_empty(), "input {position}: a scale must not be empty");
        Ok(scales)
    }

    /// Zero points; a missing one is a single 0.
    pub fn zero_points(&self, position: usize) -> TractResult<Vec<i32>> {
        let Some(tensor) = self.get(position) else { return Ok(vec![0]) };
        let tensor = tensor.cast_to::<i32>()?;
        let zero_points = tensor.try_as_plain_ram()?.as_slice::<i32>()?.to_vec();
        ensure!(!zero_points.is_empty(), "input {position}: a zero point must not be empty");
        Ok(zero_points)
    }

    /// A per-tensor zero point.
    pub fn zero_point(&self, position: usize) -> TractResult<i32> {
        let zero_points = self.zero_points(position)?;
        ensure!(zero_points.len() == 1, "input {position}: expected one zero point, got {}", zero_points.len());
        Ok(zero_points[0])
    }

    /// A per-tensor scale and zero point.
    pub fn params(&self, scale: usize, zero_point: usize) -> TractResult<Params> {
        Ok(Params { scale: self.scale(scale)?, zero_point: self.zero_point(zero_point)? })
    }
}

/// Runs `$body` with `$t` standing for `u8` or `i8`, whichever the type is.
macro_rules! with_quantum {
    ($datum_type:expr, $t:ident => $body:expr) => {
        match $datum_type {
            DatumType::U8 => {
                type $t = u8;
                $body
            }
            DatumType::I8 => {
                type $t = i8;
                $body
            }
            other => bail!("expected uint8 or int8, got {other:?}"),
        }
    };
}
pub(super) use with_quantum;
