//! The engine's boundary to JavaScript, in Node and in browsers: what comes in, what goes out, what is thrown.

#![cfg(all(target_arch = "wasm32", feature = "engine"))]

use js_sys::{Array, Object, Reflect, Uint8Array};
use tractlet::DataType;
use tractlet::plan::{Dim, Fact, ModelInfo, Plan, Step, ValueInfo, Variant};
use tractlet::web::engine::{EngineSession, JsHost, classify, preprocess, version};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test as test;

fn object(text: &str) -> JsValue {
    js_sys::JSON::parse(text).expect("JSON")
}

fn get(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &name.into()).expect("an object")
}

fn text(value: &JsValue, name: &str) -> String {
    get(value, name).as_string().unwrap_or_default()
}

fn tensor(name: &str, data_type: &str, dims: &[u32], bytes: &[u8]) -> JsValue {
    let object = Object::new();
    let dims: Array = dims.iter().map(|&d| JsValue::from(d)).collect();
    for (key, value) in [
        ("name", name.into()),
        ("type", data_type.into()),
        ("dims", dims.into()),
        ("data", JsValue::from(Uint8Array::from(bytes))),
    ] {
        Reflect::set(&object, &key.into(), &value).expect("a plain object");
    }
    object.into()
}

fn bytes_of(tensor: &JsValue) -> Vec<u8> {
    get(tensor, "data").unchecked_into::<Uint8Array>().to_vec()
}

const INPUT: &str = r#"{ "size": [1, 2], "layout": "NHWC", "channels": "BGR", "type": "uint8", "mean": [0, 0, 0],
    "std": [1, 1, 1], "crop": { "mode": "stretch" }, "resample": "bilinear" }"#;

#[test]
fn pixels_become_a_tensor() {
    let rgba = [1, 2, 3, 255, 40, 50, 60, 255];
    let input = preprocess(&rgba, 2, 1, object(INPUT)).expect("a tensor");
    assert_eq!(text(&input, "type"), "uint8");
    assert_eq!(get(&input, "dims").unchecked_into::<Array>().join(","), "1,1,2,3");
    assert_eq!(bytes_of(&input), [3, 2, 1, 60, 50, 40]);
}

#[test]
fn what_is_thrown_is_a_plain_object() {
    let error = preprocess(&[], 0, 0, object(INPUT)).expect_err("no pixels");
    assert_eq!(text(&error, "code"), "INVALID_IMAGE");
    assert!(!text(&error, "message").is_empty() && !text(&error, "hint").is_empty());
    let error = preprocess(&[0; 4], 1, 1, object("{}")).expect_err("no settings");
    assert_eq!(text(&error, "code"), "INVALID_OPTION");
    let error = EngineSession::new(b"TRACTLET", None).err().expect("no plan");
    assert_eq!(text(&error, "code"), "INVALID_PLAN");
}

#[test]
fn scores_become_ranked_classes() {
    let scores: Vec<u8> = [0.1f32, 0.7, 0.2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let scores = tensor("y", "float32", &[1, 3], &scores);
    let rows = classify(&scores, object(r#"{ "topK": 2, "activation": "none" }"#)).expect("classes");
    let row = rows.unchecked_into::<Array>().get(0).unchecked_into::<Array>();
    let indices: Vec<f64> = row.iter().map(|c| get(&c, "index").as_f64().unwrap_or(-1.0)).collect();
    assert_eq!(indices, [1.0, 2.0]);
    // Three elements are announced, two are there.
    let short = tensor("y", "uint8", &[3], &[1, 2]);
    assert_eq!(text(&classify(&short, object("{}")).expect_err("too short"), "code"), "INPUT_SHAPE");
}

/// A model of one step, which the host executes.
fn plan() -> Vec<u8> {
    let value =
        |name: &str| ValueInfo { name: name.into(), data_type: DataType::Uint8, shape: vec![Dim::Symbol("n".into())] };
    let fact = || Fact { data_type: DataType::Uint8, shape: vec![Dim::Fixed(3)] };
    let variant = Variant {
        input_shapes: vec![vec![3]],
        values: vec![fact(), fact()],
        inputs: vec![0],
        outputs: vec![1],
        steps: vec![Step::Subgraph { id: 7, inputs: vec![0], outputs: vec![1] }],
    };
    let info = ModelInfo { inputs: vec![value("x")], outputs: vec![value("y")], ..ModelInfo::default() };
    Plan { info, variants: vec![variant] }.encode()
}

fn host(run_subgraph: &str) -> Option<JsHost> {
    let run = js_sys::Function::new_with_args("id, inputs", run_subgraph);
    let host = Object::new();
    Reflect::set(&host, &"runSubgraph".into(), &run).expect("a plain object");
    Some(host.unchecked_into())
}

#[test]
fn a_session_asks_its_host() {
    let mut session = EngineSession::new(
        &plan(),
        host("return id === 7 && [{ ...inputs[0], data: inputs[0].data.map((v) => v * 2) }]"),
    )
    .expect("a session");
    assert!(session.needs_host());
    let info = session.info();
    let first = get(&info, "inputs").unchecked_into::<Array>().get(0);
    assert_eq!((text(&first, "name"), text(&first, "type")), ("x".into(), "uint8".into()));
    let inputs = Array::of1(&tensor("x", "uint8", &[3], &[1, 2, 3]));
    let outputs = session.run(&inputs, None, &JsValue::UNDEFINED).expect("outputs");
    assert_eq!(text(&outputs.get(0), "name"), "y");
    assert_eq!(bytes_of(&outputs.get(0)), [2, 4, 6]);
    let error = session.run(&Array::new(), None, &JsValue::UNDEFINED).expect_err("no inputs");
    assert_eq!(text(&error, "code"), "MISSING_INPUT");
    let outputs = session.run(&inputs, Some(vec!["y".into()]), &JsValue::UNDEFINED).expect("usable after an error");
    assert_eq!(outputs.length(), 1);
}

#[test]
fn what_the_host_throws_goes_through() {
    let mut session =
        EngineSession::new(&plan(), host("throw { code: 'EXECUTION_FAILED', message: 'no' }")).expect("a session");
    let inputs = Array::of1(&tensor("x", "uint8", &[3], &[1, 2, 3]));
    let error = session.run(&inputs, None, &JsValue::UNDEFINED).expect_err("the host fails");
    assert_eq!((text(&error, "code"), text(&error, "message")), ("EXECUTION_FAILED".into(), "no".into()));
}

#[test]
fn the_version_is_the_crate_s() {
    assert_eq!(version(), env!("CARGO_PKG_VERSION"));
}
