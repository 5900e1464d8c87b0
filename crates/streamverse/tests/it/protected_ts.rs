//! Encrypted transport streams and packed audio, played by FFmpeg with the key and not without.

use std::path::{Path, PathBuf};
use std::process::Command;

use sv_testkit::{corpus, tool};

use crate::{kit, resume};

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";

/// The key where a playlist looks for it, as whoever serves keys would give it, and a file of keys for us.
fn keys(dir: &Path) -> (PathBuf, String) {
    let bytes: Vec<u8> = (0..32).step_by(2).map(|n| u8::from_str_radix(&KEY[n..n + 2], 16).unwrap()).collect();
    std::fs::write(dir.join(format!("{KID}.key")), bytes).unwrap();
    let file = dir.join("keys");
    std::fs::write(&file, format!("{KID}:{KEY}")).unwrap();
    (file, format!("file:{}/{{kid}}.key", dir.display()))
}

fn package(dir: &Path, sources: &[&Path], more: &[&str]) -> PathBuf {
    let (keys, url) = keys(dir);
    let output = dir.join(format!("out-{}", more.join("").replace('-', "")));
    let mut command = kit::sv();
    command.args(["package", "--format", "ts", "--segment", "2s", "--key-url", &url, "--keys"]).arg(keys);
    let made = command.args(more).arg("--out").arg(&output).args(sources).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    output
}

/// What FFmpeg prints for each packet or picture of a playlist; `None` when it gives up.
fn play(playlist: &Path, map: &str) -> Option<Vec<String>> {
    let mut command = Command::new(tool("ffmpeg").unwrap());
    command.args(["-v", "error", "-allowed_extensions", "ALL", "-i"]).arg(playlist);
    let output = command.args(["-map", map, "-f", "framemd5", "-"]).output().unwrap();
    let quiet = output.status.success() && output.stderr.is_empty();
    quiet.then(|| kit::hashes(&String::from_utf8_lossy(&output.stdout)))
}

#[test]
fn ffmpeg_decrypts_pictures_and_sound() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let clear = package_clear(dir.path(), &source);
    let sound = play(&clear.join("audio-aac-6ch.m3u8"), "0:a").unwrap();
    for scheme in ["sample-aes", "aes-128"] {
        for layout in [&[][..], &["--single-file"]] {
            let output = package(dir.path(), &[&source], &[&["--encrypt", scheme], layout].concat());
            let playlist = output.join("360p-h264.m3u8");
            kit::same(&play(&playlist, "0:v").unwrap(), &wanted, scheme);
            kit::same(&play(&output.join("audio-aac-6ch.m3u8"), "0:a").unwrap(), &sound, scheme);
            let keys = output.join("360p-h264-iframes.m3u8");
            assert_eq!(keys.exists(), scheme == "sample-aes");
            if scheme == "sample-aes" {
                let keys = play(&keys, "0:v").unwrap();
                assert!(keys.len() >= 3 && keys.iter().all(|key| wanted.contains(key)), "{keys:?}");
            }
            // Another key shows nothing that is right.
            let text = std::fs::read_to_string(&playlist).unwrap();
            assert!(!text.contains(KEY), "{text}");
            std::fs::write(dir.path().join("wrong.key"), [9; 16]).unwrap();
            let wrong = output.join("wrong.m3u8");
            std::fs::write(&wrong, text.replace(&format!("{KID}.key"), "wrong.key")).unwrap();
            assert_ne!(play(&wrong, "0:v").unwrap_or_default(), wanted);
        }
    }
}

fn package_clear(dir: &Path, source: &Path) -> PathBuf {
    let output = dir.join("clear");
    let mut command = kit::sv();
    command.args(["package", "--format", "ts", "--segment", "2s", "--out"]).arg(&output).arg(source);
    assert!(command.output().unwrap().status.success());
    output
}

#[test]
fn ffmpeg_decrypts_dolby_sound() {
    let dir = tempfile::tempdir().unwrap();
    for (codec, ext) in [("ac3", "ac3"), ("eac3", "ec3")] {
        let arguments = ["-f", "lavfi", "-i", "sine=f=300:r=48000:d=5", "-ac", "2", "-c:a", codec];
        let Some(source) = kit::make(dir.path(), &format!("{codec}.mp4"), &arguments) else { return };
        let decoded = |path: &Path| play(path, "0:a").unwrap();
        let wanted = decoded(&source);
        let name = format!("audio-{codec}-2ch");
        let nested = dir.path().join(codec);
        std::fs::create_dir(&nested).unwrap();
        for scheme in ["sample-aes", "aes-128"] {
            let output = package(&nested, &[&source], &["--encrypt", scheme]);
            assert!(output.join(format!("{name}/0.{ext}")).exists());
            let got = decoded(&output.join(format!("{name}.m3u8")));
            assert_eq!(got, wanted, "{codec} {scheme}");
        }
    }
}

#[test]
fn the_lead_plays_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    for scheme in ["sample-aes", "aes-128"] {
        let output = package(dir.path(), &[&source], &["--encrypt", scheme, "--clear-lead", "3s"]);
        let text = std::fs::read_to_string(output.join("360p-h264.m3u8")).unwrap();
        let (lead, rest) = text.split_once(if scheme == "aes-128" { "#EXT-X-KEY" } else { "#EXT-X-DISCONTINUITY" }).unwrap();
        assert!(!lead.contains("EXT-X-KEY"), "{text}");
        // Segments up to 4 s. (FFmpeg takes the last picture of a clear segment for one of the encrypted one behind
        // it, so the two parts are played apart.)
        let head = output.join("lead.m3u8");
        std::fs::write(&head, format!("{lead}#EXT-X-ENDLIST\n")).unwrap();
        kit::same(&play(&head, "0:v").unwrap(), &wanted[..100], scheme);
        let tail = output.join("tail.m3u8");
        // The number of a segment is the vector of AES-128.
        let top = format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", 2);
        let mark = if scheme == "aes-128" { "#EXT-X-KEY" } else { "" };
        std::fs::write(&tail, format!("{top}{mark}{rest}")).unwrap();
        kit::same(&play(&tail, "0:v").unwrap(), &wanted[100..], scheme);
    }
}

