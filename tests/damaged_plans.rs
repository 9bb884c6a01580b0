//! Plans may come from anywhere. Real ones are damaged here in thousands of ways: each must end in results or in a typed
//! error, never in a panic, in memory beyond all bounds, or in an endless loop.

#![cfg(all(feature = "compiler", feature = "engine", not(target_arch = "wasm32")))]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{fixtures, json};
use serde_json::Value;
use tractlet::compiler::{CompileOptions, CompiledModel};
use tractlet::engine::{RunOptions, Session};
use tractlet::plan::{Constant, Dim, Numbers, Operation, Plan, Source, Variant, encode_header};
use tractlet::{DataType, Error, ErrorCode, Tensor};

/// What a small machine has. Beyond it there is no memory, so that what is asked for without care ends the process.
const MEMORY: usize = 1 << 29;

struct Bounded;

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator, or refuses.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if USED.fetch_add(layout.size(), Ordering::Relaxed).saturating_add(layout.size()) > MEMORY {
            USED.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    case: String,
}

/// Every kind of operation, by the name that its variant has.
const KINDS: [&str; 28] = [
    "Cast",
    "Conv",
    "Copy",
    "Dequantize",
    "DynamicQuantize",
    "Fill",
    "FloatBinary",
    "FloatConv",
    "FloatMatMul",
    "FloatTable",
    "FloatUnary",
    "Gather",
    "LayerNorm",
    "MatMul",
    "Mean",
    "NumberBinary",
    "Pool",
    "Quantize",
    "QuantizedBinary",
    "Reduce",
    "Resize",
    "Softmax",
    "Subgraph",
    "Table",
    "TopK",
    "Where",
    "dynamic Conv",
    "quantized Resize",
];

fn kinds(plan: &Plan) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    for step in plan.variants.iter().flat_map(|v| &v.steps) {
        let name = format!("{:?}", step.operation);
        let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
        match &step.operation {
            Operation::Conv(conv) if !matches!(conv.zero_point, tractlet::plan::ZeroPoint::Fixed(_)) => {
                kinds.insert("dynamic Conv".to_owned());
            }
            Operation::Resize { numbers: Numbers::Quantized { .. }, .. } => {
                kinds.insert("quantized Resize".to_owned());
            }
            _ => (),
        }
        kinds.insert(name);
    }
    kinds
}

fn compile(model: &[u8]) -> Option<Vec<u8>> {
    let file: Rc<dyn Source> = Rc::new(model.to_vec());
    let mut model = CompiledModel::open(&file, &[], &CompileOptions::default()).ok()?;
    let size = |d: &Dim| if let Dim::Fixed(n) = d { *n } else { 2 };
    let shapes: Vec<Vec<usize>> = model.info().inputs.iter().map(|i| i.shape.iter().map(size).collect()).collect();
    model.specialize(&shapes).and_then(|plan| plan.to_vec()).ok()
}

/// Small plans that have every kind of operation among them.
fn small_plans() -> Vec<(String, Vec<u8>)> {
    let mut missing: BTreeSet<String> = KINDS.iter().map(|&k| k.to_owned()).collect();
    let mut plans = Vec::new();
    let cases: Vec<Case> = json(&fixtures("operators").join("index.json"));
    for case in cases.iter().filter(|c| c.group != "invalid" && c.group != "external") {
        let name = format!("{}/{}", case.group, case.case);
        let model = fs::read(fixtures("operators").join(&name).join("model.onnx")).expect("a model");
        let Some(plan) = compile(&model) else { continue };
        let found = kinds(&Plan::decode(&plan[..]).expect("a plan").0);
        if found.iter().any(|kind| missing.contains(kind)) {
            missing.retain(|kind| !found.contains(kind));
            plans.push((name, plan));
        }
        if missing.is_empty() {
            return plans;
        }
    }
    panic!("no plan has {missing:?}");
}

/// Bytes before the header.
const PREFIX: usize = 16;

/// Damage to the bytes of the header.
fn damaged(plan: &[u8], random: &mut Random) -> Vec<u8> {
    let length = u32::from_le_bytes(plan[12..16].try_into().expect("four bytes")) as usize;
    let mut bytes = plan.to_vec();
    // The prefix and the model's description are small; both are hit now and then.
    let at = random.below(PREFIX + length);
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
        2 => bytes[at] = random.next() as u8,
        3 => bytes.truncate(at),
        4 => (0..4).for_each(|_| bytes[random.below(PREFIX + length)] ^= 1 << random.below(8)),
        5 => {
            let other = random.below(PREFIX + length);
            let run = random.below(12).min(PREFIX + length - at.max(other));
            bytes.copy_within(at..at + run, other);
        }
        kind => {
            // A number of another length, or one byte less; the header's length is kept true.
            let at = at.max(PREFIX);
            let mut header = plan[PREFIX..PREFIX + length].to_vec();
            let with: &[u8] = match (kind, random.below(3)) {
                (6, _) | (_, 0) => &[],
                (_, 1) => &[0xff, 0xff, 0xff, 0xff, 0x0f],
                _ => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            };
            header.splice(at - PREFIX..at - PREFIX + 1, with.iter().copied());
            return assembled(plan, &header);
        }
    }
    bytes
}

