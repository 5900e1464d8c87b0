//! Encrypted transport streams and packed audio, played by FFmpeg with the key and not without.

use std::path::{Path, PathBuf};
use std::process::Command;

use sv_testkit::{corpus, tool};

use crate::{kit, resume};

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";

/// The key where a playlist looks for it, as whoever serves keys would give it, and a file of keys for us.
fn keys(dir: &Path) -> (PathBuf, String) {
    let bytes: Vec<u8> =
        (0..32).step_by(2).map(|n| u8::from_str_radix(&KEY[n..n + 2], 16).unwrap()).collect();
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

/// The hashes of what FFmpeg decodes of a playlist.
fn play(playlist: &Path, map: &str) -> Vec<String> {
    let mut command = Command::new(tool("ffmpeg").unwrap());
    command.args(["-v", "quiet", "-allowed_extensions", "ALL", "-i"]).arg(playlist);
    let output = command.args(["-map", map, "-f", "framemd5", "-"]).output().unwrap();
    kit::hashes(&String::from_utf8_lossy(&output.stdout))
}

/// Of samples that are encrypted apart, FFmpeg 5.1 leaves the last ones of a playlist as they are: by then it knows no
/// segment that they belong to. Shaka-packager's streams show the same.
fn tail(scheme: &str) -> usize {
    if scheme == "sample-aes" { 6 } else { 0 }
}

fn agree(got: &[String], wanted: &[String], scheme: &str) {
    let count = wanted.len() - tail(scheme);
    assert!(got.len() >= count, "{scheme}: {} of {}", got.len(), wanted.len());
    kit::same(&got[..count], &wanted[..count], scheme);
}

#[test]
fn ffmpeg_decrypts_pictures_and_sound() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    let clear = package_clear(dir.path(), &source);
    let sound = play(&clear.join("audio-aac-6ch.m3u8"), "0:a");
    assert!(sound.len() > 300);
    for scheme in ["sample-aes", "aes-128"] {
        for layout in [&[][..], &["--single-file"]] {
            let output = package(dir.path(), &[&source], &[&["--encrypt", scheme], layout].concat());
            let playlist = output.join("360p-h264.m3u8");
            agree(&play(&playlist, "0:v"), &wanted, scheme);
            agree(&play(&output.join("audio-aac-6ch.m3u8"), "0:a"), &sound, scheme);
            let keys = output.join("360p-h264-iframes.m3u8");
            assert_eq!(keys.exists(), scheme == "sample-aes");
            if scheme == "sample-aes" {
                let keys = play(&keys, "0:v");
                assert!(keys.len() >= 2 && keys[..2].iter().all(|key| wanted.contains(key)), "{keys:?}");
            }
            // Another key shows nothing that is right.
            let text = std::fs::read_to_string(&playlist).unwrap();
            assert!(!text.contains(KEY), "{text}");
            std::fs::write(dir.path().join("wrong.key"), [9; 16]).unwrap();
            let wrong = output.join("wrong.m3u8");
            std::fs::write(&wrong, text.replace(&format!("{KID}.key"), "wrong.key")).unwrap();
            let wrong = play(&wrong, "0:v");
            assert!(wrong.iter().take(20).all(|picture| !wanted.contains(picture)));
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
        let name = format!("audio-{codec}-2ch");
        let nested = dir.path().join(codec);
        std::fs::create_dir(&nested).unwrap();
        let clear = package_clear(&nested, &source);
        let wanted = play(&clear.join(format!("{name}.m3u8")), "0:a");
        let output = package(&nested, &[&source], &["--encrypt", "aes-128"]);
        assert_eq!(play(&output.join(format!("{name}.m3u8")), "0:a"), wanted, "{codec}");

        // FFmpeg 5.1 plays neither ours nor shaka-packager's encrypted frames of Dolby Digital where none is clear, so
        // OpenSSL decrypts them: of each frame the whole blocks behind the first 16 bytes.
        let Some(openssl) = tool("openssl") else { return };
        let output = package(&nested, &[&source], &["--encrypt", "sample-aes"]);
        let playlist = std::fs::read_to_string(output.join(format!("{name}.m3u8"))).unwrap();
        let iv = playlist.split("IV=0x").nth(1).unwrap()[..32].to_owned();
        let frames = |folder: &Path| frames(&folder.join(&name).join(format!("0.{ext}")));
        let (secret, clear) = (frames(&output), frames(&clear));
        assert!(secret.len() == clear.len() && clear.len() > 50);
        for (secret, clear) in secret.iter().zip(&clear).take(5) {
            let whole = 16 + (secret.len() - 16) / 16 * 16;
            let file = nested.join("frame");
            std::fs::write(&file, &secret[16..whole]).unwrap();
            let mut command = Command::new(&openssl);
            command.args(["enc", "-d", "-aes-128-cbc", "-nopad", "-K", KEY, "-iv", &iv, "-in"]);
            let middle = command.arg(&file).output().unwrap().stdout;
            assert_eq!([&secret[..16], &middle, &secret[whole..]].concat(), *clear, "{codec}");
        }
    }
}

/// The frames of a segment of Dolby Digital behind its tag.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let tag = bytes[6..10].iter().fold(0, |n, byte| n << 7 | usize::from(*byte)) + 10;
    let mut rest = &bytes[tag..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let size = streamverse::codec::ac3::Header::parse(rest).unwrap().frame_len;
        out.push(rest[..size].to_vec());
        rest = &rest[size..];
    }
    out
}

