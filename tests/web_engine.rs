#![cfg(all(target_arch = "wasm32", feature = "engine"))]
use tractlet::{engine, error, image, task, tensor};
use wasm_bindgen_test::wasm_bindgen_test as test;

#[path = "../src/web/mod.rs"]
mod web;

#[test]
fn version() {
    assert_eq!(env!("CARGO_PKG_VERSION"), "0.1.0");
}
