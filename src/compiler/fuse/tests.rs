//! Which operators become of which graphs. What they compute is held against onnxruntime in tests/operators.rs.

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::fuse;
use crate::compiler::onnx::raw_tensor;
use crate::compiler::store::Store;
use crate::tensor::{DataType, Element};

fn value(name: &str, data_type: DataType, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(d)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: data_type as i32,
        shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}

fn signed(name: &str, dims: &[usize]) -> TensorProto {
    let bytes = vec![1u8; dims.iter().product()];
    TensorProto { data_type: DataType::Int8 as i32, ..raw_tensor(name, dims, &bytes) }
}

fn constant<T: Element>(name: &str, values: &[T]) -> TensorProto {
    raw_tensor(name, &[values.len()], values)
}

/// A node from `outputs = Operator inputs; attribute=integer, attribute=[integers]`.
fn node(text: &str) -> NodeProto {
    let (text, attributes) = text.split_once("; ").unwrap_or((text, ""));
    let (outputs, text) = text.split_once(" = ").expect("outputs");
    let mut words = text.split(' ').map(str::to_owned);
    let op_type = words.next().expect("an operator");
    let attribute = attributes.split_terminator(", ").map(|text| {
        let (name, value) = text.split_once('=').expect("a value");
        let list = value.trim_matches(['[', ']']).split(' ').map(|v| v.parse().expect("an integer")).collect();
        let single = !value.starts_with('[');
        let kind = if single { AttributeType::Int } else { AttributeType::Ints };
        let made = AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() };
        if single {
            AttributeProto { i: value.parse().unwrap_or(0), ..made }
        } else {
            AttributeProto { ints: list, ..made }
        }
    });
    NodeProto {
        op_type,
        input: words.map(|w| if w == "_" { String::new() } else { w }).collect(),
        output: outputs.split(' ').map(str::to_owned).collect(),
        attribute: attribute.collect(),
        name: outputs.to_owned(),
        ..Default::default()
    }
}

/// The operators of the fused graph, in order. `x` and `v` are quanta, `f` is a float; outputs are all of `y`, `y2`.
/// Scales `s` and `t`, zero points `z` (uint8) and `n` (int8); weights `w` and `m` with the scale `s`.
fn fused(nodes: &[&str]) -> String {
    let nodes: Vec<NodeProto> = nodes.iter().map(|n| node(n)).collect();
    let output = |name: &&str| nodes.iter().any(|n| n.output.iter().any(|o| o == name));
    let mut model = ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 14 }],
        graph: Some(GraphProto {
            input: vec![
                value("x", DataType::Uint8, &[1, 4, 6, 6]),
                value("v", DataType::Uint8, &[1, 4, 6, 6]),
                value("f", DataType::Float32, &[1, 4, 6, 6]),
            ],
            output: ["y", "y2"].iter().filter(|n| output(n)).map(|n| value(n, DataType::Float32, &[])).collect(),
            initializer: vec![
                constant("s", &[0.05f32]),
                constant("t", &[0.08f32]),
                constant("z", &[120u8]),
                signed("n", &[1]),
                signed("w", &[4, 4, 1, 1]),
                signed("m", &[6, 6]),
                raw_tensor("wf", &[4, 4, 1, 1], &[0.5f32; 16]),
                constant("row", &[1f32; 6]),
                raw_tensor("three", &[], &[3f32]),
                constant("shape", &[1i64, 2, 2, 6, 6]),
                constant("pads", &[0i64, 0, 1, 1, 0, 0, 1, 1]),
                raw_tensor("pi", &[], &[std::f32::consts::PI]),
            ],
            node: nodes,
            ..Default::default()
        }),
        ..Default::default()
    };
    fuse(&mut model, &mut Store::default());
    let graph = model.graph.expect("a graph");
    let names: Vec<&str> = graph
        .node
        .iter()
        .map(|n| n.op_type.trim_start_matches("com.microsoft.").trim_start_matches("tractlet."))
        .map(|name| match name {
            "QuantizeLinear" => "Q",
            "DequantizeLinear" => "DQ",
            name => name,
        })
        .collect();
    names.join(" ")
}

/// Independent nodes may stand in either order.
fn check(nodes: &[&str], expected: &str) {
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(sorted(&fused(nodes)), sorted(expected), "{nodes:?}");
}

const DQ_X: &str = "a = DequantizeLinear x s z";
const DQ_V: &str = "b = DequantizeLinear v t z";
const DQ_W: &str = "dw = DequantizeLinear w s n";
const DQ_M: &str = "dm = DequantizeLinear m s n";
const Q_Y: &str = "y = QuantizeLinear r s z";