/// A plan with another header.
fn assembled(plan: &[u8], header: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(plan[12..16].try_into().expect("four bytes")) as usize;
    let mut bytes = plan[..12].to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes.extend(&plan[(PREFIX + length).next_multiple_of(16)..]);
    bytes
}

/// A plan whose numbers, names and lists can be changed one by one, which bytes seldom do without breaking the encoding.
struct Document {
    plan: Plan,
    data: Vec<u8>,
    value: Value,
}

impl Document {
    fn new(bytes: &[u8]) -> Self {
        let (plan, start) = Plan::decode(bytes).expect("a plan");
        let mut value = serde_json::to_value((&plan.constants, &plan.variants)).expect("plain data");
        finite(&mut value);
        Self { plan, data: bytes[start..].to_vec(), value }
    }

    /// Changes one to three things. `None`: it is no plan any more.
    fn changed(&self, random: &mut Random) -> Option<Vec<u8>> {
        let mut value = self.value.clone();
        for _ in 0..=random.below(3).min(random.below(3)) {
            let mut leaves = Vec::new();
            collect(&value, &mut Vec::new(), &mut leaves);
            let (path, _) = random.pick(&leaves).clone();
            let other = random.pick(&leaves).1.clone();
            let place = path.iter().try_fold(&mut value, |v, key| v.pointer_mut(key))?;
            change(place, other, random);
        }
        let (constants, variants): (Vec<Constant>, Vec<Variant>) = serde_json::from_value(value).ok()?;
        let mut bytes = encode_header(&self.plan.info, &constants, &variants.iter().collect::<Vec<_>>());
        bytes.extend_from_slice(&self.data);
        Some(bytes)
    }
}

/// JSON has no infinity.
fn finite(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), &field) {
                    ("low", Value::Null) => *field = f32::MIN.into(),
                    ("high", Value::Null) => *field = f32::MAX.into(),
                    _ => finite(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(finite),
        _ => (),
    }
}

/// Numbers, texts and lists, with the pointers that lead to them.
fn collect(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter().filter(|(key, _)| !["node", "op_type"].contains(&key.as_str())) {
                path.push(format!("/{key}"));
                collect(field, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) => {
            // Lists of numbers only: of longer ones there would be little left.
            if items.iter().all(Value::is_number) {
                leaves.push((path.clone(), value.clone()));
            }
            for (index, item) in items.iter().enumerate() {
                path.push(format!("/{index}"));
                collect(item, path, leaves);
                path.pop();
            }
        }
        _ => leaves.push((path.clone(), value.clone())),
    }
}

fn change(place: &mut Value, other: Value, random: &mut Random) {
    match place {
        Value::Array(items) => match random.below(3) {
            0 => drop(items.pop()),
            1 => items.push(items.first().cloned().unwrap_or_else(|| 1.into())),
            _ => items.reverse(),
        },
        Value::Number(number) if number.is_f64() => {
            *place = random.pick(&[0.0, -1.0, 1e-30, 1e30, f64::from(f32::MAX)]).to_owned().into();
        }
        Value::Number(number) => {
            let n = number.as_u64().unwrap_or(0);
            let plain =
                [0, 1, 2, 3, n.wrapping_add(1), n.saturating_sub(1), n.wrapping_mul(2), n / 2, n.wrapping_mul(1000)];
            let huge = [255u64, 256, 65535, 1 << 20, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40];
            let absurd = [1u64 << 60, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];
            *place = match random.below(8) {
                0..=2 => (*random.pick(&plain)).into(),
                3 | 4 => (*random.pick(&huge)).into(),
                5 => (*random.pick(&absurd)).into(),
                _ => other,
            };
        }
        Value::Null => *place = (random.below(8) as u64).into(),
        _ => *place = if random.below(4) == 0 { Value::Null } else { other },
    }
}

