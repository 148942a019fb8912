//! The OCI runtime command line, and the shim.

fn main() {}
