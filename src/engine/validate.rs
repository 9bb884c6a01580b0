//! What a run is given, held against what the model takes.

use std::collections::HashMap;

use half::f16;

use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Dim, ModelInfo, ValueInfo, display_shape};
use crate::tensor::{DataType, Tensor};

/// The inputs in the model's order.
pub fn inputs<'a>(info: &ModelInfo, given: &'a [(String, Tensor)], allow_nan: bool) -> Result<Vec<&'a Tensor>> {
    for (at, (name, _)) in given.iter().enumerate() {
        if !info.inputs.iter().any(|i| i.name == *name) {
            return Err(Error::new(ErrorCode::UnknownInput, format!("the model has no input called \"{name}\""))
                .for_input(name)
                .expected(names(&info.inputs), name)
                .with_hint(format!("its inputs are {}", names(&info.inputs))));
        }
        if given[..at].iter().any(|(other, _)| other == name) {
            return Err(
                Error::new(ErrorCode::UnknownInput, format!("the input \"{name}\" was given twice")).for_input(name)
            );
        }
    }
    let mut symbols = HashMap::new();
    info.inputs
        .iter()
        .map(|input| {
            let (_, tensor) = given.iter().find(|(name, _)| *name == input.name).ok_or_else(|| {
                Error::new(ErrorCode::MissingInput, format!("the input \"{}\" was not given", input.name))
                    .for_input(&input.name)
                    .expected(describe(input), "nothing")
                    .with_hint(format!("pass {{ {:?}: tensor }} of type {}", input.name, describe(input)))
            })?;
            check(input, tensor, &mut symbols)?;
            if !allow_nan {
                check_values(input, tensor)?;
            }
            Ok(tensor)
        })
        .collect()
}

/// Positions of the outputs that were asked for.
pub fn outputs(info: &ModelInfo, names_asked: Option<&[String]>) -> Result<Vec<usize>> {
    let Some(asked) = names_asked else { return Ok((0..info.outputs.len()).collect()) };
    asked
        .iter()
        .map(|name| {
            info.outputs.iter().position(|o| o.name == *name).ok_or_else(|| {
                Error::new(ErrorCode::UnknownOutput, format!("the model has no output called \"{name}\""))
                    .expected(names(&info.outputs), name)
                    .with_hint(format!("its outputs are {}", names(&info.outputs)))
            })
        })
        .collect()
}

fn names(values: &[ValueInfo]) -> String {
    values.iter().map(|v| format!("\"{}\"", v.name)).collect::<Vec<_>>().join(", ")
}

fn describe(input: &ValueInfo) -> String {
    format!("{} {}", input.data_type, display_shape(&input.shape))
}

fn check<'a>(input: &'a ValueInfo, tensor: &Tensor, symbols: &mut HashMap<&'a str, (usize, &'a str)>) -> Result<()> {
    let name = &input.name;
    if tensor.data_type() != input.data_type {
        return Err(Error::new(
            ErrorCode::InputType,
            format!("the input \"{name}\" must be {}, not {}", input.data_type, tensor.data_type()),
        )
        .for_input(name)
        .expected(input.data_type, tensor.data_type())
        .with_hint(format!("make it with new Tensor('{}', data, dims)", input.data_type)));
    }
    let wrong = |message: String| {
        Error::new(ErrorCode::InputShape, message)
            .for_input(name)
            .expected(display_shape(&input.shape), display_shape(tensor.shape()))
    };
    if !input.takes_rank(tensor.shape().len()) {
        return Err(wrong(format!(
            "the input \"{name}\" must have {} dimensions, not {}",
            input.shape.len(),
            tensor.shape().len()
        ))
        .with_hint("a batch of one is a dimension too"));
    }
    for (at, (declared, &size)) in input.shape.iter().zip(tensor.shape()).enumerate() {
        match declared {
            Dim::Fixed(n) if *n != size => {
                let permuted = {
                    // Sizes are few; sorting them takes more code.
                    let given = |size: usize| tensor.shape().iter().filter(|&&d| d == size).count();
                    let wanted = |size: usize| input.shape.iter().filter(|d| **d == Dim::Fixed(size)).count();
                    tensor.shape().iter().all(|&d| given(d) == wanted(d))
                };
                return Err(wrong(format!("dimension {at} of the input \"{name}\" must be {n}, not {size}"))
                    .with_hint(if permuted {
                        "the sizes are right but in another order: transpose the data (NHWC or NCHW?)"
                    } else {
                        "the model was exported for this size; resize the data, or export it with a symbolic dimension"
                    }));
            }
            Dim::Symbol(symbol) => {
                let (first, where_) = *symbols.entry(symbol).or_insert((size, name));
                if first != size {
                    return Err(wrong(format!(
                        "dimension {at} (\"{symbol}\") of the input \"{name}\" is {size}, but {first} in \"{where_}\""
                    ))
                    .with_hint("a symbolic dimension has one size in a run"));
                }
            }
            _ => (),
        }
    }
    Ok(())
}