#[test]
fn the_lead_plays_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    for scheme in ["sample-aes", "aes-128"] {
        let output = package(dir.path(), &[&source], &["--encrypt", scheme, "--clear-lead", "3s"]);
        let text = std::fs::read_to_string(output.join("360p-h264.m3u8")).unwrap();
        let (lead, behind) =
            text.split_once(if scheme == "aes-128" { "#EXT-X-KEY" } else { "#EXT-X-DISCONTINUITY" }).unwrap();
        assert!(!lead.contains("EXT-X-KEY"), "{text}");
        // Segments up to 4 s. (FFmpeg takes the last picture of a clear segment for one of the encrypted one behind
        // it, so the two parts are played apart.)
        let head = output.join("lead.m3u8");
        std::fs::write(&head, format!("{lead}#EXT-X-ENDLIST\n")).unwrap();
        kit::same(&play(&head, "0:v"), &wanted[..100], scheme);
        let rest = output.join("rest.m3u8");
        // The number of a segment is the vector of AES-128.
        let top =
            format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", 2);
        let mark = if scheme == "aes-128" { "#EXT-X-KEY" } else { "" };
        std::fs::write(&rest, format!("{top}{mark}{behind}")).unwrap();
        agree(&play(&rest, "0:v"), &wanted[100..], scheme);
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

/// A segment of packed audio behind its tag: frames, without their headers of ADTS.
fn packed(path: &Path, adts: bool) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let tag = bytes[6..10].iter().fold(0, |n, byte| n << 7 | usize::from(*byte)) + 10;
    let mut rest = &bytes[tag..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (header, size) = match adts {
            true => {
                let header = streamverse::codec::aac::adts::Header::parse(rest).unwrap();
                (header.header_len, header.frame_len)
            }
            false => (0, streamverse::codec::ac3::Header::parse(rest).unwrap().frame_len),
        };
        out.push(rest[header..size].to_vec());
        rest = &rest[size..];
    }
    out
}

