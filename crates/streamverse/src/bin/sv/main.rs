//! The `sv` command.
fn main() {}
