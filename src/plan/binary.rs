//! Binary form: [`MAGIC`], [`VERSION`], then the fields in order. Numbers are little-endian u32, texts and lists carry
//! their length in front. Reading trusts nothing: every length is checked against what is left before memory is asked
//! for, every value reference against the values there are.

use super::{Dim, Fact, ModelInfo, OperatorSet, Plan, Step, ValueInfo, Variant};
use crate::error::{Error, ErrorCode, Result};
use crate::tensor::DataType;

/// The first eight bytes of every plan.
pub const MAGIC: [u8; 8] = *b"TRACTLET";
/// Raised whenever older engines could misread newer plans or the other way round.
pub const VERSION: u32 = 1;

impl Plan {
    /// To bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer(MAGIC.to_vec());
        w.number(VERSION);
        w.info(&self.info);
        w.list(&self.variants, Writer::variant);
        w.0
    }

    /// From bytes, validated.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some(rest) = bytes.strip_prefix(&MAGIC) else {
            return Err(invalid("the bytes do not start like a plan"));
        };
        let mut r = Reader(rest);
        let version = r.number()?;
        if version != VERSION {
            return Err(Error::new(ErrorCode::PlanVersion, "the plan was compiled by another version of tractlet")
                .expected(VERSION, version)
                .with_hint("compile the model again with this version"));
        }
        let info = r.info()?;
        let variants = r.list(Reader::variant)?;
        if !r.0.is_empty() {
            return Err(invalid("the plan has bytes after its end"));
        }
        for variant in &variants {
            check(&info, variant)?;
        }
        Ok(Self { info, variants })
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorCode::InvalidPlan, message).with_hint("compile the model again")
}

/// References in range, and every value written before it is read.
fn check(info: &ModelInfo, v: &Variant) -> Result<()> {
    if v.inputs.len() != info.inputs.len()
        || v.input_shapes.len() != info.inputs.len()
        || v.outputs.len() != info.outputs.len()
    {
        return Err(invalid("a variant has other inputs or outputs than the model"));
    }
    let mut known = vec![false; v.values.len()];
    let dangling = || invalid("a step reads a value that nothing has written");
    for &id in &v.inputs {
        *known.get_mut(id as usize).ok_or_else(dangling)? = true;
    }
    for step in &v.steps {
        let Step::Subgraph { inputs, outputs, .. } = step;
        for &id in inputs {
            if known.get(id as usize) != Some(&true) {
                return Err(dangling());
            }
        }
        for &id in outputs {
            *known.get_mut(id as usize).ok_or_else(dangling)? = true;
        }
    }
    if v.outputs.iter().any(|&id| known.get(id as usize) != Some(&true)) {
        return Err(invalid("an output is never written"));
    }
    Ok(())
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

    fn ids(&mut self, ids: &[u32]) {
        self.list(ids, |w, &id| w.number(id));
    }

    fn variant(&mut self, v: &Variant) {
        self.list(&v.input_shapes, |w, shape| w.list(shape, |w, &d| w.size(d)));
        self.list(&v.values, |w, fact| {
            w.0.push(fact.data_type as u8);
            w.list(&fact.shape, Self::dim);
        });
        self.ids(&v.inputs);
        self.ids(&v.outputs);
        self.list(&v.steps, |w, step| match step {
            Step::Subgraph { id, inputs, outputs } => {
                w.0.push(0);
                w.number(*id);
                w.ids(inputs);
                w.ids(outputs);
            }
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

    fn ids(&mut self) -> Result<Vec<u32>> {
        self.list(Self::number)
    }

    fn variant(&mut self) -> Result<Variant> {
        Ok(Variant {
            input_shapes: self.list(|r| r.list(Self::size))?,
            values: self.list(|r| Ok(Fact { data_type: r.data_type()?, shape: r.list(Self::dim)? }))?,
            inputs: self.ids()?,
            outputs: self.ids()?,
            steps: self.list(|r| match r.byte()? {
                0 => Ok(Step::Subgraph { id: r.number()?, inputs: r.ids()?, outputs: r.ids()? }),
                _ => Err(invalid("the plan has a step of unknown kind")),
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                    Fact { data_type: DataType::Float32, shape: vec![Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(5)] },
                    Fact { data_type: DataType::Float32, shape: vec![Dim::Unknown] },
                ],
                inputs: vec![0],
                outputs: vec![1],
                steps: vec![Step::Subgraph { id: 7, inputs: vec![0], outputs: vec![1] }],
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let plan = sample();
        assert_eq!(Plan::decode(&plan.encode()).unwrap(), plan);
    }

    #[test]
    fn no_damage_goes_further_than_an_error() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(Plan::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = Plan::decode(&damaged);
            }
            let mut huge = bytes.clone();
            huge[at..].iter_mut().take(4).for_each(|b| *b = 0xff);
            let _ = Plan::decode(&huge);
        }
    }

    #[test]
    fn values_must_be_written_before_they_are_read() {
        let mut plan = sample();
        plan.variants[0].steps.clear();
        assert_eq!(Plan::decode(&plan.encode()).unwrap_err().code, ErrorCode::InvalidPlan);
        let mut plan = sample();
        plan.variants[0].inputs = vec![9];
        assert!(Plan::decode(&plan.encode()).is_err());
    }

    #[test]
    fn another_version_is_said_so() {
        let mut bytes = sample().encode();
        bytes[8] = 99;
        assert_eq!(Plan::decode(&bytes).unwrap_err().code, ErrorCode::PlanVersion);
    }
}