fn check_values(input: &ValueInfo, tensor: &Tensor) -> Result<()> {
    // A sum with NaN is NaN: sixteen lanes, so that the loop vectorises, and no early exit.
    fn has_nan<T: Copy>(values: &[T], is_nan: impl Fn(T) -> bool) -> Option<usize> {
        let any = values.chunks(1024).position(|c| c.iter().fold(false, |any, &v| any | is_nan(v)))?;
        values[any * 1024..].iter().position(|&v| is_nan(v)).map(|at| any * 1024 + at)
    }
    let at = match tensor.data_type() {
        DataType::Float32 => tensor.as_slice::<f32>().and_then(|v| has_nan(v, f32::is_nan)),
        DataType::Float64 => tensor.as_slice::<f64>().and_then(|v| has_nan(v, f64::is_nan)),
        DataType::Float16 => has_nan(tensor.bytes().as_chunks::<2>().0, |b| f16::from_le_bytes(b).is_nan()),
        _ => None,
    };
    match at {
        Some(at) => {
            Err(Error::new(ErrorCode::InputValue, format!("the input \"{}\" has NaN at element {at}", input.name))
                .for_input(&input.name)
                .expected("numbers", "NaN")
                .with_hint("check the pre-processing, often a division by zero; { allowNaN: true } lets it pass"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn info() -> ModelInfo {
        let value = |name: &str, data_type, shape| ValueInfo { name: name.into(), data_type, shape };
        ModelInfo {
            inputs: vec![
                value("x", DataType::Float32, vec![Dim::Symbol("n".into()), Dim::Fixed(3), Dim::Unknown]),
                value("y", DataType::Uint8, vec![Dim::Symbol("n".into())]),
            ],
            outputs: vec![value("z", DataType::Float32, vec![])],
            ..ModelInfo::default()
        }
    }

    fn given(x: Tensor, y: Tensor) -> Vec<(String, Tensor)> {
        vec![("x".into(), x), ("y".into(), y)]
    }

    fn code(given: &[(String, Tensor)]) -> Option<ErrorCode> {
        inputs(&info(), given, false).err().map(|e| {
            assert!(e.input.is_some() && !e.message.is_empty(), "{e}");
            e.code
        })
    }

    #[test]
    fn each_mistake_has_its_code() {
        let f = |shape: &[usize]| Tensor::zeros(DataType::Float32, shape).unwrap();
        let u = |shape: &[usize]| Tensor::zeros(DataType::Uint8, shape).unwrap();
        assert_eq!(code(&given(f(&[2, 3, 7]), u(&[2]))), None);
        assert_eq!(code(&given(u(&[2, 3, 7]), u(&[2]))), Some(ErrorCode::InputType));
        assert_eq!(code(&given(f(&[2, 4, 7]), u(&[2]))), Some(ErrorCode::InputShape));
        assert_eq!(code(&given(f(&[2, 3]), u(&[2]))), Some(ErrorCode::InputShape));
        assert_eq!(code(&given(f(&[2, 3, 7]), u(&[1]))), Some(ErrorCode::InputShape));
        assert_eq!(code(&given(f(&[2, 3, 7]), u(&[2]))[..1]), Some(ErrorCode::MissingInput));
        assert_eq!(code(&[("w".into(), f(&[1]))]), Some(ErrorCode::UnknownInput));
        let mut nan = f(&[2, 3, 700]);
        nan.as_mut_slice::<f32>().unwrap()[4111] = f32::NAN;
        let nan = given(nan, u(&[2]));
        assert_eq!(code(&nan), Some(ErrorCode::InputValue));
        assert!(inputs(&info(), &nan, true).is_ok());
        let mut unranked = info();
        unranked.inputs[0].shape = vec![Dim::Rest];
        for shape in [&[][..], &[5], &[2, 1, 4, 1]] {
            assert!(inputs(&unranked, &given(f(shape), u(&[2])), false).is_ok(), "{shape:?}");
        }
        assert!(inputs(&unranked, &given(u(&[2]), u(&[2])), false).is_err());
        assert_eq!(outputs(&info(), Some(&["q".into()])).unwrap_err().code, ErrorCode::UnknownOutput);
        assert_eq!(outputs(&info(), Some(&["z".into()])).unwrap(), [0]);
    }
}
