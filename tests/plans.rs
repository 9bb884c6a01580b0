//! Plans as the compiler makes them: which of them need the compiler while they run.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::{external_data, fixtures, json, tensors};
use tractlet::compiler::{CompileOptions, CompiledModel, Reason};
use tractlet::engine::{RunOptions, Session};
use tractlet::local::open;
use tractlet::plan::{Dim, Operation, Plan, Source, ValueInfo};
use tractlet::{ErrorCode, Tensor};

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    case: String,
    #[serde(default)]
    external: Vec<String>,
}

/// The cases of the operator fixtures that are valid models.
fn cases() -> Vec<Case> {
    let cases: Vec<Case> = json(&fixtures("operators").join("index.json"));
    cases.into_iter().filter(|case| case.group != "invalid").collect()
}

/// Input shapes to plan for: symbolic dimensions are 2, and where the model declares no shape it is the first sample's.
fn shapes(model: &CompiledModel, folder: &Path) -> Vec<Vec<usize>> {
    let sample = samples(folder).into_iter().next().unwrap_or_default();
    let shape = |input: &ValueInfo| {
        if input.is_unranked() {
            let (_, tensor) = sample.iter().find(|(name, _)| *name == input.name).expect("a sample");
            return tensor.shape().to_vec();
        }
        input.shape.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 2 }).collect()
    };
    model.info().inputs.iter().map(shape).collect()
}

/// The plan of a case.
fn plan_of(case: &Case) -> Result<Vec<u8>, String> {
    let folder = fixtures("operators").join(&case.group).join(&case.case);
    let model = fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let external = external_data(&folder, &case.external);
    let mut model =
        CompiledModel::open(&source(&model), &external, &CompileOptions::default()).map_err(|e| e.to_string())?;
    let shapes = shapes(&model, &folder);
    model.specialize(&shapes).and_then(|p| p.to_vec()).map_err(|e| e.to_string())
}

/// As the compiler wants a file.
fn source(bytes: &[u8]) -> Rc<dyn Source> {
    Rc::new(bytes.to_vec())
}

fn decoded(plan: &[u8]) -> Plan {
    Plan::decode(plan).expect("a plan").0
}

/// What the compiler has to execute: the op type of the last node of each subgraph.
fn subgraphs(plan: &Plan) -> Vec<String> {
    let steps = plan.variants.iter().flat_map(|v| &v.steps);
    steps.filter(|s| matches!(s.operation, Operation::Subgraph { .. })).map(|s| s.op_type.clone()).collect()
}

/// ONNX files of a folder.
fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect()
}

