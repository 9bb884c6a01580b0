//! However a step is cut, and whoever computes its parts, the bytes are the same.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::engine::frame::{Frame, Loose, Place};
use crate::engine::load::{Cache, Loader};
use crate::engine::parts::{self, Cut};
use crate::engine::pool::Pool;
use crate::engine::prepare::Program;
use crate::kernels::isa::Dot;
use crate::kernels::{FloatBinary, FloatUnary, QuantizedBinary};
use crate::plan::{
    ALIGNMENT, Axis, Broadcast, Constant, Conv, Fact, Finish, FloatConv, Floats, MatMul, Numbers, Operation, Plan,
    Pooling, Quanta, Quantization, Rows, Step, Taps, Variant, View, Window, ZeroPoint,
};
use crate::tensor::{AlignedBytes, DataType, Element, Tensor};

/// Numbers that can be repeated.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.0 >> 8) as usize % end.max(1)
    }

    /// Elements of a type, none of them NaN.
    fn bytes(&mut self, data_type: DataType, len: usize) -> Vec<u8> {
        match data_type {
            DataType::Float32 => (0..len).flat_map(|_| (self.below(400) as f32 / 64.0 - 3.0).to_le_bytes()).collect(),
            DataType::Int64 => (0..len).flat_map(|_| (self.below(1000) as i64 - 500).to_le_bytes()).collect(),
            _ => (0..len * data_type.size()).map(|_| self.below(256) as u8).collect(),
        }
    }
}

/// A step by itself.
struct Case {
    plan: Plan,
    facts: Vec<Fact>,
    random: Random,
}

impl Case {
    fn new() -> Self {
        Self { plan: Plan::default(), facts: Vec::new(), random: Random(7) }
    }

    fn constant<T: Element>(&mut self, values: &[T]) -> u32 {
        let plan = &mut self.plan;
        plan.data.resize(plan.data.len().next_multiple_of(ALIGNMENT), 0);
        plan.constants.push(Constant { data_type: T::DATA_TYPE, len: values.len(), offset: plan.data.len() });
        plan.data.extend_from_slice(bytemuck::cast_slice(values));
        plan.constants.len() as u32 - 1
    }

    fn list(&mut self, len: usize, number: impl Fn(usize) -> f32) -> u32 {
        let list: Vec<f32> = (0..len).map(number).collect();
        self.constant(&list)
    }

    fn value(&mut self, data_type: DataType, shape: &[usize]) -> u32 {
        self.facts.push(Fact { data_type, shape: shape.iter().map(|&d| Some(d)).collect(), constant: None });
        self.facts.len() as u32 - 1
    }

    /// Runs the step whole, in stretches of all sizes in any order, and on several threads.
    fn check(mut self, operation: Operation) {
        for dot in [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs] {
            self.check_with(operation.clone(), dot);
        }
    }

