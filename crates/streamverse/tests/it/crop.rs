//! Black bars around pictures, found and cut off: judged by ffprobe.

use std::path::Path;

use crate::kit;

/// Width, height and luma of the corners of the first picture of a rendition.
fn shape(output: &Path, name: &str) -> (usize, usize, Vec<u8>) {
    let joined = kit::joined(output, name);
    let args =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0"];
    let text =
        kit::run(&sv_testkit::tool("ffprobe").unwrap(), &[&args[..], &[joined.to_str().unwrap()]].concat());
    let sides: Vec<usize> = text.trim().split(',').map_while(|n| n.parse().ok()).collect();
    let (w, h) = (sides[0], sides[1]);
    let raw = output.join(format!("{name}.raw"));
    let mut args = vec!["-v", "error", "-y", "-ss", "1", "-i", joined.to_str().unwrap(), "-frames:v", "1"];
    args.extend(["-pix_fmt", "gray", "-f", "rawvideo", raw.to_str().unwrap()]);
    kit::run(&sv_testkit::tool("ffmpeg").unwrap(), &args);
    let luma = std::fs::read(raw).unwrap();
    (w, h, [0, w - 1, (h - 1) * w, h * w - 1].map(|at| luma[at]).to_vec())
}

fn vod(source: &Path, output: &Path, more: &[&str]) -> Vec<String> {
    let args = ["vod", "--segment", "2s", "--preset", "fastest", "--out"];
    let made = kit::sv().args(args).arg(output).arg(source).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    let names = report["renditions"].as_array().unwrap().iter().filter(|r| r["kind"] == "video");
    names.map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

/// A bright noisy picture with a bar of noise-free or noisy black around it.
fn source(dir: &Path, name: &str, graph: &str, more: &[&str]) -> Option<std::path::PathBuf> {
    let pictures =
        ["-f", "lavfi", "-i", graph, "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-g", "25"];
    kit::make(dir, name, &[&pictures[..], more].concat())
}

#[test]
fn bars_are_found_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let bright = "testsrc2=r=25:d=6";
    let ten: &[&str] = &["-pix_fmt", "yuv420p10le"];
    let cases = [
        // 640x360 with a letterbox of 640x272.
        ("letterbox", format!("{bright}:s=640x272,pad=640:360:0:44:black"), &[][..], (640, 272)),
        // A pillarbox with noise in the bars, as an analogue source has it.
        (
            "pillarbox",
            format!("{bright}:s=480x360,pad=640:360:80:0:black,noise=alls=6:allf=t"),
            &[],
            (480, 360),
        ),
        // Both, off the middle, in ten bits.
        ("window10", format!("{bright}:s=480x272,pad=640:360:64:30:black"), ten, (480, 272)),
        // No bars.
        ("none", format!("{bright}:s=640x360"), &[], (640, 360)),
        // A night with one lamp tells nothing: it must not be cut to the lamp.
        (
            "night",
            "color=black:s=640x360:r=25:d=6,drawbox=x=300:y=170:w=8:h=8:color=white:t=fill".into(),
            &[],
            (640, 360),
        ),
    ];
    for (name, graph, more, wanted) in cases {
        let Some(source) = source(dir.path(), &format!("{name}.mp4"), &graph, more) else { return };
        let output = dir.path().join(name);
        let names = vod(&source, &output, &["--crop", "auto"]);
        let (w, h, corners) = shape(&output, &names[0]);
        // Rows of a picture that are black themselves may go, but hardly any.
        let near = |got: usize, wanted: usize| got <= wanted + 2 && got + 4 >= wanted;
        assert!(near(w, wanted.0) && near(h, wanted.1), "{name}: {w}x{h} and not {wanted:?}");
        if name == "letterbox" || name == "window10" {
            assert!(corners.iter().any(|luma| *luma > 60), "{name}: the corners are {corners:?}");
        }
    }
}

#[test]
fn a_beginning_with_bars_says_nothing_of_the_rest() {
    // A second with bars and then none: in one group of pictures, and in a stream whose clock began long
    // ago. A lamp that moves through the dark is no picture with bars either.
    let dir = tempfile::tempdir().unwrap();
    let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
    let join = "testsrc2=s=400x240:r=25:d=1,pad=640:360:120:60:black[a];testsrc2=s=640x360:r=25:d=11[b];[a][b]concat=n=2";
    let lamp = "color=black:s=640x360:r=25:d=12,drawbox=x=0:y=0:w=1:h=1[a];testsrc2=s=400x240:r=25:d=12[b];\
                [a][b]overlay=x='20*t':y='60+5*t'";
    let one = ["-g", "1000", "-keyint_min", "1000", "-sc_threshold", "0"];
    let late = ["-g", "25", "-output_ts_offset", "36000"];
    for (name, graph, more) in
        [("one.mp4", join, &one[..]), ("late.ts", join, &late), ("lamp.mp4", lamp, &["-g", "25"])]
    {
        let source = dir.path().join(name);
        let mut args = vec!["-v", "error", "-y", "-filter_complex", graph, "-c:v", "libx264"];
        args.extend(["-preset", "veryfast", "-pix_fmt", "yuv420p"]);
        args.extend(more);
        args.push(source.to_str().unwrap());
        kit::run(&ffmpeg, &args);
        let output = dir.path().join(format!("{name}.out"));
        let names = vod(&source, &output, &["--crop", "auto"]);
        let (w, h, _) = shape(&output, &names[0]);
        assert_eq!((w, h), (640, 360), "{name}");
    }
}

#[test]
fn a_part_that_was_asked_for_is_shown_in_every_rung_and_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path(), "whole.mp4", "testsrc2=s=640x360:r=25:d=12", &[]) else { return };
    let crop = ["--crop", "480:320:40:20"];
    let (one, chunks) = (dir.path().join("one"), dir.path().join("chunks"));
    let names = vod(&source, &one, &crop);
    assert!(names.len() >= 2, "{names:?}");
    let (w, h, _) = shape(&one, &names[0]);
    assert_eq!((w, h), (480, 320));
    vod(&source, &chunks, &[&crop[..], &["--workers", "2", "--chunk", "4s"]].concat());
    let (w, h, corners) = shape(&chunks, &names[0]);
    assert_eq!((w, h), (480, 320));
    assert_eq!(corners, shape(&one, &names[0]).2);
    let mut wrong = kit::sv();
    let wrong =
        wrong.args(["vod", "--crop", "640:320:40:20", "--out"]).arg(dir.path().join("no")).arg(&source);
    let said = String::from_utf8_lossy(&wrong.output().unwrap().stderr).into_owned();
    assert!(said.contains("must lie in the picture of 640x360"), "{said}");
}
