//! Scores to ranked classes.

use std::cmp::Ordering;

use half::f16;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, ErrorCode, Result};
use crate::settings::AsMap;
use crate::tensor::{DataType, Tensor};

/// How far the scores of a row may be off 1 in sum to be probabilities: quantized ones are.
const SUM_TOLERANCE: f64 = 1e-2;

/// How scores are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClassifySpec {
    /// How many classes to give at most, best first. 0 gives none; absent means 5.
    pub top_k: Option<u32>,
    /// Classes with a score below it (after the activation) are left out; absent means none are.
    pub threshold: Option<f32>,
    /// What turns the model's outputs into scores.
    pub activation: Option<Activation>,
    /// The only classes to rank, by index; absent means all. Scores are those of all classes together all the same.
    pub allow: Option<Vec<u32>>,
    /// Classes that are not ranked, by index; stronger than `allow`.
    pub deny: Option<Vec<u32>>,
}

impl ClassifySpec {
    /// Reads settings.
    ///
    /// # Errors
    /// `InvalidOption` that names a setting which does not exist or whose value makes no sense.
    pub fn from_deserializer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self> {
        Self::deserialize(AsMap(deserializer)).map_err(|error| {
            Error::new(ErrorCode::InvalidOption, format!("the classification settings are not usable: {error}"))
                .with_hint("topK, threshold, activation, allow and deny are the settings; all may be left out")
        })
    }
}

/// What turns a model's outputs into scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// One class of all: the scores of a row sum to 1.
    Softmax,
    /// Each class for itself.
    Sigmoid,
    /// The outputs are the scores.
    None,
    /// `None` when every row already is a probability distribution (all in 0..=1, sum 1 within 0.01), else `Softmax`.
    /// Outputs of 8 bits are taken for probabilities that the model has quantized, see [`quantized_probability`].
    #[default]
    Auto,
}

/// A class and its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Position in the model's output, and in the list of labels.
    pub index: u32,
    /// Score after the activation.
    pub score: f32,
}

/// The best classes of each row of `scores`, best first; of equal ones the lower index first.
///
/// The shape is `[classes]`, `[batch, classes]` or `[batch, classes, 1, 1]`; elements are float32, float16, uint8, int8
/// or int32. Unless `Auto` finds out what they are, integers are taken as they are: with a scale of their own, softmax of
/// them means little, though the order is right. NaN ranks last, has no part in the softmax of the others and passes no threshold.
///
/// # Errors
/// `InputShape`, `InputType`, `InvalidOption` for a threshold that is NaN and for a class that there is not,
/// `OutOfMemory`.
pub fn classify(scores: &Tensor, spec: &ClassifySpec) -> Result<Vec<Vec<Class>>> {
    let (rows, classes) = rows_and_classes(scores)?;
    let ranker = Ranker::new(spec, classes)?;
    let (values, activation) = outputs(scores, spec, classes)?;
    let mut results = reserved(rows)?;
    for row in values.chunks_exact(classes) {
        results.push(ranker.best(row, &Score::new(activation, row))?);
    }
    Ok(results)
}

/// The best classes of one picture of a stream. Scores are averaged over time: what is ranked, and kept in `average` for
/// the next picture, is `keep * average + (1 - keep) * score` of each class. An `average` that is empty starts with this
/// picture. What is not finite has no part in it.
///
/// # Errors
/// Those of [`classify`]; `InvalidOption` when `keep` is not within 0..=1 or `average` has another number of classes,
/// `InputShape` for more than one row.
pub fn classify_smoothed(
    scores: &Tensor,
    spec: &ClassifySpec,
    average: &mut Vec<f32>,
    keep: f64,
) -> Result<Vec<Class>> {
    let (rows, classes) = rows_and_classes(scores)?;
    if rows != 1 {
        return Err(Error::new(ErrorCode::InputShape, format!("{rows} rows of scores cannot be averaged over time"))
            .expected("1 row", rows)
            .with_hint("hand in the scores of one picture"));
    }
    if !(0.0..=1.0).contains(&keep) || !(average.is_empty() || average.len() == classes) {
        return Err(Error::new(
            ErrorCode::InvalidOption,
            format!("{} scores of earlier pictures with weight {keep} do not go with {classes} classes", average.len()),
        )
        .with_hint("start anew for each stream"));
    }
    let ranker = Ranker::new(spec, classes)?;
    let (values, activation) = outputs(scores, spec, classes)?;
    let score = Score::new(activation, &values);
    let mut latest = reserved(classes)?;
    latest.extend(values.iter().map(|&value| score.of(value)));
    if !average.is_empty() {
        for (new, &old) in latest.iter_mut().zip(&*average) {
            *new = match (old.is_finite(), new.is_finite()) {
                (true, true) => (keep * f64::from(old) + (1.0 - keep) * f64::from(*new)) as f32,
                (true, false) => old,
                (false, _) => *new,
            };
        }
    }
    *average = latest;
    ranker.best(average, &Score::Same)
}

