//! The engine through the glue that JavaScript calls, in Node and in browsers: conversions, what the host is asked, and
//! everything that may come in.

#![cfg(all(target_arch = "wasm32", feature = "engine"))]

#[path = "common/boundary.rs"]
mod boundary;

use boundary::{bytes, call, code, construct, exports, floats, get, js, numbers, tensor, tensor_text, text};
use js_sys::{Array, Function, Reflect, Uint8Array};
use tractlet::DataType;
use tractlet::plan::{Dim, Fact, ModelInfo, Operation, OperatorSet, Plan, Step, ValueInfo, Variant};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test as test;

const STRETCH: &str = "size: [1, 2], crop: { mode: 'stretch' }, resample: 'nearest'";

fn value(name: &str, data_type: DataType, shape: &[Dim]) -> ValueInfo {
    ValueInfo { name: name.into(), data_type, shape: shape.to_vec() }
}

/// `y = x`, of any type and of one shape: nothing for a compiler to do.
fn identity(data_type: DataType, shape: &[usize]) -> Plan {
    let fixed: Vec<Dim> = shape.iter().map(|&d| Dim::Fixed(d)).collect();
    Plan {
        info: ModelInfo {
            inputs: vec![value("x", data_type, &fixed)],
            outputs: vec![value("y", data_type, &fixed)],
            ..ModelInfo::default()
        },
        variants: vec![Variant {
            input_shapes: vec![shape.to_vec()],
            values: vec![Fact { data_type, shape: shape.iter().map(|&d| Some(d)).collect(), constant: None }],
            inputs: vec![0],
            outputs: vec![0],
            output_shapes: vec![shape.iter().map(|&d| Some(d)).collect()],
            steps: vec![],
        }],
        ..Plan::default()
    }
}

/// Two inputs of [batch, 2], of which the host's subgraph 7 makes two outputs; a variant for each given batch.
fn hosted(batches: &[usize]) -> Plan {
    let shape = [Dim::Symbol("batch".into()), Dim::Fixed(2)];
    let float = |name| value(name, DataType::Float32, &shape);
    let variant = |&batch: &usize| Variant {
        input_shapes: vec![vec![batch, 2]; 2],
        values: vec![Fact { data_type: DataType::Float32, shape: vec![Some(batch), Some(2)], constant: None }; 4],
        inputs: vec![0, 1],
        outputs: vec![3, 2],
        output_shapes: vec![vec![Some(batch), Some(2)]; 2],
        steps: vec![Step {
            node: "node".into(),
            op_type: "Op".into(),
            operation: Operation::Subgraph { id: 7, inputs: vec![1, 0], outputs: vec![2, 3] },
        }],
    };
    Plan {
        info: ModelInfo {
            inputs: vec![float("a"), float("b")],
            outputs: vec![float("c"), float("d")],
            graph_name: "graph".into(),
            producer_name: "tests".into(),
            producer_version: "1.2".into(),
            ir_version: 9,
            opsets: vec![OperatorSet { domain: String::new(), version: 17 }],
            description: "ä model".into(),
            metadata: vec![("author".into(), "nobody".into())],
        },
        variants: batches.iter().map(variant).collect(),
        ..Plan::default()
    }
}

/// A host whose `specialize` gives these plans, one after the other, and whose subgraph gives what its inputs are. It
/// keeps what it was asked in `asked`.
fn host(plans: &[Plan]) -> JsValue {
    let plans: Array = plans.iter().map(|p| Uint8Array::from(&p.encode()[..])).collect();
    let make = Function::new_with_args(
        "plans",
        "return {
            asked: [],
            specialize(shapes) { this.asked.push(['specialize', structuredClone(shapes)]); return plans.shift(); },
            runSubgraph(id, inputs) {
                this.asked.push(['runSubgraph', id, inputs.map(({ name, type, dims, data }) =>
                    [name, type, dims, data instanceof Uint8Array && data.byteLength === data.buffer.byteLength])]);
                return inputs;
            },
        }",
    );
    make.call1(&JsValue::NULL, &plans).expect("a host")
}

