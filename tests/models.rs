//! Whole classifiers in every quantized format against onnxruntime; see tests/fixtures/make_models.py.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::fs;
use std::path::Path;

use common::{fixtures, json, tensor};
use tractlet::compiler::CompileOptions;
use tractlet::engine::RunOptions;
use tractlet::local;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    format: String,
    file: String,
    input_name: String,
    /// Step between two values of the output, for formats that quantize it.
    quantum: Option<f32>,
    /// How far onnxruntime's own results are apart with and without optimisation.
    spread: f32,
    photos: Vec<Photo>,
}

#[derive(serde::Deserialize)]
struct Photo {
    photo: String,
    input: String,
    output: String,
}

/// Photos per model: the browser tests run them all.
const PHOTOS: usize = 3;

fn best(scores: &[f32]) -> usize {
    // The lower index of equal ones.
    (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("scores")
}

#[test]
fn classifiers_agree_with_onnxruntime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models: Vec<Model> = json(&fixtures("models").join("index.json"));
    assert!(models.len() >= 16, "only {} models", models.len());
    let mut failures = Vec::new();
    for model in &models {
        let bytes = fs::read(root.join(&model.file)).expect("the model");
        let mut session = match local::open(&bytes, &[], &CompileOptions::default()) {
            Ok(session) => session,
            Err(error) => {
                failures.push(format!("{}: {error}", model.name));
                continue;
            }
        };
        let mut furthest = 0f32;
        for photo in model.photos.iter().take(PHOTOS) {
            let (_, input) = tensor(&root.join(&photo.input));
            let (_, want) = tensor(&root.join(&photo.output));
            let outputs = match session.run(&[(model.input_name.clone(), input)], None, RunOptions::default()) {
                Ok(outputs) => outputs,
                Err(error) => {
                    failures.push(format!("{} {}: {error}", model.name, photo.photo));
                    continue;
                }
            };
            let (got, want) =
                (outputs[0].1.as_slice::<f32>().expect("float32"), want.as_slice::<f32>().expect("float32"));
            assert_eq!(got.len(), want.len());
            let apart = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
            furthest = furthest.max(apart);
            let largest = want.iter().fold(0f32, |m, w| m.max(w.abs()));
            let allowed = match model.format.as_str() {
                // One definition for each operator: the same integers.
                format if format.starts_with("qop") => 0.0,
                // Which activations and pools are fused is a choice; each can move a quantum, as onnxruntime's own do.
                format if format.starts_with("qdq") => model.spread + 4.0 * model.quantum.expect("a quantum"),
                // The last bits of a range decide some of its quanta.
                "dyn-u8" => 2e-2 * largest,
                _ => 1e-4 * largest,
            };
            if apart.is_nan() || apart > allowed {
                failures.push(format!("{} {}: {apart} apart, {allowed} allowed", model.name, photo.photo));
            }
            // The same answer, unless onnxruntime's own two best are closer than the two results.
            let (g, w) = (best(got), best(want));
            if g != w && want[w] - want[g] > apart {
                failures.push(format!("{} {}: class {g} instead of {w}", model.name, photo.photo));
            }
        }
        println!("{}: at most {furthest} apart", model.name);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
