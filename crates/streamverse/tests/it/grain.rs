//! Film grain that is described instead of encoded: ffprobe says that it is there.

use crate::kit;

#[test]
fn grain_is_described_in_av1_and_refused_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let noisy = "mandelbrot=s=320x180:r=25,trim=end=1,noise=alls=12:allf=t,format=yuv420p";
    let coded = ["-f", "lavfi", "-i", noisy, "-c:v", "libx264", "-preset", "veryfast", "-crf", "14"];
    let Some(source) = kit::make(dir.path(), "noisy.mp4", &coded) else { return };
    let ladder = |codec: &str, more: &str| {
        let path = dir.path().join(format!("{codec}.toml"));
        let rung = format!(
            "[[rungs]]\nname = \"180p\"\nwidth = 320\nheight = 180\ncodec = \"{codec}\"\nbitrate = 400000\n\
             max_bitrate = 800000\ncrf = 30\n{more}"
        );
        std::fs::write(&path, rung).unwrap();
        path
    };
    let run = |ladder: &std::path::Path, name: &str| {
        let output = dir.path().join(name);
        let args = ["vod", "--codec", "av1", "--preset", "fastest", "--ladder"];
        let made = kit::sv().args(args).arg(ladder).arg("--out").arg(&output).arg(&source).output().unwrap();
        (made, output)
    };
    let grain = |output: &std::path::Path| {
        let joined = kit::joined(output, "180p-av1");
        let args = ["-v", "error", "-export_side_data", "film_grain", "-show_frames"];
        let text = kit::run(
            &sv_testkit::tool("ffprobe").unwrap(),
            &[&args[..], &[joined.to_str().unwrap()]].concat(),
        );
        (text.matches("Film grain parameters").count(), std::fs::metadata(joined).unwrap().len())
    };
    let (made, plain) = run(&ladder("av1", ""), "plain");
    if !made.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    let (made, described) = run(&ladder("av1", "film_grain = 12\n"), "described");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ((none, whole), (frames, less)) = (grain(&plain), grain(&described));
    assert_eq!((none, frames), (0, 25));
    assert!(less < whole, "{less} bytes with grain described, {whole} with it encoded");

    let (refused, _) = run(&ladder("hevc", "film_grain = 12\n"), "refused");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("in AV1 only"), "{said}");
}

#[test]
fn grain_is_described_as_strong_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, picture: &str| -> Option<(std::process::Output, String)> {
        let graph = format!(
            "color=c=gray:s=320x180:r=25,drawbox=x=40:y=40:w=80:h=60:c=silver:t=fill,trim=end=1,{picture}format=yuv420p"
        );
        let coded = ["-f", "lavfi", "-i", &graph, "-c:v", "ffv1"];
        let source = kit::make(dir.path(), &format!("{name}.mkv"), &coded)?;
        let output = dir.path().join(name);
        let args = ["vod", "--codec", "av1", "--preset", "fastest", "--film-grain", "auto", "--out"];
        let made = kit::sv().args(args).arg(&output).arg(&source).output().unwrap();
        let report = std::fs::read_to_string(output.join("report.json")).unwrap_or_default();
        Some((made, report))
    };
    // FFmpeg's strength 12 is spread evenly, which is a deviation of about 3.5.
    let Some((made, noisy)) = run("noisy", "noise=c0s=12:c0f=t,") else { return };
    if !made.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    assert!(noisy.contains("AV1 describes it at strength"), "{noisy}");
    let (_, clean) = run("clean", "").unwrap();
    assert!(clean.contains("too little grain to describe"), "{clean}");
}