/// What a session of the plan would be fed: anything, but no index out of range.
fn inputs(session: &Session) -> Option<Vec<(String, Tensor)>> {
    let of = |input: &tractlet::plan::ValueInfo| {
        let shape: Vec<usize> = input.shape.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 2 }).collect();
        let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 20)?;
        if input.data_type == DataType::String {
            return Some((input.name.clone(), Tensor::from_strings(&shape, vec![String::new(); len]).ok()?));
        }
        let mut tensor = Tensor::zeros(input.data_type, &shape).ok()?;
        if let Some(values) = tensor.as_mut_slice::<f32>() {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 23) as f32 * 0.25 - 2.5);
        } else if let Some(values) = tensor.as_mut_slice::<u8>() {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 37) as u8);
        }
        Some((input.name.clone(), tensor))
    };
    session.info().inputs.iter().map(of).collect()
}

/// How it ended: the code of an error, `run` or `opened`.
fn use_plan(plan: &[u8], runs: &mut usize) -> String {
    // An `INTERNAL` error is our own mistake.
    let told = |e: Error| if e.code == ErrorCode::Internal { e.to_string() } else { format!("{:?}", e.code) };
    let mut used = || {
        let mut session = Session::new(plan, None).map_err(told)?;
        let (Some(inputs), 1..) = (inputs(&session), *runs) else { return Ok("opened") };
        *runs -= 1;
        session.run(&inputs, None, RunOptions { allow_nan: true, profile: None }).map_err(told)?;
        Ok("run")
    };
    used().map_or_else(|end: String| end, str::to_owned)
}

thread_local! {
    /// What a panic said, where one is caught.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Ends of many plans, counted, and those that must not be.
#[derive(Default)]
struct Ends {
    counts: BTreeMap<String, usize>,
    wrong: BTreeMap<String, Vec<String>>,
    slowest: (Duration, String),
    /// How many plans may still be run, not only opened.
    runs: usize,
}

impl Ends {
    fn add(&mut self, name: &str, plan: &[u8]) {
        let began = Instant::now();
        PANIC.set(Some(String::new()));
        let end = catch_unwind(AssertUnwindSafe(|| use_plan(plan, &mut self.runs)));
        let panicked = PANIC.take().unwrap_or_default();
        let took = began.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, name.to_owned());
        }
        if took > Duration::from_secs(10) {
            self.wrong.entry("slow".to_owned()).or_default().push(format!("{name}: {took:?}"));
        }
        let end = end.unwrap_or_else(|_| {
            self.wrong.entry(panicked).or_default().push(name.to_owned());
            "panic".to_owned()
        });
        if end.contains(' ') {
            self.wrong.entry(end.clone()).or_default().push(name.to_owned());
        }
        *self.counts.entry(end).or_default() += 1;
    }
}

#[test]
fn no_damage_goes_further_than_a_typed_error() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANIC.with_borrow_mut(|caught| match caught {
            Some(said) => *said = info.to_string(),
            None => print(info),
        })
    }));
    let only = std::env::var("ONLY").unwrap_or_default();
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    // Large ones run seldom: here kernels are the scalar ones.
    let mut plans: Vec<(String, Vec<u8>, usize, usize)> =
        small_plans().into_iter().map(|(name, plan)| (name, plan, 300, usize::MAX)).collect();
    for net in
        ["bert_u8s8", "bert_dynamic_u8", "detector_u8s8", "mobilenet_v3_u8s8", "nhwc_u8s8", "shufflenet_s8s8_channel"]
    {
        let path = fixtures("operators").join("nets").join(net).join("model.onnx");
        plans.push((format!("nets/{net}"), compile(&fs::read(path).expect("a model")).expect("a plan"), 200, 25));
    }
    let squeezenet = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/squeezenet1.1-int8.onnx");
    let plan = compile(&fs::read(squeezenet).expect("a model")).expect("a plan");
    plans.push(("squeezenet".to_owned(), plan, 200, 1));
    let mut ends = Ends::default();
    for (name, plan, count, runs) in plans.iter().filter(|(name, ..)| name.starts_with(&only)) {
        let began = Instant::now();
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ plan.len() as u64);
        ends.runs = *runs;
        let document = Document::new(plan);
        for index in 0..count * rounds {
            ends.add(&format!("{name} bytes {index}"), &damaged(plan, &mut random));
        }
        for index in 0..count * rounds {
            if let Some(plan) = document.changed(&mut random) {
                ends.add(&format!("{name} numbers {index}"), &plan);
            }
        }
        println!("{name}: {:?}", began.elapsed());
    }
    let _ = std::panic::take_hook();
    println!("{:#?}\nslowest: {:?}", ends.counts, ends.slowest);
    let wrong: Vec<String> =
        ends.wrong.iter().map(|(what, who)| format!("{what}: {} times, first {}", who.len(), who[0])).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
