//! Ladders by title: on a real source, through the command, judged by what comes out.

use crate::kit;

#[test]
fn the_ladder_is_what_was_measured_and_what_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 4) else { return };
    let toml = dir.path().join("ladder.toml");
    let output = kit::sv()
        .arg("ladder")
        .arg(&source)
        .args(["--json", "--target", "90", "--max-rungs", "3", "--preset", "fastest", "--plot"])
        .arg(dir.path())
        .arg("--toml")
        .arg(&toml)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let decisions: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let decision = &decisions[0];
    let places = decision["places"].as_array().unwrap();
    assert!((1..=3).contains(&places.len()), "{decision}");
    assert!(places[0]["vmaf"].as_f64().unwrap() >= 90.0, "{decision}");
    // Nothing is enlarged, and what costs more is better.
    assert!(places.iter().all(|p| p["height"].as_u64().unwrap() <= 360), "{decision}");
    for pair in places.windows(2) {
        let of = |i: usize, what: &str| pair[i][what].as_f64().unwrap();
        assert!(of(0, "vmaf") > of(1, "vmaf") && of(0, "bitrate") > of(1, "bitrate"), "{decision}");
    }
    assert!(!decision["ladder"]["reasons"].as_array().unwrap().is_empty());
    let svg = std::fs::read_to_string(dir.path().join("ladder-h264.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");

    // The ladder that was written is one that `sv vod` takes, and it makes these pictures.
    let out = dir.path().join("out");
    let made =
        kit::sv().arg("vod").arg(&source).arg("--out").arg(&out).arg("--ladder").arg(&toml).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let rungs = decision["ladder"]["rungs"].as_array().unwrap();
    let top = format!("{}-h264", rungs[0]["name"].as_str().unwrap());
    let file = kit::joined(&out, &top);
    kit::same(&kit::picture_times(&file), &kit::picture_times(&source), &top);
    let size = kit::run(
        &sv_testkit::tool("ffprobe").unwrap(),
        &[
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=height",
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(size.trim().parse::<u64>().unwrap(), rungs[0]["height"].as_u64().unwrap());
}

#[test]
fn a_run_that_tries_first_says_so_in_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 2) else { return };
    let out = dir.path().join("out");
    let made = kit::sv()
        .arg("vod")
        .arg(&source)
        .arg("--out")
        .arg(&out)
        .args(["--ladder", "title", "--max-bitrate", "400k", "--preset", "fastest"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let decision = &report["decisions"][0];
    assert!(
        decision["places"].as_array().unwrap().iter().all(|p| p["bitrate"].as_f64().unwrap() <= 400_000.0)
    );
    let video = report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video").count();
    assert_eq!(video, decision["places"].as_array().unwrap().len());
    assert!(out.join("ladder-h264.svg").is_file());
    let no = kit::sv().arg("ladder").arg(&source).args(["--core-seconds", "0.01"]).output().unwrap();
    assert_eq!(no.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&no.stderr).contains("faster preset"));
}
