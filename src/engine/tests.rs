//! Plans made by hand, executed.

use std::rc::Rc;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Host, RunOptions, Session};
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{
    Axis, Constant, Conv, Dim, Fact, Finish, ModelInfo, Numbers, Operation, Plan, Quantization, Rows, Source, Step,
    ValueInfo, Variant, Window, ZeroPoint,
};
use crate::tensor::{DataType, Element, Tensor};

fn constant<T: Element>(plan: &mut Plan, values: &[T]) -> u32 {
    plan.data.resize(plan.data.len().next_multiple_of(crate::plan::ALIGNMENT), 0);
    plan.constants.push(Constant { data_type: T::DATA_TYPE, len: values.len(), offset: plan.data.len() });
    plan.data.extend_from_slice(bytemuck::cast_slice(values));
    plan.constants.len() as u32 - 1
}

fn value(name: &str, data_type: DataType, shape: &[usize]) -> ValueInfo {
    ValueInfo { name: name.into(), data_type, shape: shape.iter().map(|&d| Dim::Fixed(d)).collect() }
}

fn fact(data_type: DataType, shape: &[usize]) -> Fact {
    Fact { data_type, shape: shape.iter().map(|&d| Some(d)).collect(), constant: None }
}

/// Quantize, a 3 x 3 convolution with padding, the mean of all positions, dequantize.
fn small() -> Plan {
    let mut plan = Plan::default();
    let weights: Vec<i8> = (0..2 * 9 * 3).map(|i| (i * 37 % 251 - 125) as i8).collect();
    let weights = constant(&mut plan, &weights);
    let bias = constant(&mut plan, &[100i32, -200]);
    let multipliers = constant(&mut plan, &[0.001f32, 0.002]);
    let scale = constant(&mut plan, &[0.5f32]);
    let zero_point = constant(&mut plan, &[10u8]);
    let per_tensor = Axis { count: 1, inner: 1 };
    let window = Window {
        input: [1, 4, 5, 3],
        output: [4, 5],
        kernel: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [1, 1],
    };
    let same = Quantization { scale: 1.0, zero_point: 128 };
    let operations = [
        Operation::Quantize { x: 0, y: 1, scales: scale, zero_points: zero_point, axis: per_tensor },
        Operation::Conv(Conv {
            x: 1,
            y: 2,
            row_stride: 2,
            column: 0,
            window,
            channels: 2,
            groups: 1,
            zero_point: ZeroPoint::Fixed(10),
            weights,
            weight_zero_points: None,
            bias: Some(bias),
            finish: Finish::Quantized { multipliers, zero_point: 128, low: 0, high: 255 },
        }),
        Operation::Mean {
            x: 2,
            y: 3,
            rows: Rows { outer: 1, count: 20, inner: 2 },
            numbers: Numbers::Quantized { from: same, to: same },
        },
        Operation::Dequantize { x: 3, y: 4, scales: scale, zero_points: Some(zero_point), axis: per_tensor },
    ];
    plan.info = ModelInfo {
        inputs: vec![value("x", DataType::Float32, &[1, 4, 5, 3])],
        outputs: vec![value("y", DataType::Float32, &[1, 2])],
        ..ModelInfo::default()
    };
    plan.variants.push(Variant {
        input_shapes: vec![vec![1, 4, 5, 3]],
        values: vec![
            fact(DataType::Float32, &[1, 4, 5, 3]),
            fact(DataType::Uint8, &[1, 4, 5, 3]),
            fact(DataType::Uint8, &[1, 4, 5, 2]),
            fact(DataType::Uint8, &[1, 2]),
            fact(DataType::Float32, &[1, 2]),
        ],
        inputs: vec![0],
        outputs: vec![4],
        output_shapes: vec![vec![Some(1), Some(2)]],
        steps: operations
            .into_iter()
            .map(|operation| Step { node: "n".into(), op_type: "Op".into(), operation })
            .collect(),
    });
    plan
}

fn input() -> Tensor {
    let values: Vec<f32> = (0..60).map(|i| (i * 13 % 97) as f32 - 20.0).collect();
    Tensor::from_slice(&[1, 4, 5, 3], &values).unwrap()
}

