//! `If` as ONNX has it: only the branch that is taken has to make sense.
//!
//! tract's wants both branches to fit the inputs and to give the same shapes. Models choose between branches that do not,
//! by the sampling rate or the rank of an input for instance.

use std::fmt;
use std::sync::Arc;

use tract_onnx::model::{OnnxOpRegister, ParseResult, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::whole;

/// Adds the operator.
pub fn register(register: &mut OnnxOpRegister) {
    register.insert("If", parse);
}

/// One of the branches, inferred alone.
#[derive(Clone, Debug)]
struct Branch {
    body: InferenceModel,
    /// For each input of the body, that of the node.
    inputs: Vec<usize>,
    /// Why it cannot be executed on these inputs.
    problem: Option<String>,
}

impl Branch {
    /// Infers what it can from what is known of the node's inputs; whether something is new.
    fn infer(&mut self, inputs: &[&InferenceFact]) -> bool {
        if self.problem.is_some() {
            return false;
        }
        let inferred = (|| {
            let mut changed = false;
            for (position, &input) in self.inputs.iter().enumerate() {
                let mut fact = inputs[input].clone();
                changed |= self.body.input_fact_mut(position)?.unify_with_mut(&mut fact)?;
            }
            TractResult::Ok(changed | self.body.analyse(false)?)
        })();
        inferred.unwrap_or_else(|error| {
            self.problem = Some(format!("{error:#}"));
            true
        })
    }

    /// Plans it; what it gives.
    fn plan(&self) -> TractResult<(TVec<TypedFact>, Arc<TypedSimplePlan>)> {
        let mut typed = self.body.clone().into_typed()?;
        whole::keep_whole(&mut typed);
        let facts = typed.output_outlets()?.iter().map(|&o| Ok(typed.outlet_fact(o)?.without_value()));
        let facts = facts.collect::<TractResult<_>>()?;
        Ok((facts, TypedSimplePlan::new(typed.into_decluttered()?.into_optimized()?)?))
    }
}

/// The branch that is executed if the condition holds, and the other one.
#[derive(Clone, Debug)]
struct If {
    branches: [Branch; 2],
}

impl PartialEq for If {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}
impl Eq for If {}

fn parse(ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let [then, other] = [node.get_attr("then_branch")?, node.get_attr("else_branch")?];
    let bodies = [ctx.parse_graph(then)?, ctx.parse_graph(other)?];
    // What both read of the graphs around them, each once.
    let mut names: Vec<String> = bodies.iter().flat_map(|body| body.unresolved_inputs.iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    let branches = bodies.map(|ParseResult { model, unresolved_inputs, .. }| {
        // Behind the condition.
        let place = |name: &String| names.binary_search(name).map_or(0, |at| at + 1);
        Branch { body: model, inputs: unresolved_inputs.iter().map(place).collect(), problem: None }
    });
    Ok((Box::new(If { branches }), names))
}

impl If {
    /// The branches that may be taken, 0 or 1.
    fn candidates(condition: &InferenceFact) -> TractResult<&'static [usize]> {
        Ok(match condition.value.concretize() {
            Some(value) if value.cast_to_scalar::<bool>()? => &[0],
            Some(_) => &[1],
            None => &[0, 1],
        })
    }
}

impl Op for If {
    fn name(&self) -> StaticName {
        "If".into()
    }

    not_a_typed_op!();
}

impl EvalOp for If {
    not_out_of_plan!();
}

impl InferenceOp for If {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let mut found: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        let candidates = Self::candidates(inputs[0])?;
        while candidates.iter().fold(false, |changed, &at| changed | self.branches[at].infer(&inputs)) {}
        let fitting: Vec<&Branch> =
            candidates.iter().map(|&at| &self.branches[at]).filter(|branch| branch.problem.is_none()).collect();
        let Some(first) = fitting.first() else {
            let problems = candidates.iter().filter_map(|&at| self.branches[at].problem.as_deref());
            bail!("no branch fits the inputs: {}", problems.collect::<Vec<_>>().join("; "));
        };
        for (position, found) in found.iter_mut().enumerate() {
            let facts: Vec<&InferenceFact> =
                fitting.iter().map(|branch| branch.body.output_fact(position)).collect::<TractResult<_>>()?;
            let (mut data_type, mut shape) = (facts[0].datum_type, facts[0].shape.clone());
            for fact in &facts[1..] {
                data_type.unify_with(&fact.datum_type)?;
                shape = common(&shape, &fact.shape);
            }
            found.datum_type.unify_with(&data_type)?;
            found.shape.unify_with(&shape)?;
        }
        ensure!(first.body.outputs.len() == found.len(), "branches have other outputs than the node");
        let inputs = inputs.into_iter().cloned().collect();
        Ok((inputs, found, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        let [then, other] = [0, 1].map(|at| self.branches[at].body.outputs.len());
        ensure!(then == other, "the branches of an If have {then} and {other} outputs");
        Ok(then)
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let candidates = Self::candidates(source.outlet_fact(node.inputs[0])?)?;
        let mut facts: Option<TVec<TypedFact>> = None;
        let mut planned = [None, None];
        for &at in candidates {
            let branch = &self.branches[at];
            let made = match &branch.problem {
                Some(problem) => Err(format_err!("{problem}")),
                None => branch.plan(),
            };
            planned[at] = Some(match made {
                Ok((found, plan)) => {
                    let known = facts.get_or_insert_with(|| found.clone());
                    ensure!(*known == found, "the branches of an If give different shapes: {known:?} and {found:?}");
                    Ok((branch.inputs.clone(), plan))
                }
                Err(error) => Err(format!("{error:#}")),
            });
        }
        let Some(facts) = facts else { bail!("no branch of an If can be executed: {planned:?}") };
        let inputs: TVec<OutletId> = node.inputs.iter().map(|outlet| mapping[outlet]).collect();
        target.wire_node(&*node.name, TypedIf { planned: planned.map(|p| p.map(Taken)), facts }, &inputs)
    }

    as_op!();
}

/// What two shapes have in common.
fn common(a: &ShapeFactoid, b: &ShapeFactoid) -> ShapeFactoid {
    if a.is_open() || b.is_open() || a.rank() != b.rank() {
        return ShapeFactoid::open(tvec!());
    }
    let dims = a.dims().zip(b.dims()).map(|(a, b)| if a == b { a.clone() } else { GenericFactoid::Any });
    ShapeFactoid::closed(dims.collect())
}

/// A branch that is ready to run, or why it is not.
#[derive(Clone)]
struct Taken(Result<(Vec<usize>, Arc<TypedSimplePlan>), String>);

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_ok() { "branch" } else { "no branch" })
    }
}

/// [`If`] with its branches planned; those that cannot be taken are absent.
#[derive(Clone, Debug)]
struct TypedIf {
    planned: [Option<Taken>; 2],
    facts: TVec<TypedFact>,
}

impl PartialEq for TypedIf {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}
impl Eq for TypedIf {}

impl Op for TypedIf {
    fn name(&self) -> StaticName {
        "If".into()
    }

    op_as_typed_op!();
}

impl EvalOp for TypedIf {
    not_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let taken = match &self.planned {
            [Some(then), None] => then,
            [None, Some(other)] => other,
            [Some(then), Some(other)] => {
                if inputs[0].cast_to_scalar::<bool>()? {
                    then
                } else {
                    other
                }
            }
            [None, None] => bail!("an If without branches"),
        };
        match &taken.0 {
            Ok((places, plan)) => plan.run(places.iter().map(|&at| inputs[at].clone()).collect()),
            Err(problem) => bail!("the branch of an If that these inputs lead to does not fit them: {problem}"),
        }
    }
}

impl TypedOp for TypedIf {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == bool::datum_type(), "the condition of an If is a bool");
        Ok(self.facts.clone())
    }

    as_op!();
}
