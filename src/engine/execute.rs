//! The steps of a run, all at once or some at a time.

use super::frame::{Frame, Loose, Place};
use super::parts;
use super::prepare::Prepared;
use super::profile::{Clock, Measured, Profile};
use super::session::{Host, no_compiler};
use super::steps::Run;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{ModelInfo, Operation, ValueId, Variant};
use crate::tensor::Tensor;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// The step that is next.
    step: usize,
    /// Rows of it that are done; `None` if it has not begun.
    rows: Option<usize>,
    /// Microseconds that it has taken so far.
    spent: f64,
    /// When the run began.
    start: Option<f64>,
}

/// Time for some of a run.
#[derive(Clone, Copy)]
pub struct Slice<'a> {
    /// What tells the time.
    pub clock: Clock<'a>,
    /// When it is up.
    pub end: f64,
}

impl Slice<'_> {
    fn is_over(&self) -> bool {
        (self.clock)() >= self.end
    }
}

/// What steps need besides the frame.
pub struct Execution<'a> {
    /// What the model says of itself.
    pub info: &'a ModelInfo,
    /// What is run.
    pub variant: &'a Variant,
    /// Its steps.
    pub steps: &'a mut [Prepared],
    /// For parts of the graph that have no step.
    pub host: Option<&'a mut (dyn Host + 'static)>,
    /// Where steps are written down, and what measures them.
    pub profile: Option<(&'a mut Profile, Clock<'a>)>,
}

impl Execution<'_> {
    /// Goes on with a run until its end, which gives true, or until the time is up.
    ///
    /// # Errors
    /// That of the step that failed, with its node. The run cannot go on then.
    pub fn advance(&mut self, frame: &mut Frame, progress: &mut Progress, slice: Option<Slice>) -> Result<bool> {
        let _running = frame.pool.run();
        let variant = self.variant;
        let now = |profile: &Option<(&mut Profile, Clock)>| profile.as_ref().map_or(0.0, |(_, clock)| clock());
        let start = *progress.start.get_or_insert_with(|| now(&self.profile));
        while let (Some(step), Some(prepared)) = (variant.steps.get(progress.step), self.steps.get_mut(progress.step)) {
            let began = now(&self.profile);
            frame.scratch = prepared.scratch.clone();
            let done = match (&mut prepared.run, &step.operation) {
                (Some(run), _) => run_step(&mut **run, frame, &mut progress.rows, slice),
                (None, Operation::Subgraph { id, inputs, outputs }) => {
                    run_subgraph(self.host.as_deref_mut(), *id, inputs, outputs, variant, frame).map(|()| true)
                }
                _ => Err(Error::new(ErrorCode::Internal, "a step without a kernel")),
            }
            .map_err(|e| if e.node.is_none() { e.at_node(&step.node, &step.op_type) } else { e })?;
            progress.spent += now(&self.profile) - began;
            if done {
                if let Some((profile, clock)) = &mut self.profile {
                    // It may have been begun in an earlier slice: the time between the two is nobody's.
                    let began = clock() - progress.spent;
                    profile.add(Measured::new(step, prepared, variant, began - start, progress.spent));
                }
                progress.step += 1;
                progress.spent = 0.0;
            }
            if slice.is_some_and(|slice| slice.is_over()) {
                break;
            }
        }
        Ok(self.is_at_end(progress))
    }

    /// Whether all steps are done.
    pub fn is_at_end(&self, progress: &Progress) -> bool {
        progress.step >= self.steps.len()
    }

    /// The outputs at these positions, with their names.
    ///
    /// # Errors
    /// `INTERNAL` if one is not there, `OUT_OF_MEMORY`.
    pub fn outputs(&self, frame: &Frame, wanted: &[usize]) -> Result<Vec<(String, Tensor)>> {
        let output = |&at: &usize| Ok((self.info.outputs[at].name.clone(), output(self.variant, at, frame)?));
        wanted.iter().map(output).collect()
    }
}

/// Computes a step, or more of its rows until the time is up. True when it is done; then no rows are noted.
fn run_step(run: &mut dyn Run, frame: &mut Frame, rows: &mut Option<usize>, slice: Option<Slice>) -> Result<bool> {
    let Some(slice) = slice else { return parts::run(run, frame).map(|()| true) };
    let mut at = match *rows {
        Some(at) => at,
        None => {
            run.begin(frame)?;
            0
        }
    };
    let Some(cut) = run.cut() else { return Ok(true) };
    let stretch = cut.stretch(frame.threads);
    loop {
        let end = cut.rows.min(at.saturating_add(stretch));
        parts::run_rows(run, &cut, at..end, frame)?;
        at = end;
        *rows = (at < cut.rows).then_some(at);
        if rows.is_none() || slice.is_over() {
            return Ok(rows.is_none());
        }
    }
}

