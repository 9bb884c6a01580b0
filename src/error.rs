//! The one error type. Every failure a caller can meet has a stable [`ErrorCode`], a sentence that says what happened
//! and, where there is something to do about it, a hint that says what.

use std::fmt;

use serde::Serialize;

/// `Result` with tractlet's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Stable machine-readable codes. The strings (see [`ErrorCode::as_str`]) are part of the public interface: they do
/// not change between versions, new ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The bytes are not an ONNX model at all.
    NotOnnx,
    /// The bytes start like an ONNX model and then break: truncated, corrupted or inconsistent.
    InvalidModel,
    /// The model needs operators that this version does not know.
    UnsupportedOperator,
    /// The model is well formed but uses something this version does not support.
    UnsupportedModel,
    /// The model declares sizes beyond what can be held in memory.
    ModelTooLarge,
    /// The model refers to external data that was not handed in.
    ExternalDataMissing,
    /// The bytes are not a plan, or a damaged one.
    InvalidPlan,
    /// The plan was written by another version.
    PlanVersion,
    /// A run names an input the model does not have.
    UnknownInput,
    /// A run leaves out an input the model needs.
    MissingInput,
    /// A run asks for an output the model does not have.
    UnknownOutput,
    /// An input has another element type than the model expects.
    InputType,
    /// An input has another rank or shape than the model expects.
    InputShape,
    /// An input contains values that the model cannot use, such as NaN.
    InputValue,
    /// The pixels handed in are not a usable image.
    InvalidImage,
    /// The image is larger than the limit.
    ImageTooLarge,
    /// An option, a model card or pre-processing settings that make no sense.
    InvalidOption,
    /// An operator failed while the model ran.
    ExecutionFailed,
    /// Memory ran out.
    OutOfMemory,
    /// A defect of tractlet itself.
    Internal,
}

impl ErrorCode {
    /// The code as it appears in JavaScript and in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOnnx => "NOT_ONNX",
            Self::InvalidModel => "INVALID_MODEL",
            Self::UnsupportedOperator => "UNSUPPORTED_OPERATOR",
            Self::UnsupportedModel => "UNSUPPORTED_MODEL",
            Self::ModelTooLarge => "MODEL_TOO_LARGE",
            Self::ExternalDataMissing => "EXTERNAL_DATA_MISSING",
            Self::InvalidPlan => "INVALID_PLAN",
            Self::PlanVersion => "PLAN_VERSION",
            Self::UnknownInput => "UNKNOWN_INPUT",
            Self::MissingInput => "MISSING_INPUT",
            Self::UnknownOutput => "UNKNOWN_OUTPUT",
            Self::InputType => "INPUT_TYPE",
            Self::InputShape => "INPUT_SHAPE",
            Self::InputValue => "INPUT_VALUE",
            Self::InvalidImage => "INVALID_IMAGE",
            Self::ImageTooLarge => "IMAGE_TOO_LARGE",
            Self::InvalidOption => "INVALID_OPTION",
            Self::ExecutionFailed => "EXECUTION_FAILED",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An operator the model uses and this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownOperator {
    /// Domain, empty for `ai.onnx`.
    pub domain: String,
    /// Operator name.
    pub op_type: String,
    /// How many nodes use it.
    pub count: usize,
}

/// What went wrong, where, and what to do about it. A pointer: results stay small where nothing goes wrong.
///
/// Serialised (camelCase, absent fields left out) it is the object that the JavaScript side turns into an
/// `InferenceError`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Error(Box<Details>);

/// What an [`Error`] says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Stable code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// The graph node concerned, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The operator concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op_type: Option<String>,
    /// The model input concerned, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was found instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For [`ErrorCode::UnsupportedOperator`]: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<UnknownOperator>,
}

impl std::ops::Deref for Error {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl Error {
    /// An error with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            code,
            message: message.into(),
            node: None,
            op_type: None,
            input: None,
            expected: None,
            actual: None,
            hint: None,
            operators: Vec::new(),
        }))
    }

    /// Says what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the graph node and its operator.
    pub fn at_node(mut self, name: impl Into<String>, op_type: impl Into<String>) -> Self {
        self.0.node = Some(name.into());
        self.0.op_type = Some(op_type.into());
        self
    }

    /// Names the model input.
    pub fn for_input(mut self, name: impl Into<String>) -> Self {
        self.0.input = Some(name.into());
        self
    }

    /// Lists the operators that nobody knows.
    pub fn with_operators(mut self, operators: Vec<UnknownOperator>) -> Self {
        self.0.operators = operators;
        self
    }

    /// States what was expected and what was found.
    pub fn expected(mut self, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self.0.actual = Some(actual.to_string());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
