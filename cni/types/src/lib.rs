//! CNI configuration, results and errors, as the specification defines them.
