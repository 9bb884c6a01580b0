//! The ONNX standard's own test cases for the operators that classifiers use; see tests/fixtures/make_node_tests.py.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Tolerance, difference, fixtures, json, tensors};
use prost::Message;
use tract_onnx::pb::{ModelProto, TensorProto};
use tractlet::compiler::CompileOptions;
use tractlet::engine::RunOptions;
use tractlet::local;

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    case: String,
    samples: usize,
    tolerance: Tolerance,
}

/// Cases that do not pass, and why. A case that passes must not be listed.
const UNSUPPORTED: &str = include_str!("node_tests_unsupported.txt");

/// With the inputs from `fed` on as constants: shapes, axes and the like have to be, as they are in models.
fn check(case: &Case, fed: usize) -> Result<(), String> {
    let folder = fixtures("node_tests").join(&case.group).join(&case.case);
    let mut bytes = fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    for k in 0..case.samples {
        let sample = folder.join(format!("sample_{k}"));
        let mut inputs = tensors(&sample, "input");
        if fed < inputs.len() {
            let mut model = ModelProto::decode(&bytes[..]).expect("a model");
            let graph = model.graph.as_mut().expect("a graph");
            for i in fed..inputs.len() {
                let proto = fs::read(sample.join(format!("input_{i}.pb"))).expect("an input");
                graph.initializer.push(TensorProto::decode(&proto[..]).expect("a tensor"));
            }
            inputs.truncate(fed);
            graph.input.retain(|input| inputs.iter().any(|(name, _)| *name == input.name));
            bytes = model.encode_to_vec();
        }
        let mut session = local::open(&bytes, &[], &CompileOptions::default()).map_err(|e| e.to_string())?;
        let got = session
            .run(&inputs, None, RunOptions { allow_nan: true, profile: None })
            .map_err(|e| format!("sample {k}: {e}"))?;
        for ((name, got), (_, want)) in got.iter().zip(&tensors(&sample, "output")) {
            if let Some(difference) = difference(got, want, case.tolerance) {
                return Err(format!("sample {k}, {name}: {difference}"));
            }
        }
    }
    Ok(())
}

#[test]
fn the_standard_s_cases_pass() {
    let listed: BTreeMap<&str, &str> = UNSUPPORTED
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(|l| l.split_once(' ').expect("a case and a reason"))
        .collect();
    std::panic::set_hook(Box::new(|_| ()));
    let cases: Vec<Case> = json(&fixtures("node_tests").join("index.json"));
    let results: Vec<(&Case, Result<(), String>)> =
        cases.iter().map(|c| (c, check(c, usize::MAX).or_else(|_| check(c, 0)).or_else(|_| check(c, 1)))).collect();
    let _ = std::panic::take_hook();
    let mut failures = Vec::new();
    for (case, result) in &results {
        match (result, listed.get(&*case.case)) {
            (Err(reason), None) => failures.push(format!("{} {reason}", case.case)),
            (Ok(()), Some(_)) => failures.push(format!("{} passes, and is listed as unsupported", case.case)),
            _ => (),
        }
    }
    println!("{} cases, {} of them unsupported", results.len(), listed.len());
    assert!(!results.is_empty(), "no cases");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
