//! Lowered graphs against the same graphs executed as a whole, and what has no steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};

use crate::compiler::onnx::raw_tensor;
use crate::compiler::store::Store;
use crate::compiler::{Compiled, CompiledModel, DimensionOverrides, Pool, fallback, fuse, lower, lowered, onnx, whole};
use crate::engine::{RunOptions, Session};
use crate::plan::{Dim, ModelInfo, Source};
use crate::tensor::{DataType, Element, Tensor};

/// Numbers that are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Below `n`, or 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(257) as f32 / 32.0 - 4.0).collect()
    }
}

/// A graph in the making; all values are floats.
struct Net {
    random: Random,
    graph: GraphProto,
    values: Vec<(String, Vec<usize>)>,
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type, ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto { name: name.into(), s: s.as_bytes().to_vec(), r#type, ..AttributeProto::default() }
}

fn value_info(name: &str, shape: Option<&[usize]>) -> ValueInfoProto {
    let dim = |&d: &usize| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(d as i64)),
        ..tensor_shape_proto::Dimension::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float32 as i32,
        shape: shape.map(|s| TensorShapeProto { dim: s.iter().map(dim).collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let shape: Vec<usize> = [2, 4, 6, 6].into_iter().map(|d| 1 + random.below(d)).collect();
        let graph =
            GraphProto { name: "g".into(), input: vec![value_info("x", Some(&shape))], ..GraphProto::default() };
        Self { random, graph, values: vec![("x".into(), shape)] }
    }

    fn constant<T: Element>(&mut self, dims: &[usize], values: &[T]) -> String {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(raw_tensor(name.clone(), dims, values));
        name
    }

    fn list(&mut self, values: &[usize]) -> String {
        let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        self.constant(&[values.len()], &values)
    }

    /// Adds a node with one output that is no value of the net yet.
    fn node(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("n{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            name: format!("node {name}"),
            op_type: op_type.into(),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![name.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        name
    }

    fn push(&mut self, name: String, shape: Vec<usize>) {
        self.values.push((name, shape));
    }

    /// Adds an operator that fits a value, most often one of the last; or none.
    fn grow(&mut self) {
        let back = self.random.below(self.values.len().min(3));
        let (x, shape) = self.values[self.values.len() - 1 - back].clone();
        let (rank, len) = (shape.len(), shape.iter().product::<usize>());
        if rank == 0 || len > 4000 {
            return;
        }
        let axis = self.random.below(rank);
        match self.random.below(24) {
            0..=2 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, self.random.below(i + 1));
                }
                let list: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
                let y = self.node("Transpose", &[&x], vec![ints("perm", &list)]);
                self.push(y, perm.iter().map(|&p| shape[p]).collect());
            }
            3 | 4 => {
                // Two neighbours become one, one becomes two, ones come and go.
                let mut to = shape.clone();
                if axis + 1 < rank && self.random.flag() {
                    let second = to.remove(axis + 1);
                    to[axis] *= second;
                } else if to[axis] % 2 == 0 {
                    to[axis] /= 2;
                    to.insert(axis + usize::from(self.random.flag()), 2);
                } else {
                    to.insert(axis, 1);
                }
                if to.len() > 5 {
                    to.retain(|&d| d != 1);
                }
                let list = self.list(&to);
                let y = self.node("Reshape", &[&x, &list], vec![]);
                self.push(y, to);
            }
            5 => {
                let (start, step) = (self.random.below(shape[axis]), 1 + self.random.below(2));
                let end = start + 1 + self.random.below(shape[axis] - start);
                let lists = [&[start][..], &[end], &[axis], &[step]].map(|l| self.list(l));
                let y = self.node("Slice", &[&x, &lists[0], &lists[1], &lists[2], &lists[3]], vec![]);
                let mut to = shape;
                to[axis] = (end - start).div_ceil(step);
                self.push(y, to);
            }
            6 => {
                let pads: Vec<usize> = (0..2 * rank).map(|_| self.random.below(2)).collect();
                let list = self.list(&pads);
                let fill = self.random.floats(1);
                let fill = self.constant(&[], &fill);
                let y = self.node("Pad", &[&x, &list, &fill], vec![]);
                self.push(y, (0..rank).map(|d| shape[d] + pads[d] + pads[rank + d]).collect());
            }
            7 | 8 => {
                let same = |s: &[usize]| s.len() == rank && (0..rank).all(|d| d == axis || s[d] == shape[d]);
                let others: Vec<_> = self.values.iter().filter(|v| same(&v.1)).cloned().collect();
                let (other, second) = others[self.random.below(others.len())].clone();
                let y = self.node("Concat", &[&x, &other], vec![int("axis", axis as i64)]);
                let mut to = shape;
                to[axis] += second[axis];
                self.push(y, to);
            }
            9 if shape[axis] > 1 => {
                let first = 1 + self.random.below(shape[axis] - 1);
                let list = self.list(&[first, shape[axis] - first]);
                let y = self.node("Split", &[&x, &list], vec![int("axis", axis as i64)]);
                let second = format!("{y}b");
                if let Some(node) = self.graph.node.last_mut() {
                    node.output.push(second.clone());
                }
                let (mut a, mut b) = (shape.clone(), shape.clone());
                (a[axis], b[axis]) = (first, shape[axis] - first);
                self.push(y, a);
                self.push(second, b);
            }
            10 | 11 => {
                // With a value that is alike, or a constant that is repeated.
                let others: Vec<_> = self.values.iter().filter(|v| v.1 == shape).cloned().collect();
                let other = if others.len() > 1 && self.random.flag() {
                    others[self.random.below(others.len())].0.clone()
                } else {
                    let from = self.random.below(rank + 1);
                    let dims: Vec<usize> =
                        shape[from..].iter().map(|&d| if self.random.flag() { d } else { 1 }).collect();
                    let values = self.random.floats(dims.iter().product());
                    self.constant(&dims, &values)
                };
                let op = ["Add", "Sub", "Mul", "Min", "Max"][self.random.below(5)];
                let y = if self.random.flag() {
                    self.node(op, &[&x, &other], vec![])
                } else {
                    self.node(op, &[&other, &x], vec![])
                };
                self.push(y, shape);
            }
            12 => {
                let op = ["Relu", "Neg", "LeakyRelu", "Abs", "Sigmoid"][self.random.below(5)];
                let y = self.node(op, &[&x], vec![]);
                self.push(y, shape);
            }
            13 if rank == 4 && shape[2] > 1 && shape[3] > 1 => {
                let op = ["MaxPool", "AveragePool"][self.random.below(2)];
                let attributes =
                    vec![ints("kernel_shape", &[2, 2]), ints("strides", &[1, 2]), ints("pads", &[1, 0, 0, 1])];
                let y = self.node(op, &[&x], attributes);
                self.push(y, vec![shape[0], shape[1], shape[2], (shape[3] - 1) / 2 + 1]);
            }
            14 => {
                let axes: Vec<usize> = (0..rank).filter(|&d| d == axis || self.random.flag()).collect();
                let keep = self.random.flag();
                let list: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
                let y = self.node("ReduceMean", &[&x], vec![ints("axes", &list), int("keepdims", keep.into())]);
                let kept = (0..rank).filter(|d| keep || !axes.contains(d));
                self.push(y, kept.map(|d| if axes.contains(&d) { 1 } else { shape[d] }).collect());
            }
            15 => {
                let y = self.node("Softmax", &[&x], vec![int("axis", axis as i64 - rank as i64)]);
                self.push(y, shape);
            }
            16 => {
                let count = 1 + self.random.below(3);
                let indices: Vec<usize> = (0..count).map(|_| self.random.below(shape[axis])).collect();
                let list = self.list(&indices);
                let y = self.node("Gather", &[&x, &list], vec![int("axis", axis as i64)]);
                let mut to = shape;
                to[axis] = count;
                self.push(y, to);
            }
            17 => {
                let mut to: Vec<usize> =
                    shape.iter().map(|&d| if d == 1 { 1 + self.random.below(3) } else { d }).collect();
                if self.random.flag() && rank < 5 {
                    to.insert(0, 2);
                }
                let list = self.list(&to);
                let y = self.node("Expand", &[&x, &list], vec![]);
                self.push(y, to);
            }
            18 if rank == 4 => {
                let down = shape[2] % 2 == 0 && shape[3] % 2 == 0;
                if shape[1] % 4 == 0 {
                    let mode = ["DCR", "CRD"][self.random.below(2)];
                    let y = self.node("DepthToSpace", &[&x], vec![int("blocksize", 2), text("mode", mode)]);
                    self.push(y, vec![shape[0], shape[1] / 4, shape[2] * 2, shape[3] * 2]);
                } else if down {
                    let y = self.node("SpaceToDepth", &[&x], vec![int("blocksize", 2)]);
                    self.push(y, vec![shape[0], shape[1] * 4, shape[2] / 2, shape[3] / 2]);
                }
            }
            19 => {
                // No step: a subgraph in between.
                let y = self.node("Cos", &[&x], vec![]);
                self.push(y, shape);
            }
            20 | 21 => {
                let signed = self.random.flag();
                let step = [0.0625f32, 0.125, 0.25][self.random.below(3)];
                let scale = self.constant(&[], &[step]);
                let zero = self.random.below(256);
                let zero =
                    if signed { self.constant(&[], &[zero as u8 as i8]) } else { self.constant(&[], &[zero as u8]) };
                let q = self.node("QuantizeLinear", &[&x, &scale, &zero], vec![]);
                let y = self.node("DequantizeLinear", &[&q, &scale, &zero], vec![]);
                self.push(y, shape);
            }
            22 if rank == 4 => {
                let channels = 1 + self.random.below(3);
                let values = self.random.floats(channels * shape[1] * 3);
                let w = self.constant(&[channels, shape[1], 1, 3], &values);
                let y = self.node("Conv", &[&x, &w], vec![ints("pads", &[0, 1, 0, 1])]);
                self.push(y, vec![shape[0], channels, shape[2], shape[3]]);
            }
            23 if rank >= 2 => {
                let mut perm: Vec<i64> = (0..rank as i64).collect();
                perm.swap(rank - 1, rank - 2);
                let t = self.node("Transpose", &[&x], vec![ints("perm", &perm)]);
                let y = self.node("MatMul", &[&x, &t], vec![]);
                let mut to = shape;
                to[rank - 1] = to[rank - 2];
                self.push(y, to);
            }
            _ => (),
        }
    }