async fn session(plan: &Plan, host: &JsValue) -> JsValue {
    open(&plan.encode(), host).await.unwrap_or_else(|e| panic!("{}", text(&e)))
}

async fn open(plan: &[u8], host: &JsValue) -> Result<JsValue, JsValue> {
    construct(&exports().await, "EngineSession", &[Uint8Array::from(plan).into(), host.clone()])
}

fn run(session: &JsValue, inputs: &[JsValue], outputs: &JsValue, options: &str) -> Result<Vec<JsValue>, JsValue> {
    let inputs: Array = inputs.iter().collect();
    let results = call(session, "run", &[inputs.into(), outputs.clone(), js(options)])?;
    Ok(results.dyn_into::<Array>().expect("an array").to_vec())
}

fn run_all(session: &JsValue, inputs: &[JsValue]) -> Result<Vec<JsValue>, JsValue> {
    run(session, inputs, &JsValue::UNDEFINED, "{}")
}

fn clamped(rgba: &[u8]) -> JsValue {
    Reflect::construct(&js("Uint8ClampedArray").into(), &Array::of1(&Uint8Array::from(rgba))).expect("an array")
}

#[test]
async fn version_is_the_packages() {
    let version = call(&exports().await, "version", &[]).unwrap().as_string().unwrap();
    assert_eq!(version.split('+').next(), Some(env!("CARGO_PKG_VERSION")));
}

async fn preprocess(rgba: JsValue, width: f64, height: f64, spec: &str) -> Result<JsValue, JsValue> {
    call(&exports().await, "preprocess", &[rgba, width.into(), height.into(), js(spec)])
}

#[test]
async fn pixels_become_a_tensor() {
    // A canvas gives a Uint8ClampedArray, people give a Uint8Array.
    let pixels = [255, 0, 0, 255, 0, 128, 255, 255];
    let spec =
        format!("{{ {STRETCH}, layout: 'NHWC', channels: 'BGR', type: 'uint8', mean: [0, 0, 0], std: [1, 1, 1] }}");
    for rgba in [clamped(&pixels), Uint8Array::from(&pixels[..]).into()] {
        let result = preprocess(rgba, 2.0, 1.0, &spec).await.unwrap();
        assert_eq!(tensor_text(&result), ": uint8 [1,1,2,3]");
        assert_eq!(bytes(&result), [0, 0, 255, 255, 128, 0]);
        // In memory of its own: what follows cannot change it, and it can be given away.
        assert_eq!(get(&get(&get(&result, "data"), "buffer"), "byteLength"), 6);
    }
    let spec = format!("{{ {STRETCH}, layout: 'NCHW', channels: 'RGB', scale: 0.5, mean: [1, 2, 3], std: [1, 2, 4] }}");
    let result = preprocess(clamped(&pixels), 2.0, 1.0, &spec).await.unwrap();
    assert_eq!(tensor_text(&result), ": float32 [1,3,1,2]");
    assert_eq!(numbers(&result), [126.5, -1.0, -1.0, 31.0, -0.75, 31.125]);
    let spec = format!(
        "{{ {STRETCH}, layout: 'NHWC', channels: 'RGB', type: 'uint8', mean: [0, 0, 0], std: [1, 1, 1], background: [0, 0, 255] }}"
    );
    let result = preprocess(clamped(&[255, 0, 0, 0, 9, 8, 7, 255]), 2.0, 1.0, &spec).await.unwrap();
    assert_eq!(bytes(&result), [0, 0, 255, 9, 8, 7]);
}

