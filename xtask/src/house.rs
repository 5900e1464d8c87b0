//! House rules that can be read off the files.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file.
const MOST_LINES: usize = 900;
const CORE_TIER: &[&str] = &["sv-core", "sv-codec", "sv-container", "sv-package", "sv-drm"];
const CORE_LINTS: &[&str] = &[
    "forbid(unsafe_code)",
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
    "clippy::as_conversions",
];

pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for folder in ["crates", "examples", "xtask", "fuzz"] {
        sources(&root.join(folder), &mut files);
    }
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let shown = file.strip_prefix(root).unwrap_or(file).display();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!("{shown} has {lines} lines; split it ({MOST_LINES} at most)"));
        }
        // Unsafe code has three homes: the FFmpeg layer, codec backends, bindings.
        let home = file.components().any(|c| c.as_os_str() == "sv-ffmpeg" || c.as_os_str() == "backend");
        if !home && !shown.to_string().starts_with("xtask") && text.contains("unsafe {") {
            faults.push(format!("{shown} holds unsafe code; its place is sv-ffmpeg or a backend folder"));
        }
    }
    for name in CORE_TIER {
        let path = root.join("crates").join(name).join("src/lib.rs");
        let text = fs::read_to_string(&path).unwrap_or_default();
        for lint in CORE_LINTS {
            if !text.contains(lint) {
                faults.push(format!("crates/{name}/src/lib.rs lacks the lint {lint} of the core tier"));
            }
        }
    }
    faults.extend(links(root));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let dependencies = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let mut comment_above = false;
    for line in dependencies.lines().take_while(|l| !l.starts_with('[')) {
        if !line.contains('=') || line.starts_with('#') {
            comment_above = line.starts_with('#');
            continue;
        }
        if !line.contains(" # ") && !comment_above {
            faults.push(format!("Cargo.toml does not say what this dependency is for: {line}"));
        }
    }
    faults
}

/// Links between our own pages that lead nowhere.
fn links(root: &Path) -> Vec<String> {
    let mut pages: Vec<PathBuf> = ["", "docs", "docs/guides"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    let mut faults = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let folder = page.parent().unwrap_or(root);
            if !folder.join(file).exists() {
                let shown = page.strip_prefix(root).unwrap_or(&page).display();
                faults.push(format!("{shown} links to {file}, which is not there"));
            }
        }
    }
    faults
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" && name != "dist" {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "ts") {
            out.push(path);
        }
    }
}