    fn model(mut self) -> Vec<u8> {
        let made: Vec<String> = self.values.iter().skip(1).rev().take(3).map(|v| v.0.clone()).collect();
        self.graph.output = made.iter().map(|name| value_info(name, None)).collect();
        let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(self.graph), ..ModelProto::default() }
            .encode_to_vec()
    }
}

/// A model read, fused, with concrete shapes: 2 where it leaves them open.
struct Read {
    proto: ModelProto,
    store: Store,
    info: ModelInfo,
    shapes: Vec<Vec<usize>>,
}

fn read(bytes: &[u8]) -> crate::error::Result<Read> {
    let file: Rc<dyn Source> = Rc::new(bytes.to_vec());
    let (mut proto, info, mut store) = onnx::import(&file, &[], &DimensionOverrides::default())?;
    fuse::fuse(&mut proto, &mut store);
    let size = |d: &Dim| if let Dim::Fixed(n) = d { *n } else { 2 };
    let shapes: Vec<Vec<usize>> = info.inputs.iter().map(|i| i.shape.iter().map(size).collect()).collect();
    crate::compiler::set_input_shapes(&mut proto, &info, &shapes)?;
    Ok(Read { proto, store, info, shapes })
}

fn session(info: &ModelInfo, pool: Pool, compiled: Compiled) -> Session {
    let info = info.clone();
    let model =
        CompiledModel { info, proto: None, store: Store::default(), pool, compiled: vec![compiled], next_id: 0 };
    Session::new(&model.plan(), Some(Box::new(model))).unwrap()
}

