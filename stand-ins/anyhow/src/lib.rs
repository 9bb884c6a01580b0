//! Errors of any type, and what was being done when they came up, with the interface of the crate of this name as far as
//! tract and prost use it.
//!
//! There are no backtraces, [`ensure!`] does not say what the operands of a failed comparison were, and of a context only
//! the text is kept.

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::ops::Deref;

type Boxed = Box<dyn StdError + Send + Sync>;

/// An error of any type, perhaps with contexts. As large as one pointer: most results carry one.
pub struct Error(Box<Boxed>);

/// A result with an error of any type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A text, alone or as the context of an error.
struct Text {
    text: String,
    cause: Option<Boxed>,
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Text {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Error {
    /// An error that there is a type for.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::boxed(Box::new(error))
    }

    /// An error that is a text.
    pub fn msg(message: impl Display) -> Self {
        Self::text(message.to_string(), None)
    }

    /// What the macros make of their arguments.
    #[doc(hidden)]
    #[cold]
    pub fn formatted(arguments: fmt::Arguments) -> Self {
        Self::text(fmt::format(arguments), None)
    }

    #[cold]
    fn boxed(error: Boxed) -> Self {
        Self(Box::new(error))
    }

    #[cold]
    fn text(text: String, cause: Option<Boxed>) -> Self {
        Self::boxed(Box::new(Text { text, cause }))
    }

    /// The error, with what was being done.
    pub fn context(self, context: impl Display) -> Self {
        Self::text(context.to_string(), Some(*self.0))
    }

    /// The contexts from the outermost to the innermost, then the error and its causes.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(Some(self.outermost()), |&error| error.source())
    }

    /// The last of the chain.
    pub fn root_cause(&self) -> &(dyn StdError + 'static) {
        let mut error = self.outermost();
        while let Some(cause) = error.source() {
            error = cause;
        }
        error
    }

    /// The first of the chain that is of this type.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.chain().find_map(|error| error.downcast_ref())
    }

    /// Whether there is one of this type in the chain.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    fn outermost(&self) -> &(dyn StdError + 'static) {
        &**self.0
    }
}

/// The outermost context, or with `{:#}` all of the chain.
impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Display::fmt(&**self.0, f)?;
        if f.alternate() {
            for cause in self.chain().skip(1) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl Deref for Error {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &**self.0
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        *error.0
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        *error.0
    }
}

/// Says what was being done when something failed.
pub trait Context<T>: Sized {
    /// The error, if there is one, with a context.
    fn context<C: Display>(self, context: C) -> Result<T>;

    /// The error, if there is one, with a context that is only made then.
    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

/// What a result may have as its error to be given a context.
#[doc(hidden)]
pub trait IntoError {
    fn into_error(self) -> Error;
}

impl<E: StdError + Send + Sync + 'static> IntoError for E {
    fn into_error(self) -> Error {
        Error::new(self)
    }
}

impl IntoError for Error {
    fn into_error(self) -> Error {
        self
    }
}

impl<T, E: IntoError> Context<T> for Result<T, E> {
    fn context<C: Display>(self, context: C) -> Result<T> {
        self.map_err(|error| error.into_error().context(context))
    }

    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.into_error().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context<C: Display>(self, context: C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context))
    }

    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context()))
    }
}

/// How [`anyhow!`] tells errors from what can only be shown: of two methods of one name the one is taken that needs no
/// further reference.
#[doc(hidden)]
pub mod kind {
    use super::{Display, Error};

    pub struct OfError;
    pub struct OfText;

    pub trait ErrorKind: Sized {
        fn kind(&self) -> OfError {
            OfError
        }
    }

    impl<E: Into<Error>> ErrorKind for E {}

    pub trait TextKind: Sized {
        fn kind(&self) -> OfText {
            OfText
        }
    }

    impl<T: Display + ?Sized> TextKind for &T {}

    impl OfError {
        pub fn error(self, error: impl Into<Error>) -> Error {
            error.into()
        }
    }

    impl OfText {
        pub fn error(self, text: impl Display) -> Error {
            Error::msg(text)
        }
    }
}

