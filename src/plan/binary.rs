//! Binary form: [`MAGIC`], [`VERSION`], the length of the header, the header, then, aligned, the data of the constants.
//! Numbers are little-endian. The header is what the model says of itself, followed by constants and variants in
//! [postcard](https://docs.rs/postcard)'s encoding. Reading trusts nothing: every length is checked against what is
//! left before memory is asked for, and [`super::check`] holds every step against the values it names.

use super::{ALIGNMENT, Constant, Dim, ModelInfo, OperatorSet, Plan, ValueInfo, Variant, check};
use crate::error::{Error, ErrorCode, Result};
use crate::tensor::DataType;

/// The first eight bytes of every plan.
pub const MAGIC: [u8; 8] = *b"TRACTLET";
/// Raised whenever older engines could misread newer plans or the other way round.
pub const VERSION: u32 = 3;
/// Bytes before the header.
const PREFIX: usize = 16;

/// Bytes that are read piece by piece, so that a plan need not be in memory as a whole.
pub trait Source {
    /// How many there are.
    fn size(&self) -> usize;

    /// Fills `to` with the bytes from `offset` on.
    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()>;
}

impl Source for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        self[..].read(offset, to)
    }
}

impl Source for [u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let from = offset.checked_add(to.len()).and_then(|end| self.get(offset..end));
        to.copy_from_slice(from.ok_or_else(|| invalid("the bytes are cut short"))?);
        Ok(())
    }
}

/// A plan as bytes, up to where the data of the constants begins.
pub fn encode_header(info: &ModelInfo, constants: &[Constant], variants: &[&Variant]) -> Vec<u8> {
    let mut w = Writer(Vec::new());
    w.info(info);
    // Serialising plain structs into memory cannot fail.
    let body = postcard::to_allocvec(&(constants, variants)).unwrap_or_default();
    let header = w.0.len() + body.len();
    let start = (PREFIX + header).next_multiple_of(ALIGNMENT);
    let mut bytes = Vec::with_capacity(start);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(header as u32).to_le_bytes());
    bytes.extend_from_slice(&w.0);
    bytes.extend_from_slice(&body);
    bytes.resize(start, 0);
    bytes
}

impl Plan {
    /// To bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_header(&self.info, &self.constants, &self.variants.iter().collect::<Vec<_>>());
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// Reads and validates the header. Gives the plan, without data, and where in `source` its data starts.
    pub fn decode(source: &(impl Source + ?Sized)) -> Result<(Self, usize)> {
        let mut prefix = [0; PREFIX];
        let start = prefix.len().min(source.size());
        source.read(0, &mut prefix[..start])?;
        let Some(rest) = prefix.strip_prefix(&MAGIC) else {
            return Err(invalid("the bytes do not start like a plan"));
        };
        let mut r = Reader(rest);
        let version = r.number()?;
        if version != VERSION && start == PREFIX {
            return Err(Error::new(ErrorCode::PlanVersion, "the plan was compiled by another version of tractlet")
                .expected(VERSION, version)
                .with_hint("compile the model again with this version"));
        }
        let length = r.size()?;
        if start < PREFIX || length > source.size() - PREFIX {
            return Err(invalid("the plan is cut short"));
        }
        let mut header = vec![0; length];
        source.read(PREFIX, &mut header)?;
        let mut r = Reader(&header);
        let info = r.info()?;
        let (constants, variants): (Vec<Constant>, Vec<Variant>) =
            postcard::from_bytes(r.0).map_err(|_| invalid("the plan's steps cannot be read"))?;
        let data = (PREFIX + length).next_multiple_of(ALIGNMENT);
        let plan = Self { info, constants, variants, data: Vec::new() };
        check::check(&plan, source.size().saturating_sub(data))?;
        Ok((plan, data))
    }
}

