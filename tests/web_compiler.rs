//! The compiler as JavaScript sees it, in Node.

#![cfg(all(target_arch = "wasm32", feature = "compiler"))]

#[path = "common/boundary.rs"]
mod boundary;

use boundary::{bytes, call, code, construct, exports, floats, get, js, numbers, object, tensor_text, text};
use js_sys::{Array, Uint8Array};
use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, tensor_proto, tensor_shape_proto, type_proto,
};
use tractlet::plan::{Dim, Operation, Plan};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test as test;

const FLOAT: i32 = tensor_proto::DataType::Float as i32;
const NOTHING: &str = "{}";

/// A float32 input or output; a dimension that is no number is a symbol.
fn value(name: &str, shape: &[&str]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |d: &&str| Dimension {
        denotation: String::new(),
        value: Some(d.parse().map_or_else(|_| Value::DimParam((*d).into()), Value::DimValue)),
    };
    let tensor =
        type_proto::Tensor { elem_type: FLOAT, shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }) };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { denotation: String::new(), value: Some(type_proto::Value::TensorType(tensor)) }),
        doc_string: String::new(),
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        name: format!("node of {output}"),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// `x` of that shape in, `y` out.
fn model(shape: &[&str], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let graph = GraphProto {
        name: "graph".into(),
        node: nodes,
        initializer,
        input: vec![value("x", shape)],
        output: vec![value("y", shape)],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// `y = sign(x)`, by an operator that the engine has no step for.
fn signs(shape: &[&str]) -> Vec<u8> {
    model(shape, vec![node("Sign", &["x"], "y")], vec![])
}

/// `y = (x + w) / 2`, by an operator that the engine has no step for, with `w` of [2] in the file `weights.bin`.
fn external() -> Vec<u8> {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let w = TensorProto {
        name: "w".into(),
        dims: vec![2],
        data_type: FLOAT,
        data_location: Some(tensor_proto::DataLocation::External as i32),
        external_data: vec![entry("location", "weights.bin"), entry("offset", "4"), entry("length", "8")],
        ..TensorProto::default()
    };
    model(&["2"], vec![node("Mean", &["x", "w"], "y")], vec![w])
}

async fn compile(model: &[u8], external: &JsValue, options: &str) -> Result<JsValue, JsValue> {
    construct(&exports().await, "CompiledModel", &[Uint8Array::from(model).into(), external.clone(), js(options)])
}

async fn compiled(model: &[u8], external: &JsValue, options: &str) -> JsValue {
    compile(model, external, options).await.unwrap_or_else(|e| panic!("{}", text(&e)))
}

fn files(list: &[(&str, &[u8])]) -> JsValue {
    let file =
        |(path, data): &(&str, &[u8])| object(&[("path", (*path).into()), ("data", Uint8Array::from(*data).into())]);
    list.iter().map(file).collect::<Array>().into()
}

/// All of a plan that is made while it is read, in two parts.
fn bytes_of(plan: &JsValue) -> Vec<u8> {
    let size = get(plan, "size").as_f64().expect("a size");
    let half = (size / 2.0).floor();
    let parts = [(0.0, half), (half, size - half)].map(|(offset, len)| {
        let to = Uint8Array::new_with_length(len as u32);
        call(plan, "read", &[offset.into(), to.clone().into()]).expect("bytes");
        to.to_vec()
    });
    parts.concat()
}

fn plan_of(bytes: &JsValue) -> Plan {
    Plan::decode(&bytes_of(bytes)).expect("a plan").0
}

fn specialize(model: &JsValue, shapes: &str) -> Result<Plan, JsValue> {
    call(model, "specialize", &[js(shapes)]).map(|plan| plan_of(&plan))
}

fn run_subgraph(model: &JsValue, id: u32, inputs: &[JsValue]) -> Result<Vec<JsValue>, JsValue> {
    let inputs: Array = inputs.iter().collect();
    call(model, "runSubgraph", &[id.into(), inputs.into()])
        .map(|outputs| outputs.dyn_into::<Array>().expect("an array").to_vec())
}

/// The only step of the latest variant of a plan for one input.
fn subgraph(plan: &Plan) -> u32 {
    let variant = plan.variants.last().expect("a variant");
    let operations: Vec<&Operation> = variant.steps.iter().map(|s| &s.operation).collect();
    match operations[..] {
        [Operation::Subgraph { id, inputs, outputs }] => {
            assert_eq!((inputs, outputs), (&variant.inputs, &variant.outputs));
            *id
        }
        _ => panic!("one subgraph was expected: {operations:?}"),
    }
}

#[test]
async fn a_model_with_fixed_shapes_is_compiled_at_once() {
    let model = compiled(&signs(&["1", "3"]), &files(&[]), NOTHING).await;
    let plan = plan_of(&call(&model, "plan", &[]).unwrap());
    assert_eq!(plan.info.graph_name, "graph");
    assert_eq!(plan.info.inputs[0].shape, [Dim::Fixed(1), Dim::Fixed(3)]);
    assert_eq!(plan.variants.len(), 1);
    assert_eq!(plan.variants[0].input_shapes, [[1, 3]]);
    let outputs = run_subgraph(&model, subgraph(&plan), &[floats("", &[1, 3], &[1.5, -2.0, 0.25])]).unwrap();
    assert_eq!(outputs.iter().map(tensor_text).collect::<Vec<_>>(), [": float32 [1,3]"]);
    assert_eq!(numbers(&outputs[0]), [1.0, -1.0, 1.0]);
    // In memory of its own.
    assert_eq!(get(&get(&get(&outputs[0], "data"), "buffer"), "byteLength"), bytes(&outputs[0]).len() as u32);
}

#[test]
async fn what_has_no_steps_is_listed() {
    let model = compiled(&signs(&["1", "3"]), &files(&[]), NOTHING).await;
    let id = subgraph(&plan_of(&call(&model, "plan", &[]).unwrap()));
    let fallbacks: Array = call(&model, "fallbacks", &[]).unwrap().unchecked_into();
    assert_eq!(fallbacks.length(), 1);
    assert_eq!(get(&fallbacks.get(0), "id"), id);
    let nodes: Array = get(&fallbacks.get(0), "nodes").unchecked_into();
    assert!(nodes.length() > 0);
    for node in nodes.iter() {
        assert!(["node", "opType"].iter().all(|key| get(&node, key).as_string().is_some_and(|s| !s.is_empty())));
        assert_eq!(get(&node, "reason"), "operator");
    }
}

#[test]
async fn symbolic_shapes_are_compiled_on_demand() {
    let model = compiled(&signs(&["n", "2"]), &files(&[]), NOTHING).await;
    let plan = plan_of(&call(&model, "plan", &[]).unwrap());
    assert_eq!(plan.info.inputs[0].shape, [Dim::Symbol("n".into()), Dim::Fixed(2)]);
    assert!(plan.variants.is_empty());
    for n in [1, 3, 1] {
        let plan = specialize(&model, &format!("[[{n}, 2]]")).unwrap();
        let variant =
            plan.variants.iter().position(|v| v.input_shapes == [[n, 2]]).expect("the variant that was asked for");
        let plan = Plan { variants: vec![plan.variants[variant].clone()], ..plan };
        let input = floats("", &[n as u32, 2], &vec![1.0; n * 2]);
        let outputs = run_subgraph(&model, subgraph(&plan), &[input]).unwrap();
        assert_eq!(numbers(&outputs[0]), vec![1.0; n * 2]);
    }
    for shapes in
        ["[]", "[[1, 2], [1, 2]]", "[7]", "[[-1, 2]]", "[[0.5, 2]]", "[[NaN, 2]]", "[['1', 2]]", "[[2 ** 60, 2]]"]
    {
        let result = specialize(&model, shapes);
        assert!(result.is_err(), "{shapes}");
        let error = code(result);
        assert_ne!(error, "INTERNAL", "{shapes}");
    }
    assert!(specialize(&model, "[[2, 2]]").is_ok(), "usable after errors");
}

#[test]
async fn symbols_can_be_given_sizes() {
    let symbolic = signs(&["n", "2"]);
    let model = compiled(&symbolic, &files(&[]), "{ freeDimensionOverrides: { n: 4 } }").await;
    let plan = plan_of(&call(&model, "plan", &[]).unwrap());
    assert_eq!(plan.info.inputs[0].shape, [Dim::Fixed(4), Dim::Fixed(2)]);
    assert_eq!(plan.variants[0].input_shapes, [[4, 2]]);
    let unknown = compile(&symbolic, &files(&[]), "{ freeDimensionOverrides: { n: 4, other: 1 } }").await;
    assert_eq!(code(unknown), "INVALID_OPTION");
    for options in ["{ freeDimensionOverrides: undefined }", "undefined", "null"] {
        let plan = compile(&symbolic, &files(&[]), options).await.map(|m| plan_of(&call(&m, "plan", &[]).unwrap()));
        assert!(plan.unwrap().variants.is_empty(), "{options}");
    }
    for size in ["-1", "1.5", "NaN", "'4'", "null", "2 ** 32", "{}"] {
        let error = compile(&symbolic, &files(&[]), &format!("{{ freeDimensionOverrides: {{ n: {size} }} }}")).await;
        assert_eq!(code(error), "INVALID_OPTION", "{size}");
    }
}

#[test]
async fn external_data_is_handed_in() {
    let weights: Vec<u8> = [9.0f32, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let model = compiled(&external(), &files(&[("other.bin", &[]), ("weights.bin", &weights)]), NOTHING).await;
    let plan = plan_of(&call(&model, "plan", &[]).unwrap());
    let outputs = run_subgraph(&model, subgraph(&plan), &[floats("", &[2], &[10.0, 20.0])]).unwrap();
    assert_eq!(numbers(&outputs[0]), [5.5, 11.0]);

    let missing = compile(&external(), &files(&[("other.bin", &weights)]), NOTHING).await;
    assert_eq!(code(missing.clone()), "EXTERNAL_DATA_MISSING");
    let error = text(&missing.unwrap_err());
    assert!(error.contains("weights.bin"), "{error}");
    let short = compile(&external(), &files(&[("weights.bin", &weights[..8])]), NOTHING).await;
    assert_eq!(code(short), "INVALID_MODEL");
    for list in [
        "[null]",
        "['weights.bin']",
        "[{ path: 'weights.bin' }]",
        "[{ path: 1, data: new Uint8Array(12) }]",
        "[{ path: 'weights.bin', data: [1] }]",
    ] {
        assert_eq!(code(compile(&external(), &js(list), NOTHING).await), "INVALID_OPTION", "{list}");
    }
}

#[test]
async fn bad_models_are_thrown() {
    let good = signs(&["1", "3"]);
    let huge = model(&["1048576", "1048576"], vec![node("Relu", &["x"], "y")], vec![]);
    for (bytes, expected) in [
        (&[][..], "NOT_ONNX"),
        (b"<!doctype html><title>Not found</title>".as_slice(), "NOT_ONNX"),
        (b"{ \"json\": true }".as_slice(), "NOT_ONNX"),
        (&good[..good.len() - 20], "INVALID_MODEL"),
        (&huge, "MODEL_TOO_LARGE"),
    ] {
        let error = compile(bytes, &files(&[]), NOTHING).await;
        assert_eq!(code(error.clone()), expected, "{:?}", &bytes[..bytes.len().min(40)]);
        assert!(get(&error.unwrap_err(), "hint").is_string(), "{expected} should say what to do");
    }
    assert_eq!(
        code(compile(&model(&["1"], vec![node("Relu", &["nowhere"], "y")], vec![]), &files(&[]), NOTHING).await),
        "INVALID_MODEL"
    );
}

#[test]
async fn all_unknown_operators_are_listed() {
    let mut foreign = node("Frobnicate", &["x"], "b");
    foreign.domain = "com.example".into();
    let nodes = vec![node("Zap", &["x"], "a"), foreign, node("Zap", &["a"], "c"), node("Add", &["b", "c"], "y")];
    let mut proto = ModelProto::decode(&model(&["2"], nodes, vec![])[..]).unwrap();
    proto.opset_import.push(OperatorSetIdProto { domain: "com.example".into(), version: 1 });
    let error = compile(&proto.encode_to_vec(), &files(&[]), NOTHING).await;
    assert_eq!(code(error.clone()), "UNSUPPORTED_OPERATOR");
    assert_eq!(
        text(&get(&error.unwrap_err(), "operators")),
        r#"[{"domain":"","opType":"Zap","count":2},{"domain":"com.example","opType":"Frobnicate","count":1}]"#
    );
}

#[test]
async fn bad_calls_of_subgraphs_are_thrown() {
    let model = compiled(&signs(&["1", "3"]), &files(&[]), NOTHING).await;
    let id = subgraph(&plan_of(&call(&model, "plan", &[]).unwrap()));
    let good = || floats("", &[1, 3], &[1.0; 3]);
    for (id, inputs) in [
        (id + 100, vec![good()]),
        (id, vec![]),
        (id, vec![good(), good()]),
        (id, vec![floats("", &[3], &[1.0; 3])]),
        (id, vec![js("{ type: 'int32', dims: [1, 3], data: new Uint8Array(12) }")]),
        (id, vec![js("undefined")]),
    ] {
        code(run_subgraph(&model, id, &inputs));
    }
    assert_eq!(numbers(&run_subgraph(&model, id, &[good()]).unwrap()[0]), [1.0; 3]);
    call(&model, "free", &[]).unwrap();
    assert!(run_subgraph(&model, id, &[good()]).unwrap_err().is_instance_of::<js_sys::Error>());
}
