//! Damaged and hostile models: a typed error, or a run; never a panic. See tests/fixtures/README.md.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::fs;
use std::time::Instant;

use common::{external_data, fixtures, json};
use tractlet::compiler::CompileOptions;
use tractlet::engine::RunOptions;
use tractlet::plan::Dim;
use tractlet::{Error, ErrorCode, Tensor, local};

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    case: String,
    file: Option<String>,
    #[serde(default)]
    external: Vec<String>,
    expect: Option<Expect>,
}

#[derive(serde::Deserialize)]
struct Expect {
    codes: Vec<String>,
    operators: Option<serde_json::Value>,
}

/// Opens the model and runs it with zeros, symbolic dimensions being 1.
fn open_and_run(case: &Case) -> Result<(), Error> {
    let root = fixtures("operators");
    let file = root.join(case.file.as_ref().expect("a file"));
    let folder = file.parent().expect("a folder");
    let model = fs::read(&file).expect("the model");
    let external = external_data(folder, &case.external);
    let mut session = local::open(&model, &external, &CompileOptions::default())?;
    let inputs = session
        .info()
        .inputs
        .iter()
        .map(|input| {
            let shape: Vec<usize> = input.shape.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 1 }).collect();
            Ok((input.name.clone(), Tensor::zeros(input.data_type, &shape)?))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    session.run(&inputs, None, RunOptions::default())?;
    Ok(())
}

fn check(case: &Case) -> Result<(), String> {
    let expect = case.expect.as_ref().ok_or("no expectation")?;
    // The last name printed is the case that hung, or that brought the process down.
    println!("{}", case.case);
    let started = Instant::now();
    let result = std::panic::catch_unwind(|| open_and_run(case)).map_err(|_| "a panic got out".to_owned())?;
    if started.elapsed().as_secs() >= 20 {
        return Err(format!("took {} s", started.elapsed().as_secs()));
    }
    let got = result.as_ref().err().map_or("OK", |e| e.code.as_str());
    let listed = |code: &str| expect.codes.iter().any(|c| c == code);
    if got == ErrorCode::Internal.as_str() || !(listed(got) || listed("*")) {
        return Err(format!("{} instead of {:?}", result.err().map_or("OK".into(), |e| e.to_string()), expect.codes));
    }
    if let Err(error) = result {
        if error.message.is_empty() || error.hint.is_none() {
            return Err(format!("no message or hint: {error}"));
        }
        if let Some(operators) = &expect.operators {
            let got = serde_json::to_value(&error.operators).expect("JSON");
            if got != *operators {
                return Err(format!("operators {got} instead of {operators}"));
            }
        }
    }
    Ok(())
}

#[test]
fn bad_models_give_typed_errors() {
    let cases: Vec<Case> = json(&fixtures("operators").join("index.json"));
    let only = std::env::var("ONLY").unwrap_or_default();
    // tract's panics are caught and become errors; their messages on stderr would only hide a real failure.
    std::panic::set_hook(Box::new(|panic| println!("  caught: {}", panic.to_string().replace('\n', ": "))));
    let cases: Vec<&Case> = cases.iter().filter(|c| c.group == "invalid" && c.case.starts_with(&only)).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| check(c).err().map(|reason| format!("{}: {reason}", c.case))).collect();
    let _ = std::panic::take_hook();
    assert!(!cases.is_empty(), "no cases");
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
