//! Which operators there are, by domain and name, and who implements them.
//!
//! tract looks operators up by name alone, so a contrib operator would run as its ai.onnx namesake. Before tract sees a
//! graph, `op_type` is therefore rewritten to a qualified name: unchanged for `ai.onnx`, for the `ai.onnx.ml` operators
//! tract has, and for the contrib operators tract implements as such; `domain.Name` for everything else.

use std::collections::BTreeMap;

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::{AttributeProto, GraphProto, attribute_proto};

use super::{branches, quantized};
use crate::error::{Error, ErrorCode, Result, UnknownOperator};

/// Contrib operators (domain `com.microsoft`) that tract implements under their bare names.
const CONTRIB_IN_TRACT: &[&str] = &[
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Those of them that `ai.onnx` has no operator for; `Gelu` and `RotaryEmbedding` exist in both.
fn only_contrib(name: &str) -> bool {
    CONTRIB_IN_TRACT.contains(&name) && name != "Gelu" && name != "RotaryEmbedding"
}

/// `ai.onnx.ml` operators that tract implements.
const ML_IN_TRACT: &[&str] = &[
    "ArrayFeatureExtractor",
    "CategoryMapper",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "TreeEnsembleClassifier",
];

/// `Resize` with the meaning of opset 10, which is also that of `Upsample`.
pub const RESIZE_10: &str = "tractlet.Resize10";

/// `Pad` with everything in attributes, as it was before opset 11.
const PAD_2: &str = "tractlet.Pad2";

/// The name an operator is registered under.
pub fn qualified_name(domain: &str, op_type: &str) -> String {
    let bare = match domain {
        "" | "ai.onnx" => !only_contrib(op_type) && !ML_IN_TRACT.contains(&op_type),
        "ai.onnx.ml" => ML_IN_TRACT.contains(&op_type),
        "com.microsoft" => CONTRIB_IN_TRACT.contains(&op_type),
        _ => false,
    };
    match (bare, domain) {
        (true, _) => op_type.to_owned(),
        (false, "") => format!("ai.onnx.{op_type}"),
        (false, domain) => format!("{domain}.{op_type}"),
    }
}

/// All operators: tract's, with the quantized ones and what it computes wrongly replaced by ours, and our own.
pub fn operators() -> OnnxOpRegister {
    let mut register = OnnxOpRegister::default();
    tract_onnx::ops::register_all_ops(&mut register);
    quantized::register(&mut register);
    branches::register(&mut register);
    register.insert("Celu", super::celu::celu);
    if let Some(tracts) = register.0.get("Pad").copied() {
        register.insert(PAD_2, tracts);
    }
    register.insert("Pad", |ctx, node| match ctx.framework.op_register.0.get(PAD_2) {
        Some(build) if ctx.onnx_operator_set_version < 11 => build(ctx, node),
        _ => super::pad::pad(ctx, node),
    });
    register.insert(RESIZE_10, |ctx, node| {
        let mut ctx = ctx.clone();
        ctx.onnx_operator_set_version = 10;
        let mut node = node.clone();
        // The attribute came later; what opset 10 computes is this, not the later default.
        node.attribute.push(AttributeProto {
            name: "nearest_mode".to_owned(),
            s: b"floor".to_vec(),
            r#type: attribute_proto::AttributeType::String as i32,
            ..AttributeProto::default()
        });
        let resize = ctx.framework.op_register.0.get("Resize").copied();
        match resize {
            Some(build) => build(&ctx, &node),
            None => Err(tract_onnx::tract_hir::internal::format_err!("no Resize operator")),
        }
    });
    register
}

/// Fails with the list of all operators nobody knows.
pub fn check_operators(graph: &GraphProto) -> Result<()> {
    let register = operators();
    let mut unknown = BTreeMap::new();
    collect_unknown(graph, &register, &mut unknown);
    if unknown.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = unknown
        .keys()
        .map(|(domain, op)| if domain.is_empty() { op.clone() } else { format!("{domain}.{op}") })
        .collect();
    let operators =
        unknown.into_iter().map(|((domain, op_type), count)| UnknownOperator { domain, op_type, count }).collect();
    Err(Error::new(
        ErrorCode::UnsupportedOperator,
        format!("the model needs operators that tractlet does not know: {}", names.join(", ")),
    )
    .with_hint("export the model with standard ONNX operators; docs/operators.md lists the known ones")
    .with_operators(operators))
}

fn collect_unknown(graph: &GraphProto, register: &OnnxOpRegister, unknown: &mut BTreeMap<(String, String), usize>) {
    for node in &graph.node {
        let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
        let known = node.op_type == "Constant" && domain.is_empty()
            || node.op_type == "Upsample" && domain.is_empty()
            || register.0.contains_key(&qualified_name(domain, &node.op_type));
        // Names with a dot are this compiler's own; a model that uses them means something else.
        if !known || node.op_type.contains('.') || node.domain == "tractlet" {
            *unknown.entry((domain.to_owned(), node.op_type.clone())).or_default() += 1;
        }
        for inner in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            collect_unknown(inner, register, unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_operator() {
        let rows: Vec<(&str, &str)> = include_str!("../../docs/operators.md")
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix('|')?.split('|').map(|c| c.trim().trim_matches('`'));
                Some((cells.next()?, cells.next()?))
            })
            .filter(|(domain, _)| domain.contains('.') && !domain.contains(' '))
            .collect();
        let register = operators();
        let qualified =
            |&(domain, name): &(&str, &str)| qualified_name(if domain == "ai.onnx" { "" } else { domain }, name);
        for row in &rows {
            let known = ["Constant", "Upsample"].contains(&row.1) || register.0.contains_key(&qualified(row));
            assert!(known, "docs/operators.md lists {row:?}, which there is not");
        }
        for name in register.0.keys().filter(|n| !n.starts_with("tractlet.")) {
            assert!(rows.iter().any(|row| qualified(row) == *name), "docs/operators.md does not list {name}");
        }
    }

    #[test]
    fn namesakes_are_kept_apart() {
        assert_eq!(qualified_name("", "Attention"), "Attention");
        assert_eq!(qualified_name("com.microsoft", "Attention"), "com.microsoft.Attention");
        assert_eq!(qualified_name("com.microsoft", "QLinearAdd"), "com.microsoft.QLinearAdd");
        assert_eq!(qualified_name("com.microsoft", "QuickGelu"), "QuickGelu");
        assert_eq!(qualified_name("", "QuickGelu"), "ai.onnx.QuickGelu");
        assert_eq!(qualified_name("ai.onnx.ml", "Normalizer"), "Normalizer");
        assert_eq!(qualified_name("", "Normalizer"), "ai.onnx.Normalizer");
        assert_eq!(qualified_name("custom", "Conv"), "custom.Conv");
    }
}