/// What [`small`] means, step by step.
fn expected(x: &[f32]) -> [f32; 2] {
    let q: Vec<i32> = x.iter().map(|v| ((v / 0.5).round_ties_even() as i32 + 10).clamp(0, 255)).collect();
    let mut sums = [0i32; 2];
    for (n, (bias, multiplier)) in [(100, 0.001f32), (-200, 0.002)].into_iter().enumerate() {
        for (oy, ox) in (0..4i32).flat_map(|y| (0..5i32).map(move |x| (y, x))) {
            let mut acc = bias;
            for (ky, kx, c) in (0..3).flat_map(|a| (0..3).flat_map(move |b| (0..3).map(move |c| (a, b, c)))) {
                let (iy, ix) = (oy + ky - 1, ox + kx - 1);
                if (0..4).contains(&iy) && (0..5).contains(&ix) {
                    let weight = ((n as i32 * 27 + ky * 9 + kx * 3 + c) * 37 % 251) - 125;
                    acc += (q[((iy * 5 + ix) * 3 + c) as usize] - 10) * weight;
                }
            }
            sums[n] += ((acc as f32 * multiplier).round_ties_even() as i32 + 128).clamp(0, 255) - 128;
        }
    }
    sums.map(|s| {
        let mean = ((s as f32 * (1.0 / 20.0)).round_ties_even() as i32 + 128).clamp(0, 255);
        (mean - 10) as f32 * 0.5
    })
}

#[test]
fn a_plan_computes_what_its_steps_mean() {
    let bytes = small().encode();
    let mut session = Session::new(&bytes[..], None).unwrap();
    assert!(!session.needs_host());
    assert_eq!(session.subgraphs(), 0);
    let x = input();
    let want = expected(x.as_slice().unwrap());
    for _ in 0..3 {
        let got = session.run(&[("x".into(), x.clone())], None, RunOptions::default()).unwrap();
        assert_eq!(got[0].1.as_slice::<f32>().unwrap(), want);
    }
}

/// Whether it is still there shows in the count of references.
struct Idle {
    _alive: Rc<()>,
}

impl Host for Idle {
    fn specialize(&mut self, _: &[Vec<usize>]) -> Result<Box<dyn Source>> {
        Err(Error::new(ErrorCode::Internal, "nothing is asked for"))
    }

    fn run_subgraph(&mut self, _: u32, _: &[&Tensor]) -> Result<Vec<Tensor>> {
        Err(Error::new(ErrorCode::Internal, "nothing is asked for"))
    }
}

#[test]
fn a_host_is_kept_only_if_it_may_be_asked() {
    let symbolic = || {
        let mut plan = small();
        plan.info.inputs[0].shape[0] = Dim::Symbol("batch".into());
        plan
    };
    for (plan, kept) in [(small(), 1), (symbolic(), 2)] {
        let alive = Rc::new(());
        let session = Session::new(&plan.encode()[..], Some(Box::new(Idle { _alive: alive.clone() }))).unwrap();
        assert_eq!(session.needs_host(), kept == 2);
        assert_eq!(Rc::strong_count(&alive), kept);
    }
}

#[test]
fn a_plan_without_a_compiler_says_which_shapes_it_has() {
    let mut plan = small();
    plan.info.inputs[0].shape[0] = Dim::Symbol("batch".into());
    let mut session = Session::new(&plan.encode()[..], None).unwrap();
    let two = Tensor::from_slice(&[2, 4, 5, 3], &[0f32; 120]).unwrap();
    let error = session.run(&[("x".into(), two)], None, RunOptions::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::InputShape);
    assert_eq!(error.expected.as_deref(), Some("x [1, 4, 5, 3]"));
    assert_eq!(error.actual.as_deref(), Some("x [2, 4, 5, 3]"));
    let one = session.run(&[("x".into(), input())], None, RunOptions::default()).unwrap();
    assert_eq!(one[0].1.as_slice::<f32>().unwrap(), expected(input().as_slice().unwrap()));

    plan.variants.clear();
    let mut session = Session::new(&plan.encode()[..], None).unwrap();
    let error = session.run(&[("x".into(), input())], None, RunOptions::default()).unwrap_err();
    assert_eq!((error.code, error.expected.as_deref()), (ErrorCode::InputShape, Some("none")));
}

#[test]
fn more_variants_than_are_kept_are_refused() {
    let mut plan = small();
    plan.variants = vec![plan.variants[0].clone(); crate::plan::MAX_VARIANTS];
    assert!(Session::new(&plan.encode()[..], None).is_ok());
    plan.variants.push(plan.variants[0].clone());
    let error = Session::new(&plan.encode()[..], None).err().unwrap();
    assert_eq!(error.code, ErrorCode::InvalidPlan);
}

#[test]
fn a_description_has_every_step() {
    let session = Session::new(&small().encode()[..], None).unwrap();
    let description = session.describe();
    assert!(description.weight_bytes > 0);
    let [variant] = &description.variants[..] else { panic!("one variant") };
    assert_eq!(variant.input_shapes, [[1, 4, 5, 3]]);
    assert_eq!(variant.steps.len(), 4);
    assert!(variant.arena_bytes >= 60 + 40 + 2);
    assert!(variant.arena_bytes + description.weight_bytes <= session.bytes());
    assert_eq!((variant.steps[1].macs, &variant.steps[1].shape[..]), (20.0 * 2.0 * 27.0, &[1, 4, 5, 2][..]));
    assert!(variant.steps.iter().all(|s| s.subgraph.is_none() && !s.kernel.is_empty()));
}