#[test]
async fn bad_pixels_and_settings_are_thrown() {
    let good = format!("{STRETCH}, layout: 'NHWC', channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1]");
    let pixels = || clamped(&[0; 8]);
    for (width, height, expected) in [
        (0.0, 1.0, "INVALID_IMAGE"),
        (2.0, 2.0, "INVALID_IMAGE"),
        (1.0, 1.0, "INVALID_IMAGE"),
        (20_000.0, 20_000.0, "IMAGE_TOO_LARGE"),
        (4_294_967_295.0, 4_294_967_295.0, "IMAGE_TOO_LARGE"),
        (f64::NAN, 1.0, "INVALID_IMAGE"),
    ] {
        let result = preprocess(pixels(), width, height, &format!("{{ {good} }}")).await;
        assert_eq!(code(result), expected, "{width}x{height}");
    }
    for spec in [
        "undefined",
        "null",
        "7",
        "[]",
        "{}",
        &format!("{{ {good}, std: undefined }}"),
        &format!("{{ {good}, std: [1, 1] }}"),
        &format!("{{ {good}, std: [0, 1, 1] }}"),
        &format!("{{ {good}, mean: [NaN, 1, 1] }}"),
        &format!("{{ {good}, layout: 'HWC' }}"),
        &format!("{{ {good}, size: [-1, 2] }}"),
        &format!("{{ {good}, size: [1e9, 1e9] }}"),
        &format!("{{ {good}, crop: {{ mode: 'center' }} }}"),
        &format!("{{ {good}, normalise: true }}"),
    ] {
        let error = preprocess(pixels(), 2.0, 1.0, spec).await;
        assert_eq!(code(error.clone()), "INVALID_OPTION", "{spec}");
        let hint = get(&error.unwrap_err(), "hint").as_string();
        assert!(hint.is_some_and(|h| !h.is_empty()), "{spec}: it should say what to do");
    }
}

#[test]
async fn a_view_is_looked_at() {
    let spec = js(&format!(
        "{{ {STRETCH}, layout: 'NHWC', channels: 'RGB', type: 'uint8', mean: [0, 0, 0], std: [1, 1, 1] }}"
    ));
    // 1 2 3
    // 4 5 6
    let rgba = clamped(&(1..7).flat_map(|v| [v, v, v, 255]).collect::<Vec<_>>());
    let exports = exports().await;
    let view = |view: &str| {
        let size = [JsValue::from(3.0), 2.0.into()];
        call(&exports, "preprocess", &[rgba.clone(), size[0].clone(), size[1].clone(), spec.clone(), js(view)])
    };
    for (settings, reds) in [
        ("undefined", [4, 6]),
        ("{}", [4, 6]),
        ("{ region: undefined, rotation: undefined, orientation: undefined }", [4, 6]),
        ("{ region: { x: 1, y: 1, width: 2, height: 1 } }", [5, 6]),
        ("{ region: { x: 1, y: 1, width: 2, height: 1, unit: undefined }, rotation: 180 }", [6, 5]),
        ("{ region: { x: 0, y: 0.5, width: 1 / 3, height: 0.5, unit: 'relative' } }", [4, 4]),
        ("{ region: { x: 2, y: 0, width: 1, height: 2 }, rotation: 90 }", [6, 3]),
        ("{ orientation: 8, region: { x: 0, y: 0, width: 2, height: 1 } }", [3, 6]),
    ] {
        let result = view(settings).unwrap_or_else(|error| panic!("{settings}: {}", text(&error)));
        let bytes = bytes(&result);
        assert_eq!([bytes[0], bytes[3]], reds, "{settings}");
    }
    for settings in [
        "null",
        "7",
        "{ rotation: 45 }",
        "{ rotation: '90' }",
        "{ rotate: 90 }",
        "{ orientation: 0 }",
        "{ region: {} }",
        "{ region: [0, 0, 1, 1] }",
        "{ region: { x: 0, y: 0, width: 4, height: 1 } }",
        "{ region: { x: 0, y: 0, width: NaN, height: 1 } }",
        "{ region: { x: 0, y: 0, width: 1, height: 1, left: 0 } }",
        "{ region: { x: 0, y: 0, width: 1, height: 1, unit: 'percent' } }",
    ] {
        let error = view(settings);
        assert_eq!(code(error.clone()), "INVALID_OPTION", "{settings}");
        assert!(get(&error.unwrap_err(), "hint").is_string(), "{settings}");
    }
}

async fn classify(scores: JsValue, spec: &str) -> Result<String, JsValue> {
    call(&exports().await, "classify", &[scores, js(spec)]).map(|best| text(&best))
}

