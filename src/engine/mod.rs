//! Executes plans.

mod session;
mod validate;

pub use session::{Host, RunOptions, Session};