/// How far the outputs of a lowered graph are from those of the same graph executed as a whole.
fn apart(bytes: &[u8], seed: u64) -> Result<f32, String> {
    let Read { mut proto, store, info, shapes } = read(bytes).map_err(|e| format!("cannot be read: {e}"))?;
    let known = fallback::analyse(&mut proto).map_err(|e| format!("cannot be inferred: {e} {:?}", e.node))?;
    let mut pool = Pool::default();
    let steps = lowered(&proto, &store, &info, &known, &shapes, &mut pool, &mut 0)
        .map_err(|e| e.to_string())?
        .ok_or("cannot be lowered")?;
    let one = whole(&mut proto, &store, &info, &known, &shapes, &mut 0).map_err(|e| format!("cannot be run: {e}"))?;
    let mut random = Random(seed);
    let inputs: Vec<(String, Tensor)> = info
        .inputs
        .iter()
        .zip(&shapes)
        .map(|(i, shape)| (i.name.clone(), Tensor::from_slice(shape, &random.floats(shape.iter().product())).unwrap()))
        .collect();
    let run = |pool, compiled| {
        let options = RunOptions { allow_nan: true, profile: None };
        session(&info, pool, compiled).run(&inputs, None, options).map_err(|e| format!("fails: {e} {:?}", e.node))
    };
    let (got, want) = (run(pool, steps)?, run(Pool::default(), one)?);
    let mut worst = 0f32;
    for ((name, got), (_, want)) in got.iter().zip(&want) {
        if got.shape() != want.shape() {
            return Err(format!("{name} has shape {:?} instead of {:?}", got.shape(), want.shape()));
        }
        let (got, want) = (got.as_slice::<f32>().ok_or("no floats")?, want.as_slice::<f32>().ok_or("no floats")?);
        for (g, w) in got.iter().zip(want) {
            worst = worst.max((g - w).abs() / w.abs().max(1.0));
        }
    }
    Ok(worst)
}

