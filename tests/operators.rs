//! Single operators and small graphs against onnxruntime; see tests/fixtures/README.md.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Tolerance, difference, external_data, fixtures, json, tensors};
use tractlet::compiler::CompileOptions;
use tractlet::engine::RunOptions;
use tractlet::error::ErrorCode;
use tractlet::local;
use tractlet::plan::display_shape;
use tractlet::tensor::{DataType, Tensor};

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    case: String,
    samples: Option<usize>,
    tolerance: Option<Tolerance>,
    #[serde(default)]
    external: Vec<String>,
}

fn check(case: &Case) -> Result<(), String> {
    let folder = fixtures("operators").join(&case.group).join(&case.case);
    let model = fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let external = external_data(&folder, &case.external);
    let options = CompileOptions::default();
    let mut session =
        local::open(&model, &external, &options).map_err(|e| format!("{e} {:?} {:?}", e.node, e.op_type))?;
    for k in 0..case.samples.unwrap_or(0) {
        let sample = folder.join(format!("sample_{k}"));
        let got = session
            .run(&tensors(&sample, "input"), None, RunOptions { allow_nan: true, profile: None })
            .map_err(|e| format!("sample {k}: {e} {:?} {:?}", e.node, e.op_type))?;
        let want = tensors(&sample, "output");
        if got.len() != want.len() {
            return Err(format!("sample {k}: {} outputs instead of {}", got.len(), want.len()));
        }
        for ((name, got), (_, want)) in got.iter().zip(&want) {
            if let Some(difference) = difference(got, want, case.tolerance.expect("a tolerance")) {
                return Err(format!("sample {k}, {name}: {difference}"));
            }
        }
    }
    Ok(())
}

#[test]
fn inputs_of_any_rank_are_checked_when_they_come() {
    let folder = fixtures("operators").join("interface/axis_of_any_rank");
    let model = fs::read(folder.join("model.onnx")).unwrap();
    let mut session = local::open(&model, &[], &CompileOptions::default()).unwrap();
    assert_eq!(display_shape(&session.info().inputs[0].shape), "[...]");
    let mut run = |shape: &[usize]| {
        let x = Tensor::zeros(DataType::Float32, shape).unwrap();
        session.run(&[("x".to_owned(), x)], None, RunOptions::default()).map_err(|e| e.code)
    };
    for _ in 0..2 {
        assert_eq!(run(&[2, 3]).unwrap_err(), ErrorCode::InputShape);
        assert_eq!(run(&[1; 65]).unwrap_err(), ErrorCode::InputShape);
        assert_eq!(run(&[2, 3, 4]).unwrap()[0].1.shape(), [2, 3, 4]);
        assert_eq!(run(&[2, 1, 3, 4]).unwrap()[0].1.shape(), [2, 1, 3, 4]);
    }
}

#[test]
fn every_case_agrees_with_onnxruntime() {
    let cases: Vec<Case> = json(&fixtures("operators").join("index.json"));
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases.iter().filter(|c| c.group != "invalid" && format!("{}/{}", c.group, c.case).starts_with(&only)) {
        let count = counts.entry(&case.group).or_default();
        count[0] += 1;
        if let Err(reason) = check(case) {
            count[1] += 1;
            failures.push(format!("{}/{}: {reason}", case.group, case.case));
        }
    }
    assert!(!counts.is_empty(), "no cases");
    for (group, [all, failed]) in &counts {
        println!("{group}: {all} cases, {failed} failed");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
