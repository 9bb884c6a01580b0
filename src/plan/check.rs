//! What must hold in a plan before it is executed: references exist, values are written before they are read, and every
//! step stays within the values and constants that it names. A plan may come from anywhere.

use super::binary::invalid;
use super::{
    ALIGNMENT, Axis, Broadcast, Constant, ConstantId, Conv, Finish, FloatConv, MAX_VARIANTS, MatMul, ModelInfo,
    Numbers, Operation, Plan, Pooling, Quanta, Quantization, Reduction, Rows, Step, Taps, ValueId, Variant, View,
    Window, ZeroPoint,
};
use crate::error::{Error, Result};
use crate::tensor::DataType;

/// Checks all variants. `data` is how many bytes of constants follow the header.
pub fn check(plan: &Plan, data: usize) -> Result<()> {
    require(plan.variants.len() <= MAX_VARIANTS, "the plan has steps for too many sets of input shapes")?;
    plan.variants.iter().try_for_each(|variant| check_variant(&plan.info, &plan.constants, data, variant))
}

/// Checks the constants of a plan, and one variant.
///
/// # Errors
/// `INVALID_PLAN`.
pub fn check_variant(info: &ModelInfo, constants: &[Constant], data: usize, variant: &Variant) -> Result<()> {
    for constant in constants {
        let bytes = constant.len.checked_mul(constant.data_type.size());
        let end = bytes.and_then(|b| constant.offset.checked_add(b));
        if constant.data_type == DataType::String
            || !constant.offset.is_multiple_of(ALIGNMENT)
            || end.is_none_or(|end| end > data)
        {
            return Err(invalid("a constant lies outside of the plan"));
        }
    }
    let count = variant.values.len();
    Checker { constants, variant, written: vec![false; count], foreign: vec![false; count] }.variant(info)
}

struct Checker<'a> {
    constants: &'a [Constant],
    variant: &'a Variant,
    /// Which values have contents.
    written: Vec<bool>,
    /// Which values are tensors of others: inputs of the model, and what the compiler computes.
    foreign: Vec<bool>,
}

/// No value has more elements, nor does anything run over more of them: so bytes and steps can be counted in 32 bits.
const MAX_ELEMENTS: usize = (1 << 29) - 1;

/// Products are sums of so many terms at most.
const MAX_TERMS: usize = 1 << 22;

/// The product of sizes, if it can be counted, and can be where a size is 0, too: nothing may loop forever over nothing.
fn product(sizes: &[usize]) -> Option<usize> {
    let counted = |n: usize, d: usize| n.checked_mul(d.max(1)).filter(|&n| n <= MAX_ELEMENTS);
    let count = sizes.iter().try_fold(1, |n, &d| counted(n, d))?;
    Some(if sizes.contains(&0) { 0 } else { count })
}

/// Largest offset that strides lead to, plus one; 0 for no elements.
fn extent(shape: &[usize], offset: usize, strides: &[usize]) -> Option<usize> {
    let count = product(shape)?;
    if shape.len() != strides.len() || strides.iter().any(|&s| s > MAX_ELEMENTS) {
        return None;
    }
    let far = |at: usize, (&d, &s): (&usize, &usize)| at.checked_add(d.saturating_sub(1).checked_mul(s)?);
    let last = shape.iter().zip(strides).try_fold(offset, far).filter(|&last| last < MAX_ELEMENTS)?;
    Some(if count == 0 { 0 } else { last + 1 })
}

/// A quantity that must be countable, and what is wrong otherwise.
fn sized(size: Option<usize>) -> Result<usize> {
    size.ok_or_else(|| invalid("a step has sizes beyond all memory"))
}

fn require(holds: bool, message: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(invalid(message)) }
}

