//! An OCI container: spec to plan, parent, child and state.
