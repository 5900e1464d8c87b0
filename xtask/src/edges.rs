//! Who may import whom. A new edge needs a line here and a reason in ARCHITECTURE.md.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every allowed edge between crates of ours, floor by floor.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sv-core", &[]),
    ("sv-codec", &["sv-core"]),
    ("sv-container", &["sv-core", "sv-codec"]),
    ("sv-ffmpeg", &["sv-core"]),
    ("sv-transcode", &["sv-core", "sv-codec", "sv-ffmpeg"]),
    ("sv-package", &["sv-core", "sv-codec", "sv-container"]),
    ("sv-drm", &["sv-core", "sv-codec"]),
    ("sv-ingest", &["sv-core", "sv-codec", "sv-container"]),
    ("sv-pipeline", &["sv-core"]),
    (
        "streamverse",
        &[
            "sv-core",
            "sv-codec",
            "sv-container",
            "sv-ffmpeg",
            "sv-transcode",
            "sv-package",
            "sv-drm",
            "sv-ingest",
            "sv-pipeline",
        ],
    ),
    ("reference-service", &["streamverse"]),
    ("make-sample", &["streamverse", "sv-testkit"]),
    ("sv-testkit", &["sv-core"]),
    ("xtask", &[]),
];

/// What must never come near the core tier: it does no I/O and asks nobody for randomness.
const NOT_IN_CORE: &[&str] = &["tokio", "mio", "socket2", "getrandom", "rusqlite", "ffmpeg-sys-next"];
const CORE_TIER: &[&str] = &["sv-core", "sv-codec", "sv-container", "sv-package", "sv-drm"];

pub(crate) fn check(root: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--no-deps"])
        .current_dir(root)
        .output();
    let metadata: Value = match output.map(|o| serde_json::from_slice(&o.stdout)) {
        Ok(Ok(metadata)) => metadata,
        other => return vec![format!("cargo metadata can't be read: {other:?}")],
    };
    let mut faults = Vec::new();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let ours: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(n, _)| *n == name) else {
            faults.push(format!("{name} has no line in xtask/src/edges.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            // Tests may use anything: they ship nowhere.
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            if ours.contains(&to) && !allowed.contains(&to) {
                faults.push(format!("{name} must not depend on {to}: see ARCHITECTURE.md"));
            }
            if CORE_TIER.contains(&name) && NOT_IN_CORE.contains(&to) {
                faults.push(format!("{name} is of the core tier and must not depend on {to}"));
            }
        }
    }
    faults
}
