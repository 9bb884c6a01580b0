//! A loaded plan and its runs.

use super::validate;
use crate::error::{Error, ErrorCode, Result};
use crate::plan::{Dim, MAX_VARIANTS, ModelInfo, Operation, Plan, Step, ValueInfo, Variant};
use crate::tensor::Tensor;

/// What the engine asks of the compiler while a model runs.
pub trait Host {
    /// The plan for these input shapes, encoded.
    fn specialize(&mut self, shapes: &[Vec<usize>]) -> Result<Vec<u8>>;

    /// Runs a part of the graph that the engine has no step for.
    fn run_subgraph(&mut self, id: u32, inputs: &[&Tensor]) -> Result<Vec<Tensor>>;
}

/// Choices for a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Accept NaN in float inputs. They are refused by default, as they are nearly always a mistake and quantized
    /// models turn them into plausible numbers.
    pub allow_nan: bool,
}

/// A model ready to run.
pub struct Session {
    info: ModelInfo,
    /// Most recently used last; never more than [`MAX_VARIANTS`].
    variants: Vec<Variant>,
    host: Option<Box<dyn Host>>,
}

impl Session {
    /// From an encoded plan. `host` is needed for plans with subgraphs, and for symbolic input shapes.
    ///
    /// # Errors
    /// `INVALID_PLAN` or `PLAN_VERSION`.
    pub fn new(plan: &[u8], host: Option<Box<dyn Host>>) -> Result<Self> {
        let (plan, _) = Plan::decode(plan)?;
        Ok(Self { info: plan.info, variants: plan.variants, host })
    }

    /// What the model says of itself.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Whether runs may ask the compiler for anything: input shapes are symbolic, or parts of the graph have no step.
    pub fn needs_host(&self) -> bool {
        let fixed = |v: &ValueInfo| v.shape.iter().all(|d| matches!(d, Dim::Fixed(_)));
        let subgraph = |s: &Step| matches!(s.operation, Operation::Subgraph { .. });
        !self.info.inputs.iter().all(fixed) || self.variants.iter().flat_map(|v| &v.steps).any(subgraph)
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
        let inputs = validate::inputs(&self.info, inputs, options)?;
        let wanted = validate::outputs(&self.info, outputs)?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        self.select(&shapes)?;
        let Some(variant) = self.variants.last() else {
            return Err(Error::new(ErrorCode::Internal, "the plan for these inputs is gone"));
        };

        let missing = || Error::new(ErrorCode::Internal, "a step reads a value that nothing has written");
        let mut values: Vec<Option<Tensor>> = variant.values.iter().map(|_| None).collect();
        let mut borrowed: Vec<Option<&Tensor>> = vec![None; values.len()];
        for (&id, tensor) in variant.inputs.iter().zip(&inputs) {
            borrowed[id as usize] = Some(tensor);
        }
        for step in &variant.steps {
            let Operation::Subgraph { id, inputs, outputs } = &step.operation else {
                return Err(Error::new(ErrorCode::Internal, "a step without a kernel"));
            };
            let operands = inputs
                .iter()
                .map(|&i| borrowed[i as usize].or(values[i as usize].as_ref()).ok_or_else(missing))
                .collect::<Result<Vec<_>>>()?;
            let host = self.host.as_mut().ok_or_else(no_compiler)?;
            let results = host.run_subgraph(*id, &operands)?;
            if results.len() != outputs.len() {
                return Err(Error::new(ErrorCode::Internal, "a subgraph gave another number of values than planned"));
            }
            for (&to, tensor) in outputs.iter().zip(results) {
                values[to as usize] = Some(tensor);
            }
        }
        wanted
            .into_iter()
            .map(|position| {
                let name = self.info.outputs[position].name.clone();
                let id = variant.outputs[position] as usize;
                let tensor = values[id].clone().or_else(|| borrowed[id].cloned()).ok_or_else(missing)?;
                Ok((name, tensor))
            })
            .collect()
    }

    /// Puts the variant for these shapes last, compiling it if there is none yet.
    fn select(&mut self, shapes: &[Vec<usize>]) -> Result<()> {
        if let Some(at) = self.variants.iter().position(|v| v.input_shapes == shapes) {
            let variant = self.variants.remove(at);
            self.variants.push(variant);
            return Ok(());
        }
        let host = self.host.as_mut().ok_or_else(no_compiler)?;
        let (plan, _) = Plan::decode(&host.specialize(shapes)?[..])?;
        let variant = plan.variants.into_iter().find(|v| v.input_shapes == shapes);
        let variant =
            variant.ok_or_else(|| Error::new(ErrorCode::Internal, "the compiler made a plan for other shapes"))?;
        if self.variants.len() >= MAX_VARIANTS {
            self.variants.remove(0);
        }
        self.variants.push(variant);
        Ok(())
    }
}

fn no_compiler() -> Error {
    Error::new(ErrorCode::InvalidPlan, "the plan needs the compiler, and was opened without it")
        .with_hint("open the .onnx file instead of the saved plan")
}