    fn check_with(&mut self, operation: Operation, dot: Dot) {
        let name = format!("{operation:?}");
        let step = Step { node: "n".into(), op_type: "Op".into(), operation };
        let writes = step.writes();
        let inputs: Vec<u32> = step.reads().into_iter().filter(|id| !writes.contains(id)).collect();
        let variant = Variant {
            input_shapes: Vec::new(),
            values: self.facts.clone(),
            inputs: inputs.clone(),
            outputs: writes,
            output_shapes: Vec::new(),
            steps: vec![step],
        };
        let tensors: Vec<Tensor> = inputs
            .iter()
            .map(|&id| {
                let fact = &self.facts[id as usize];
                let shape: Vec<usize> = fact.shape.iter().map(|d| d.unwrap()).collect();
                let bytes = self.random.bytes(fact.data_type, shape.iter().product());
                Tensor::from_bytes(fact.data_type, &shape, &bytes).unwrap()
            })
            .collect();
        let mut cache = Cache::default();
        let constants = &self.plan.constants;
        let mut loader = Loader { source: &self.plan.data[..], data: 0, constants, cache: &mut cache, dot };
        let mut program = Program::new(variant, &mut loader, 1).unwrap();
        let Program { steps, places, arena, .. } = &mut program;
        let run = steps[0].run.as_mut().unwrap();
        // Numbers, so that steps in place have something to work on.
        let before = self.random.bytes(DataType::Float32, arena.div_ceil(4));
        let scratch = arena.next_multiple_of(ALIGNMENT);
        let mut run_with = |threads: usize, pool: &Pool, how: &mut dyn FnMut(&mut dyn super::Run, &mut Frame)| {
            let size = parts::scratch_bytes(run.scratch(), threads);
            let mut arena = AlignedBytes::zeroed(scratch + size).unwrap();
            arena.as_mut_slice()[..before.len()].copy_from_slice(&before);
            let loose = (0..places.len() as u32).map(|id| match inputs.iter().position(|&input| input == id) {
                Some(at) => Loose::Borrowed(&tensors[at]),
                None => Loose::Absent,
            });
            let mut frame = Frame {
                places,
                arena: arena.as_mut_slice(),
                loose: loose.collect(),
                scratch: scratch..scratch + size,
                pool,
                threads,
            };
            run.begin(&mut frame).unwrap();
            how(&mut **run, &mut frame);
            let written = places.iter().map(|place| match place {
                Place::Arena(range) => frame.arena[range.clone()].to_vec(),
                _ => Vec::new(),
            });
            written.collect::<Vec<_>>()
        };
        let alone = Pool::new();
        let all = |cut: &Cut| Cut { time: 1 << 40, ..*cut };
        let whole = run_with(1, &alone, &mut |run, frame| {
            let cut = all(&run.cut().expect("a step that can be cut"));
            parts::run_rows(run, &cut, 0..cut.rows, frame).unwrap();
        });
        let random = &mut self.random;
        for most in [1, 2, 5, 17, 100] {
            let stretches = run_with(1, &alone, &mut |run, frame| {
                let cut = all(&run.cut().unwrap());
                let mut ranges = Vec::new();
                let mut start = 0;
                while start < cut.rows {
                    let units = (1 + random.below(most)).saturating_mul(cut.unit);
                    let end = cut.rows.min(start + units);
                    ranges.insert(random.below(ranges.len() + 1), start..end);
                    start = end;
                }
                for range in ranges {
                    parts::run_rows(run, &cut, range, frame).unwrap();
                }
            });
            assert!(whole == stretches, "{name} in stretches");
        }
        #[cfg(not(target_arch = "wasm32"))]
        for threads in 2..=5 {
            let crew = crate::engine::pool::tests::Threads::new(threads);
            let shared = run_with(threads, &crew.pool, &mut |run, frame| {
                let cut = all(&run.cut().unwrap());
                parts::run_rows(run, &cut, 0..cut.rows, frame).unwrap();
            });
            assert!(whole == shared, "{name} on {threads} threads");
        }
    }
}

const SAME: Quantization = Quantization { scale: 0.02, zero_point: 120 };

fn window(n: usize, [h, w]: [usize; 2], c: usize, kernel: usize, stride: usize) -> Window {
    let output = [h, w].map(|size| (size + kernel / 2 * 2 - kernel) / stride + 1);
    let (kernel, strides, pads) = ([kernel; 2], [stride; 2], [kernel / 2; 2]);
    Window { input: [n, h, w, c], output, kernel, strides, dilations: [1, 1], pads }
}

