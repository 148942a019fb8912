//! Label and field selectors.

mod field;
mod label;
mod parse;

pub use field::{FieldOp, FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement, Selector};
pub use parse::ParseError;

#[cfg(test)]
mod tests;
