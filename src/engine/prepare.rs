//! From a variant of a plan to something that runs: places for values, constants packed, a kernel for every step.

use std::ops::Range;

use super::arena::{Request, place};
use super::frame::Place;
use super::load::Loader;
use super::parts;
use super::steps::{self, Run};
use crate::error::Result;
use crate::plan::{Operation, Source, ValueId, Variant};

/// A step ready to run.
pub struct Prepared {
    /// Computes it; `None`: the compiler does.
    pub run: Option<Box<dyn Run>>,
    /// Its scratch memory in the arena.
    pub scratch: Range<usize>,
}

impl Prepared {
    /// Name of the kernel; `tract` for a subgraph.
    pub fn kernel(&self) -> &'static str {
        self.run.as_ref().map_or("tract", |r| r.kernel())
    }

    /// Products that are added up.
    pub fn macs(&self) -> f64 {
        self.run.as_ref().map_or(0.0, |r| r.macs() as f64)
    }
}

/// A variant ready to run.
pub struct Program {
    /// The plan's own description.
    pub variant: Variant,
    /// For every step.
    pub steps: Vec<Prepared>,
    /// For every value.
    pub places: Vec<Place>,
    /// Size of the arena.
    pub arena: usize,
}

impl Program {
    /// Prepares a variant, which must have been checked, to run on up to `threads` threads.
    pub fn new<S: Source + ?Sized>(variant: Variant, loader: &mut Loader<S>, threads: usize) -> Result<Self> {
        let mut runs = Vec::with_capacity(variant.steps.len());
        for step in &variant.steps {
            let run =
                steps::prepare(&step.operation, &variant, loader).map_err(|e| e.at_node(&step.node, &step.op_type))?;
            runs.push(run);
        }
        let times = times(&variant);
        let mut places = Vec::with_capacity(variant.values.len());
        let mut requests = Vec::new();
        let mut requested = Vec::new();
        for (id, (fact, time)) in variant.values.iter().zip(&times).enumerate() {
            places.push(match (fact.constant, time, fact.bytes()) {
                (Some(constant), Some(_), _) => Place::Constant(loader.shared(constant)?),
                (None, Some(time), Some(bytes)) if !is_loose(&variant, id as ValueId) => {
                    requests.push(Request { bytes, time: *time });
                    requested.push(id);
                    Place::Arena(0..0)
                }
                _ => Place::Loose,
            });
        }
        for (step, run) in runs.iter().enumerate() {
            let bytes = run.as_ref().map_or(0, |run| {
                let threads = run.cut().map_or(1, |cut| cut.threads(threads));
                parts::scratch_bytes(run.scratch(), threads)
            });
            requests.push(Request { bytes, time: (step, step) });
        }
        let (mut ranges, arena) = place(&requests)?;
        let scratch = ranges.split_off(requested.len());
        for (id, range) in requested.into_iter().zip(ranges) {
            places[id] = Place::Arena(range);
        }
        let steps = runs.into_iter().zip(scratch).map(|(run, scratch)| Prepared { run, scratch }).collect();
        Ok(Self { variant, steps, places, arena })
    }
}

/// First and last step that touch each value; `None` for values that nothing does.
fn times(variant: &Variant) -> Vec<Option<(usize, usize)>> {
    let mut times: Vec<Option<(usize, usize)>> = vec![None; variant.values.len()];
    let mut touch = |id: ValueId, step: usize| {
        if let Some(time) = times.get_mut(id as usize) {
            *time = Some(time.map_or((step, step), |(first, _)| (first, step)));
        }
    };
    for &id in &variant.inputs {
        touch(id, 0);
    }
    for (index, step) in variant.steps.iter().enumerate() {
        step.reads().into_iter().chain(step.writes()).for_each(|id| touch(id, index));
    }
    for &id in &variant.outputs {
        touch(id, variant.steps.len());
    }
    times
}

/// Whether a value stays in the tensor that it comes in: inputs, and results of the compiler.
fn is_loose(variant: &Variant, id: ValueId) -> bool {
    variant.inputs.contains(&id)
        || variant.steps.iter().any(|step| match &step.operation {
            Operation::Subgraph { outputs, .. } => outputs.contains(&id),
            _ => false,
        })
}
