//! Plans as the compiler makes them: which of them need the compiler while they run.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::{external_data, fixtures, json};
use tractlet::compiler::{CompileOptions, CompiledModel};
use tractlet::plan::{Dim, Operation, Plan};

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

/// The plan of a case, its symbolic dimensions being 2.
fn plan_of(case: &Case) -> Result<Vec<u8>, String> {
    let folder = fixtures("operators").join(&case.group).join(&case.case);
    let model = fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    plan(&model, &external_data(&folder, &case.external))
}

fn plan(model: &[u8], external: &[tractlet::compiler::ExternalData]) -> Result<Vec<u8>, String> {
    let mut model = CompiledModel::open(model, external, &CompileOptions::default()).map_err(|e| e.to_string())?;
    let size = |d: &Dim| if let Dim::Fixed(n) = d { *n } else { 2 };
    let shapes: Vec<Vec<usize>> = model.info().inputs.iter().map(|i| i.shape.iter().map(size).collect()).collect();
    model.specialize(&shapes).map_err(|e| e.to_string())
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
        let plan = plan(&fs::read(path).expect("a model"), &[]).expect("a plan");
        assert_eq!(subgraphs(&decoded(&plan)), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn small_nets_run_without_the_compiler() {
    let mut needing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in cases().iter().filter(|c| ["nets", "quantizer", "model"].contains(&c.group.as_str())) {
        let name = format!("{}/{}", case.group, case.case);
        let found = subgraphs(&decoded(&plan_of(case).unwrap_or_else(|e| panic!("{name}: {e}"))));
        if !found.is_empty() {
            needing.insert(name, found);
        }
    }
    assert!(needing.is_empty(), "{needing:#?}");
}

/// Operators that have no steps in at least one of the fixtures: with three spatial dimensions, 16-bit quanta,
/// parameters that are fed or differ by row, biases by row, reversed slices, integer arithmetic; and what stands at the
/// tail of a net. Whoever adds steps shortens the list.
const NEED_THE_COMPILER: [&str; 18] = [
    "ArgMax",
    "Conv",
    "ConvInteger",
    "DequantizeLinear",
    "Identity",
    "If",
    "MatMulInteger",
    "Mul",
    "Not",
    "PRelu",
    "Pad",
    "QGemm",
    "QLinearAveragePool",
    "QLinearConv",
    "QuantizeLinear",
    "ReduceMean",
    "Slice",
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
