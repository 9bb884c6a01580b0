//! Bytes to protobuf, with the mistakes people make told apart: a web page instead of a model, a pointer to a file
//! instead of the file, another format, half a download.

use prost::Message;
use tract_onnx::pb::ModelProto;

use super::invalid;
use crate::error::{Error, ErrorCode, Result};

/// Decodes a `ModelProto`.
pub fn decode(bytes: &[u8]) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(not_onnx("the model is empty (0 bytes)", "check the address or file"));
    }
    recognise(bytes)?;
    let complete = walk(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|e| {
        if complete {
            // The whole message names every field on the way, once for each level of nesting.
            let reason = e.to_string();
            invalid(format!("the model is damaged: {}", reason.rsplit(": ").next().unwrap_or_default()))
        } else {
            invalid(format!("the model ends too early, after {} bytes", bytes.len()))
                .with_hint("the file or download is incomplete: fetch it again")
        }
    })?;
    if model.graph.is_none() {
        return Err(if model.ir_version > 0 || !model.opset_import.is_empty() {
            invalid("the model has no graph")
        } else {
            not_onnx("these bytes are not an ONNX model", "pass the bytes of a .onnx file")
        });
    }
    Ok(model)
}

fn not_onnx(message: &str, hint: &str) -> Error {
    Error::new(ErrorCode::NotOnnx, message).with_hint(hint)
}

/// Other things that end up where a model was expected.
fn recognise(bytes: &[u8]) -> Result<()> {
    let text = bytes.trim_ascii_start();
    let (what, hint) = if text.starts_with(b"<") {
        ("an HTML or XML page", "the server answered with a page instead of the model: check the address")
    } else if text.starts_with(b"{") || text.starts_with(b"[") {
        ("JSON", "pass the .onnx file; a model card is for ImageClassifier.create")
    } else if text.starts_with(b"version https://git-lfs") {
        ("a Git LFS pointer", "the real file was not checked out: run `git lfs pull`, or download the file itself")
    } else if bytes.starts_with(b"PK\x03\x04") {
        ("a zip archive", "unpack it; PyTorch .pt files must be exported to ONNX first")
    } else if bytes.get(4..8) == Some(b"TFL3") {
        ("a TensorFlow Lite model", "convert it to ONNX, for example with tf2onnx")
    } else if bytes.get(4..8) == Some(b"ORTM") {
        ("a model in ONNX Runtime's own .ort format", "use the .onnx file it was made from")
    } else if bytes.starts_with(b"\x1f\x8b") {
        ("gzip data", "decompress it, or have the server send `Content-Encoding: gzip`")
    } else if bytes.starts_with(b"\0asm") {
        ("a WebAssembly module", "pass the bytes of a .onnx file")
    } else {
        return Ok(());
    };
    Err(not_onnx(&format!("this is {what}, not an ONNX model"), hint))
}

/// Walks the outermost fields. An error: the beginning cannot be a `ModelProto`. `false`: it can, but the bytes end
/// within a field. `true`: all fields are there.
fn walk(bytes: &[u8]) -> Result<bool> {
    let mut rest = bytes;
    let mut fields = 0;
    let alien = || not_onnx("these bytes are not an ONNX model", "pass the bytes of a .onnx file");
    while !rest.is_empty() {
        let Some(key) = varint(&mut rest) else {
            // No key of a ModelProto takes more than two bytes.
            return if fields == 0 && bytes.len() > 2 { Err(alien()) } else { Ok(false) };
        };
        // Field numbers and wire types of ModelProto, onnx.proto3: 0 is a number, 2 a length and bytes.
        let known = match key >> 3 {
            1 | 5 => key & 7 == 0,
            2 | 3 | 4 | 6 | 7 | 8 | 14 | 20 | 25 | 26 => key & 7 == 2,
            _ => false,
        };
        if !known {
            return if fields == 0 { Err(alien()) } else { Ok(true) };
        }
        let Some(value) = varint(&mut rest) else { return Ok(false) };
        if key & 7 == 2 {
            let Some((_, tail)) = usize::try_from(value).ok().and_then(|n| rest.split_at_checked(n)) else {
                return Ok(false);
            };
            rest = tail;
        }
        fields += 1;
    }
    Ok(true)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_apart() {
        for (bytes, code, word) in [
            (&b""[..], ErrorCode::NotOnnx, "empty"),
            (b"\n <!doctype html>", ErrorCode::NotOnnx, "HTML"),
            (b"version https://git-lfs.github.com/spec/v1", ErrorCode::NotOnnx, "LFS"),
            (b"\x1c\0\0\0TFL3abc", ErrorCode::NotOnnx, "Lite"),
            (b"{\"a\":1}", ErrorCode::NotOnnx, "JSON"),
            (b"hello world", ErrorCode::NotOnnx, "not an ONNX"),
            (b"\xff\xff\xff\xff", ErrorCode::NotOnnx, "not an ONNX"),
            (b"\x08", ErrorCode::InvalidModel, "too early"),
            (b"\x08\x08\x3a\xff\x7f", ErrorCode::InvalidModel, "too early"),
            (b"\x08\x08", ErrorCode::InvalidModel, "no graph"),
        ] {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.code, code, "{bytes:?}: {error}");
            assert!(error.message.contains(word), "{bytes:?}: {error}");
        }
    }
}