/// Makes an error of a format and its arguments, of an error, or of a value that can be shown.
#[macro_export]
macro_rules! anyhow {
    ($format:literal $(,)?) => { $crate::Error::formatted(::std::format_args!($format)) };
    ($error:expr $(,)?) => {
        match $error {
            error => {
                #[allow(unused_imports, reason = "one of the two is used")]
                use $crate::kind::{ErrorKind as _, TextKind as _};
                (&error).kind().error(error)
            }
        }
    };
    ($format:expr, $($arguments:tt)*) => { $crate::Error::formatted(::std::format_args!($format, $($arguments)*)) };
}

/// The same as [`anyhow!`].
#[macro_export]
macro_rules! format_err {
    ($($arguments:tt)*) => { $crate::anyhow!($($arguments)*) };
}

/// Returns an error.
#[macro_export]
macro_rules! bail {
    ($($arguments:tt)*) => { return ::std::result::Result::Err($crate::anyhow!($($arguments)*)) };
}

/// Returns an error unless a condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            return ::std::result::Result::Err($crate::Error::formatted(::std::format_args!(
                "{}",
                ::std::concat!("Condition failed: `", ::std::stringify!($condition), "`")
            )));
        }
    };
    ($condition:expr, $($arguments:tt)*) => {
        if !$condition {
            $crate::bail!($($arguments)*);
        }
    };
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Own(u32);

    impl Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "own {}", self.0)
        }
    }

    impl StdError for Own {}

    fn positive(x: i32) -> Result<i32> {
        ensure!(x != 0);
        ensure!(x > 0, "{x} is {}", "negative");
        Ok(x)
    }

    fn parsed(text: &str) -> Result<i32> {
        let number: i32 = text.parse().with_context(|| format!("parsing {text}"))?;
        positive(number).context("checking")
    }

    fn own() -> Result<()> {
        bail!(Own(1))
    }

    #[test]
    fn a_chain_goes_from_the_outermost_context_to_the_cause() {
        let error = parsed("x").unwrap_err().context(anyhow!("reading"));
        let texts: Vec<String> = error.chain().map(|e| e.to_string()).collect();
        assert_eq!(texts, ["reading", "parsing x", "invalid digit found in string"]);
        assert_eq!(error.to_string(), "reading");
        assert_eq!(format!("{error:#}"), texts.join(": "));
        assert_eq!(format!("{error:?}"), texts.join(": "));
        assert!(error.root_cause().is::<ParseIntError>());
        assert!(error.is::<ParseIntError>());
    }

    #[test]
    fn macros_make_texts() {
        assert_eq!(parsed("1").unwrap(), 1);
        assert_eq!(format!("{:#}", parsed("0").unwrap_err()), "checking: Condition failed: `x != 0`");
        assert_eq!(format!("{:#}", parsed("-2").unwrap_err()), "checking: -2 is negative");
        let (a, b) = (1, 2);
        assert_eq!(format_err!("{a} {}", b).to_string(), "1 2");
        assert_eq!(anyhow!(String::from("{a}")).to_string(), "{a}");
        let text = "shared";
        assert_eq!(anyhow!(text).to_string(), "shared");
    }

    #[test]
    fn errors_stay_what_they_are() {
        let error = own().context("outside").unwrap_err();
        assert_eq!(error.downcast_ref::<Own>(), Some(&Own(1)));
        assert!(!error.is::<ParseIntError>());
        assert_eq!(anyhow!(error).root_cause().downcast_ref::<Own>(), Some(&Own(1)));
        let boxed: Box<dyn StdError + Send + Sync> = Error::new(Own(2)).into();
        assert_eq!(boxed.downcast_ref::<Own>(), Some(&Own(2)));
    }

    #[test]
    fn nothing_can_be_what_fails() {
        assert_eq!(None::<u8>.context("missing").unwrap_err().to_string(), "missing");
        assert_eq!(None::<u8>.with_context(|| 7).unwrap_err().to_string(), "7");
        assert_eq!(Some(1).context("missing").unwrap(), 1);
    }

    #[test]
    fn a_result_is_no_larger_than_two_pointers() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
