//! The one door to the project.

fn main() {}