#[test]
fn convolutions() {
    // Image, channels in and out, kernel, stride, groups; how much wider the join that they are part of.
    for (n, size, c, channels, kernel, stride, groups, wider) in [
        (1, [7, 7], 64, 40, 1, 1, 1, 0),
        (1, [13, 11], 8, 17, 3, 1, 1, 5),
        (2, [9, 9], 3, 16, 3, 2, 1, 0),
        (1, [8, 9], 8, 12, 3, 1, 2, 3),
        (2, [9, 7], 20, 20, 3, 1, 20, 4),
        (1, [16, 12], 32, 32, 5, 2, 32, 0),
        (1, [1, 1], 64, 83, 1, 1, 1, 0),
        (1, [1, 1], 64, 16, 1, 1, 1, 9),
        (1, [1, 2], 64, 16, 1, 1, 1, 0),
    ] {
        for float in [false, true] {
            let mut case = Case::new();
            let window = window(n, size, c, kernel, stride);
            let [oh, ow] = window.output;
            let x = case.value(DataType::Uint8, &window.input);
            let result = if float { DataType::Float32 } else { DataType::Uint8 };
            let y = case.value(result, &[n, oh, ow, channels + wider]);
            let weights: Vec<i8> = (0..channels * kernel * kernel * c / groups).map(|i| (i * 37 % 251) as i8).collect();
            let weights = case.constant(&weights);
            let bias: Vec<i32> = (0..channels as i32).map(|i| i * 50 - 300).collect();
            let bias = Some(case.constant(&bias));
            let multipliers = case.list(channels, |i| 0.0001 * (i + 1) as f32);
            let finish = if float {
                Finish::Float { multipliers, addend: None, low: -100.0, high: 100.0 }
            } else {
                Finish::Quantized { multipliers, zero_point: 100, low: 0, high: 255 }
            };
            let zero_points = Some(case.constant(&[-3i8]));
            let parameters = case.value(DataType::Float32, &[2]);
            let dynamic = float && groups == 1;
            case.check(Operation::Conv(Conv {
                x,
                y,
                row_stride: channels + wider,
                column: wider / 2,
                window,
                channels,
                groups,
                zero_point: if dynamic { ZeroPoint::Dynamic(parameters) } else { ZeroPoint::Fixed(7) },
                weights,
                weight_zero_points: zero_points,
                bias,
                finish,
            }));
        }
    }
}

#[test]
fn float_convolutions() {
    for (n, size, c, channels, kernel, groups) in
        [(2, [9, 8], 6, 10, 3, 1), (1, [7, 7], 12, 12, 3, 12), (2, [6, 5], 8, 4, 1, 2), (1, [5, 5], 6, 3, 3, 3)]
    {
        let mut case = Case::new();
        let window = window(n, size, c, kernel, 1);
        let x = case.value(DataType::Float32, &window.input);
        let y = case.value(DataType::Float32, &[n, size[0], size[1], channels]);
        let weights = case.list(channels * kernel * kernel * c / groups, |i| (i * 29 % 43) as f32 * 0.1 - 2.0);
        let bias = Some(case.list(channels, |i| i as f32));
        case.check(Operation::FloatConv(FloatConv {
            x,
            y,
            window,
            channels,
            groups,
            weights,
            bias,
            low: -5.0,
            high: 50.0,
        }));
    }
}

#[test]
fn products() {
    for (batch, m, k, n) in
        [(vec![3, 2], 7, 20, 9), (vec![], 50, 33, 24), (vec![6], 1, 16, 20), (vec![], 1, 64, 100), (vec![1], 1, 5, 3)]
    {
        let all: usize = batch.iter().product();
        let strides = |rows: usize, columns: usize| {
            let mut strides = vec![columns, 1];
            let mut step = rows * columns;
            for &count in batch.iter().rev() {
                strides.insert(0, step);
                step *= count;
            }
            strides
        };
        for columns_first in [false, true] {
            let mut b_strides = strides(k, n);
            if columns_first {
                let rank = batch.len();
                (b_strides[rank], b_strides[rank + 1]) = (1, k);
            }
            let mut case = Case::new();
            let [a, b, y] = [all * m * k, all * k * n, all * m * n].map(|len| case.value(DataType::Uint8, &[len]));
            let multipliers = case.constant(&[0.002f32]);
            let finish = Finish::Quantized { multipliers, zero_point: 128, low: 0, high: 255 };
            let kind = Quanta { a_zero_point: 3, b_zero_point: 140, finish };
            let (batch, a_strides) = (batch.clone(), strides(m, k));
            case.check(Operation::MatMul(MatMul {
                a,
                b,
                y,
                batch: batch.clone(),
                m,
                k,
                n,
                a_strides: a_strides.clone(),
                b_strides: b_strides.clone(),
                kind,
            }));
            let mut case = Case::new();
            let [a, b, y] = [all * m * k, all * k * n, all * m * n].map(|len| case.value(DataType::Float32, &[len]));
            let kind = Floats { alpha: 0.3 };
            case.check(Operation::FloatMatMul(MatMul { a, b, y, batch, m, k, n, a_strides, b_strides, kind }));
        }
    }
}

