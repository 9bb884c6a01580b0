//! Tensors as objects `{ name, type, dims, data }`.

use js_sys::{Array, JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorCode, Result};
use crate::tensor::{DataType, Tensor};

/// A field, or `undefined`.
pub fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A list of sizes.
pub fn dims_from_js(value: &JsValue) -> Result<Vec<usize>> {
    let bad = || Error::new(ErrorCode::InputShape, "the dimensions of a tensor must be a list of sizes, 0 or more");
    let list: &Array = value.dyn_ref().ok_or_else(bad)?;
    list.iter()
        .map(|d| {
            let size = d.as_f64().ok_or_else(bad)?;
            // Exact up to 2^53; what is larger than memory is refused later.
            if size >= 0.0 && size.fract() == 0.0 && size < 4294967296.0 { Ok(size as usize) } else { Err(bad()) }
        })
        .collect()
}

/// A shape as JavaScript has it.
pub fn dims_to_js(shape: &[usize]) -> Array {
    shape.iter().map(|&d| JsValue::from_f64(d as f64)).collect()
}

/// Name and tensor of an object.
pub fn tensor_from_js(value: &JsValue) -> Result<(String, Tensor)> {
    let name = field(value, "name").as_string().unwrap_or_default();
    let bad = |code, message: String| Error::new(code, message).for_input(&name);
    let type_name = field(value, "type").as_string().unwrap_or_default();
    let data_type = DataType::from_name(&type_name)
        .ok_or_else(|| bad(ErrorCode::InputType, format!("there is no element type \"{type_name}\"")))?;
    let shape = dims_from_js(&field(value, "dims")).map_err(|e| e.for_input(&name))?;
    let data = field(value, "data");
    if data_type == DataType::String {
        let list: &Array =
            data.dyn_ref().ok_or_else(|| bad(ErrorCode::InputType, "the data must be an array of strings".into()))?;
        let strings = list
            .iter()
            .map(|s| s.as_string().ok_or_else(|| bad(ErrorCode::InputType, "the data must be strings".into())))
            .collect::<Result<Vec<_>>>()?;
        return Ok((name, Tensor::from_strings(&shape, strings)?));
    }
    let bytes: &Uint8Array =
        data.dyn_ref().ok_or_else(|| bad(ErrorCode::InputType, "the data must be a Uint8Array".into()))?;
    let needed = shape.iter().try_fold(data_type.size(), |n, &d| n.checked_mul(d));
    if needed != Some(bytes.length() as usize) {
        return Err(bad(
            ErrorCode::InputShape,
            format!("{} bytes cannot be a {data_type} tensor of shape {shape:?}", bytes.length()),
        ));
    }
    let mut tensor = Tensor::zeros(data_type, &shape)?;
    bytes.copy_to(tensor.bytes_mut());
    Ok((name, tensor))
}

/// An object of its own memory.
pub fn tensor_to_js(name: &str, tensor: &Tensor) -> JsValue {
    let object = Object::new();
    let data = match tensor.strings() {
        Some(strings) => strings.iter().map(|s| JsValue::from(JsString::from(s.as_str()))).collect::<Array>().into(),
        None => JsValue::from(Uint8Array::from(tensor.bytes())),
    };
    for (key, value) in [
        ("name", name.into()),
        ("type", tensor.data_type().name().into()),
        ("dims", dims_to_js(tensor.shape()).into()),
        ("data", data),
    ] {
        // Setting a field of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &key.into(), &value);
    }
    object.into()
}