#[test]
fn classifiers_run_without_the_compiler() {
    let committed = models(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    let nets = models(&fixtures("models"));
    assert!(committed.len() >= 2 && nets.len() >= 14, "{} and {} models", committed.len(), nets.len());
    for path in committed.iter().chain(&nets) {
        let bytes = fs::read(path).expect("a model");
        let mut model = CompiledModel::open(&source(&bytes), &[], &CompileOptions::default()).expect("a model");
        let shapes = shapes(&model, Path::new(""));
        let plan = model.specialize(&shapes).and_then(|p| p.to_vec()).expect("a plan");
        assert_eq!(subgraphs(&decoded(&plan)), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn small_nets_run_without_the_compiler() {
    let mut needing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in cases().iter().filter(|c| ["nets", "quantizer", "model", "steps"].contains(&c.group.as_str())) {
        let name = format!("{}/{}", case.group, case.case);
        let found = subgraphs(&decoded(&plan_of(case).unwrap_or_else(|e| panic!("{name}: {e}"))));
        if !found.is_empty() {
            needing.insert(name, found);
        }
    }
    assert!(needing.is_empty(), "{needing:#?}");
}

/// Operators that have no steps in at least one of the fixtures: with three spatial dimensions, 16-bit quanta,
/// parameters that are fed or differ by row, biases by row, no elements, texts, control flow, and sizes that depend on the
/// data. Whoever adds steps shortens the list.
const NEED_THE_COMPILER: [&str; 11] = [
    "Conv",
    "ConvInteger",
    "DequantizeLinear",
    "Identity",
    "If",
    "MatMulInteger",
    "QGemm",
    "QLinearAveragePool",
    "QLinearConv",
    "QuantizeLinear",
    "TopK",
];

#[test]
fn operators_that_need_the_compiler_are_known() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in &cases() {
        let plan = plan_of(case).unwrap_or_else(|e| panic!("{}/{}: {e}", case.group, case.case));
        for op_type in subgraphs(&decoded(&plan)) {
            found.entry(op_type).or_default().insert(format!("{}/{}", case.group, case.case));
        }
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), NEED_THE_COMPILER, "{found:#?}");
}

/// The inputs of every sample of a case.
fn samples(folder: &Path) -> Vec<Vec<(String, Tensor)>> {
    let folders = (0..).map(|k| folder.join(format!("sample_{k}"))).take_while(|f| f.is_dir());
    folders.map(|f| tensors(&f, "input")).collect()
}

#[test]
fn one_plan_serves_several_shapes_without_the_compiler() {
    let mut seen = 0;
    for case in cases().iter().filter(|c| c.group == "symbolic") {
        let name = &case.case;
        let folder = fixtures("operators").join(&case.group).join(name);
        let bytes = fs::read(folder.join("model.onnx")).expect("a model");
        let mut model = CompiledModel::open(&source(&bytes), &[], &CompileOptions::default()).expect("a model");
        let mut whole = open(&bytes, &[], &CompileOptions::default()).expect("a session");
        let samples = samples(&folder);
        let mut shapes: Vec<Vec<Vec<usize>>> = Vec::new();
        for inputs in &samples {
            let of = |i: &tractlet::plan::ValueInfo| {
                inputs.iter().find(|(n, _)| *n == i.name).expect("an input").1.shape().to_vec()
            };
            let set: Vec<Vec<usize>> = model.info().inputs.iter().map(of).collect();
            if !shapes.contains(&set) {
                shapes.push(set);
            }
        }
        let sizes: Vec<usize> = shapes.iter().map(|set| model.specialize(set).expect("a plan").size()).collect();
        let plan = model.plan().to_vec().expect("a plan");
        let header = decoded(&plan);
        assert_eq!(header.variants.iter().map(|v| v.input_shapes.clone()).collect::<Vec<_>>(), shapes, "{name}");
        if !subgraphs(&header).is_empty() {
            continue;
        }
        // Weights are there once.
        assert!(shapes.len() == 1 || plan.len() < sizes.iter().sum(), "{name}: {} of {sizes:?}", plan.len());
        let mut alone = Session::new(&plan[..], None).expect("a session");
        for inputs in samples.iter().chain(samples.iter().rev()) {
            let want = whole.run(inputs, None, RunOptions::default()).expect("a result");
            let got = alone.run(inputs, None, RunOptions::default()).expect("a result");
            for ((name, got), (_, want)) in got.iter().zip(&want) {
                assert_eq!((got.shape(), got.bytes()), (want.shape(), want.bytes()), "{name}");
            }
        }
        seen += shapes.len();
    }
    assert!(seen > 12, "only {seen} shapes");
}

#[test]
fn a_shape_that_a_plan_lacks_is_an_error() {
    let folder = fixtures("operators").join("symbolic/batch_u8s8_channel");
    let bytes = fs::read(folder.join("model.onnx")).expect("a model");
    let mut model = CompiledModel::open(&source(&bytes), &[], &CompileOptions::default()).expect("a model");
    let samples = samples(&folder);
    let shape_of = |k: usize| vec![samples[k][0].1.shape().to_vec()];
    assert_ne!(shape_of(0), shape_of(1));
    let plan = model.specialize(&shape_of(0)).expect("a plan");
    let mut alone = Session::new(&plan, None).expect("a session");
    let error = alone.run(&samples[1], None, RunOptions::default()).expect_err("no such shape");
    assert_eq!(error.code, ErrorCode::InputShape);
    assert!(error.message.contains(&format!("{:?}", shape_of(0)[0])), "{error}");
    alone.run(&samples[0], None, RunOptions::default()).expect("the session stays usable");
}

#[test]
fn what_needs_the_compiler_has_a_reason() {
    let mut reasons: BTreeMap<String, HashSet<Reason>> = BTreeMap::new();
    for case in &cases() {
        let folder = fixtures("operators").join(&case.group).join(&case.case);
        let bytes = fs::read(folder.join("model.onnx")).expect("a model");
        let external = external_data(&folder, &case.external);
        let mut model = CompiledModel::open(&source(&bytes), &external, &CompileOptions::default()).expect("a model");
        let shapes = shapes(&model, &folder);
        let plan = decoded(&model.specialize(&shapes).and_then(|p| p.to_vec()).expect("a plan"));
        let ids: BTreeSet<u32> = plan.variants[0]
            .steps
            .iter()
            .filter_map(|s| if let Operation::Subgraph { id, .. } = s.operation { Some(id) } else { None })
            .collect();
        let fallbacks = model.fallbacks();
        // A subgraph whose results nobody reads has no step.
        assert!(ids.is_subset(&fallbacks.iter().map(|f| f.id).collect()), "{}/{}", case.group, case.case);
        for node in fallbacks.iter().flat_map(|f| &f.nodes) {
            reasons.entry(node.op_type.clone()).or_default().insert(node.reason);
        }
    }
    assert!(reasons["If"].contains(&Reason::Operator), "{reasons:?}");
    assert!(reasons["QLinearConv"].contains(&Reason::Form), "{reasons:?}");
    assert!(!reasons["QLinearConv"].contains(&Reason::Operator), "{reasons:?}");
}