/// A damaged plan.
pub(super) fn invalid(message: &str) -> Error {
    Error::new(ErrorCode::InvalidPlan, message).with_hint("compile the model again")
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    /// Lengths and dimensions; what does not fit in 32 bits was refused long before.
    fn size(&mut self, n: usize) {
        self.number(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn text(&mut self, s: &str) {
        self.size(s.len());
        self.0.extend_from_slice(s.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], f: impl Fn(&mut Self, &T)) {
        self.size(items.len());
        for item in items {
            f(self, item);
        }
    }

    fn dim(&mut self, d: &Dim) {
        match d {
            Dim::Fixed(n) => {
                self.0.push(0);
                self.size(*n);
            }
            Dim::Symbol(name) => {
                self.0.push(1);
                self.text(name);
            }
            Dim::Unknown => self.0.push(2),
            Dim::Rest => self.0.push(3),
        }
    }

    fn value_info(&mut self, v: &ValueInfo) {
        self.text(&v.name);
        self.0.push(v.data_type as u8);
        self.list(&v.shape, Self::dim);
    }

    fn info(&mut self, info: &ModelInfo) {
        self.list(&info.inputs, Self::value_info);
        self.list(&info.outputs, Self::value_info);
        self.text(&info.graph_name);
        self.text(&info.producer_name);
        self.text(&info.producer_version);
        self.number(info.ir_version);
        self.list(&info.opsets, |w, o| {
            w.text(&o.domain);
            w.number(o.version);
        });
        self.text(&info.description);
        self.list(&info.metadata, |w, (key, value)| {
            w.text(key);
            w.text(value);
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or_else(|| invalid("the plan is cut short"))?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn size(&mut self) -> Result<usize> {
        Ok(self.number()? as usize)
    }

    fn text(&mut self) -> Result<String> {
        let len = self.size()?;
        let bytes = self.take(len)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| invalid("a text in the plan is not UTF-8"))?.to_owned())
    }

    fn list<T>(&mut self, f: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let len = self.size()?;
        // Every item takes at least a byte: a longer list than there are bytes is damaged, and is never allocated.
        if len > self.0.len() {
            return Err(invalid("the plan is cut short"));
        }
        (0..len).map(|_| f(self)).collect()
    }

    fn dim(&mut self) -> Result<Dim> {
        Ok(match self.byte()? {
            0 => Dim::Fixed(self.size()?),
            1 => Dim::Symbol(self.text()?),
            2 => Dim::Unknown,
            3 => Dim::Rest,
            _ => return Err(invalid("the plan has a dimension of unknown kind")),
        })
    }

    fn data_type(&mut self) -> Result<DataType> {
        let code = self.byte()?;
        DataType::from_onnx(code.into()).ok_or_else(|| invalid("the plan has an unknown element type"))
    }

    fn value_info(&mut self) -> Result<ValueInfo> {
        Ok(ValueInfo { name: self.text()?, data_type: self.data_type()?, shape: self.list(Self::dim)? })
    }

    fn info(&mut self) -> Result<ModelInfo> {
        Ok(ModelInfo {
            inputs: self.list(Self::value_info)?,
            outputs: self.list(Self::value_info)?,
            graph_name: self.text()?,
            producer_name: self.text()?,
            producer_version: self.text()?,
            ir_version: self.number()?,
            opsets: self.list(|r| Ok(OperatorSet { domain: r.text()?, version: r.number()? }))?,
            description: self.text()?,
            metadata: self.list(|r| Ok((r.text()?, r.text()?)))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fact, Operation, Step};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn sample() -> Plan {
        let value = |name: &str, shape| ValueInfo { name: name.into(), data_type: DataType::Float32, shape };
        Plan {
            info: ModelInfo {
                inputs: vec![value("x", vec![Dim::Symbol("batch".into()), Dim::Fixed(3), Dim::Unknown])],
                outputs: vec![value("y", vec![Dim::Fixed(10)])],
                graph_name: "g".into(),
                producer_name: "p".into(),
                producer_version: "1".into(),
                ir_version: 8,
                opsets: vec![OperatorSet { domain: String::new(), version: 17 }],
                description: "d".into(),
                metadata: vec![("key".into(), "value".into())],
            },
            variants: vec![Variant {
                input_shapes: vec![vec![1, 3, 5]],
                values: vec![
                    Fact { data_type: DataType::Float32, shape: vec![Some(1), Some(3), Some(5)], constant: None },
                    Fact { data_type: DataType::Float32, shape: vec![None], constant: None },
                ],
                inputs: vec![0],
                outputs: vec![1],
                output_shapes: vec![vec![None]],
                steps: vec![Step {
                    node: "n".into(),
                    op_type: "Subgraph".into(),
                    operation: Operation::Subgraph { id: 7, inputs: vec![0], outputs: vec![1] },
                }],
            }],
            constants: vec![Constant { data_type: DataType::Int8, len: 3, offset: 16 }],
            data: (0..19).collect(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Plan> {
        Ok(Plan::decode(bytes)?.0)
    }

    #[test]
    fn what_is_written_is_read() {
        let plan = sample();
        let bytes = plan.encode();
        let (header, data) = Plan::decode(&bytes[..]).unwrap();
        assert_eq!(bytes[data..], plan.data);
        assert_eq!(data % ALIGNMENT, 0);
        assert_eq!(Plan { data: plan.data.clone(), ..header }, plan);
    }

    #[test]
    fn no_damage_goes_further_than_an_error() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = decode(&damaged);
            }
            let mut huge = bytes.clone();
            huge[at..].iter_mut().take(4).for_each(|b| *b = 0xff);
            let _ = decode(&huge);
        }
    }

    #[test]
    fn values_must_be_written_before_they_are_read() {
        let mut plan = sample();
        plan.variants[0].steps.clear();
        assert_eq!(decode(&plan.encode()).unwrap_err().code, ErrorCode::InvalidPlan);
        let mut plan = sample();
        plan.variants[0].inputs = vec![9];
        assert!(decode(&plan.encode()).is_err());
    }

    #[test]
    fn another_version_is_said_so() {
        let mut bytes = sample().encode();
        bytes[8] = 99;
        assert_eq!(decode(&bytes).unwrap_err().code, ErrorCode::PlanVersion);
    }
}