/// The model's outputs as numbers, and what makes scores of them: `Auto` decided, for all rows at once.
fn outputs(scores: &Tensor, spec: &ClassifySpec, classes: usize) -> Result<(Vec<f32>, Activation)> {
    let mut values = to_f32(scores)?;
    let activation = match (spec.activation.unwrap_or_default(), scores.data_type()) {
        (Activation::Auto, DataType::Uint8 | DataType::Int8) => {
            let zero = if scores.data_type() == DataType::Int8 { -128.0 } else { 0.0 };
            values.iter_mut().for_each(|value| *value = quantized_probability(*value, zero));
            Activation::None
        }
        (Activation::Auto, _) if values.chunks_exact(classes).all(are_probabilities) => Activation::None,
        (Activation::Auto, _) => Activation::Softmax,
        (chosen, _) => chosen,
    };
    Ok((values, activation))
}

/// TensorFlow Lite's 8-bit quantization specification fixes the scale of Softmax and Logistic to 1/256 and their zero point
/// to the lowest value. Other models rarely end in integers.
fn quantized_probability(value: f32, zero: f32) -> f32 {
    (value - zero) / 256.0
}

/// What of a row is wanted.
struct Ranker {
    /// Classes that may be given, in ascending order.
    candidates: Vec<u32>,
    count: usize,
    threshold: Option<f32>,
}

impl Ranker {
    fn new(spec: &ClassifySpec, classes: usize) -> Result<Self> {
        if spec.threshold.is_some_and(f32::is_nan) {
            return Err(Error::new(ErrorCode::InvalidOption, "threshold is NaN")
                .with_hint("use a number, or leave it out to keep every class"));
        }
        let mut mask = reserved(classes)?;
        mask.resize(classes, spec.allow.is_none());
        for (list, name, listed) in [(&spec.allow, "allow", true), (&spec.deny, "deny", false)] {
            for &index in list.iter().flatten() {
                *mask.get_mut(index as usize).ok_or_else(|| {
                    Error::new(
                        ErrorCode::InvalidOption,
                        format!("{name} has class {index}, which the model does not have"),
                    )
                    .expected(format!("0 to {}", classes - 1), index)
                    .with_hint("list classes of this model")
                })? = listed;
            }
        }
        let mut candidates = reserved(classes)?;
        candidates.extend((0..classes as u32).filter(|&class| mask[class as usize]));
        let count = (spec.top_k.unwrap_or(5) as usize).min(candidates.len());
        Ok(Self { candidates, count, threshold: spec.threshold })
    }

    /// The best classes of a row.
    fn best(&self, row: &[f32], score: &Score) -> Result<Vec<Class>> {
        let mut ranking = reserved(self.candidates.len())?;
        ranking.extend_from_slice(&self.candidates);
        rank(row, self.count, &mut ranking);
        let mut best = reserved(self.count)?;
        best.extend(
            ranking
                .iter()
                .map(|&index| Class { index, score: score.of(row[index as usize]) })
                .filter(|class| self.threshold.is_none_or(|threshold| class.score >= threshold)),
        );
        Ok(best)
    }
}