#[test]
fn broadcasts() {
    // Shape, steps of the two operands.
    for (shape, a_strides, b_strides) in [
        (vec![1, 9, 8, 5], vec![360, 40, 5, 1], vec![0, 0, 0, 1]),
        (vec![777], vec![1], vec![0]),
        (vec![1, 1, 700], vec![0, 0, 1], vec![0, 0, 1]),
        (vec![6, 50], vec![50, 1], vec![0, 1]),
        (vec![4, 3, 70], vec![210, 70, 1], vec![70, 0, 1]),
        (vec![], vec![], vec![]),
    ] {
        let len: usize = shape.iter().product();
        let operands = |case: &mut Case, data_type| {
            let [a, b, y] = [0; 3].map(|_| case.value(data_type, &[len]));
            Broadcast { a, b, y, shape: shape.clone(), a_strides: a_strides.clone(), b_strides: b_strides.clone() }
        };
        let mut case = Case::new();
        let o = operands(&mut case, DataType::Uint8);
        let function = QuantizedBinary::Mul;
        case.check(Operation::QuantizedBinary { function, operands: o, a: SAME, b: SAME, y: SAME, low: 3, high: 250 });
        let mut case = Case::new();
        let operands_of_floats = operands(&mut case, DataType::Float32);
        case.check(Operation::FloatBinary { function: FloatBinary::Div, operands: operands_of_floats });
        let mut case = Case::new();
        let operands = operands(&mut case, DataType::Float32);
        let condition = case.value(DataType::Bool, &[len]);
        case.check(Operation::Where { condition, condition_strides: b_strides.clone(), operands });
    }
}

#[test]
fn elements() {
    for len in [1, 63, 64, 65, 1000] {
        let mut case = Case::new();
        let [x, y] = [0; 2].map(|_| case.value(DataType::Float32, &[len]));
        case.check(Operation::FloatUnary { function: FloatUnary::Gelu, x, y });
        let mut case = Case::new();
        let x = case.value(DataType::Float32, &[len]);
        case.check(Operation::FloatUnary { function: FloatUnary::Tanh, x, y: x });

        let table: Vec<u8> = (0..256).map(|i| (i * 7 + 3) as u8).collect();
        let mut case = Case::new();
        let [x, y] = [0; 2].map(|_| case.value(DataType::Uint8, &[len]));
        let id = case.constant(&table);
        case.check(Operation::Table { x, y, table: id });
        let mut case = Case::new();
        let x = case.value(DataType::Uint8, &[len]);
        let id = case.constant(&table);
        case.check(Operation::Table { x, y: x, table: id });
        let mut case = Case::new();
        let [x, y] = [DataType::Uint8, DataType::Float32].map(|data_type| case.value(data_type, &[len]));
        let table = case.list(256, |i| i as f32 * 0.3);
        case.check(Operation::FloatTable { x, y, table });

        let mut case = Case::new();
        let [x, y] = [DataType::Int64, DataType::Float32].map(|data_type| case.value(data_type, &[len]));
        case.check(Operation::Cast { x, y, from: DataType::Int64, to: DataType::Float32 });
    }
}

#[test]
fn quanta() {
    let float = DataType::Float32;
    for (len, count, inner) in [(1000, 1, 1), (360, 4, 5), (77, 7, 1), (64, 1, 1)] {
        let axis = Axis { count, inner };
        let zeros: Vec<u8> = (0..count).map(|i| (i * 50) as u8).collect();
        let mut case = Case::new();
        let [x, y] = [float, DataType::Uint8].map(|data_type| case.value(data_type, &[len]));
        let scales = case.list(count, |i| 0.02 + 0.01 * i as f32);
        let zero_points = case.constant(&zeros);
        case.check(Operation::Quantize { x, y, scales, zero_points, axis });
        let mut case = Case::new();
        let [x, y] = [DataType::Uint8, float].map(|data_type| case.value(data_type, &[len]));
        let scales = case.list(count, |i| 0.02 + 0.01 * i as f32);
        let zero_points = Some(case.constant(&zeros));
        case.check(Operation::Dequantize { x, y, scales, zero_points, axis });
        let mut case = Case::new();
        let [x, y] = [DataType::Int32, float].map(|data_type| case.value(data_type, &[len]));
        let scales = case.list(count, |i| 0.02 + 0.01 * i as f32);
        case.check(Operation::Dequantize { x, y, scales, zero_points: None, axis });
        let mut case = Case::new();
        let [x, y] = [float, DataType::Uint8].map(|data_type| case.value(data_type, &[len]));
        let parameters = case.value(float, &[2]);
        case.check(Operation::DynamicQuantize { x, y, parameters });
    }
}

