//! What JavaScript sees of the library: a test program for WebAssembly links all of its exports, and the glue that
//! wasm-bindgen makes for the program has them. The tests call that glue, as the package does.

#![allow(dead_code)]

use js_sys::{Array, Function, JSON, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

/// The glue's module, under the name that wasm-bindgen-test-runner gives it: the very instance that the tests run in.
pub async fn exports() -> JsValue {
    let load = "typeof process === 'object'
        ? Promise.resolve(process.mainModule.require('./wasm-bindgen-test'))
        : import('/wasm-bindgen-test')";
    let promise: Promise = js_sys::eval(load).expect("an expression").unchecked_into();
    promise.await.expect("the glue of this test program")
}

/// A field.
pub fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).expect("an object")
}

/// `object[method](...arguments)`.
pub fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = get(object, method).dyn_into().unwrap_or_else(|_| panic!("there is no {method}()"));
    Reflect::apply(&function, object, &arguments.iter().collect())
}

/// `new exports[class](...arguments)`.
pub fn construct(exports: &JsValue, class: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let class: Function = get(exports, class).dyn_into().unwrap_or_else(|_| panic!("there is no class {class}"));
    Reflect::construct(&class, &arguments.iter().collect())
}

/// A value of a JavaScript expression.
pub fn js(expression: &str) -> JsValue {
    js_sys::eval(&format!("({expression})")).unwrap_or_else(|e| panic!("{expression}: {e:?}"))
}

/// As JSON.
pub fn text(value: &JsValue) -> String {
    JSON::stringify(value).ok().and_then(|s| s.as_string()).unwrap_or_else(|| format!("{value:?}"))
}

/// A tensor object.
pub fn tensor(name: &str, data_type: &str, dims: &[u32], data: &[u8]) -> JsValue {
    object(&[
        ("name", name.into()),
        ("type", data_type.into()),
        ("dims", dims.iter().map(|&d| JsValue::from(d)).collect::<Array>().into()),
        ("data", Uint8Array::from(data).into()),
    ])
}

/// A float32 tensor object.
pub fn floats(name: &str, dims: &[u32], values: &[f32]) -> JsValue {
    tensor(name, "float32", dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

/// A plain object.
pub fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (key, value) in fields {
        Reflect::set(&object, &(*key).into(), value).expect("a plain object");
    }
    object.into()
}

/// The bytes of a tensor object.
pub fn bytes(tensor: &JsValue) -> Vec<u8> {
    get(tensor, "data").dyn_into::<Uint8Array>().expect("a Uint8Array").to_vec()
}

/// The numbers of a float32 tensor object.
pub fn numbers(tensor: &JsValue) -> Vec<f32> {
    bytes(tensor).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A tensor object without its data: `x: float32 [2,3]`.
pub fn tensor_text(tensor: &JsValue) -> String {
    let part = |key| get(tensor, key).as_string().expect("a string");
    format!("{}: {} {}", part("name"), part("type"), text(&get(tensor, "dims")))
}

/// The code of a thrown error, which must be a plain object that survives a structured clone.
pub fn code<T: std::fmt::Debug>(result: Result<T, JsValue>) -> String {
    let error = result.expect_err("it should have thrown");
    let prototype = Object::get_prototype_of(&error);
    assert!(prototype == Object::get_prototype_of(&Object::new()), "not a plain object: {error:?}");
    for (key, value) in [("code", get(&error, "code")), ("message", get(&error, "message"))] {
        assert!(value.as_string().is_some_and(|s| !s.is_empty()), "no {key}: {}", text(&error));
    }
    for key in Object::keys(error.unchecked_ref::<Object>()).iter().filter_map(|k| k.as_string()) {
        let value = get(&error, &key);
        assert!(value.is_string() || (key == "operators" && Array::is_array(&value)), "{key}: {}", text(&error));
    }
    get(&error, "code").as_string().unwrap_or_default()
}
