//! Whatever is wrong: one clear sentence, the right exit code, nothing half-done.

use std::path::Path;
use std::process::Output;

use sv_testkit::tool;

use crate::kit;

fn vod(input: &Path, output: &Path) -> Output {
    kit::sv().args(["vod", "--preset", "fastest", "--out"]).arg(output).arg(input).output().unwrap()
}

/// Asserts an exit code and one sentence that holds `part`, and that nothing is left.
fn refused(run: &Output, code: i32, part: &str, output: &Path) {
    let said = String::from_utf8_lossy(&run.stderr);
    let complaint: Vec<_> = said.lines().filter(|l| l.starts_with("sv: ")).collect();
    assert_eq!(complaint.len(), 1, "{said}");
    assert!(complaint[0].contains(part), "{said}");
    assert_eq!(run.status.code(), Some(code), "{said}");
    assert!(!output.exists() && !output.with_extension("partial").exists(), "something is left: {said}");
}

#[test]
fn files_that_are_no_media() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let secret = dir.path().join("secret.ts");
    std::fs::write(&secret, b"secret").unwrap();
    let playlist =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n", secret.display());
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", secret.display());
    let huge = [&b"\0\0\0\x01mdat\0\0\0\x02\x54\x0b\xe4\0"[..], &[0; 1000]].concat();
    for (name, bytes) in [
        ("empty.mp4", &b""[..]),
        ("text.mp4", b"just some words, and no film at all\n"),
        ("playlist.mp4", playlist.as_bytes()),
        ("concat.mp4", concat.as_bytes()),
        ("huge.mp4", &huge),
    ] {
        let input = dir.path().join(name);
        std::fs::write(&input, bytes).unwrap();
        refused(&vod(&input, &output), 3, name, &output);
        let run = kit::sv().args(["package", "--out"]).arg(&output).arg(&input).output().unwrap();
        refused(&run, 3, name, &output);
        let run = kit::sv().arg("probe").arg(&input).output().unwrap();
        refused(&run, 3, name, &output);
    }
    refused(&vod(&dir.path().join("missing.mp4"), &output), 3, "missing.mp4", &output);
    refused(&vod(dir.path(), &output), 3, "not a regular file", &output);
}

#[test]
fn a_file_that_breaks_off() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 4) else { return };
    let bytes = std::fs::read(&source).unwrap();
    let output = dir.path().join("out");
    let cut = dir.path().join("cut.mp4");
    // FFmpeg writes the index last, so this file has none.
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    refused(&vod(&cut, &output), 3, "cut.mp4", &output);
}

#[test]
fn outputs_that_can_not_be() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let taken = dir.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    let run = vod(&source, &taken);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(4), "{said}");
    assert!(said.contains("is there already"), "{said}");
    // A file where a folder should be stops even the super-user, as no permission would.
    let output = source.join("out");
    let run = vod(&source, &output);
    refused(&run, 3, "can't be made", &output);
}

#[test]
fn a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(source), Some(mount), Some(umount)) =
        (kit::source(dir.path(), 10), tool("mount"), tool("umount"))
    else {
        return;
    };
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let target = disk.to_str().unwrap();
    let mounted = std::process::Command::new(mount)
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs", target])
        .output()
        .unwrap();
    if !mounted.status.success() {
        println!("skipped: a small disk can't be mounted here");
        return;
    }
    let output = disk.join("out");
    let run = vod(&source, &output);
    let left = std::fs::read_dir(&disk).unwrap().count();
    kit::run(&umount, &[target]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(4), "{said}");
    assert!(said.contains("o space left"), "{said}");
    assert_eq!(left, 0, "a full disk is left with something on it");
}

#[test]
fn keys_that_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let output = dir.path().join("out");
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "31323334353637383930313233343536:thisisnotakey\n").unwrap();
    let with = |args: &[&str]| {
        kit::sv()
            .env_remove("SV_KEYS")
            .args(["vod", "--encrypt", "cenc", "--out"])
            .arg(&output)
            .arg(&source)
            .args(args)
            .output()
            .unwrap()
    };
    let run = with(&["--keys", keys.to_str().unwrap()]);
    refused(&run, 5, "KID:KEY", &output);
    assert!(!String::from_utf8_lossy(&run.stderr).contains("thisisnotakey"));
    refused(&with(&[]), 5, "SV_KEYS", &output);
}

#[test]
fn transparency_is_refused_with_a_reason_and_dropped_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [
        (
            "vp9.webm",
            "yuva420p",
            &["-c:v", "libvpx-vp9", "-b:v", "300k", "-cpu-used", "8", "-deadline", "realtime"][..],
        ),
        ("prores.mov", "yuva444p10le", &["-c:v", "prores_ks", "-profile:v", "4444"]),
        ("animation.mov", "argb", &["-c:v", "qtrle"]),
        ("png.mov", "rgba", &["-c:v", "png"]),
    ];
    for (name, format, codec) in sources {
        let pictures = format!("testsrc2=s=320x180:r=25:d=1,format={format}");
        let Some(source) = kit::make(dir.path(), name, &[&["-f", "lavfi", "-i", &pictures], codec].concat())
        else {
            return;
        };
        let output = dir.path().join(format!("{name}.out"));
        let run = |more: &[&str]| {
            kit::sv().args(["vod", "--out"]).arg(&output).arg(&source).args(more).output().unwrap()
        };
        let refused = run(&[]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("alpha channel"), "{name}: {said}");
        assert!(!output.exists());
        let taken = run(&["--drop-alpha"]);
        assert!(taken.status.success(), "{name}: {}", String::from_utf8_lossy(&taken.stderr));
    }
}

/// However little memory there is, a run ends: well, with a sentence, or by the allocator's own message, which
/// leaves what is finished to the next run.
#[test]
#[cfg(target_os = "linux")]
fn short_of_memory_it_ends_and_lies_about_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    for limit in [60_000, 150_000, 200_000, 240_000, 300_000, 400_000, 600_000] {
        let output = dir.path().join(limit.to_string());
        let sv = kit::sv().get_program().to_owned();
        let run = std::process::Command::new("sh")
            .args(["-c", &format!("ulimit -v {limit}; exec \"$@\""), "sh"])
            .arg(sv)
            .args(["vod", "--preset", "fastest", "--out"])
            .arg(&output)
            .arg(&source)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!said.contains("bug of ours"), "{limit} KiB: {said}");
        assert_eq!(run.status.success(), output.exists(), "{limit} KiB: {said}");
        if run.status.code() == Some(1) {
            assert!(said.lines().any(|line| line.starts_with("sv: ")), "{limit} KiB: {said}");
        }
    }
}
