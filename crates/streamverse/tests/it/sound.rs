//! Loudness, and sound that is kept as it is: judged by FFmpeg.

use std::path::{Path, PathBuf};

use sv_testkit::tool;

use crate::kit;

/// Integrated loudness in LUFS and true peak in dBTP, as FFmpeg's `ebur128` measures them.
fn loudness(file: &Path) -> (f64, f64) {
    let args = ["-nostats", "-i", file.to_str().unwrap(), "-map", "0:a:0"];
    let filter = ["-filter:a", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"];
    let output =
        std::process::Command::new(tool("ffmpeg").unwrap()).args(args).args(filter).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = text.rsplit("Summary:").next().unwrap();
    let value = |name: &str| {
        let line =
            summary.lines().find(|l| l.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    (value("I:"), value("Peak:"))
}

fn vod(source: &Path, output: &Path, more: &[&str]) -> serde_json::Value {
    let args = ["vod", "--segment", "2s", "--preset", "fastest", "--out"];
    let made = kit::sv().args(args).arg(output).arg(source).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap()
}

/// Sound alone, from FFmpeg's expressions.
fn made(dir: &Path, name: &str, sound: &str) -> Option<PathBuf> {
    kit::make(dir, name, &["-f", "lavfi", "-i", sound, "-c:a", "flac"])
}

#[test]
fn sound_is_as_loud_as_asked_for_and_its_peaks_stay_below() {
    let dir = tempfile::tempdir().unwrap();
    // Quiet; loud with single peaks that a gain alone would clip; noise in six channels.
    let sources = [
        ("quiet.flac", "sine=f=997:r=48000:d=20,volume=-15dB", "-23"),
        (
            "peaky.flac",
            "aevalsrc='0.06*sin(2*PI*500*t)+if(lt(mod(t,2),0.004),0.5*sin(2*PI*2000*t),0)':s=48000:d=20",
            "-16",
        ),
        (
            "noise51.mka",
            "anoisesrc=r=48000:d=20:a=0.2:c=pink,lowpass=f=4000,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0",
            "-20",
        ),
    ];
    for (name, sound, target) in sources {
        let Some(source) = made(dir.path(), name, sound) else { return };
        let output = dir.path().join(format!("{name}.out"));
        let report = vod(&source, &output, &["--loudness", target]);
        let wanted: f64 = target.parse().unwrap();
        let levelled = report["loudness"].as_array().unwrap();
        assert_eq!(levelled.len(), if name.contains("51") { 2 } else { 1 });
        for level in levelled {
            let rendition = level["rendition"].as_str().unwrap();
            let (loud, peak) = loudness(&kit::joined(&output, rendition));
            assert!((loud - wanted).abs() <= 0.5, "{name} {rendition}: {loud} LUFS and not {wanted}");
            assert!(peak <= -1.0, "{name} {rendition}: {peak} dBTP");
        }
        // As many samples as without.
        let plain = dir.path().join(format!("{name}.plain"));
        vod(&source, &plain, &[]);
        let length = |folder: &Path, rendition: &str| {
            let playlist = std::fs::read_to_string(folder.join(format!("{rendition}.m3u8"))).unwrap();
            playlist.lines().filter(|l| l.starts_with("#EXTINF")).map(str::to_owned).collect::<Vec<_>>()
        };
        let rendition = levelled[0]["rendition"].as_str().unwrap();
        assert_eq!(length(&output, rendition), length(&plain, rendition));
    }
}

#[test]
fn a_soft_film_in_surround_is_as_loud_as_asked_for() {
    // Its stereo mix needs 26 dB, and then has to be held below the ceiling.
    let Some(source) = sv_testkit::corpus("clips/big_buck_bunny_720p25_5s.mp4") else { return };
    let dir = tempfile::tempdir().unwrap();
    for target in [-23.0, -16.0, -14.0] {
        let output = dir.path().join(format!("{target}"));
        let report = vod(source.as_ref(), &output, &["--loudness", &target.to_string()]);
        for level in report["loudness"].as_array().unwrap() {
            let rendition = level["rendition"].as_str().unwrap();
            let (loud, peak) = loudness(&kit::joined(&output, rendition));
            assert!((loud - target).abs() <= 0.5, "{rendition}: {loud} LUFS and not {target}");
            assert!(peak <= -1.0, "{rendition}: {peak} dBTP");
        }
    }
}

#[test]
fn silence_stays_silent() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = made(dir.path(), "silence.flac", "anullsrc=r=48000:cl=stereo:d=6") else { return };
    let report = vod(&source, &dir.path().join("out"), &["--loudness"]);
    assert_eq!(report["loudness"][0]["gain"].as_f64(), Some(0.0));
    assert_eq!(report["loudness"][0]["measured"]["integrated"], serde_json::Value::Null);
}

/// MD5 of each sound packet of a file.
fn packets(file: &Path) -> Vec<String> {
    let args =
        ["-v", "error", "-i", file.to_str().unwrap(), "-map", "0:a:0", "-c", "copy", "-f", "framemd5", "-"];
    let text = kit::run(&tool("ffmpeg").unwrap(), &args);
    // Side data of a packet follows in columns of its own.
    let rows = text.lines().filter(|l| !l.starts_with('#'));
    rows.map(|l| l.split(',').nth(5).unwrap().trim().to_owned()).collect()
}

fn probe(file: &Path, entries: &str) -> String {
    let args = ["-v", "error", "-select_streams", "a:0", "-show_entries", entries, "-of", "csv=p=0"];
    kit::run(&tool("ffprobe").unwrap(), &[&args[..], &[file.to_str().unwrap()]].concat())
        .trim()
        .trim_end_matches(',')
        .to_owned()
}

#[test]
fn dolby_digital_is_kept_to_the_byte_in_every_container() {
    let dir = tempfile::tempdir().unwrap();
    for (codec, rfc6381) in [("ac3", "ac-3"), ("eac3", "ec-3")] {
        for container in ["mp4", "mkv", "ts"] {
            let name = format!("{codec}.{container}");
            let sound = "sine=f=440:r=48000:d=6,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0";
            let pictures = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=6", "-f", "lavfi", "-i", sound];
            let coded = ["-c:v", "libx264", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", codec, "-b:a", "384k"];
            let Some(source) = kit::make(dir.path(), &name, &[&pictures[..], &coded].concat()) else {
                return;
            };
            let output = dir.path().join(format!("{name}.out"));
            let report = vod(&source, &output, &["--keep-audio", "ac3,eac3"]);
            let names: Vec<_> = report["renditions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["name"].as_str().unwrap())
                .collect();
            let kept = format!("audio-{codec}-6ch");
            for wanted in [kept.as_str(), "audio-aac-2ch", "audio-aac-6ch"] {
                assert!(names.contains(&wanted), "{name}: {names:?}");
            }
            let joined = kit::joined(&output, &kept);
            kit::same(&packets(&joined), &packets(&source), &name);
            assert_eq!(probe(&joined, "stream=codec_name,channels,sample_rate"), format!("{codec},48000,6"));
            let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
            assert!(
                master.contains(&format!("{rfc6381}\"")) && master.contains("CHANNELS=\"6\""),
                "{master}"
            );
        }
    }
}

#[test]
fn what_is_kept_is_counted_in_samples_and_offered_behind_what_everything_plays() {
    let dir = tempfile::tempdir().unwrap();
    // 1536 samples of 44.1 kHz are no whole number of milliseconds, nor of ticks of 90 kHz.
    for rate in ["44100", "48000"] {
        for container in ["mp4", "mkv", "ts"] {
            let name = format!("{rate}.{container}");
            let sound = format!("sine=f=440:r={rate}:d=6,aformat=channel_layouts=stereo");
            let pictures = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=6", "-f", "lavfi", "-i", &sound];
            let coded = ["-c:v", "libx264", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "ac3"];
            let Some(source) = kit::make(dir.path(), &name, &[&pictures[..], &coded].concat()) else {
                return;
            };
            let output = dir.path().join(format!("{name}.out"));
            vod(&source, &output, &["--keep-audio", "ac3"]);
            let kept = kit::joined(&output, "audio-ac3-2ch");
            assert_eq!(probe(&kept, "stream=time_base"), format!("1/{rate}"), "{name}");
            kit::same(&packets(&kept), &packets(&source), &name);
            let times = probe(&kept, "packet=pts");
            let times: Vec<i64> =
                times.lines().filter_map(|l| l.trim_end_matches(',').parse().ok()).collect();
            assert!(times.len() > 150 && times.windows(2).all(|t| t[1] - t[0] == 1536), "{name}: {times:?}");
            if container == "mp4" {
                assert_eq!(times[0], -256, "{name}: as the source's edit list says");
            }
            let master = std::fs::read_to_string(output.join("master.m3u8")).unwrap();
            let first = master.lines().find(|l| l.starts_with("#EXT-X-STREAM-INF")).unwrap();
            assert!(first.contains("mp4a.40.2"), "{first}");
        }
    }
}

/// A film of 20 seconds with E-AC-3 in 5.1.
fn film(dir: &Path) -> Option<PathBuf> {
    let sound = "sine=f=440:r=48000:d=20,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0";
    let pictures = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=20", "-f", "lavfi", "-i", sound];
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "eac3"];
    kit::make(dir, "film.mkv", &[&pictures[..], &coded].concat())
}

#[test]
fn a_killed_run_goes_on_with_what_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = film(dir.path()) else { return };
    let output = dir.path().join("out");
    let mut child = crate::resume::interrupted(&source, &output, 12, &["--keep-audio", "eac3"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let args = ["vod", "--segment", "1s", "--preset", "balanced", "--keep-audio", "eac3", "--out"];
    let run = kit::sv().args(args).arg(&output).arg(&source).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("segments are kept"), "{said}");
    kit::same(&packets(&kit::joined(&output, "audio-eac3-6ch")), &packets(&source), "resumed");
}

#[test]
fn what_is_kept_is_encrypted_like_everything_else() {
    const KEY: &str = "32333435363738393021323334353637";
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = film(dir.path()) else { return };
    let (output, keys) = (dir.path().join("out"), dir.path().join("keys"));
    std::fs::write(&keys, format!("31323334353637383930313233343536:{KEY}")).unwrap();
    let keys = keys.to_str().unwrap();
    let more = ["--single-file", "--keep-audio", "eac3", "--encrypt", "cbcs", "--keys", keys];
    vod(&source, &output, &more);
    let kept = output.join("audio-eac3-6ch.mp4");
    assert!(packets(&kept)[1] != packets(&source)[1]);
    let clear = dir.path().join("clear.mp4");
    let args = ["-v", "error", "-decryption_key", KEY, "-i", kept.to_str().unwrap(), "-c", "copy"];
    kit::run(&tool("ffmpeg").unwrap(), &[&args[..], &[clear.to_str().unwrap()]].concat());
    kit::same(&packets(&clear), &packets(&source), "decrypted");
}

#[test]
fn sound_comes_as_opus_and_flac_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) =
        made(dir.path(), "sound.flac", "sine=f=440:r=48000:d=5,aformat=channel_layouts=stereo")
    else {
        return;
    };
    for codec in ["opus", "flac"] {
        let output = dir.path().join(codec);
        vod(&source, &output, &["--audio-codec", codec]);
        let joined = kit::joined(&output, &format!("audio-{codec}-2ch"));
        assert_eq!(probe(&joined, "stream=codec_name,channels,sample_rate"), format!("{codec},48000,2"));
        if codec == "flac" {
            // Without loss: the samples are those of the source.
            let samples = |file: &Path| {
                let args = ["-v", "error", "-i", file.to_str().unwrap(), "-f", "s16le", "-f", "md5", "-"];
                kit::run(&tool("ffmpeg").unwrap(), &args)
            };
            assert_eq!(samples(&joined), samples(&source));
        }
    }
    let output = dir.path().join("kept");
    vod(&source, &output, &["--audio-codec", "flac", "--keep-audio", "flac"]);
    let folders: Vec<_> = std::fs::read_dir(&output)
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, ["audio-flac-2ch"], "what is kept is not made again");
}