/// Hands a part of the graph to the compiler.
fn run_subgraph<'a>(
    host: Option<&mut (dyn Host + 'static)>,
    id: u32,
    inputs: &[ValueId],
    outputs: &[ValueId],
    variant: &Variant,
    frame: &mut Frame<'a>,
) -> Result<()> {
    let host = host.ok_or_else(no_compiler)?;
    let copies = inputs
        .iter()
        .map(|&id| match frame.loose.get(id as usize).and_then(Loose::get) {
            Some(_) => Ok(None),
            None => copy_out(variant, id, frame).map(Some),
        })
        .collect::<Result<Vec<_>>>()?;
    let operands = inputs
        .iter()
        .zip(&copies)
        .map(|(&id, copy)| copy.as_ref().or_else(|| frame.loose[id as usize].get()).ok_or_else(missing))
        .collect::<Result<Vec<_>>>()?;
    let results = host.run_subgraph(id, &operands)?;
    if results.len() != outputs.len() {
        return Err(Error::new(ErrorCode::Internal, "a subgraph gave another number of values than planned"));
    }
    for (&id, tensor) in outputs.iter().zip(results) {
        let fact = &variant.values[id as usize];
        let planned = fact.shape.len() == tensor.shape().len()
            && fact.shape.iter().zip(tensor.shape()).all(|(planned, &size)| planned.is_none_or(|p| p == size));
        if fact.data_type != tensor.data_type() || !planned {
            return Err(Error::new(ErrorCode::Internal, "a subgraph gave another type or shape than planned"));
        }
        frame.loose[id as usize] = Loose::Owned(tensor);
    }
    Ok(())
}

/// A value from the arena or a constant, as a tensor of its own, in the shape that it has in memory.
fn copy_out(variant: &Variant, id: ValueId, frame: &Frame) -> Result<Tensor> {
    let fact = &variant.values[id as usize];
    let shape: Vec<usize> = fact.shape.iter().map(|d| d.ok_or_else(missing)).collect::<Result<_>>()?;
    let bytes = match &frame.places[id as usize] {
        Place::Arena(range) => frame.arena.get(range.clone()).ok_or_else(missing)?,
        Place::Constant(constant) => constant.as_slice(),
        Place::Loose => return Err(missing()),
    };
    Tensor::from_bytes(fact.data_type, &shape, bytes)
}

/// An output of the model, in the shape that the model declares.
fn output(variant: &Variant, position: usize, frame: &Frame) -> Result<Tensor> {
    let id = variant.outputs[position];
    let tensor = match frame.loose[id as usize].get() {
        Some(tensor) => tensor.clone(),
        None => copy_out(variant, id, frame)?,
    };
    let declared: Option<Vec<usize>> = variant.output_shapes[position].iter().copied().collect();
    match declared {
        Some(shape) if shape != tensor.shape() => tensor.reshaped(&shape),
        _ => Ok(tensor),
    }
}

fn missing() -> Error {
    Error::new(ErrorCode::Internal, "a step reads a value that nothing has written")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;
    use crate::engine::parts::{Cut, Part};
    use crate::engine::pool::Pool;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Ten rows of a byte, each of which takes a second by its own account.
    #[derive(Default)]
    struct Slow {
        begun: usize,
        parts: Mutex<Vec<std::ops::Range<usize>>>,
    }

    impl Run for Slow {
        fn begin(&mut self, _: &mut Frame) -> Result<()> {
            self.begun += 1;
            Ok(())
        }

        fn cut(&self) -> Option<Cut> {
            Some(Cut::new(0, 10, 1, 10_000_000_000))
        }

        fn rows(&self, part: Part<'_>) -> Result<()> {
            if part.rows.start == 9 && self.begun > 1 {
                return Err(Error::new(ErrorCode::ExecutionFailed, "on purpose"));
            }
            part.y.fill(self.begun as u8);
            self.parts.lock().unwrap().push(part.rows);
            Ok(())
        }

        fn kernel(&self) -> &'static str {
            "slow"
        }
    }

    #[test]
    fn a_long_step_is_left_in_the_middle_and_taken_up_there() {
        let (pool, places, mut arena) = (Pool::new(), [Place::Arena(0..10)], [0u8; 10]);
        let mut frame = Frame {
            places: &places,
            arena: &mut arena,
            loose: vec![Loose::Absent],
            scratch: 0..0,
            pool: &pool,
            threads: 1,
        };
        let mut slow = Slow::default();
        let time = Cell::new(0.0);
        let clock = || time.replace(time.get() + 1.0);
        let mut rows = None;
        let mut slice = |slow: &mut Slow, rows: &mut Option<usize>, microseconds: f64| {
            let end = time.get() + microseconds;
            run_step(slow, &mut frame, rows, Some(Slice { clock: &clock, end }))
        };
        // A look at the clock after every row.
        assert!(!slice(&mut slow, &mut rows, 0.0).unwrap());
        assert_eq!(rows, Some(1));
        assert!(!slice(&mut slow, &mut rows, 3.0).unwrap());
        assert_eq!(rows, Some(5));
        assert!(slice(&mut slow, &mut rows, 100.0).unwrap());
        assert_eq!((rows, slow.begun), (None, 1));
        assert!(slow.parts.lock().unwrap().iter().map(|part| part.start).eq(0..10));
        // The next run begins it anew; what fails in the middle says so.
        assert!(slice(&mut slow, &mut rows, 100.0).is_err());
        assert_eq!(slow.begun, 2);
        assert_eq!(arena[..9], [2; 9]);
    }
}
