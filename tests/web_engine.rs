//! The engine's boundary to JavaScript, in Node and in browsers.

#![cfg(all(target_arch = "wasm32", feature = "engine"))]