/// shaka-packager's cases of packed audio: the same frames, of which those of the first segment are clear.
#[test]
fn packed_audio_is_that_of_shaka_packager() {
    use streamverse::codec::sample_aes;
    use streamverse::core::{
        Bytes, Codec, Duration, Packet, Protection, SampleProtection, Scheme, Timestamp, TrackId,
    };
    use streamverse::drm::{ContentKey, cenc};

    let dir = tempfile::tempdir().unwrap();
    for (case, source, stem, codec, ext) in [
        ("aac", "bear-640x360.ts", "bear-640x360-audio", Codec::Aac, "aac"),
        ("ac3", "bear-640x360-ac3.ts", "bear-640x360-ac3-audio", Codec::Ac3, "ac3"),
    ] {
        let case = format!("avc-ts-{case}-packed-audio-with-encryption");
        let Some(golden) = corpus(&format!("shaka/golden/{case}")) else { return };
        let Some(input) = corpus(&format!("shaka/inputs/{source}")) else { return };
        let (keys, url) = keys(dir.path());
        let output = dir.path().join(codec.name());
        let mut command = kit::sv();
        command.args([
            "package",
            "--format",
            "ts",
            "--segment",
            "1s",
            "--encrypt",
            "sample-aes",
            "--clear-lead",
            "1s",
        ]);
        command.args(["--key-url", &url, "--keys"]).arg(keys).arg("--out").arg(&output);
        let made = command.arg(format!("in={},stream=audio", input.display())).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let name = format!("audio-{}-2ch", codec.name());
        let playlist = std::fs::read_to_string(output.join(format!("{name}.m3u8"))).unwrap();
        let iv = playlist.split("IV=0x").nth(1).unwrap()[..32].to_owned();
        let ours = streamverse::core::KeyId::from_hex(&iv).unwrap().0;
        let theirs = *b"34567890\0\0\0\0\0\0\0\0";

        let clear = |data: Vec<u8>, iv: [u8; 16]| {
            let protection = Protection {
                scheme: Scheme::SampleAes,
                default_kid: streamverse::core::KeyId([0; 16]),
                pattern: (0, 0),
                iv_size: 0,
                constant_iv: Some(Bytes::copy_from_slice(&iv)),
                pssh: Vec::new(),
                clear_lead: false,
            };
            let subsamples = sample_aes::subsamples(codec, 0, &data).unwrap().into();
            let packet = Packet {
                track: TrackId(1),
                pts: Timestamp::ZERO,
                dts: Timestamp::ZERO,
                duration: Duration::ZERO,
                key: true,
                data: data.into(),
                protection: Some(SampleProtection { iv, subsamples, key: None }),
            };
            cenc::decrypt(&protection, &ContentKey::from_hex(KEY).unwrap(), packet).unwrap().data
        };
        let read = |path: &dyn Fn(usize) -> PathBuf, iv: [u8; 16]| -> Vec<Vec<Bytes>> {
            let segment = |n: usize| {
                let frames = packed(&path(n), codec == Codec::Aac).into_iter();
                frames.map(|frame| if n == 0 { frame.into() } else { clear(frame, iv) }).collect()
            };
            (0..3).map(segment).collect()
        };
        let ours = read(&|n| output.join(&name).join(format!("{n}.{ext}")), ours);
        let theirs = read(&|n| golden.join(format!("{stem}-{}.{ext}", n + 1)), theirs);
        let counts = |all: &[Vec<Bytes>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        // It cuts on the source's clock and we on the presentation's, which is two frames later.
        let near = |(a, b): (usize, usize)| a.abs_diff(b) <= 2;
        assert!(counts(&ours).into_iter().zip(counts(&theirs)).all(near), "{case}: {:?}", counts(&ours));
        assert!(ours.concat() == theirs.concat(), "{case}: other frames");
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
        let more = [
            "--format",
            "ts",
            "--encrypt",
            scheme,
            "--key-url",
            &url,
            "--clear-lead",
            "2s",
            "--chunk",
            "2s",
            "--workers",
            "2",
            "--keys",
            keys,
        ];
        let mut child = resume::interrupted(&source, &output, 12, &more);
        child.kill().unwrap();
        child.wait().unwrap();
        // A second run has the same vectors, which are random, and nothing else of the first.
        let anew = dir.path().join(format!("{scheme}-anew"));
        let partial = |output: &Path| output.with_extension("partial");
        std::fs::create_dir(partial(&anew)).unwrap();
        let journal = std::fs::read_to_string(partial(&output).join(".journal")).unwrap();
        let vectors: String = journal
            .lines()
            .filter(|l| l.contains("\"line\":\"request\""))
            .map(|l| format!("{l}\n"))
            .collect();
        std::fs::write(partial(&anew).join(".journal"), vectors).unwrap();
        for output in [&output, &anew] {
            let mut command = kit::sv();
            command
                .args(["vod", "--segment", "1s", "--preset", "balanced", "--out"])
                .arg(output)
                .arg(&source);
            // What a killed run goes on with and what a new one begins with are the same vectors.
            let run = command.args(more).output().unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{said}");
            assert_eq!(said.contains("segments are kept"), !output.ends_with(&anew), "{said}");
        }
        let mut compared = 0;
        for folder in std::fs::read_dir(&output).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
            for file in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
                let other = anew.join(file.strip_prefix(&output).unwrap());
                assert!(
                    std::fs::read(&file).unwrap() == std::fs::read(&other).unwrap(),
                    "{}",
                    file.display()
                );
                compared += 1;
            }
        }
        assert!(compared >= 40, "{compared}");
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
