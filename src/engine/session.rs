//! A loaded plan and its runs.

use std::collections::HashMap;

use super::describe::{Description, VariantDescription};
use super::execute::{Execution, Progress, Slice};
use super::frame::{Frame, Loose};
use super::load::{Cache, Loader};
use super::pool::Pool;
use super::prepare::Program;
use super::profile::{Clock, Profile};
use super::validate;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::isa;
use crate::plan::{Dim, MAX_VARIANTS, ModelInfo, Operation, Plan, Source, ValueInfo, display_shape};
use crate::tensor::{AlignedBytes, Tensor};

/// What the engine asks of the compiler while a model runs.
pub trait Host {
    /// The plan for these input shapes, encoded. Constants keep the numbers that they had in earlier plans.
    fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Box<dyn Source>>;

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
    begun: Option<Begun>,
}

/// A run that was begun. Its program is the last one, what it has computed is in the arena and here.
struct Begun {
    /// Inputs, and what the compiler has computed.
    values: Vec<Option<Tensor>>,
    /// Positions of the outputs.
    wanted: Vec<usize>,
    profile: bool,
    progress: Progress,
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
            begun: None,
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

    /// What the plan consists of.
    pub fn describe(&self) -> Description {
        let variants = self.programs.iter().map(VariantDescription::new).collect();
        Description { variants, weight_bytes: self.cache.bytes() }
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

    /// Runs the model on named inputs; gives the named outputs, or all of them, with their names. A run that was begun
    /// is dropped.
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
        let wanted = self.prepare(inputs, outputs, options)?;
        let given = |info: &ValueInfo| inputs.iter().find(|(name, _)| *name == info.name).map(|(_, tensor)| tensor);
        let values = self.place(|info| given(info).map_or(Loose::Absent, Loose::Borrowed))?;
        let (mut execution, mut frame) = self.execution(values, options.profile)?;
        execution.advance(&mut frame, &mut Progress::default(), None)?;
        execution.outputs(&frame, &wanted)
    }

