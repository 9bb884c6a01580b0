//! A loaded plan and its runs.

use super::frame::{Frame, Loose, Place};
use super::load::{Cache, Loader};
use super::parts;
use super::pool::Pool;
use super::prepare::Program;
use super::profile::{Clock, Measured, Profile};
use super::validate;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::isa;
use crate::plan::{Dim, MAX_VARIANTS, ModelInfo, Operation, Plan, Source, ValueId, ValueInfo, Variant};
use crate::tensor::{AlignedBytes, Tensor};

/// What the engine asks of the compiler while a model runs.
pub trait Host {
    /// The plan for these input shapes, encoded. Constants keep the numbers that they had in earlier plans.
    fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Vec<u8>>;

    /// Runs a part of the graph that the engine has no step for.
    fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>>;
}

/// Choices for a run.
#[derive(Clone, Copy, Default)]
pub struct RunOptions<'a> {
    /// Accept NaN in float inputs. They are refused by default, as they are nearly always a mistake and quantized
    /// models turn them into plausible numbers.
    pub allow_nan: bool,
    /// Measure every step with this clock, for [`Session::profile`].
    pub profile: Option<Clock<'a>>,
}

/// A model ready to run.
pub struct Session {
    info: ModelInfo,
    /// Most recently used last; never more than [`MAX_VARIANTS`].
    programs: Vec<Program>,
    cache: Cache,
    /// For the largest of the programs.
    arena: AlignedBytes,
    host: Option<Box<dyn Host>>,
    profile: Profile,
    pool: Pool,
    /// What steps are prepared for.
    threads: usize,
}

impl Session {
    /// From an encoded plan. `host` is needed for plans with subgraphs, and for symbolic input shapes; otherwise it is
    /// dropped.
    ///
    /// # Errors
    /// `INVALID_PLAN`, `PLAN_VERSION` or `OUT_OF_MEMORY`.
    pub fn new(plan: &(impl Source + ?Sized), host: Option<Box<dyn Host>>) -> Result<Self> {
        Self::with_threads(plan, host, Pool::new(), 1)
    }

