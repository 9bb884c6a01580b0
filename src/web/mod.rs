//! The boundary to JavaScript: conversions, a note of failed allocations, and nothing else. `js/wasm-modules.ts` has the same interface as types.
//!
//! Everything that comes in is untrusted: what does not convert gives an error, thrown as a plain object with the
//! fields of [`crate::Error`].

#[cfg(feature = "compiler")]
pub mod compiler;
#[cfg(feature = "engine")]
pub mod engine;
mod memory;
mod source;
mod tensors;
#[cfg(feature = "threads")]
pub mod threads;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::Error;

/// Panics are defects, and end the module; at least they say where, in builds that keep what they say.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// A value as plain objects, arrays, strings and numbers.
fn to_js(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}

/// An error as JavaScript gets to see it.
fn thrown(error: Error) -> JsValue {
    memory::reported();
    to_js(&error)
}
