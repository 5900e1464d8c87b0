//! Checks of the house that no compiler makes: `cargo run -p xtask -- check`.

mod edges;
mod house;

use std::process::ExitCode;

fn main() -> ExitCode {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let command = std::env::args().nth(1);
    if command.as_deref() != Some("check") {
        eprintln!("usage: cargo run -p xtask -- check");
        return ExitCode::from(2);
    }
    let mut faults = Vec::new();
    faults.extend(edges::check(&root));
    faults.extend(house::check(&root));
    for fault in &faults {
        eprintln!("xtask: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