#[test]
fn a_measured_run_lists_every_step() {
    let bytes = small().encode();
    let mut session = Session::new(&bytes[..], None).unwrap();
    let ticks = std::cell::Cell::new(0.0);
    let clock = || {
        ticks.set(ticks.get() + 1.0);
        ticks.get()
    };
    let options = RunOptions { profile: Some(&clock), ..RunOptions::default() };
    session.run(&[("x".into(), input())], None, options).unwrap();
    let steps = session.profile().steps();
    assert_eq!(steps.len(), 4);
    assert_eq!(steps[1].macs, 20.0 * 2.0 * 27.0);
    assert_eq!(steps[1].shape, [1, 4, 5, 2]);
    assert!(steps.iter().all(|s| s.microseconds == 1.0 && s.start > 0.0));
}

#[test]
fn no_damaged_plan_goes_further_than_an_error() {
    let bytes = small().encode();
    let header = bytes.len() - small().data.len();
    let mut survived = 0;
    for at in 0..header {
        for change in [1u8, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            let Ok(mut session) = Session::new(&damaged[..], None) else { continue };
            survived += usize::from(session.run(&[("x".into(), input())], None, RunOptions::default()).is_ok());
        }
    }
    assert!(survived > 0, "some changes are harmless: of names and numbers");
}

#[test]
fn a_run_bit_by_bit_gives_what_a_run_at_once_gives() {
    let bytes = small().encode();
    let mut session = Session::new(&bytes[..], None).unwrap();
    let inputs = || vec![("x".to_string(), input())];
    let want = session.run(&inputs(), None, RunOptions::default()).unwrap();
    let ticks = std::cell::Cell::new(0.0);
    let clock = || {
        ticks.set(ticks.get() + 1.0);
        ticks.get()
    };
    // Of no time, a slice has one step.
    for (time, slices) in [(0.0, 4), (2.0, 2), (1000.0, 1)] {
        session.begin(inputs(), None, RunOptions::default()).unwrap();
        let mut count = 1;
        while !session.advance(&clock, time).unwrap() {
            count += 1;
        }
        assert_eq!(count, slices);
        let got = session.finish().unwrap();
        assert_eq!((got[0].0.as_str(), got[0].1.bytes()), ("y", want[0].1.bytes()));
    }
    // Measured, no step is counted twice or left out.
    let options = RunOptions { profile: Some(&clock), ..RunOptions::default() };
    session.begin(inputs(), None, options).unwrap();
    while !session.advance(&clock, 0.0).unwrap() {}
    session.finish().unwrap();
    assert_eq!(session.profile().steps().len(), 4);
    assert!(session.profile().steps().windows(2).all(|pair| pair[0].start < pair[1].start));
}

#[test]
fn a_run_that_is_given_up_leaves_nothing_behind() {
    let bytes = small().encode();
    let mut session = Session::new(&bytes[..], None).unwrap();
    let inputs = || vec![("x".to_string(), input())];
    let want = session.run(&inputs(), None, RunOptions::default()).unwrap();
    let clock = || 0.0;
    let code = |result: Result<bool>| result.unwrap_err().code;
    assert_eq!(code(session.advance(&clock, 0.0)), ErrorCode::Internal);
    for give_up in [
        Session::cancel,
        |session: &mut Session| drop(session.finish()),
        |session: &mut Session| {
            session.run(&[("x".to_string(), input())], None, RunOptions::default()).unwrap();
        },
    ] {
        let others = Tensor::from_slice(&[1, 4, 5, 3], &[7f32; 60]).unwrap();
        session.begin(vec![("x".into(), others)], None, RunOptions::default()).unwrap();
        assert!(!session.advance(&clock, 0.0).unwrap());
        give_up(&mut session);
        assert_eq!(code(session.advance(&clock, 0.0)), ErrorCode::Internal);
        assert_eq!(session.finish().unwrap_err().code, ErrorCode::Internal);
        let got = session.run(&inputs(), None, RunOptions::default()).unwrap();
        assert_eq!(got[0].1.bytes(), want[0].1.bytes());
    }
    // Inputs are checked when it begins.
    let wrong = session.begin(vec![], None, RunOptions::default()).unwrap_err();
    assert_eq!(wrong.code, ErrorCode::MissingInput);
}