impl Checker<'_> {
    fn variant(&mut self, info: &ModelInfo) -> Result<()> {
        let v = self.variant;
        require(
            v.inputs.len() == info.inputs.len()
                && v.input_shapes.len() == info.inputs.len()
                && v.outputs.len() == info.outputs.len()
                && v.output_shapes.len() == info.outputs.len(),
            "a variant has other inputs or outputs than the model",
        )?;
        for fact in &v.values {
            if let Some(id) = fact.constant {
                let constant = self.constant(id)?;
                require(
                    constant.data_type == fact.data_type
                        && fact.bytes() == constant.len.checked_mul(constant.data_type.size()),
                    "a constant value has another type or size than its elements",
                )?;
            }
        }
        for ((&id, shape), input) in v.inputs.iter().zip(&v.input_shapes).zip(&info.inputs) {
            let fact = self.fact(id)?;
            let dims: Vec<Option<usize>> = shape.iter().map(|&d| Some(d)).collect();
            require(
                fact.data_type == input.data_type && fact.shape == dims && fact.constant.is_none(),
                "an input has another type or shape than the model says",
            )?;
            self.written[id as usize] = true;
            self.foreign[id as usize] = true;
        }
        for step in &v.steps {
            if let Operation::Subgraph { outputs, .. } = &step.operation {
                for &id in outputs {
                    self.fact(id)?;
                    self.foreign[id as usize] = true;
                }
            }
        }
        for step in &v.steps {
            self.step(step).map_err(|e| Error::at_node(e, &step.node, &step.op_type))?;
        }
        for ((&id, shape), output) in v.outputs.iter().zip(&v.output_shapes).zip(&info.outputs) {
            self.read_any(id)?;
            let fact = self.fact(id)?;
            require(fact.data_type == output.data_type, "an output has another type than the model says")?;
            if let Some(bytes) = fact.bytes() {
                let dims: Option<Vec<usize>> = shape.iter().copied().collect();
                let declared = dims.and_then(|d| product(&d)?.checked_mul(fact.data_type.size()));
                require(declared == Some(bytes), "an output has another size than its value")?;
            }
        }
        Ok(())
    }

    fn fact(&self, id: ValueId) -> Result<&super::Fact> {
        self.variant.values.get(id as usize).ok_or_else(|| invalid("a step names a value that there is not"))
    }

    fn constant(&self, id: ConstantId) -> Result<&Constant> {
        self.constants.get(id as usize).ok_or_else(|| invalid("a step names a constant that there is not"))
    }

    fn read_any(&self, id: ValueId) -> Result<()> {
        let constant = self.fact(id)?.constant.is_some();
        require(constant || self.written[id as usize], "a step reads a value that nothing has written")
    }

    /// A value that has contents and at least so many elements of that type.
    fn read(&self, id: ValueId, data_type: DataType, len: Option<usize>) -> Result<()> {
        self.read_any(id)?;
        self.holds(id, data_type, len)
    }

    fn holds(&self, id: ValueId, data_type: DataType, len: Option<usize>) -> Result<()> {
        let fact = self.fact(id)?;
        let needed = sized(len)?.checked_mul(data_type.size());
        require(
            fact.data_type == data_type && needed.is_some() && fact.bytes() >= needed,
            "a step reaches beyond a value, or takes it for another type",
        )
    }

    fn write_any(&mut self, id: ValueId) -> Result<()> {
        self.fact(id)?;
        require(!self.foreign[id as usize], "a step writes to an input, or to what the compiler computes")?;
        self.computed(id)
    }

    fn computed(&mut self, id: ValueId) -> Result<()> {
        require(self.fact(id)?.constant.is_none(), "a step writes to a constant")?;
        self.written[id as usize] = true;
        Ok(())
    }

    fn write(&mut self, id: ValueId, data_type: DataType, len: Option<usize>) -> Result<()> {
        self.write_any(id)?;
        self.holds(id, data_type, len)
    }

    /// A constant of that type and exactly one of these lengths.
    fn list(&self, id: ConstantId, data_type: DataType, lengths: &[usize]) -> Result<()> {
        let constant = self.constant(id)?;
        require(
            constant.data_type == data_type && lengths.contains(&constant.len),
            "a step names a constant of another type or size",
        )
    }

    fn optional(&self, id: Option<ConstantId>, data_type: DataType, lengths: &[usize]) -> Result<()> {
        id.map_or(Ok(()), |id| self.list(id, data_type, lengths))
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        use DataType::{Bool, Float32, Int8, Int32, Int64, Uint8};
        match &step.operation {
            Operation::Subgraph { inputs, outputs, .. } => {
                inputs.iter().try_for_each(|&id| self.read_any(id))?;
                outputs.iter().try_for_each(|&id| self.computed(id))
            }
            Operation::Conv(conv) => self.conv(conv),
            Operation::FloatConv(conv) => self.float_conv(conv),
            Operation::MatMul(product) => self.quantized_product(product),
            Operation::FloatMatMul(p) => {
                require(p.kind.alpha.is_finite(), "a factor is not a number")?;
                self.product(p, Float32, Float32)
            }
            Operation::QuantizedBinary { operands, a, b, y, low, high, .. } => {
                [a, b, y].into_iter().try_for_each(quantization)?;
                require(low <= high, "bounds cross")?;
                self.broadcast(operands, Uint8)
            }
            Operation::FloatBinary { operands, .. } => self.broadcast(operands, Float32),
            Operation::FloatUnary { x, y, .. } => {
                let len = self.len(*x)?;
                self.read(*x, Float32, Some(len))?;
                self.write(*y, Float32, Some(len))?;
                require(self.len(*y)? == len, "input and output differ in size")
            }
            Operation::Table { x, y, table } => {
                self.list(*table, Uint8, &[256])?;
                let len = self.len(*x)?;
                self.read_any(*x)?;
                require(
                    self.fact(*x)?.data_type.size() == 1 && self.fact(*y)?.data_type.size() == 1,
                    "a table is for bytes",
                )?;
                self.write_any(*y)?;
                require(self.len(*y)? == len, "input and output differ in size")
            }
            Operation::FloatTable { x, y, table } => {
                self.list(*table, Float32, &[256])?;
                let len = self.len(*x)?;
                self.read(*x, Uint8, Some(len))?;
                self.write(*y, Float32, Some(len))
            }
            Operation::Quantize { x, y, scales, zero_points, axis } => {
                self.axis(axis)?;
                self.list(*scales, Float32, &[axis.count])?;
                self.list(*zero_points, Uint8, &[axis.count])?;
                let len = self.len(*x)?;
                self.read(*x, Float32, Some(len))?;
                self.write(*y, Uint8, Some(len))
            }
            Operation::Dequantize { x, y, scales, zero_points, axis } => {
                self.axis(axis)?;
                let from = self.fact(*x)?.data_type;
                require(matches!(from, Uint8 | Int32), "only Uint8 and Int32 are dequantized")?;
                self.list(*scales, Float32, &[axis.count])?;
                self.optional(*zero_points, from, &[axis.count])?;
                let len = self.len(*x)?;
                self.read(*x, from, Some(len))?;
                self.write(*y, Float32, Some(len))
            }
            Operation::DynamicQuantize { x, y, parameters } => {
                let len = self.len(*x)?;
                self.read(*x, Float32, Some(len))?;
                self.write(*y, Uint8, Some(len))?;
                self.write(*parameters, Float32, Some(2))
            }
            Operation::Pool { x, y, window, pooling } => {
                let data_type = match pooling {
                    Pooling::Max => self.fact(*x)?.data_type,
                    Pooling::Average { numbers, .. } => numbers_type(numbers)?,
                };
                require(matches!(data_type, Uint8 | Float32), "only Uint8 and Float32 are pooled")?;
                let (from, to) = self.window(window, window.input[3])?;
                self.read(*x, data_type, from)?;
                self.write(*y, data_type, to)
            }
            Operation::Mean { x, y, rows, numbers } => {
                let data_type = numbers_type(numbers)?;
                require(rows.count > 0, "the mean of nothing")?;
                self.read(*x, data_type, rows_len(rows))?;
                self.write(*y, data_type, product(&[rows.outer, rows.inner]))
            }
            Operation::Softmax { x, y, rows, numbers } => {
                let data_type = numbers_type(numbers)?;
                self.read(*x, data_type, rows_len(rows))?;
                self.write(*y, data_type, rows_len(rows))
            }
            Operation::LayerNorm { x, y, scale, bias, outer, count, .. } => {
                require(*count > 0, "a norm of nothing")?;
                self.list(*scale, Float32, &[*count])?;
                self.optional(*bias, Float32, &[*count])?;
                self.read(*x, Float32, product(&[*outer, *count]))?;
                self.write(*y, Float32, product(&[*outer, *count]))
            }
            Operation::Copy { x, y, shape, from, to, table } => {
                self.optional(*table, Uint8, &[256])?;
                let (a, b) = (self.fact(*x)?.data_type, self.fact(*y)?.data_type);
                require(a.size() > 0 && a.size() == b.size(), "a copy between elements of different sizes")?;
                require(table.is_none() || a.size() == 1, "a table is for bytes")?;
                self.read(*x, a, view(shape, from))?;
                self.write(*y, b, view(shape, to))
            }
            Operation::Fill { y, value } => {
                let fact = self.fact(*y)?;
                require(fact.data_type.size() == value.len() && !value.is_empty(), "a fill with another type")?;
                sized(fact.bytes())?;
                self.write_any(*y)
            }
            Operation::Gather { x, indices, y, rows, indices_count } => {
                let data_type = self.fact(*x)?.data_type;
                let index_type = self.fact(*indices)?.data_type;
                require(matches!(index_type, Int32 | Int64), "indices must be integers")?;
                self.read(*x, data_type, rows_len(rows))?;
                self.read(*indices, index_type, Some(*indices_count))?;
                self.write(*y, data_type, product(&[rows.outer, *indices_count, rows.inner]))
            }
            Operation::Resize { x, y, input, output, vertical, horizontal, numbers } => {
                let data_type = self.fact(*x)?.data_type;
                let linear = vertical.weights.is_some() || horizontal.weights.is_some();
                require(matches!(data_type.size(), 1 | 4), "elements of 1 or 4 bytes are resized")?;
                require(!linear || numbers_type(numbers)? == data_type, "a resize of another type")?;
                require(!linear || (vertical.weights.is_some() && horizontal.weights.is_some()), "half a resize")?;
                self.taps(vertical, input[1], output[0])?;
                self.taps(horizontal, input[2], output[1])?;
                self.read(*x, data_type, product(input))?;
                self.write(*y, data_type, product(&[input[0], output[0], output[1], input[3]]))
            }
            Operation::Cast { x, y, from, to } => {
                require(*from != DataType::String && *to != DataType::String, "strings are not cast")?;
                let len = self.len(*x)?;
                self.read(*x, *from, Some(len))?;
                self.write(*y, *to, Some(len))
            }
            Operation::Where { condition, condition_strides, operands } => {
                self.read(*condition, Bool, extent(&operands.shape, 0, condition_strides))?;
                let data_type = self.fact(operands.y)?.data_type;
                require(matches!(data_type.size(), 1 | 4 | 8), "elements of another size")?;
                self.broadcast(operands, data_type)
            }
            Operation::NumberBinary { function, operands } => {
                let data_type = self.fact(operands.a)?.data_type;
                let floats = data_type == Float32 && function.is_comparison();
                require(floats || matches!(data_type, Int32 | Int64 | Uint8 | Int8 | Bool), "no such arithmetic")?;
                let result = if function.is_arithmetic() { data_type } else { Bool };
                self.broadcast_to(operands, data_type, result)
            }
            Operation::Reduce { x, y, rows, function } => {
                let data_type = self.fact(*x)?.data_type;
                require(matches!(data_type, Float32 | Int32 | Int64 | Uint8 | Int8), "only numbers are reduced")?;
                require(rows.count > 0, "an axis of nothing")?;
                let places = matches!(function, Reduction::ArgMax { .. } | Reduction::ArgMin { .. });
                self.read(*x, data_type, rows_len(rows))?;
                self.write(*y, if places { Int64 } else { data_type }, product(&[rows.outer, rows.inner]))
            }
            Operation::TopK { x, values, places, outer, count, k, .. } => {
                require(k <= count && values != places, "more elements than there are")?;
                self.read(*x, Float32, product(&[*outer, *count]))?;
                self.write(*values, Float32, product(&[*outer, *k]))?;
                self.write(*places, Int64, product(&[*outer, *k]))
            }
        }
    }

    /// The number of elements of a value.
    fn len(&self, id: ValueId) -> Result<usize> {
        let fact = self.fact(id)?;
        let dims: Option<Vec<usize>> = fact.shape.iter().copied().collect();
        sized(dims.and_then(|d| product(&d)))
    }

    fn axis(&self, axis: &Axis) -> Result<()> {
        require(axis.count > 0 && axis.inner > 0, "parameters for nothing")?;
        sized(product(&[axis.count, axis.inner])).map(drop)
    }

    fn broadcast(&mut self, operands: &Broadcast, data_type: DataType) -> Result<()> {
        self.broadcast_to(operands, data_type, data_type)
    }

    fn broadcast_to(&mut self, operands: &Broadcast, data_type: DataType, result: DataType) -> Result<()> {
        let Broadcast { a, b, y, shape, a_strides, b_strides } = operands;
        self.read(*a, data_type, extent(shape, 0, a_strides))?;
        self.read(*b, data_type, extent(shape, 0, b_strides))?;
        self.write(*y, result, product(shape))
    }

    /// Elements of the input and of the output of a window, which must make sense.
    fn window(&self, window: &Window, channels: usize) -> Result<(Option<usize>, Option<usize>)> {
        let Window { input, output, kernel, strides, dilations, pads } = window;
        for d in 0..2 {
            // Kernels compute positions in the padded input, and visit every tap: both must be countable.
            let covered = kernel[d].checked_sub(1).and_then(|k| k.checked_mul(dilations[d])?.checked_add(1));
            let furthest = output[d].checked_mul(strides[d]).and_then(|n| n.checked_add(covered?));
            let bounded = furthest.is_some_and(|f| f <= MAX_ELEMENTS)
                && [strides[d], dilations[d], pads[d]].iter().all(|&size| size <= MAX_ELEMENTS)
                && input[d + 1].checked_add(1024).is_some_and(|n| kernel[d] <= n);
            require(bounded && strides[d] > 0 && dilations[d] > 0, "a window that makes no sense")?;
        }
        Ok((product(input), product(&[input[0], output[0], output[1], channels])))
    }

    fn finish(&mut self, finish: &Finish, y: ValueId, columns: usize, len: Option<usize>) -> Result<()> {
        match finish {
            Finish::Quantized { multipliers, low, high, .. } => {
                self.list(*multipliers, DataType::Float32, &[1, columns])?;
                require(low <= high, "bounds cross")?;
                self.write(y, DataType::Uint8, len)
            }
            Finish::Float { multipliers, addend, .. } => {
                self.list(*multipliers, DataType::Float32, &[1, columns])?;
                self.optional(*addend, DataType::Float32, &[columns])?;
                self.write(y, DataType::Float32, len)
            }
            Finish::Integer => self.write(y, DataType::Int32, len),
        }
    }

    /// How many weights a convolution has; there must be some, and not too many for one result.
    fn weights(&self, window: &Window, channels: usize, groups: usize) -> Result<usize> {
        let c = window.input[3];
        require(
            groups > 0 && c.is_multiple_of(groups) && channels.is_multiple_of(groups),
            "channels do not fit the groups",
        )?;
        let terms = sized(product(&[window.kernel[0], window.kernel[1], c / groups]))?;
        require(channels > 0 && (1..=MAX_TERMS).contains(&terms), "a convolution without weights, or with too many")?;
        sized(product(&[channels, terms]))
    }

    fn float_conv(&mut self, conv: &FloatConv) -> Result<()> {
        let FloatConv { x, y, window, channels, groups, weights, bias, .. } = conv;
        let len = self.weights(window, *channels, *groups)?;
        self.list(*weights, DataType::Float32, &[len])?;
        self.optional(*bias, DataType::Float32, &[*channels])?;
        let (from, to) = self.window(window, *channels)?;
        self.read(*x, DataType::Float32, from)?;
        self.write(*y, DataType::Float32, to)
    }

    fn conv(&mut self, conv: &Conv) -> Result<()> {
        let Conv { x, y, row_stride, column, window, channels, groups, .. } = conv;
        let Conv { zero_point, weights, weight_zero_points, bias, finish, .. } = conv;
        let weights_len = self.weights(window, *channels, *groups)?;
        self.list(*weights, DataType::Int8, &[weights_len])?;
        self.optional(*weight_zero_points, DataType::Int8, &[1, *channels])?;
        self.optional(*bias, DataType::Int32, &[*channels])?;
        if let ZeroPoint::Dynamic(parameters) = zero_point {
            self.read(*parameters, DataType::Float32, Some(2))?;
            require(!matches!(finish, Finish::Quantized { .. }), "a result with parameters found while running")?;
        }
        let (from, _) = self.window(window, *channels)?;
        self.read(*x, DataType::Uint8, from)?;
        require(column.checked_add(*channels).is_some_and(|end| end <= *row_stride), "results that overlap")?;
        let positions = sized(product(&[window.input[0], window.output[0], window.output[1]]))?;
        if *groups > 1 && *groups == *channels {
            // Depthwise kernels keep rows of 16 channels, four at a time, as many as a window touches, and read beyond.
            let columns = sized(product(&[window.output[1].saturating_add(32), window.strides[1]]))?;
            let taps = sized(product(&[window.kernel[1], window.dilations[1]]))?;
            sized(product(&[columns + taps, 64, window.kernel[0] + 4]))?;
        }
        self.finish(finish, *y, *channels, extent(&[positions, *channels], *column, &[*row_stride, 1]))
    }

    fn quantized_product(&mut self, product: &MatMul<Quanta>) -> Result<()> {
        let [a, b] = self.operands(product)?;
        self.read(product.a, DataType::Uint8, a)?;
        self.read(product.b, DataType::Uint8, b)?;
        self.finish(&product.kind.finish, product.y, product.n, product_len(product))
    }

    fn product(&mut self, product: &MatMul<super::Floats>, from: DataType, to: DataType) -> Result<()> {
        let [a, b] = self.operands(product)?;
        self.read(product.a, from, a)?;
        self.read(product.b, from, b)?;
        self.write(product.y, to, product_len(product))
    }

    /// Elements that the operands must have.
    fn operands<K>(&self, p: &MatMul<K>) -> Result<[Option<usize>; 2]> {
        let shape = |last: [usize; 2]| [&p.batch[..], &last].concat();
        require(
            p.a_strides.len() == p.batch.len() + 2 && p.b_strides.len() == p.batch.len() + 2,
            "strides and dimensions do not fit",
        )?;
        require(p.k <= MAX_TERMS, "a product of too many terms")?;
        Ok([extent(&shape([p.m, p.k]), 0, &p.a_strides), extent(&shape([p.k, p.n]), 0, &p.b_strides)])
    }

    fn taps(&self, taps: &Taps, input: usize, output: usize) -> Result<()> {
        let len = sized(output.checked_mul(2))?;
        require(input > 0 || output == 0, "a resize of nothing")?;
        self.list(taps.positions, DataType::Uint32, &[len])?;
        self.optional(taps.weights, DataType::Float32, &[len])
    }
}

fn view(shape: &[usize], view: &View) -> Option<usize> {
    extent(shape, view.offset, &view.strides)
}

fn rows_len(rows: &Rows) -> Option<usize> {
    product(&[rows.outer, rows.count, rows.inner])
}

fn product_len<K>(p: &MatMul<K>) -> Option<usize> {
    product(&p.batch)?.checked_mul(product(&[p.m, p.n])?)
}

fn quantization(q: &Quantization) -> Result<()> {
    require(q.scale.is_finite() && q.scale > 0.0, "a scale is not a positive number")
}

fn numbers_type(numbers: &Numbers) -> Result<DataType> {
    match numbers {
        Numbers::Float => Ok(DataType::Float32),
        Numbers::Quantized { from, to } => {
            quantization(from)?;
            quantization(to)?;
            Ok(DataType::Uint8)
        }
    }
}
