//! Tests of the service as a whole, with a shim, a network, images and cgroups of their own.

mod fakes;
mod lifecycle;
pub(crate) mod records;
mod restart;
mod specs;
