//! OCI documents: the types of `oci-spec`, and reading a bundle's `config.json` with errors that
//! name the place.
//!
//! Non-goals: deciding what is honoured (the container plan does), and image documents beyond
//! their types. Entry types: [`Bundle`], [`parse_process`]. Privileges: none but reading the
//! bundle.

mod bundle;

pub use bundle::{Bundle, DocumentError, parse_process, parse_resources, parse_spec};
pub use oci_spec::{image, runtime};

/// The version of the runtime specification that these types are of.
pub const RUNTIME_SPEC_VERSION: &str = "1.3.0";