    /// Begins a run that [`Self::advance`] carries out bit by bit, so that it can be given up in between. One that was
    /// begun before is dropped.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn begin(
        &mut self,
        inputs: Vec<(String, Tensor)>,
        outputs: Option<&[String]>,
        options: RunOptions,
    ) -> Result<()> {
        let wanted = self.prepare(&inputs, outputs, options)?;
        let mut given: HashMap<String, Tensor> = inputs.into_iter().collect();
        let values = self.place(|info| given.remove(&info.name))?;
        let profile = options.profile.is_some();
        self.begun = Some(Begun { values, wanted, profile, progress: Progress::default() });
        Ok(())
    }

    /// Goes on with the run that was begun, for about so many microseconds: true when it is at its end.
    ///
    /// # Errors
    /// That of the operator that failed; then the run is dropped. `INTERNAL` if none was begun.
    pub fn advance(&mut self, clock: Clock, microseconds: f64) -> Result<bool> {
        let Begun { values, wanted, profile, mut progress } = self.begun.take().ok_or_else(no_run)?;
        let slice = Slice { clock, end: clock() + microseconds };
        let values = values.into_iter().map(|value| value.map_or(Loose::Absent, Loose::Owned)).collect();
        let (mut execution, mut frame) = self.execution(values, profile.then_some(clock))?;
        let ended = execution.advance(&mut frame, &mut progress, Some(slice))?;
        let values =
            frame.loose.into_iter().map(|value| if let Loose::Owned(tensor) = value { Some(tensor) } else { None });
        self.begun = Some(Begun { values: values.collect(), wanted, profile, progress });
        Ok(ended)
    }

    /// The outputs of the run that was begun and is at its end, as [`Self::run`] gives them.
    ///
    /// # Errors
    /// `INTERNAL` if there is none, or it is not at its end; `OUT_OF_MEMORY`.
    pub fn finish(&mut self) -> Result<Vec<(String, Tensor)>> {
        let Begun { values, wanted, progress, .. } = self.begun.take().ok_or_else(no_run)?;
        let values = values.into_iter().map(|value| value.map_or(Loose::Absent, Loose::Owned)).collect();
        let (execution, frame) = self.execution(values, None)?;
        if !execution.is_at_end(&progress) {
            return Err(no_run());
        }
        execution.outputs(&frame, &wanted)
    }

    /// Gives up the run that was begun, if any.
    pub fn cancel(&mut self) {
        self.begun = None;
    }

    /// Checks what a run is given, and puts the program for it last. Gives the positions of the outputs.
    fn prepare(
        &mut self,
        inputs: &[(String, Tensor)],
        outputs: Option<&[String]>,
        options: RunOptions,
    ) -> Result<Vec<usize>> {
        self.begun = None;
        let inputs = validate::inputs(&self.info, inputs, options.allow_nan)?;
        let wanted = validate::outputs(&self.info, outputs)?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        self.select(&shapes)?;
        if options.profile.is_some() {
            self.profile.clear();
        }
        Ok(wanted)
    }

    /// The values of the program that was selected, of which only the inputs are there.
    fn place<T: Default>(&self, mut input: impl FnMut(&ValueInfo) -> T) -> Result<Vec<T>> {
        let variant = &self.programs.last().ok_or_else(no_program)?.variant;
        let mut values: Vec<T> = variant.values.iter().map(|_| T::default()).collect();
        for (&id, info) in variant.inputs.iter().zip(&self.info.inputs) {
            values[id as usize] = input(info);
        }
        Ok(values)
    }

    /// The program that was selected, and the frame that it works on.
    fn execution<'a>(
        &'a mut self,
        loose: Vec<Loose<'a>>,
        clock: Option<Clock<'a>>,
    ) -> Result<(Execution<'a>, Frame<'a>)> {
        let Program { variant, steps, places, .. } = self.programs.last_mut().ok_or_else(no_program)?;
        let threads = self.threads.min(self.pool.threads());
        let arena = self.arena.as_mut_slice();
        let frame = Frame { places, arena, loose, scratch: 0..0, pool: &self.pool, threads };
        let profile = clock.map(|clock| (&mut self.profile, clock));
        Ok((Execution { info: &self.info, variant, steps, host: self.host.as_deref_mut(), profile }, frame))
    }

    /// Puts the program for these shapes last, compiling it if there is none yet.
    fn select(&mut self, shapes: &[Vec<usize>]) -> Result<()> {
        if let Some(at) = self.programs.iter().position(|p| p.variant.input_shapes == shapes) {
            let program = self.programs.remove(at);
            self.programs.push(program);
            return Ok(());
        }
        let Some(host) = self.host.as_mut() else { return Err(self.no_variant(shapes)) };
        let source = &*host.specialize(shapes)?;
        let (plan, data) = Plan::decode(source)?;
        let variant = plan.variants.into_iter().find(|v| v.input_shapes == shapes);
        let variant =
            variant.ok_or_else(|| Error::new(ErrorCode::Internal, "the compiler made a plan for other shapes"))?;
        let mut loader = Loader { source, data, constants: &plan.constants, cache: &mut self.cache, dot: isa::probe() };
        let program = Program::new(variant, &mut loader, self.threads)?;
        if self.programs.len() >= MAX_VARIANTS {
            self.programs.remove(0);
        }
        self.programs.push(program);
        self.grow_arena()
    }

    /// The error for input shapes that a plan without a compiler has no steps for.
    fn no_variant(&self, shapes: &[Vec<usize>]) -> Error {
        let list = |shapes: &[Vec<usize>]| {
            let named = self.info.inputs.iter().zip(shapes);
            named
                .map(|(input, shape)| format!("{} {}", input.name, display_shape(shape)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let there: Vec<String> = self.programs.iter().map(|p| list(&p.variant.input_shapes)).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join("; ") };
        let given = list(shapes);
        Error::new(ErrorCode::InputShape, format!("the plan has no steps for {given}; it was compiled for {there}"))
            .expected(there, given)
            .with_hint("compile the plan with this shape as well (tractlet compile --shape), or open the .onnx file")
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

fn no_run() -> Error {
    Error::new(ErrorCode::Internal, "no run was begun, or it is not at its end")
}

fn no_program() -> Error {
    Error::new(ErrorCode::Internal, "the plan for these inputs is gone")
}

pub(super) fn no_compiler() -> Error {
    Error::new(ErrorCode::InvalidPlan, "the plan needs the compiler, and was opened without it")
        .with_hint("open the .onnx file instead of the saved plan")
}
