//! The engine's boundary to JavaScript, in Node and in browsers: what comes in, what goes out, what is thrown.

#![cfg(all(target_arch = "wasm32", feature = "engine"))]

#[path = "common/boundary.rs"]
mod boundary;

use boundary::{bytes, floats, get, js, object, tensor};
use js_sys::{Array, Function, Uint8Array};
use tractlet::DataType;
use tractlet::plan::{Dim, Fact, ModelInfo, Operation, Plan, Step, ValueInfo, Variant};
use tractlet::web::engine::{EngineSession, JsHost, classify, preprocess, version};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A text field.
fn field(value: &JsValue, name: &str) -> String {
    get(value, name).as_string().unwrap_or_default()
}

const INPUT: &str = r#"{ "size": [1, 2], "layout": "NHWC", "channels": "BGR", "type": "uint8", "mean": [0, 0, 0],
    "std": [1, 1, 1], "crop": { "mode": "stretch" }, "resample": "bilinear" }"#;

#[test]
fn pixels_become_a_tensor() {
    let rgba = [1, 2, 3, 255, 40, 50, 60, 255];
    let input = preprocess(&rgba, 2, 1, js(INPUT), JsValue::UNDEFINED).expect("a tensor");
    assert_eq!(field(&input, "type"), "uint8");
    assert_eq!(get(&input, "dims").unchecked_into::<Array>().join(","), "1,1,2,3");
    assert_eq!(bytes(&input), [3, 2, 1, 60, 50, 40]);
}

#[test]
fn what_is_thrown_is_a_plain_object() {
    let error = preprocess(&[], 0, 0, js(INPUT), JsValue::UNDEFINED).expect_err("no pixels");
    assert_eq!(field(&error, "code"), "INVALID_IMAGE");
    assert!(!field(&error, "message").is_empty() && !field(&error, "hint").is_empty());
    let error = preprocess(&[0; 4], 1, 1, js("{}"), JsValue::UNDEFINED).expect_err("no settings");
    assert_eq!(field(&error, "code"), "INVALID_OPTION");
    let error = EngineSession::new(Uint8Array::from(&b"TRACTLET"[..]).into(), None).err().expect("no plan");
    assert_eq!(field(&error, "code"), "INVALID_PLAN");
}

#[test]
fn scores_become_ranked_classes() {
    let scores = floats("y", &[1, 3], &[0.1, 0.7, 0.2]);
    let rows = classify(&scores, js("{ topK: 2, activation: 'none' }")).expect("classes");
    let row = rows.unchecked_into::<Array>().get(0).unchecked_into::<Array>();
    let indices: Vec<f64> = row.iter().map(|c| get(&c, "index").as_f64().unwrap_or(-1.0)).collect();
    assert_eq!(indices, [1.0, 2.0]);
    // Three elements are announced, two are there.
    let short = tensor("y", "uint8", &[3], &[1, 2]);
    assert_eq!(field(&classify(&short, js("{}")).expect_err("too short"), "code"), "INPUT_SHAPE");
}

/// A model of one step, which the host executes.
fn plan() -> Uint8Array {
    let value =
        |name: &str| ValueInfo { name: name.into(), data_type: DataType::Uint8, shape: vec![Dim::Symbol("n".into())] };
    let fact = || Fact { data_type: DataType::Uint8, shape: vec![Some(3)], constant: None };
    let variant = Variant {
        input_shapes: vec![vec![3]],
        values: vec![fact(), fact()],
        inputs: vec![0],
        outputs: vec![1],
        output_shapes: vec![vec![Some(3)]],
        steps: vec![Step {
            node: "node".into(),
            op_type: "Op".into(),
            operation: Operation::Subgraph { id: 7, inputs: vec![0], outputs: vec![1] },
        }],
    };
    let info = ModelInfo { inputs: vec![value("x")], outputs: vec![value("y")], ..ModelInfo::default() };
    Uint8Array::from(&Plan { info, variants: vec![variant], ..Plan::default() }.encode()[..])
}

fn host(run_subgraph: &str) -> Option<JsHost> {
    let run = Function::new_with_args("id, inputs", run_subgraph);
    Some(object(&[("runSubgraph", run.into())]).unchecked_into())
}

#[test]
fn a_session_asks_its_host() {
    let mut session = EngineSession::new(
        plan().into(),
        host("return id === 7 && [{ ...inputs[0], data: inputs[0].data.map((v) => v * 2) }]"),
    )
    .expect("a session");
    assert!(session.needs_host());
    let info = session.info();
    let first = get(&info, "inputs").unchecked_into::<Array>().get(0);
    assert_eq!((field(&first, "name"), field(&first, "type")), ("x".into(), "uint8".into()));
    let inputs = Array::of1(&tensor("x", "uint8", &[3], &[1, 2, 3]));
    let outputs = session.run(&inputs, None, &JsValue::UNDEFINED).expect("outputs");
    assert_eq!(field(&outputs.get(0), "name"), "y");
    assert_eq!(bytes(&outputs.get(0)), [2, 4, 6]);
    let error = session.run(&Array::new(), None, &JsValue::UNDEFINED).expect_err("no inputs");
    assert_eq!(field(&error, "code"), "MISSING_INPUT");
    let outputs = session.run(&inputs, Some(vec!["y".into()]), &JsValue::UNDEFINED).expect("usable after an error");
    assert_eq!(outputs.length(), 1);
}

#[test]
fn what_the_host_throws_goes_through() {
    let mut session = EngineSession::new(plan().into(), host("throw { code: 'EXECUTION_FAILED', message: 'no' }"))
        .expect("a session");
    let inputs = Array::of1(&tensor("x", "uint8", &[3], &[1, 2, 3]));
    let error = session.run(&inputs, None, &JsValue::UNDEFINED).expect_err("the host fails");
    assert_eq!((field(&error, "code"), field(&error, "message")), ("EXECUTION_FAILED".into(), "no".into()));
}

#[test]
fn the_version_is_the_crate_s_and_says_how_it_multiplies() {
    let text = version();
    let (number, build) = text.split_once('+').expect("a build");
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    if cfg!(target_feature = "relaxed-simd") {
        assert!(["relaxed.pairs", "relaxed.usdot", "relaxed.sdot", "relaxed.maddubs"].contains(&build), "{build}");
    } else {
        assert_eq!(build, "simd128.pairs");
    }
}
