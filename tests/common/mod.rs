//! Reading the fixtures that tests/fixtures/*.py write into .cache/fixtures.

#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost::Message;
use tract_onnx::pb::TensorProto;
use tractlet::compiler::ExternalData;
use tractlet::{DataType, Tensor};

/// A folder of fixtures.
pub fn fixtures(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/fixtures").join(name);
    assert!(
        folder.is_dir(),
        "{} is missing: run `npm test`, which makes it, or tests/fixtures/make_{name}.py",
        folder.display()
    );
    folder
}

/// A JSON file.
pub fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files beside a model that it refers to.
pub fn external_data(folder: &Path, paths: &[String]) -> Vec<ExternalData> {
    let read = |path: &String| fs::read(folder.join(path)).expect("external data");
    paths.iter().map(|path| ExternalData { path: path.clone(), data: Rc::new(read(path)) }).collect()
}

/// A serialised TensorProto with its name.
pub fn tensor(path: &Path) -> (String, Tensor) {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let proto = TensorProto::decode(&bytes[..]).expect("a TensorProto");
    let shape: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
    let data_type = DataType::from_onnx(proto.data_type).expect("a known element type");
    let tensor = if data_type == DataType::String {
        let strings = proto.string_data.into_iter().map(|s| String::from_utf8(s).expect("UTF-8")).collect();
        Tensor::from_strings(&shape, strings)
    } else {
        Tensor::from_bytes(data_type, &shape, &proto.raw_data)
    };
    (proto.name, tensor.expect("data that fits the shape"))
}

/// The tensors `{stem}_0.pb`, `{stem}_1.pb`, ... of a folder.
pub fn tensors(folder: &Path, stem: &str) -> Vec<(String, Tensor)> {
    (0..).map(|i| folder.join(format!("{stem}_{i}.pb"))).take_while(|p| p.exists()).map(|p| tensor(&p)).collect()
}

/// How closely results must agree.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Tolerance {
    /// The same bytes.
    Exact,
    /// Integers at most `max` apart.
    Quanta { max: i64 },
    /// `|got - want| <= atol + rtol * |want|`.
    Float { rtol: f64, atol: f64 },
}

fn numbers(t: &Tensor) -> Option<Vec<f64>> {
    macro_rules! widened {
        ($($t:ty),*) => { $( if let Some(v) = t.as_slice::<$t>() { return Some(v.iter().map(|&v| v as f64).collect()); } )* };
    }
    widened!(f32, f64, u8, i8, u16, i16, i32, u32, i64, u64);
    match t.data_type() {
        DataType::Bool => Some(t.bytes().iter().map(|&b| b.into()).collect()),
        DataType::Float16 => {
            Some(t.bytes().as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f64()).collect())
        }
        _ => None,
    }
}

/// What is wrong with a result, if anything.
pub fn difference(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.data_type() != want.data_type() || got.shape() != want.shape() {
        return Some(format!("got {got:?}, want {want:?}"));
    }
    let (Some(g), Some(w)) = (numbers(got), numbers(want)) else {
        return (got.strings() != want.strings())
            .then(|| format!("got {:?}, want {:?}", got.strings(), want.strings()));
    };
    let apart = |g: f64, w: f64| match tolerance {
        _ if g == w || g.is_nan() && w.is_nan() => false,
        Tolerance::Exact => true,
        Tolerance::Quanta { max } => (g - w).abs() > max as f64,
        Tolerance::Float { rtol, atol } => (g - w).is_nan() || (g - w).abs() > atol + rtol * w.abs(),
    };
    let wrong: Vec<usize> = (0..g.len()).filter(|&i| apart(g[i], w[i])).collect();
    let &first = wrong.first()?;
    let most = wrong.iter().map(|&i| (g[i] - w[i]).abs()).fold(0.0, f64::max);
    Some(format!(
        "{} of {} differ, by {most} at most; first at {first}: got {}, want {}",
        wrong.len(),
        g.len(),
        g[first],
        w[first]
    ))
}