#[test]
fn conversions_move_until_they_meet() {
    for (nodes, expected) in [
        (&[DQ_X, "r = Transpose a; perm=[0 2 3 1]", Q_Y][..], "Transpose Identity"),
        (&[DQ_X, "r = Transpose a; perm=[0 2 3 1]", "y = QuantizeLinear r t z"], "Transpose Table"),
        (&[DQ_X, "c = Reshape a shape", "r = MaxPool c; kernel_shape=[1 1 1]", Q_Y], "Reshape MaxPool Identity"),
        (&[DQ_X, "y = Reshape a shape"], "Reshape DQ"),
        (&["r = Transpose f; perm=[0 2 3 1]", Q_Y], "Q Transpose"),
        // Something else wants the floats behind the movement.
        (&["r = Transpose f; perm=[0 2 3 1]", Q_Y, "y2 = Softmax r"], "Transpose Q Softmax"),
        (&[DQ_X, "r = Pad a pads", Q_Y], "Pad Identity"),
        // Not exactly a quantum: it rises, but does not sink.
        (&[DQ_X, "y = Pad a pads pi"], "DQ Pad"),
        (&["r = Pad f pads pi", Q_Y], "Q Pad"),
        (&[DQ_X, "c = DequantizeLinear v s z", "r = Concat a c; axis=1", Q_Y], "Concat Identity"),
        (&[DQ_X, DQ_V, "r = Concat a b; axis=1", Q_Y], "QLinearConcat"),
        (&[DQ_X, "r = Concat a f; axis=1", Q_Y], "Q Concat"),
        (&["r = Identity f", "c = QuantizeLinear f s z", Q_Y, "y2 = Neg c"], "Q Identity Neg"),
    ] {
        check(nodes, expected);
    }
}

#[test]
fn functions_of_one_quantum_are_tables() {
    for (nodes, expected) in [
        (&[DQ_X, "r = Tanh a", Q_Y][..], "Table"),
        (&[DQ_X, "c = Sigmoid a", "r = Mul a c", Q_Y], "Table"),
        (&[DQ_X, "c = Add a three", "d = Relu c", "r = Mul d a", Q_Y], "Table"),
        // Two values, a constant of several elements, another reader, a change of the shape.
        (&[DQ_X, DQ_V, "c = Tanh a", "r = Mul c b", Q_Y], "DQ DQ Tanh Mul Q"),
        (&[DQ_X, "c = Mul a row", "r = Tanh c", Q_Y], "DQ Mul Tanh Q"),
        (&[DQ_X, "c = Sigmoid a", "r = Mul a c", Q_Y, "y2 = Neg c"], "DQ Sigmoid Mul Neg Q"),
        (&[DQ_X, "c = Tanh a", "r = CumSum c three", Q_Y], "DQ Tanh CumSum Q"),
        // Quantized in between.
        (
            &[DQ_X, "c = Sigmoid a", "d = QuantizeLinear c t z", "e = DequantizeLinear d t z", "r = Mul a e", Q_Y],
            "Table",
        ),
        (
            &[
                DQ_X,
                DQ_V,
                "c = Sigmoid a",
                "d = QuantizeLinear c t z",
                "e = DequantizeLinear d t z",
                "r = Mul b e",
                Q_Y,
            ],
            "Table QLinearMul",
        ),
    ] {
        check(nodes, expected);
    }
}

#[test]
fn groups_become_integer_operators() {
    for (nodes, expected) in [
        (&[DQ_X, DQ_W, "r = Conv a dw", Q_Y][..], "QLinearConv"),
        (&[DQ_X, DQ_W, "c = Conv a dw", "r = Relu c", Q_Y], "QLinearConv"),
        (&[DQ_X, DQ_W, "c = Conv a dw", "y = Relu c"], "ConvIntegerToFloat"),
        (&[DQ_X, DQ_W, "c = Conv a dw", "y = Tanh c"], "ConvIntegerToFloat Tanh"),
        (
            &[DQ_X, DQ_W, "c = Conv a dw", "d = MaxPool c; kernel_shape=[2 2]", "r = Flatten d", Q_Y],
            "QLinearConv MaxPool Flatten",
        ),
        (&[DQ_X, "q = QuantizeLinear wf s n", "dw = DequantizeLinear q s n", "r = Conv a dw", Q_Y], "QLinearConv"),
        (&[DQ_X, DQ_M, "r = MatMul a dm", Q_Y], "QLinearMatMul"),
        (&[DQ_X, DQ_M, "tm = Transpose dm; perm=[1 0]", "r = MatMul a tm", Q_Y], "QLinearMatMul"),
        (&[DQ_X, DQ_M, "c = MatMul a dm", "d = Add row c", "r = Relu d", Q_Y], "QLinearMatMul"),
        (&[DQ_X, DQ_M, "c = MatMul a dm", "d = Add c row", "y = Relu d"], "MatMulIntegerToFloat"),
        (&[DQ_X, DQ_V, "r = Sub a b", Q_Y], "QLinearSub"),
        // Another type for the result: both operands are shifted.
        (&[DQ_X, DQ_V, "r = Add a b", "y = QuantizeLinear r s n"], "Table Table QLinearAdd"),
        (&[DQ_X, "r = GlobalAveragePool a", Q_Y], "QLinearGlobalAveragePool"),
        (&[DQ_X, "c = ReduceMean a; axes=[2 3]", "r = Relu c", Q_Y], "QLinearReduceMean Table"),
        (&[DQ_X, "r = Softmax a", Q_Y], "QLinearSoftmax"),
        (
            &[
                "q qs qz = DynamicQuantizeLinear f",
                "i = MatMulInteger q m qz",
                "c = Cast i; to=1",
                "u = Mul qs t",
                "d = Mul c u",
                "e = Add d row",
                "y = Relu e",
            ],
            "DynamicQuantizeLinear DynamicMatMul",
        ),
        (
            &[
                "q qs qz = DynamicQuantizeLinear f",
                "i = ConvInteger q w qz n",
                "c = Cast i; to=1",
                "u = Mul qs t",
                "y = Mul c u",
            ],
            "DynamicQuantizeLinear DynamicConv",
        ),
    ] {
        check(nodes, expected);
    }
}
