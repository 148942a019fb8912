//! Control groups, v2 and v1, on file descriptors.
