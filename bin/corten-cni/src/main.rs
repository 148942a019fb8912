//! The CNI plugins, picked by the name that the binary is called by.

fn main() {}