fn rows_and_classes(scores: &Tensor) -> Result<(usize, usize)> {
    let shape = scores.shape();
    let (rows, classes) = match *shape {
        [classes] => (1, classes),
        [rows, classes] | [rows, classes, 1, 1] => (rows, classes),
        _ => (0, 0),
    };
    if classes == 0 || u32::try_from(classes).is_err() {
        return Err(Error::new(ErrorCode::InputShape, format!("scores of shape {shape:?} cannot be read as classes"))
            .expected("[classes], [batch, classes] or [batch, classes, 1, 1]", format!("{shape:?}"))
            .with_hint("hand in the output that holds one score per class"));
    }
    Ok((rows, classes))
}

fn to_f32(scores: &Tensor) -> Result<Vec<f32>> {
    fn convert<T: Copy>(elements: &[T], to_f32: impl Fn(T) -> f32) -> Result<Vec<f32>> {
        let mut values = reserved(elements.len())?;
        values.extend(elements.iter().map(|v| to_f32(*v)));
        Ok(values)
    }
    let bytes = scores.bytes();
    match scores.data_type() {
        DataType::Float32 => convert(bytes.as_chunks().0, f32::from_le_bytes),
        DataType::Float16 => convert(bytes.as_chunks().0, |v| f16::from_le_bytes(v).to_f32()),
        DataType::Uint8 => convert(bytes, f32::from),
        DataType::Int8 => convert(bytes, |v| f32::from(v as i8)),
        DataType::Int32 => convert(bytes.as_chunks().0, |v| i32::from_le_bytes(v) as f32),
        other => Err(Error::new(ErrorCode::InputType, format!("{other} scores cannot be read as classes"))
            .expected("float32, float16, uint8, int8 or int32", other)
            .with_hint("hand in the output that holds one score per class")),
    }
}

fn are_probabilities(row: &[f32]) -> bool {
    row.iter().all(|v| (0.0..=1.0).contains(v))
        && (row.iter().map(|v| f64::from(*v)).sum::<f64>() - 1.0).abs() <= SUM_TOLERANCE
}

/// Leaves the `count` best of the classes in `ranking`, best first. Ranks outputs rather than scores: no activation
/// changes their order, but scores can become equal.
fn rank(row: &[f32], count: usize, ranking: &mut Vec<u32>) {
    let by_value = |&a: &u32, &b: &u32| {
        let (va, vb) = (row[a as usize], row[b as usize]);
        // Greater first. What cannot be compared is equal or has a NaN, which goes last.
        vb.partial_cmp(&va).unwrap_or_else(|| va.is_nan().cmp(&vb.is_nan())).then_with(|| a.cmp(&b))
    };
    if count < ranking.len() {
        // A thousand classes and more, of which a handful is wanted: no need to sort them all.
        ranking.select_nth_unstable_by(count, by_value);
        ranking.truncate(count);
    }
    ranking.sort_unstable_by(by_value);
}

/// From outputs of one row to scores.
enum Score {
    Same,
    Sigmoid,
    /// Largest output, and the sum of the exponentials of the differences to it.
    Softmax(f64, f64),
}

impl Score {
    fn new(activation: Activation, row: &[f32]) -> Self {
        match activation {
            Activation::None => Self::Same,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Softmax | Activation::Auto => {
                let numbers = || row.iter().filter(|v| !v.is_nan()).map(|v| f64::from(*v));
                let largest = numbers().fold(f64::NEG_INFINITY, f64::max);
                Self::Softmax(largest, numbers().map(|v| exp_of_difference(v, largest)).sum())
            }
        }
    }

    fn of(&self, value: f32) -> f32 {
        match *self {
            Self::Same => value,
            Self::Sigmoid => (1.0 / (1.0 + (-f64::from(value)).exp())) as f32,
            Self::Softmax(largest, sum) => (exp_of_difference(f64::from(value), largest) / sum) as f32,
        }
    }
}

/// `exp(value - largest)`, where infinity minus itself is 0: those that are infinite share.
fn exp_of_difference(value: f64, largest: f64) -> f64 {
    match value.partial_cmp(&largest) {
        Some(Ordering::Equal) => 1.0,
        _ => (value - largest).exp(),
    }
}

fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(len)
        .map_err(|_| Error::new(ErrorCode::OutOfMemory, "there is no memory left to rank the scores"))?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn settings_are_read_and_unknown_ones_named() {
        let read = ClassifySpec::from_deserializer;
        assert_eq!(read(json!({})).unwrap(), ClassifySpec::default());
        assert_eq!(
            read(json!({ "topK": 3, "threshold": null, "activation": "sigmoid" })).unwrap(),
            ClassifySpec { top_k: Some(3), activation: Some(Activation::Sigmoid), ..ClassifySpec::default() }
        );
        let lists = read(json!({ "allow": [1, 2], "deny": [] })).unwrap();
        assert_eq!((lists.allow, lists.deny), (Some(vec![1, 2]), Some(vec![])));
        for (settings, named) in [
            (json!({ "topk": 3 }), "topk"),
            (json!({ "topK": 1, "labels": [] }), "labels"),
            (json!({ "allow": ["cat"] }), "cat"),
            (json!({ "deny": [-1] }), "-1"),
            (json!({ "activation": "relu" }), "relu"),
            (json!(7), "7"),
        ] {
            let error = read(settings).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption);
            assert!(error.message.contains(named), "{}", error.message);
        }
    }

    fn floats(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_slice(shape, values).unwrap()
    }

    fn spec(top_k: u32, activation: Activation) -> ClassifySpec {
        ClassifySpec { top_k: Some(top_k), activation: Some(activation), ..ClassifySpec::default() }
    }

    fn indices(classes: &[Class]) -> Vec<u32> {
        classes.iter().map(|c| c.index).collect()
    }

    #[test]
    fn best_first_and_lower_index_on_ties() {
        let cases: &[(&[f32], &[u32])] = &[
            (&[1.0, 3.0, 2.0], &[1, 2, 0]),
            (&[1.0, 1.0, 1.0, 1.0], &[0, 1, 2, 3]),
            (&[0.0, -0.0, 5.0, 0.0], &[2, 0, 1, 3]),
            (&[f32::NAN, 1.0, f32::NAN, 2.0], &[3, 1, 0, 2]),
            (&[f32::NEG_INFINITY, f32::NAN, f32::INFINITY], &[2, 0, 1]),
            (&[f32::NAN, -f32::NAN], &[0, 1]),
            (&[-1000.0, -999.0, -2000.0], &[1, 0, 2]),
        ];
        for (values, order) in cases {
            for activation in [Activation::None, Activation::Softmax, Activation::Sigmoid, Activation::Auto] {
                let all = classify(&floats(&[values.len()], values), &spec(9, activation)).unwrap();
                assert_eq!(indices(&all[0]), *order, "{values:?} {activation:?}");
                // However few are asked for, they are the first of these.
                for k in 0..=values.len() {
                    let some = classify(&floats(&[values.len()], values), &spec(k as u32, activation)).unwrap();
                    assert_eq!(indices(&some[0]), order[..k], "{values:?} {activation:?} {k}");
                }
            }
        }
    }

    #[test]
    fn top_five_unless_said() {
        let scores = floats(&[1, 8], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(indices(&classify(&scores, &ClassifySpec::default()).unwrap()[0]), [7, 6, 5, 4, 3]);
        assert_eq!(classify(&scores, &spec(u32::MAX, Activation::None)).unwrap()[0].len(), 8);
        assert_eq!(classify(&scores, &spec(0, Activation::None)).unwrap(), [vec![]]);
    }

    #[test]
    fn activations() {
        let e = std::f32::consts::E;
        let inf = f32::INFINITY;
        let cases: &[(Activation, &[f32], &[f32])] = &[
            (Activation::None, &[7.0, -3.0], &[7.0, -3.0]),
            (Activation::Sigmoid, &[0.0, -inf, inf, -1.0], &[0.5, 0.0, 1.0, 1.0 / (1.0 + e)]),
            (Activation::Softmax, &[1.0, 0.0], &[e / (1.0 + e), 1.0 / (1.0 + e)]),
            (Activation::Softmax, &[1000.0, 1000.0], &[0.5, 0.5]),
            (Activation::Softmax, &[-1000.0], &[1.0]),
            (Activation::Softmax, &[inf, 0.0, inf], &[0.5, 0.0, 0.5]),
            (Activation::Softmax, &[-inf, -inf], &[0.5, 0.5]),
            (Activation::Softmax, &[2.0, f32::NAN, 2.0], &[0.5, f32::NAN, 0.5]),
            (Activation::Softmax, &[f32::NAN], &[f32::NAN]),
            // Already probabilities, also when quantized ones do not sum to 1 quite.
            (Activation::Auto, &[0.25, 0.75], &[0.25, 0.75]),
            (Activation::Auto, &[0.25, 0.745], &[0.25, 0.745]),
            (Activation::Auto, &[0.0, 1.0], &[0.0, 1.0]),
            // Not: the sum, the range.
            (Activation::Auto, &[0.5, 0.5, 0.5, 0.5], &[0.25; 4]),
            (Activation::Auto, &[0.0, 0.0], &[0.5, 0.5]),
            (Activation::Auto, &[2.0, -1.0], &[1.0 / (1.0 + (-3f32).exp()), (-3f32).exp() / (1.0 + (-3f32).exp())]),
        ];
        for (activation, values, expected) in cases {
            let classes = classify(&floats(&[values.len()], values), &spec(9, *activation)).unwrap().remove(0);
            assert_eq!(classes.len(), expected.len());
            for class in classes {
                let want = expected[class.index as usize];
                let same = (class.score - want).abs() < 1e-6 || (class.score.is_nan() && want.is_nan());
                assert!(same, "{activation:?} {values:?}: {class:?}, expected {want}");
            }
        }
    }

    #[test]
    fn auto_takes_8_bits_for_quantized_probabilities() {
        let scores = |tensor: Tensor| {
            let [best] = &classify(&tensor, &spec(3, Activation::Auto)).unwrap()[..] else { panic!("one row") };
            best.iter().map(|class| (class.index, class.score)).collect::<Vec<_>>()
        };
        let expected = [(1, 255.0 / 256.0), (2, 0.25), (0, 0.0)];
        assert_eq!(scores(Tensor::from_slice(&[3], &[0u8, 255, 64]).unwrap()), expected);
        assert_eq!(scores(Tensor::from_slice(&[3], &[-128i8, 127, -64]).unwrap()), expected);
    }

    #[test]
    fn auto_decides_for_all_rows_at_once() {
        let scores = floats(&[2, 2], &[0.5, 0.5, 3.0, 3.0]);
        let rows = classify(&scores, &ClassifySpec::default()).unwrap();
        assert_eq!(rows[1][0].score, 0.5);
        let scores = floats(&[2, 2], &[0.25, 0.75, 3.0, 3.0]);
        assert_ne!(classify(&scores, &ClassifySpec::default()).unwrap()[0][0].score, 0.75);
    }

    #[test]
    fn threshold() {
        let scores = floats(&[4], &[0.5, 0.3, f32::NAN, 0.2]);
        let with = |threshold| {
            let spec = ClassifySpec { threshold: Some(threshold), ..spec(9, Activation::None) };
            classify(&scores, &spec).map(|rows| indices(&rows[0]))
        };
        assert_eq!(with(0.3).unwrap(), [0, 1]);
        assert!(with(0.6).unwrap().is_empty());
        assert_eq!(with(f32::NEG_INFINITY).unwrap(), [0, 1, 3]);
        assert_eq!(with(f32::NAN).unwrap_err().code, ErrorCode::InvalidOption);
    }

    #[test]
    fn only_the_classes_that_are_wanted() {
        let scores = floats(&[2, 5], &[1.0, 5.0, 3.0, 4.0, 2.0, 5.0, 1.0, 1.0, 1.0, 4.0]);
        let with = |allow: Option<&[u32]>, deny: Option<&[u32]>, top_k| {
            let (allow, deny) = (allow.map(<[u32]>::to_vec), deny.map(<[u32]>::to_vec));
            let rows = classify(&scores, &ClassifySpec { allow, deny, ..spec(top_k, Activation::None) })?;
            Ok::<_, Error>(rows.iter().map(|row| indices(row)).collect::<Vec<_>>())
        };
        assert_eq!(with(Some(&[4, 0, 4]), None, 9).unwrap(), [[4, 0], [0, 4]]);
        assert_eq!(with(Some(&[4, 0]), None, 1).unwrap(), [[4], [0]]);
        assert_eq!(with(None, Some(&[1, 0]), 2).unwrap(), [[3, 2], [4, 2]]);
        assert_eq!(with(Some(&[1, 2, 3]), Some(&[1]), 9).unwrap(), [[3, 2], [2, 3]]);
        assert_eq!(with(Some(&[]), None, 9).unwrap(), [[], []] as [[u32; 0]; 2]);
        assert_eq!(with(None, Some(&[0, 1, 2, 3, 4]), 9).unwrap(), [[], []] as [[u32; 0]; 2]);
        for (allow, deny) in [(Some(&[5][..]), None), (None, Some(&[u32::MAX][..]))] {
            let error = with(allow, deny, 9).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption);
            assert!(error.message.contains(if allow.is_some() { "allow" } else { "deny" }), "{}", error.message);
        }
        // Scores do not depend on what is listed.
        let softmax = ClassifySpec { allow: Some(vec![0]), ..spec(1, Activation::Softmax) };
        let all = classify(&scores, &spec(5, Activation::Softmax)).unwrap();
        assert_eq!(classify(&scores, &softmax).unwrap()[1][0], all[1][0]);
    }

    #[test]
    fn smoothing_is_an_exponential_average() {
        let all = spec(9, Activation::None);
        let mut average = vec![];
        let mut add = |values: &[f32], keep| {
            let best = classify_smoothed(&floats(&[1, values.len()], values), &all, &mut average, keep).unwrap();
            let scores = best.iter().map(|class| class.score).collect::<Vec<_>>();
            (indices(&best), scores)
        };
        assert_eq!(add(&[1.0, 0.0, 0.0], 0.75), (vec![0, 1, 2], vec![1.0, 0.0, 0.0]));
        assert_eq!(add(&[0.0, 1.0, 0.0], 0.75), (vec![0, 1, 2], vec![0.75, 0.25, 0.0]));
        assert_eq!(add(&[0.0, 1.0, 0.0], 0.5), (vec![1, 0, 2], vec![0.625, 0.375, 0.0]));
        // What is not finite neither spreads nor stays.
        assert_eq!(add(&[f32::NAN, 1.0, f32::INFINITY], 0.0), (vec![1, 0, 2], vec![1.0, 0.375, 0.0]));
        assert_eq!(add(&[0.0, 0.0, 7.0], 1.0), (vec![1, 0, 2], vec![1.0, 0.375, 0.0]));
        assert_eq!(average, [0.375, 1.0, 0.0]);
        let mut average = vec![];
        let mut add = |values: &[f32]| {
            classify_smoothed(&floats(&[2], values), &spec(1, Activation::None), &mut average, 0.5).unwrap()[0]
        };
        assert_eq!(add(&[f32::NAN, f32::NAN]).index, 0);
        assert_eq!(add(&[2.0, 4.0]), Class { index: 1, score: 4.0 });
    }

    #[test]
    fn smoothing_is_of_scores_with_all_that_classify_does() {
        let spec = ClassifySpec { threshold: Some(0.3), deny: Some(vec![1]), ..spec(9, Activation::Sigmoid) };
        let mut average = vec![0.5, 0.5, 0.25];
        let best = classify_smoothed(&floats(&[3], &[0.0, 9.0, 0.0]), &spec, &mut average, 0.5).unwrap();
        assert_eq!(best, [Class { index: 0, score: 0.5 }, Class { index: 2, score: 0.375 }]);
        for (shape, earlier, keep, code) in [
            (&[2, 3][..], vec![], 0.5, ErrorCode::InputShape),
            (&[6], vec![0.5; 5], 0.5, ErrorCode::InvalidOption),
            (&[6], vec![], 1.5, ErrorCode::InvalidOption),
            (&[6], vec![], f64::NAN, ErrorCode::InvalidOption),
        ] {
            let mut average = earlier.clone();
            let result = classify_smoothed(&floats(shape, &[0.0; 6]), &spec, &mut average, keep);
            assert_eq!(result.unwrap_err().code, code, "{shape:?} {keep}");
            assert_eq!(average, earlier);
        }
    }

    #[test]
    fn shapes() {
        let values = [1.0, 2.0, 4.0, 3.0];
        let cases: &[(&[usize], Option<&[u32]>)] = &[
            (&[4], Some(&[2])),
            (&[1, 4], Some(&[2])),
            (&[2, 2], Some(&[1, 0])),
            (&[2, 2, 1, 1], Some(&[1, 0])),
            (&[4, 1], Some(&[0, 0, 0, 0])),
            (&[1, 2, 2], None),
            (&[1, 2, 2, 1], None),
            (&[1, 1, 1, 4], None),
            (&[1, 4, 1, 1, 1], None),
        ];
        for (shape, best) in cases {
            match (classify(&floats(shape, &values), &spec(1, Activation::None)), best) {
                (Ok(rows), Some(best)) => {
                    assert_eq!(rows.iter().map(|row| row[0].index).collect::<Vec<_>>(), *best, "{shape:?}");
                }
                (Err(error), None) => assert_eq!(error.code, ErrorCode::InputShape, "{shape:?}"),
                (result, _) => panic!("{shape:?}: {result:?}"),
            }
        }
        for shape in [&[0][..], &[3, 0], &[0, 0, 1, 1]] {
            let error = classify(&floats(shape, &[]), &ClassifySpec::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InputShape, "{shape:?}");
        }
        let scalar = classify(&floats(&[], &[1.0]), &ClassifySpec::default()).unwrap_err();
        assert_eq!(scalar.code, ErrorCode::InputShape);
        assert_eq!(classify(&floats(&[0, 3], &[]), &ClassifySpec::default()).unwrap(), Vec::<Vec<Class>>::new());
    }

    #[test]
    fn element_types() {
        let half = [f16::from_f32(1.5), f16::from_f32(-2.0)].map(f16::to_le_bytes).concat();
        let cases = [
            (Tensor::from_slice(&[2], &[1u8, 200]).unwrap(), [(1, 200.0), (0, 1.0)]),
            (Tensor::from_slice(&[2], &[1i8, -56]).unwrap(), [(0, 1.0), (1, -56.0)]),
            (Tensor::from_slice(&[2], &[-7i32, 1 << 20]).unwrap(), [(1, 1_048_576.0), (0, -7.0)]),
            (Tensor::from_bytes(DataType::Float16, &[2], &half).unwrap(), [(0, 1.5), (1, -2.0)]),
        ];
        for (tensor, expected) in cases {
            let classes = classify(&tensor, &spec(2, Activation::None)).unwrap().remove(0);
            assert_eq!(expected.map(|(index, score)| Class { index, score }), classes[..], "{tensor:?}");
        }
        let strings = Tensor::from_strings(&[1], vec!["cat".into()]).unwrap();
        for bad in [Tensor::from_slice(&[2], &[1i64, 2]).unwrap(), strings] {
            assert_eq!(classify(&bad, &ClassifySpec::default()).unwrap_err().code, ErrorCode::InputType, "{bad:?}");
        }
    }

    #[test]
    fn reads_options() {
        let read = serde_json::from_str::<ClassifySpec>;
        assert_eq!(read("{}").unwrap(), ClassifySpec::default());
        assert_eq!(
            read(r#"{ "topK": 3, "threshold": 0.5, "activation": "sigmoid" }"#).unwrap(),
            ClassifySpec { threshold: Some(0.5), ..spec(3, Activation::Sigmoid) }
        );
        assert!(read(r#"{ "topk": 3 }"#).is_err() && read(r#"{ "topK": -1 }"#).is_err());
    }
}