/// Seeds of slices along the axis of a Softmax before them, and of constants less convolutions: what tract's rewriting
/// gets wrong, see whole.rs.
const TRACT_FAULTS: [u64; 6] = [302, 1093, 3695, 4197, 3404, 5941];

#[test]
fn lowered_graphs_compute_what_whole_graphs_do() {
    let mut failures = Vec::new();
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    for seed in (0..seeds).chain(TRACT_FAULTS) {
        let mut net = Net::new(seed);
        while net.values.len() < 9 {
            net.grow();
        }
        let described = net.graph.node.iter().map(|n| n.op_type.as_str()).collect::<Vec<_>>().join(" ");
        match apart(&net.model(), seed) {
            Ok(worst) if worst <= 1e-4 => (),
            Ok(worst) => failures.push(format!("{seed}: {worst} apart: {described}")),
            Err(reason) => failures.push(format!("{seed}: {reason}: {described}")),
        }
    }
    assert!(failures.is_empty(), "{} of {seeds}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn constants_before_convolutions() {
    for op in ["Sub", "Div"] {
        let mut net = Net::new(0);
        net.graph.input = vec![value_info("x", Some(&[1, 2, 3, 4]))];
        // Far from 0, so that the division is well conditioned.
        let kernel: Vec<f32> = (0..12).map(|i| 1.5 + i as f32).collect();
        let weights = net.constant(&[3, 2, 1, 2], &kernel);
        let squared = net.node("Mul", &["x", "x"], Vec::new());
        let conv = net.node("Conv", &[&squared, &weights], Vec::new());
        let left = net.constant(&[1, 3, 1, 1], &[5f32, -7.0, 11.0]);
        let y = net.node(op, &[&left, &conv], Vec::new());
        net.push(y, vec![1, 3, 3, 3]);
        assert!(apart(&net.model(), 1).is_ok_and(|worst| worst <= 1e-4), "{op}");
    }
}

/// Steps, subgraphs, and the operators in them.
type Statistics = (usize, usize, BTreeMap<String, usize>);

/// What becomes of a model. `None`: executed as a whole.
fn statistics(bytes: &[u8]) -> crate::error::Result<Option<Statistics>> {
    let Read { mut proto, store, info, shapes } = read(bytes)?;
    let known = fallback::analyse(&mut proto)?;
    let mut pool = Pool::default();
    let Some(found) = lower::lower(&proto, &store, &known, &shapes, &mut pool, &mut 0) else { return Ok(None) };
    if crate::plan::check_variant(&info, &pool.constants, pool.size()?, &found.variant).is_err() {
        return Ok(None);
    }
    let mut operators = BTreeMap::new();
    for node in found.parts.iter().filter_map(|p| p.proto.graph.as_ref()).flat_map(|g| &g.node) {
        *operators.entry(node.op_type.clone()).or_default() += 1;
    }
    Ok(Some((found.variant.steps.len(), found.parts.len(), operators)))
}

#[test]
fn the_classifiers_need_no_subgraph() {
    for name in ["efficientnet-lite0-int8", "squeezenet1.1-int8"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.onnx"));
        let (steps, parts, operators) = statistics(&std::fs::read(path).unwrap()).unwrap().expect("a lowered graph");
        assert!(steps > 30 && parts == 0, "{name}: {steps} steps, {parts} subgraphs: {operators:?}");
    }
}

fn models(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let mut inside: Vec<_> = std::fs::read_dir(path).unwrap().flatten().map(|e| e.path()).collect();
        inside.sort();
        inside.iter().for_each(|p| models(p, found));
    } else if path.extension().is_some_and(|e| e == "onnx") {
        found.push(path.to_owned());
    }
}

