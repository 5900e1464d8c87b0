//! Thumbnails: which picture of the source each of them shows, and what manifests say of them. What players make of it, the
//! service's e2e folder tests.

use std::path::Path;

use sv_testkit::tool;

use crate::kit;

/// Eight seconds with a key picture each second, the n-th as light as 16 + 24n.
fn steps(dir: &Path) -> Option<std::path::PathBuf> {
    let pictures = "nullsrc=s=320x180:r=25:d=8,geq=lum=16+floor(T)*24:cb=128:cr=128";
    let args =
        ["-f", "lavfi", "-i", pictures, "-c:v", "libx264", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p"];
    kit::make(dir, "steps.mp4", &args)
}

/// Average light of each small picture on a sheet, as FFmpeg decodes the JPEG.
fn light(sheet: &Path, size: (usize, usize), grid: (usize, usize)) -> Vec<f64> {
    let args = ["-v", "error", "-i", sheet.to_str().unwrap(), "-f", "rawvideo", "-pix_fmt", "gray", "-"];
    let output = std::process::Command::new(tool("ffmpeg").unwrap()).args(args).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let stride = size.0 * grid.0;
    assert_eq!(output.stdout.len(), stride * size.1 * grid.1, "the sheet has another size");
    let places = (0..grid.1).flat_map(|row| (0..grid.0).map(move |column| (column, row)));
    places
        .map(|(column, row)| {
            let lines = output.stdout.chunks(stride).skip(row * size.1).take(size.1);
            let sum: u64 =
                lines.flat_map(|line| &line[column * size.0..][..size.0]).map(|b| u64::from(*b)).sum();
            sum as f64 / (size.0 * size.1) as f64
        })
        .collect()
}

/// Full-range light of the n-th second.
fn wanted(second: f64) -> f64 {
    second * 24.0 * 255.0 / 219.0
}

fn check(output: &Path) {
    // One for each 1.5 s, the last key picture by then: seconds 0, 1, 3, 4 and 6, 7.
    let mut seen = Vec::new();
    for number in 0..2 {
        seen.extend(light(&output.join(format!("thumbnails/{number}.jpg")), (80, 45), (2, 2)));
    }
    let expected = [0.0, 1.0, 3.0, 4.0, 6.0, 7.0, 0.0, 0.0].map(wanted);
    for (n, (seen, expected)) in seen.iter().zip(expected).enumerate() {
        assert!((seen - expected).abs() < 6.0, "thumbnail {n} is {seen} light and not {expected}");
    }
    assert!(!output.join("thumbnails/2.jpg").exists());
    let playlist = std::fs::read_to_string(output.join("thumbnails.m3u8")).unwrap();
    assert!(playlist.contains(
        "#EXTINF:6.000,\n#EXT-X-TILES:RESOLUTION=80x45,LAYOUT=2x2,DURATION=1.500\nthumbnails/0.jpg"
    ));
    assert!(playlist.contains("#EXTINF:2.000,\n"), "{playlist}");
    let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
    assert!(master.contains("RESOLUTION=80x45,CODECS=\"jpeg\",URI=\"thumbnails.m3u8\""), "{master}");
    let cues = std::fs::read_to_string(output.join("thumbnails.vtt")).unwrap();
    assert!(cues.ends_with("00:00:07.500 --> 00:00:08.000\nthumbnails/1.jpg#xywh=80,0,80,45\n"), "{cues}");
    let manifest = output.join("manifest.mpd");
    kit::valid_dash(&manifest);
    assert!(std::fs::read_to_string(manifest).unwrap().contains("thumbnail_tile\" value=\"2x2\""));
}

#[test]
fn each_is_the_last_key_picture_before_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = steps(dir.path()) else { return };
    for command in ["package", "vod"] {
        let output = dir.path().join(command);
        let done = kit::sv()
            .arg(command)
            .args(["--thumbnails", "1.5,80,2x2", "--out"])
            .args([&output, &source])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        check(&output);
    }
}

#[test]
fn sound_alone_has_none_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::make(dir.path(), "tone.m4a", &["-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac"])
    else {
        return;
    };
    let output = dir.path().join("out");
    let done =
        kit::sv().args(["package", "--thumbnails", "--out"]).args([&output, &source]).output().unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("thumbnails are made of pictures"), "{said}");
    assert!(!output.exists());
    for wrong in ["0", "5,8", "5,160,10", "5,1920,100x1", "5,160,2x2,1"] {
        let done = kit::sv()
            .arg("package")
            .arg(&source)
            .args(["--thumbnails", wrong, "--out"])
            .arg(&output)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(2), "{wrong}");
    }
}
