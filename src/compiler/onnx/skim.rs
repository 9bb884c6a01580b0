//! A model's bytes without its large constants: these stay where they are, and become external data of the model's own
//! file. So weights never pass through the protobuf decoder.

use crate::compiler::store::LARGE;
use crate::error::Result;
use crate::plan::Source;

/// What the model's own file is called in references to it; no file of a model's has that name.
pub const OWN: &str = "\0";

/// How much is read at once.
const WINDOW: usize = 1 << 16;

/// Lengths and bytes, the only wire type that is looked into.
const BYTES: u64 = 2;

/// Fields, as in onnx.proto3.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// Skims a file. `None`: it is damaged, or otherwise not worth it, and has to be looked at as a whole.
pub fn skim(source: &dyn Source) -> Result<Option<Vec<u8>>> {
    if source.size() < LARGE {
        return Ok(None);
    }
    let mut file = File { source, window: vec![0; WINDOW.min(source.size())], start: 0, filled: 0 };
    file.message(0, source.size(), &[GRAPH, INITIALIZER])
}

/// Reads here and there.
struct File<'a> {
    source: &'a dyn Source,
    window: Vec<u8>,
    start: usize,
    filled: usize,
}

impl File<'_> {
    fn byte(&mut self, at: usize) -> Result<u8> {
        if !(self.start..self.start + self.filled).contains(&at) {
            self.filled = self.window.len().min(self.source.size() - at);
            self.source.read(at, &mut self.window[..self.filled])?;
            self.start = at;
        }
        Ok(self.window[at - self.start])
    }

    /// A number that ends before `end`.
    fn varint(&mut self, at: &mut usize, end: usize) -> Result<Option<u64>> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            if *at >= end {
                return Ok(None);
            }
            let byte = self.byte(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn copy(&mut self, from: usize, to: usize, out: &mut Vec<u8>) -> Result<()> {
        let at = out.len();
        out.resize(at + to - from, 0);
        self.source.read(from, &mut out[at..])
    }

    /// A message between two places. `path` leads to constants: the first of its fields, if there are any, is a message
    /// on the way; where it is empty this is a constant.
    fn message(&mut self, start: usize, end: usize, path: &[u64]) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let (mut at, mut copied, mut raw) = (start, start, None);
        while at < end {
            let field = at;
            let Some(key) = self.varint(&mut at, end)? else { return Ok(None) };
            let Some(value) = (match key & 7 {
                0 | BYTES => self.varint(&mut at, end)?,
                1 => Some(8),
                5 => Some(4),
                _ => None,
            }) else {
                return Ok(None);
            };
            if key & 7 == 0 {
                continue;
            }
            let body = at;
            let Some(next) = usize::try_from(value).ok().and_then(|n| at.checked_add(n)).filter(|&n| n <= end) else {
                return Ok(None);
            };
            at = next;
            if key & 7 != BYTES || next - body < LARGE {
                continue;
            }
            match path {
                [on_the_way, rest @ ..] if key >> 3 == *on_the_way => {
                    let Some(inner) = self.message(body, next, rest)? else { return Ok(None) };
                    self.copy(copied, field, &mut out)?;
                    bytes_field(&mut out, *on_the_way, &inner);
                }
                [] if key >> 3 == RAW_DATA && raw.is_none() => {
                    self.copy(copied, field, &mut out)?;
                    raw = Some((body, next - body));
                }
                [] if key >> 3 == RAW_DATA => return Ok(None),
                _ => continue,
            }
            copied = next;
        }
        self.copy(copied, end, &mut out)?;
        if let Some((offset, length)) = raw {
            for (key, value) in [("location", OWN), ("offset", &offset.to_string()), ("length", &length.to_string())] {
                let mut entry = Vec::new();
                bytes_field(&mut entry, 1, key.as_bytes());
                bytes_field(&mut entry, 2, value.as_bytes());
                bytes_field(&mut out, EXTERNAL_DATA, &entry);
            }
            write_varint(&mut out, DATA_LOCATION << 3);
            write_varint(&mut out, 1);
        }
        Ok(Some(out))
    }
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    write_varint(out, field << 3 | BYTES);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, tensor_proto::DataLocation};

    use super::*;

    fn model(sizes: &[usize]) -> ModelProto {
        let tensor = |(i, &n): (usize, &usize)| TensorProto {
            name: format!("t{i}"),
            dims: vec![2, n as i64 / 2],
            data_type: 3,
            raw_data: vec![i as u8; n],
            ..TensorProto::default()
        };
        let initializer = sizes.iter().enumerate().map(tensor).collect();
        let graph = Some(GraphProto { name: "g".into(), initializer, ..GraphProto::default() });
        ModelProto { ir_version: 8, producer_name: "p".into(), graph, ..ModelProto::default() }
    }

    #[test]
    fn large_constants_stay_in_the_file() {
        let whole = model(&[4, LARGE, 8, 3 * LARGE]);
        let bytes = whole.encode_to_vec();
        let skimmed = skim(&bytes).unwrap().unwrap();
        assert!(skimmed.len() < 400, "{} bytes", skimmed.len());
        let found = ModelProto::decode(&skimmed[..]).unwrap();
        let mut restored = found.clone();
        let mut moved = 0;
        for tensor in &mut restored.graph.as_mut().unwrap().initializer {
            if tensor.data_location.take() == Some(DataLocation::External as i32) {
                let number = |i: usize| tensor.external_data[i].value.parse::<usize>().unwrap();
                assert_eq!(tensor.external_data[0].value, OWN);
                tensor.raw_data = bytes[number(1)..][..number(2)].to_vec();
                tensor.external_data.clear();
                moved += 1;
            }
        }
        assert_eq!((moved, &restored), (2, &whole));
    }

    #[test]
    fn what_is_damaged_is_left_alone() {
        let bytes = model(&[LARGE, LARGE]).encode_to_vec();
        for cut in [LARGE, LARGE + 100, bytes.len() - 1] {
            assert_eq!(skim(&bytes[..cut].to_vec()).unwrap(), None, "{cut}");
        }
        let mut again = bytes.clone();
        again.push(0xff);
        assert_eq!(skim(&again).unwrap(), None);
        assert_eq!(skim(&model(&[4]).encode_to_vec()).unwrap(), None, "small");
    }
}