/// `MODELS=<file or folder> cargo test --lib inspect -- --ignored --nocapture`
#[test]
#[ignore = "prints what has no steps"]
fn inspect() {
    let mut found = Vec::new();
    models(Path::new(&std::env::var("MODELS").expect("MODELS=<file or folder>")), &mut found);
    let mut groups: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for path in found {
        let group = path.parent().and_then(Path::parent).and_then(Path::file_name).unwrap_or_default();
        let count = groups.entry(group.to_string_lossy().into_owned()).or_default();
        count[0] += 1;
        match statistics(&std::fs::read(&path).unwrap()) {
            Ok(Some((steps, 0, _))) => {
                count[1] += 1;
                println!("{}: {steps} steps", path.display());
            }
            Ok(Some((steps, parts, operators))) => {
                count[2] += 1;
                println!("{}: {steps} steps, {parts} subgraphs of {operators:?}", path.display());
            }
            Ok(None) => println!("{}: WHOLE", path.display()),
            Err(e) => {
                count[3] += 1;
                println!("{}: refused: {e}", path.display());
            }
        }
    }
    for (group, [all, engine, split, refused]) in groups {
        println!("GROUP {group}: {all} models, {engine} without subgraph, {split} with, {refused} refused");
    }
}

/// Keeps the helper for constants honest.
#[test]
fn constants_are_shared() {
    let mut pool = Pool::default();
    let (a, b, c) = (pool.add(&[1u8, 2, 3]), pool.add(&[1u8, 2, 3]), pool.add(&[1i8, 2, 3]));
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert!(pool.constants.iter().all(|c| c.offset % crate::plan::ALIGNMENT == 0));
}