#[test]
async fn scores_become_classes() {
    let scores = || floats("", &[2, 3], &[1.0, 3.0, 2.0, 0.5, f32::NAN, 0.5]);
    for (scores, spec, expected) in [
        (
            scores(),
            "{ topK: 2, activation: 'none' }",
            r#"[[{"index":1,"score":3},{"index":2,"score":2}],[{"index":0,"score":0.5},{"index":2,"score":0.5}]]"#,
        ),
        // What is left out may be undefined or null: objects that were posted have such fields.
        (
            scores(),
            "{ topK: 1, threshold: undefined, activation: null }",
            r#"[[{"index":1,"score":0.6652409434318542}],[{"index":0,"score":0.5}]]"#,
        ),
        (
            tensor("", "uint8", &[3], &[3, 200, 7]),
            "{ threshold: 7, activation: 'none' }",
            r#"[[{"index":1,"score":200},{"index":2,"score":7}]]"#,
        ),
        (
            scores(),
            "{ allow: [2, 0], deny: [0], activation: 'none' }",
            r#"[[{"index":2,"score":2}],[{"index":2,"score":0.5}]]"#,
        ),
    ] {
        assert_eq!(classify(scores, spec).await.unwrap(), expected, "{spec}");
    }
}

#[test]
async fn scores_are_averaged_over_time() {
    let exports = exports().await;
    let spec = js("{ topK: 1, activation: 'none' }");
    let smoothed = |scores: &[f32], average: JsValue, keep: f64| {
        let scores = floats("", &[1, scores.len() as u32], scores);
        call(&exports, "classifySmoothed", &[scores, spec.clone(), average, keep.into()])
    };
    let first = smoothed(&[4.0, 2.0], JsValue::UNDEFINED, 0.5).unwrap();
    assert_eq!(text(&get(&first, "best")), r#"[{"index":0,"score":4}]"#);
    let second = smoothed(&[0.0, 6.0], get(&first, "average"), 0.75).unwrap();
    assert_eq!(text(&second), r#"{"best":[{"index":0,"score":3}],"average":{"0":3,"1":3}}"#);
    assert_eq!(get(&get(&get(&second, "average"), "buffer"), "byteLength"), 8);
    assert_eq!(code(smoothed(&[1.0, 2.0, 3.0], get(&first, "average"), 0.5)), "INVALID_OPTION");
    assert_eq!(code(smoothed(&[1.0, 2.0], get(&first, "average"), 2.0)), "INVALID_OPTION");
    assert_eq!(code(smoothed(&[1.0, 2.0], get(&first, "average"), f64::NAN)), "INVALID_OPTION");
    assert_eq!(code(smoothed(&[], JsValue::UNDEFINED, 0.0)), "INPUT_SHAPE");
}

#[test]
async fn bad_scores_are_thrown() {
    for (scores, spec, expected) in [
        (floats("", &[3], &[1.0, 2.0]), "{}", "INPUT_SHAPE"),
        (floats("", &[], &[1.0]), "{}", "INPUT_SHAPE"),
        (floats("", &[0], &[]), "{}", "INPUT_SHAPE"),
        (tensor("", "int64", &[1], &[0; 8]), "{}", "INPUT_TYPE"),
        (tensor("", "complex64", &[1], &[0; 8]), "{}", "INPUT_TYPE"),
        (js("null"), "{}", "INPUT_TYPE"),
        (js("{ type: 'float32', dims: [1], data: [1] }"), "{}", "INPUT_TYPE"),
        (js("{ type: 'float32', dims: 1, data: new Uint8Array(4) }"), "{}", "INPUT_SHAPE"),
        (floats("", &[2], &[1.0, 2.0]), "{ topK: -1 }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "{ threshold: NaN }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "{ activation: 'relu' }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "{ topk: 1 }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "{ allow: [2] }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "{ deny: ['cat'] }", "INVALID_OPTION"),
        (floats("", &[2], &[1.0, 2.0]), "undefined", "INVALID_OPTION"),
    ] {
        let what = format!("{} {spec}", text(&scores));
        assert_eq!(code(classify(scores, spec).await), expected, "{what}");
    }
}

#[test]
async fn a_session_says_what_the_model_is() {
    let session = session(&hosted(&[]), &host(&[])).await;
    assert_eq!(
        text(&call(&session, "info", &[]).unwrap()),
        concat!(
            r#"{"inputs":[{"name":"a","type":"float32","shape":["batch",2]},{"name":"b","type":"float32","shape":["batch",2]}],"#,
            r#""outputs":[{"name":"c","type":"float32","shape":["batch",2]},{"name":"d","type":"float32","shape":["batch",2]}],"#,
            r#""graphName":"graph","producerName":"tests","producerVersion":"1.2","irVersion":9,"#,
            r#""opsets":[{"domain":"","version":17}],"description":"ä model","metadata":{"author":"nobody"}}"#,
        )
    );
}

#[test]
async fn the_host_is_asked_for_plans_and_subgraphs() {
    let host = host(&[hosted(&[2])]);
    let session = session(&hosted(&[1]), &host).await;
    assert_eq!(call(&session, "needsHost", &[]).unwrap(), true);

    // The subgraph reads b before a, and gives d before c: what it gives is what it got.
    let results = run_all(&session, &[floats("b", &[1, 2], &[3.0, 4.0]), floats("a", &[1, 2], &[1.0, 2.0])]).unwrap();
    assert_eq!(results.iter().map(tensor_text).collect::<Vec<_>>(), ["c: float32 [1,2]", "d: float32 [1,2]"]);
    assert_eq!([numbers(&results[0]), numbers(&results[1])], [[1.0, 2.0], [3.0, 4.0]]);

    // Another size is asked for once.
    for _ in 0..2 {
        let inputs = [floats("a", &[2, 2], &[1.0; 4]), floats("b", &[2, 2], &[2.0; 4])];
        let results = run(&session, &inputs, &js("['d']"), "{}").unwrap();
        assert_eq!(results.iter().map(tensor_text).collect::<Vec<_>>(), ["d: float32 [2,2]"]);
        assert_eq!(numbers(&results[0]), [2.0; 4]);
    }
    let subgraph =
        |batch| format!(r#"["runSubgraph",7,[["","float32",[{batch},2],true],["","float32",[{batch},2],true]]]"#);
    assert_eq!(
        text(&get(&host, "asked")),
        format!(r#"[{},["specialize",[[2,2],[2,2]]],{},{}]"#, subgraph(1), subgraph(2), subgraph(2))
    );
}

#[test]
async fn what_the_host_throws_arrives_as_it_is() {
    let thrown = js("Object.freeze(new WebAssembly.RuntimeError('unreachable'))");
    let host = host(&[]);
    let session = session(&hosted(&[1]), &host).await;
    let inputs = [floats("a", &[1, 2], &[1.0; 2]), floats("b", &[1, 2], &[2.0; 2])];
    let larger = [floats("a", &[3, 2], &[1.0; 6]), floats("b", &[3, 2], &[2.0; 6])];
    let throws =
        Function::new_with_args("error", "return () => { throw error; }").call1(&JsValue::NULL, &thrown).unwrap();
    let works = get(&host, "runSubgraph");
    for (method, inputs) in [("runSubgraph", &inputs), ("specialize", &larger)] {
        Reflect::set(&host, &method.into(), &throws).unwrap();
        assert!(run_all(&session, inputs).unwrap_err() == thrown, "{method}: not the same object");
    }
    // The engine is none the worse for it, and does not throw the old error again.
    Reflect::set(&host, &"runSubgraph".into(), &works).unwrap();
    assert_eq!(numbers(&run_all(&session, &inputs).unwrap()[0]), [1.0; 2]);
    assert_eq!(code(run_all(&session, &[])), "MISSING_INPUT");
}

#[test]
async fn nonsense_of_the_host_is_no_crash() {
    let inputs = [floats("a", &[1, 2], &[1.0; 2]), floats("b", &[1, 2], &[2.0; 2])];
    for answer in ["[]", "[1, 2]", "[undefined, null]", "[{}, {}, {}]", "[{ type: 'float32', dims: [9], data: 1 }]"] {
        let host = host(&[]);
        Reflect::set(&host, &"runSubgraph".into(), &js(&format!("() => {answer}"))).unwrap();
        code(run_all(&session(&hosted(&[1]), &host).await, &inputs));
    }
    for plan in ["new Uint8Array()", "new Uint8Array(100)", "new TextEncoder().encode('TRACTLET\\x01')"] {
        let host = host(&[]);
        Reflect::set(&host, &"specialize".into(), &js(&format!("() => {plan}"))).unwrap();
        assert_eq!(code(run_all(&session(&hosted(&[]), &host).await, &inputs)), "INVALID_PLAN", "{plan}");
    }
    let other = session(&hosted(&[]), &host(&[hosted(&[5])])).await;
    assert_eq!(code(run_all(&other, &inputs)), "INTERNAL");
}

#[test]
async fn a_measured_run_lists_its_steps() {
    let session = session(&hosted(&[1]), &host(&[])).await;
    assert_eq!(call(&session, "subgraphs", &[]).unwrap(), 1);
    let inputs = [floats("a", &[1, 2], &[1.0; 2]), floats("b", &[1, 2], &[2.0; 2])];
    for (options, count) in [("{}", 0), ("{ profile: true }", 1), ("{ profile: true }", 1), ("{ profile: false }", 1)] {
        run(&session, &inputs, &JsValue::UNDEFINED, options).unwrap();
        let steps: Array = call(&session, "profile", &[]).unwrap().dyn_into().expect("an array");
        assert_eq!(steps.length(), count, "{options}");
        for step in steps.iter() {
            for (key, expected) in [("node", "'node'"), ("opType", "'Op'"), ("kernel", "'tract'"), ("macs", "0")] {
                assert_eq!(get(&step, key), js(expected), "{key}");
            }
            assert_eq!(text(&get(&step, "shape")), "[1,2]");
            assert!(["start", "microseconds"].iter().all(|key| get(&step, key).as_f64().is_some_and(|n| n >= 0.0)));
        }
    }
}

#[test]
async fn plans_that_need_no_host_do_without() {
    let session = session(&identity(DataType::Float32, &[2]), &JsValue::UNDEFINED).await;
    assert_eq!(call(&session, "needsHost", &[]).unwrap(), false);
    assert_eq!(numbers(&run_all(&session, &[floats("x", &[2], &[1.5, -2.5])]).unwrap()[0]), [1.5, -2.5]);
}

#[test]
async fn a_plan_is_described() {
    let session = session(&hosted(&[1, 3]), &host(&[])).await;
    let description = call(&session, "describe", &[]).unwrap();
    assert!(get(&description, "weightBytes").as_f64().is_some());
    let variants: Array = get(&description, "variants").unchecked_into();
    assert_eq!(variants.length(), 2);
    for (variant, batch) in variants.iter().zip([1, 3]) {
        assert_eq!(text(&get(&variant, "inputShapes")), format!("[[{batch},2],[{batch},2]]"));
        assert!(get(&variant, "arenaBytes").as_f64().is_some());
        let step =
            format!(r#"{{"node":"node","opType":"Op","kernel":"tract","shape":[{batch},2],"macs":0,"subgraph":7}}"#);
        assert_eq!(text(&get(&variant, "steps")), format!("[{step}]"));
    }
    let alone = open(&identity(DataType::Float32, &[2]).encode(), &JsValue::UNDEFINED).await.unwrap();
    let variants: Array = get(&call(&alone, "describe", &[]).unwrap(), "variants").unchecked_into();
    assert_eq!(text(&get(&variants.get(0), "steps")), "[]");
}

#[test]
async fn shapes_that_a_plan_lacks_are_named() {
    let alone = session(&hosted(&[1, 3]), &JsValue::UNDEFINED).await;
    let inputs = [floats("a", &[2, 2], &[1.0; 4]), floats("b", &[2, 2], &[2.0; 4])];
    let error = run_all(&alone, &inputs);
    assert_eq!(code(error.clone()), "INPUT_SHAPE");
    assert_eq!(text(&get(&error.unwrap_err(), "expected")), r#""a [1, 2], b [1, 2]; a [3, 2], b [3, 2]""#);
}

/// A plan that is read piece by piece; `limit` is where reading throws.
fn made(plan: &Plan, limit: f64) -> JsValue {
    let make = Function::new_with_args(
        "bytes, limit",
        "return {
            size: bytes.length,
            read(offset, to) {
                if (offset + to.length > limit) throw 'gone';
                to.set(bytes.subarray(offset, offset + to.length));
            },
        }",
    );
    make.call2(&JsValue::NULL, &Uint8Array::from(&plan.encode()[..]), &limit.into()).expect("a plan")
}

#[test]
async fn plans_are_read_piece_by_piece() {
    let plan = hosted(&[1]);
    let inputs = [floats("a", &[1, 2], &[1.0; 2]), floats("b", &[1, 2], &[2.0; 2])];
    let host = host(&[]);
    let want = {
        let whole = session(&plan, &host).await;
        run_all(&whole, &inputs).unwrap()
    };
    let open = async |plan: JsValue| construct(&exports().await, "EngineSession", &[plan, host.clone()]);
    let session = open(made(&plan, f64::INFINITY)).await.unwrap_or_else(|e| panic!("{}", text(&e)));
    let got = run_all(&session, &inputs).unwrap();
    assert_eq!(got.iter().map(text).collect::<Vec<_>>(), want.iter().map(text).collect::<Vec<_>>());
    for limit in [0.0, 20.0] {
        assert_eq!(open(made(&plan, limit)).await.unwrap_err(), JsValue::from("gone"));
    }
}

#[test]
async fn bad_plans_are_thrown() {
    let good = identity(DataType::Float32, &[2]).encode();
    let mut newer = good.clone();
    newer[8] = 99;
    for (plan, expected) in [
        (&[][..], "INVALID_PLAN"),
        (b"not a plan".as_slice(), "INVALID_PLAN"),
        (&good[..good.len() - 16], "INVALID_PLAN"),
        (&newer, "PLAN_VERSION"),
    ] {
        let error = open(plan, &JsValue::UNDEFINED).await;
        assert_eq!(code(error.clone()), expected, "{plan:?}");
        assert!(get(&error.unwrap_err(), "hint").is_string());
    }
    let alone = session(&hosted(&[1]), &JsValue::UNDEFINED).await;
    let inputs = [floats("a", &[1, 2], &[1.0; 2]), floats("b", &[1, 2], &[2.0; 2])];
    assert_eq!(code(run_all(&alone, &inputs)), "INVALID_PLAN");
}

#[test]
async fn every_element_type_goes_in_and_out() {
    let samples = "float32:4 float64:8 float16:2 int8:1 uint8:1 int16:2 uint16:2 int32:4 uint32:4 int64:8 uint64:8 bool:1 string:0";
    for (name, size) in samples.split(' ').map(|s| s.split_once(':').unwrap()) {
        let session = session(&identity(DataType::from_name(name).unwrap(), &[3]), &JsValue::UNDEFINED).await;
        let size: u8 = size.parse().unwrap();
        let input = match name {
            "string" => js("{ name: 'x', type: 'string', dims: [3], data: ['', 'ä€😀', 'a\\0b'] }"),
            "bool" => tensor("x", name, &[3], &[1, 0, 1]),
            _ => tensor("x", name, &[3], &(0..3 * size).map(|i| i * 5 + 1).collect::<Vec<_>>()),
        };
        let results =
            run_all(&session, std::slice::from_ref(&input)).unwrap_or_else(|e| panic!("{name}: {}", text(&e)));
        assert_eq!(tensor_text(&results[0]), format!("y: {name} [3]"));
        assert_eq!(text(&get(&results[0], "data")), text(&get(&input, "data")), "{name}");
    }
}

#[test]
async fn bad_inputs_are_thrown_and_the_session_goes_on() {
    let session = session(&identity(DataType::Float32, &[1, 2]), &JsValue::UNDEFINED).await;
    for (input, expected) in [
        ("name: 'z', type: 'float32', dims: [1, 2], data: DATA", "UNKNOWN_INPUT"),
        ("name: 'x', type: 'int32', dims: [1, 2], data: DATA", "INPUT_TYPE"),
        ("name: 'x', type: 'float31', dims: [1, 2], data: DATA", "INPUT_TYPE"),
        ("name: 'x', dims: [1, 2], data: DATA", "INPUT_TYPE"),
        ("name: 'x', type: 'float32', dims: [1, 2], data: new Float32Array(2)", "INPUT_TYPE"),
        ("name: 'x', type: 'float32', dims: [1, 2], data: 'text'", "INPUT_TYPE"),
        ("name: 'x', type: 'string', dims: [1, 2], data: ['a', 1]", "INPUT_TYPE"),
        ("name: 'x', type: 'float32', dims: [2, 1], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [2], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [1, 3], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: 2, data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [1, -2], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [1, 2.5], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [1, NaN], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [2 ** 53, 2 ** 53], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [2 ** 31, 2 ** 31, 2 ** 31, 2], data: DATA", "INPUT_SHAPE"),
        ("name: 'x', type: 'float32', dims: [1, '2'], data: DATA", "INPUT_SHAPE"),
    ] {
        let input = js(&format!("{{ {} }}", input.replace("DATA", "new Uint8Array(8)")));
        assert_eq!(code(run_all(&session, std::slice::from_ref(&input))), expected, "{}", text(&input));
    }
    for nonsense in ["undefined", "'x'", "[]"] {
        assert_eq!(code(run_all(&session, &[js(nonsense)])), "INPUT_TYPE", "{nonsense}");
    }
    let nan = floats("x", &[1, 2], &[1.0, f32::NAN]);
    let error = run_all(&session, std::slice::from_ref(&nan));
    assert_eq!(code(error.clone()), "INPUT_VALUE");
    assert_eq!(get(&error.unwrap_err(), "input"), "x");
    let results = run(&session, &[nan], &JsValue::UNDEFINED, "{ allowNaN: true }").unwrap();
    assert!(numbers(&results[0])[1].is_nan());

    assert_eq!(code(run_all(&session, &[])), "MISSING_INPUT");
    let good = floats("x", &[1, 2], &[1.0, 2.0]);
    assert_eq!(code(run_all(&session, &[good.clone(), good.clone()])), "UNKNOWN_INPUT");
    assert_eq!(code(run(&session, std::slice::from_ref(&good), &js("['z']"), "{}")), "UNKNOWN_OUTPUT");
    assert!(run(&session, std::slice::from_ref(&good), &js("[]"), "{}").unwrap().is_empty());
    assert_eq!(numbers(&run_all(&session, &[good]).unwrap()[0]), [1.0, 2.0]);
}

#[test]
async fn a_freed_session_is_an_error() {
    let session = session(&identity(DataType::Float32, &[2]), &JsValue::UNDEFINED).await;
    call(&session, "free", &[]).unwrap();
    let error = run_all(&session, &[floats("x", &[2], &[1.0, 2.0])]).unwrap_err();
    assert!(error.is_instance_of::<js_sys::Error>(), "{error:?}");
}

#[test]
async fn sessions_share_nothing() {
    let first = session(&hosted(&[1]), &host(&[])).await;
    let second = session(&hosted(&[1]), &host(&[])).await;
    let with = |n: f32| [floats("a", &[1, 2], &[n; 2]), floats("b", &[1, 2], &[n + 1.0; 2])];
    let kept = run_all(&first, &with(1.0)).unwrap();
    run_all(&second, &with(5.0)).unwrap();
    call(&second, "free", &[]).unwrap();
    assert_eq!(numbers(&kept[0]), [1.0; 2]);
    assert_eq!(numbers(&run_all(&first, &with(3.0)).unwrap()[1]), [4.0; 2]);
}
