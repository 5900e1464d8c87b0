//! What a test may find outside: programs and the corpus.

use std::path::PathBuf;

/// The path of an external program, from `PATH`. Without it, says on the standard output that the
/// test is skipped.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: the program {name} is not installed");
    }
    found
}

/// A file of the corpus that `STREAMVERSE_CORPUS` names. Without it, says on the standard output
/// that the test is skipped.
#[must_use]
pub fn corpus(file: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("STREAMVERSE_CORPUS") else {
        println!("skipped: STREAMVERSE_CORPUS is not set, so there is no {file}");
        return None;
    };
    let path = PathBuf::from(root).join(file);
    if !path.exists() {
        println!("skipped: the corpus has no {file}");
        return None;
    }
    Some(path)
}