#[test]
fn windows() {
    let quantized = Numbers::Quantized { from: SAME, to: SAME };
    for (data_type, numbers) in [(DataType::Uint8, quantized), (DataType::Float32, Numbers::Float)] {
        for pooling in [Pooling::Max, Pooling::Average { numbers, count_include_pad: false }] {
            for c in [3, 20, 70] {
                let mut case = Case::new();
                let window = window(2, [9, 7], c, 3, 2);
                let x = case.value(data_type, &window.input);
                let y = case.value(data_type, &[2, window.output[0], window.output[1], c]);
                case.check(Operation::Pool { x, y, window, pooling });
            }
        }
        let mut case = Case::new();
        let rows = Rows { outer: 5, count: 9, inner: 18 };
        let (x, y) = (case.value(data_type, &[5, 9, 18]), case.value(data_type, &[5, 18]));
        case.check(Operation::Mean { x, y, rows, numbers });
        for inner in [1, 3] {
            let mut case = Case::new();
            let rows = Rows { outer: 11, count: 30, inner };
            let [x, y] = [0; 2].map(|_| case.value(data_type, &[11, 30, inner]));
            case.check(Operation::Softmax { x, y, rows, numbers });
        }
        for linear in [false, true] {
            let mut case = Case::new();
            let x = case.value(data_type, &[2, 4, 5, 3]);
            let y = case.value(data_type, &[2, 8, 10, 3]);
            let [vertical, horizontal] = [8u32, 10].map(|size| {
                let positions: Vec<u32> = (0..size).flat_map(|i| [i / 2, (i / 2 + 1).min(size / 2 - 1)]).collect();
                let positions = case.constant(&positions);
                let weights = linear.then(|| case.list(2 * size as usize, |i| [0.25, 0.75][i % 2]));
                Taps { positions, weights }
            });
            case.check(Operation::Resize { x, y, input: [2, 4, 5, 3], output: [8, 10], vertical, horizontal, numbers });
        }
    }
    let mut case = Case::new();
    let [x, y] = [0; 2].map(|_| case.value(DataType::Float32, &[13, 21]));
    let (scale, bias) = (case.list(21, |i| i as f32 * 0.1), Some(case.list(21, |i| i as f32)));
    case.check(Operation::LayerNorm { x, y, scale, bias, outer: 13, count: 21, epsilon: 1e-5 });
}

#[test]
fn copies() {
    // Shape, and where its elements lie in x and in y.
    for (shape, from, to) in [
        (vec![40, 30], (0, vec![30, 1]), (0, vec![30, 1])),
        (vec![40, 30], (0, vec![30, 1]), (0, vec![1, 40])),
        (vec![3, 20, 20], (0, vec![400, 20, 1]), (0, vec![1, 60, 3])),
        (vec![9, 10], (3, vec![10, 1]), (5, vec![20, 1])),
        (vec![25], (24, vec![0]), (0, vec![2])),
    ] {
        for data_type in [DataType::Uint8, DataType::Float32, DataType::Int64] {
            let mut case = Case::new();
            let [x, y] = [&from, &to].map(|(offset, strides)| {
                let reach: usize = shape.iter().zip(strides).map(|(n, step)| (n - 1) * step).sum();
                case.value(data_type, &[offset + reach + 1])
            });
            let [from, to] = [&from, &to].map(|(offset, strides)| View { offset: *offset, strides: strides.clone() });
            case.check(Operation::Copy { x, y, shape: shape.clone(), from, to, table: None });
        }
    }
}