/// What shaka-packager encrypted, with its playlists pointed at the key: FFmpeg shows the same as of the clear source, and
/// our reader and decryptor give the source's samples.
#[test]
fn shaka_packagers_streams_are_read() {
    use std::sync::Arc;
    use streamverse::container::ts;
    use streamverse::core::{Bytes, Codec, FileAt, Item, Limits, Packet, Protection, Source};
    use streamverse::drm::{ContentKey, cenc};

    fn packets<S: Source>(source: &mut S, codec: Codec) -> Vec<(Option<Protection>, Packet)>
    where
        S::Error: std::fmt::Debug,
    {
        let (mut out, mut wanted) = (Vec::new(), None);
        while let Some(item) = source.next_item().unwrap() {
            match item {
                Item::Track(track) if track.codec == codec => wanted = Some(track),
                Item::Packet(packet) => {
                    if let Some(track) = wanted.as_ref().filter(|t| t.id == packet.track) {
                        out.push((track.protection.clone(), packet));
                    }
                }
                _ => {}
            }
        }
        out
    }

    let Some(golden) = corpus("shaka/golden/avc-ts-with-encryption") else { return };
    let Some(input) = corpus("shaka/inputs/bear-640x360.ts") else { return };
    for (name, codec) in [("video", Codec::H264), ("audio", Codec::Aac)] {
        let mut source =
            ts::Demuxer::open(Arc::new(FileAt::open(&input).unwrap()), Limits::default()).unwrap();
        let clear = packets(&mut source, codec);
        let mut theirs = Vec::new();
        for n in 1..=3 {
            let bytes = std::fs::read(golden.join(format!("bear-640x360-{name}-{n}.ts"))).unwrap();
            let mut demuxer = ts::Demuxer::open(Arc::new(Bytes::from(bytes)), Limits::default()).unwrap();
            theirs.extend(packets(&mut demuxer, codec));
        }
        assert_eq!(theirs.len(), clear.len(), "{name}");
        let mut secret = 0;
        for ((protection, packet), (_, clear)) in theirs.into_iter().zip(clear) {
            let data = match protection {
                None => packet.data,
                Some(mut protection) => {
                    secret += 1;
                    protection.constant_iv = Some(Bytes::from_static(b"34567890\0\0\0\0\0\0\0\0"));
                    cenc::decrypt(&protection, &ContentKey::from_hex(KEY).unwrap(), packet).unwrap().data
                }
            };
            assert_eq!(data, clear.data, "{name} at {:?}", clear.pts);
        }
        assert!(secret > 10, "{name}");
    }
}

#[test]
fn a_killed_run_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 20) else { return };
    let (keys, url) = keys(dir.path());
    for scheme in ["sample-aes", "aes-128"] {
        let output = dir.path().join(scheme);
        let keys = keys.to_str().unwrap();
        let more = ["--format", "ts", "--encrypt", scheme, "--key-url", &url, "--clear-lead", "2s", "--keys", keys];
        let mut child = resume::interrupted(&source, &output, 12, &more);
        child.kill().unwrap();
        child.wait().unwrap();
        // A second run has the same vectors, which are random, and nothing else of the first.
        let anew = dir.path().join(format!("{scheme}-anew"));
        let partial = |output: &Path| output.with_extension("partial");
        std::fs::create_dir(partial(&anew)).unwrap();
        let journal = std::fs::read_to_string(partial(&output).join(".journal")).unwrap();
        let vectors: String =
            journal.lines().filter(|l| l.contains("\"line\":\"request\"")).map(|l| format!("{l}\n")).collect();
        std::fs::write(partial(&anew).join(".journal"), vectors).unwrap();
        for output in [&output, &anew] {
            let mut command = kit::sv();
            command.args(["vod", "--segment", "1s", "--preset", "balanced", "--out"]).arg(output).arg(&source);
            let run = command.args(more).output().unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{said}");
            assert_eq!(said.contains("segments are kept"), !output.ends_with(&anew), "{said}");
        }
        let mut compared = 0;
        for folder in std::fs::read_dir(&output).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
            for file in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
                let other = anew.join(file.strip_prefix(&output).unwrap());
                assert!(std::fs::read(&file).unwrap() == std::fs::read(&other).unwrap(), "{}", file.display());
                compared += 1;
            }
        }
        assert!(compared >= 60, "{compared}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 1) else { return };
    let (keys, _) = keys(dir.path());
    for (more, says) in [
        (&["--format", "ts", "--encrypt", "cbcs"][..], "sample-aes or aes-128"),
        (&["--encrypt", "sample-aes"], "sample-aes or aes-128"),
        (&["--format", "ts", "--encrypt", "sample-aes"], "--key-url"),
    ] {
        let output = dir.path().join("out");
        let mut command = kit::sv();
        command.arg("package").args(more).arg("--keys").arg(&keys).arg("--out").arg(&output).arg(&source);
        let made = command.output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(!made.status.success() && said.contains(says) && !said.contains(KEY), "{said}");
        assert!(!output.exists());
    }
}
