//! Checks of the house that no compiler makes: `cargo run -p xtask -- check`.

mod edges;
mod house;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Asked at run time: a target folder that several checkouts share may hold a program built in another.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = std::path::Path::new(&here).join("..");
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