    /// [`Self::new`], to run on up to `threads` of the pool's threads: those that are there when a step begins. Results
    /// are the same for any number.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_threads(
        plan: &(impl Source + ?Sized),
        host: Option<Box<dyn Host>>,
        pool: Pool,
        threads: usize,
    ) -> Result<Self> {
        let (header, data) = Plan::decode(plan)?;
        let mut session = Self {
            info: header.info,
            programs: Vec::new(),
            cache: Cache::default(),
            arena: AlignedBytes::default(),
            host,
            profile: Profile::default(),
            pool,
            threads: threads.max(1),
        };
        let mut loader =
            Loader { source: plan, data, constants: &header.constants, cache: &mut session.cache, dot: isa::probe() };
        for variant in header.variants {
            session.programs.push(Program::new(variant, &mut loader, session.threads)?);
        }
        session.grow_arena()?;
        if !session.needs_host() {
            // A host that nothing can ask would only keep the compiler in memory.
            session.host = None;
        }
        Ok(session)
    }

    /// What the model says of itself.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// How many parts of the graph the compiler executes, in the plan that was used last.
    pub fn subgraphs(&self) -> usize {
        let steps = self.programs.last().map(|p| &p.variant.steps[..]).unwrap_or_default();
        steps.iter().filter(|s| matches!(s.operation, Operation::Subgraph { .. })).count()
    }

    /// Bytes that weights and the arena take.
    pub fn bytes(&self) -> usize {
        self.cache.bytes() + self.arena.as_slice().len()
    }

    /// What the steps of the last measured run took.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether runs may ask the compiler for anything: input shapes are symbolic, or parts of the graph have no step.
    pub fn needs_host(&self) -> bool {
        let fixed = |v: &ValueInfo| v.shape.iter().all(|d| matches!(d, Dim::Fixed(_)));
        let subgraph = |p: &Program| p.steps.iter().any(|s| s.run.is_none());
        !self.info.inputs.iter().all(fixed) || self.programs.iter().any(subgraph)
    }

    /// Runs the model on named inputs; gives the named outputs, or all of them, with their names.
    ///
    /// # Errors
    /// `UNKNOWN_INPUT`, `MISSING_INPUT`, `UNKNOWN_OUTPUT`, `INPUT_TYPE`, `INPUT_SHAPE`, `INPUT_VALUE` for inputs that
    /// do not fit; `EXECUTION_FAILED` if an operator fails. The session stays usable.
    pub fn run(
        &mut self,
        inputs: &[(String, Tensor)],
        outputs: Option<&[String]>,
        options: RunOptions,
    ) -> Result<Vec<(String, Tensor)>> {
        let inputs = validate::inputs(&self.info, inputs, options.allow_nan)?;
        let wanted = validate::outputs(&self.info, outputs)?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        self.select(&shapes)?;
        let Some(program) = self.programs.last_mut() else {
            return Err(Error::new(ErrorCode::Internal, "the plan for these inputs is gone"));
        };
        let variant = &program.variant;
        let mut frame = Frame {
            places: &program.places,
            arena: self.arena.as_mut_slice(),
            loose: variant.values.iter().map(|_| Loose::Absent).collect(),
            scratch: 0..0,
            pool: &self.pool,
            threads: self.threads.min(self.pool.threads()),
        };
        for (&id, tensor) in variant.inputs.iter().zip(&inputs) {
            frame.loose[id as usize] = Loose::Borrowed(tensor);
        }
        if options.profile.is_some() {
            self.profile.clear();
        }
        let _running = self.pool.run();
        let start = options.profile.map_or(0.0, |clock| clock());
        for (step, prepared) in variant.steps.iter().zip(&mut program.steps) {
            let began = options.profile.map_or(0.0, |clock| clock());
            frame.scratch = prepared.scratch.clone();
            match (&mut prepared.run, &step.operation) {
                (Some(run), _) => parts::run(&mut **run, &mut frame),
                (None, Operation::Subgraph { id, inputs, outputs }) => {
                    run_subgraph(self.host.as_deref_mut(), *id, inputs, outputs, variant, &mut frame)
                }
                _ => Err(Error::new(ErrorCode::Internal, "a step without a kernel")),
            }
            .map_err(|e| if e.node.is_none() { e.at_node(&step.node, &step.op_type) } else { e })?;
            if let Some(clock) = options.profile {
                self.profile.add(Measured::new(step, prepared, variant, began - start, clock() - began));
            }
        }
        wanted
            .into_iter()
            .map(|position| Ok((self.info.outputs[position].name.clone(), output(variant, position, &frame)?)))
            .collect()
    }

    /// Puts the program for these shapes last, compiling it if there is none yet.
    fn select(&mut self, shapes: &[Vec<usize>]) -> Result<()> {
        if let Some(at) = self.programs.iter().position(|p| p.variant.input_shapes == shapes) {
            let program = self.programs.remove(at);
            self.programs.push(program);
            return Ok(());
        }
        let host = self.host.as_mut().ok_or_else(no_compiler)?;
        let bytes = host.specialize(shapes)?;
        let (plan, data) = Plan::decode(&bytes[..])?;
        let variant = plan.variants.into_iter().find(|v| v.input_shapes == shapes);
        let variant =
            variant.ok_or_else(|| Error::new(ErrorCode::Internal, "the compiler made a plan for other shapes"))?;
        let mut loader =
            Loader { source: &bytes[..], data, constants: &plan.constants, cache: &mut self.cache, dot: isa::probe() };
        let program = Program::new(variant, &mut loader, self.threads)?;
        if self.programs.len() >= MAX_VARIANTS {
            self.programs.remove(0);
        }
        self.programs.push(program);
        self.grow_arena()
    }

    fn grow_arena(&mut self) -> Result<()> {
        let needed = self.programs.iter().map(|p| p.arena).max().unwrap_or(0);
        if needed > self.arena.as_slice().len() {
            // The old one first: both at once would be the peak.
            self.arena = AlignedBytes::default();
            self.arena = AlignedBytes::zeroed(needed)?;
        }
        Ok(())
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

fn no_compiler() -> Error {
    Error::new(ErrorCode::InvalidPlan, "the plan needs the compiler, and was opened without it")
        .with_hint("open the .onnx file instead of the saved plan")
}
