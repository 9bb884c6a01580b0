// A wasm module small enough to write by hand; `kind` is 1 for the engine, 2 for the compiler, 3 for the engine's relaxed
// build:
//
// (module
//   (memory (export "memory") 1)
//   (global (export "kind") i32 (i32.const <kind>))
//   (func (export "trap") unreachable)
//   (func $recurse (export "recurse") call $recurse))

const name = (text) => [text.length, ...new TextEncoder().encode(text)];
const section = (id, ...bytes) => [id, bytes.length, ...bytes];

export function wasmModule(kind) {
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 0, 0),
    ...section(3, 2, 0, 0),
    ...section(5, 1, 0, 1),
    ...section(6, 1, 0x7f, 0, 0x41, kind, 0x0b),
    ...section(7, 4, ...name('memory'), 2, 0, ...name('kind'), 3, 0, ...name('trap'), 0, 0, ...name('recurse'), 0, 1),
    // The call is followed by another instruction, or it could become a jump.
    ...section(10, 2, 3, 0, 0x00, 0x0b, 5, 0, 0x10, 1, 0x01, 0x0b),
  ]);
}
