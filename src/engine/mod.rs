//! Executes plans.

mod arena;
mod describe;
mod execute;
mod frame;
mod load;
mod parts;
mod pool;
mod prepare;
mod profile;
mod session;
mod steps;
#[cfg(test)]
mod tests;
mod validate;

pub use describe::{Description, StepDescription, VariantDescription};
pub use pool::Pool;
pub use profile::{Clock, Measured, Profile};
pub use session::{Host, RunOptions, Session};
