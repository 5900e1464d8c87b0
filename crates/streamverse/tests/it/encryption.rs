//! Encrypted output, decrypted by FFmpeg and shaka-packager to the very pictures of the source.

use std::path::Path;

use streamverse::core::{KeyId, Scheme};
use streamverse::drm::{ContentKey, Keys};
use streamverse::package_files::{self, Request};
use streamverse::vod::Encryption;
use sv_testkit::tool;

use crate::kit;

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";

fn package(input: &Path, output: &Path, scheme: Option<Scheme>, single_file: bool) {
    let mut request = Request::new(vec![input.to_owned()], output);
    request.single_file = single_file;
    let keys = Keys::one(KeyId::from_hex(KID).unwrap(), ContentKey::from_hex(KEY).unwrap());
    request.encryption = scheme.map(|scheme| Encryption::new(scheme, keys));
    package_files::start(request).unwrap().1.run().unwrap();
}

#[test]
fn ffmpeg_decrypts_what_we_encrypt() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 5) else { return };
    let wanted = kit::picture_hashes(&source, None);
    assert_eq!(wanted.len(), 125);
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        for single_file in [false, true] {
            let output = dir.path().join(format!("{}-{single_file}", scheme.as_str()));
            package(&source, &output, Some(scheme), single_file);
            let file = output.join("360p-h264.mp4");
            let got = if single_file {
                kit::picture_hashes(&file, Some(KEY))
            } else {
                kit::segment_hashes(&output, "360p-h264", KEY)
            };
            kit::same(&got, &wanted, scheme.as_str());
            if !single_file {
                continue;
            }
            let wrong = KEY.replace('3', "4");
            assert_ne!(kit::picture_hashes_or_none(&file, &wrong), wanted, "the wrong key decrypts");
        }
    }
}

/// Codecs of which only parts of a sample may be encrypted, as whole streams that FFmpeg decrypts.
#[test]
fn ffmpeg_decrypts_every_codec() {
    let dir = tempfile::tempdir().unwrap();
    for (name, codec) in [("hevc", "libx265"), ("av1", "libsvtav1"), ("vp9", "libvpx-vp9")] {
        let lavfi =
            ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-pix_fmt", "yuv420p", "-c:v", codec];
        let fast: &[&str] = match name {
            "vp9" => &["-deadline", "realtime", "-cpu-used", "8"],
            "av1" => &["-preset", "12"],
            _ => &["-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=error"],
        };
        let arguments = [&lavfi[..], fast].concat();
        let Some(source) = kit::make(dir.path(), &format!("{name}.mp4"), &arguments) else { return };
        let wanted = kit::picture_hashes(&source, None);
        assert_eq!(wanted.len(), 50);
        for scheme in [Scheme::Cenc, Scheme::Cbcs] {
            let output = dir.path().join(format!("{name}-{}", scheme.as_str()));
            package(&source, &output, Some(scheme), true);
            let file = output.join(format!("180p-{name}.mp4"));
            kit::same(
                &kit::picture_hashes(&file, Some(KEY)),
                &wanted,
                &format!("{name} {}", scheme.as_str()),
            );
            assert_ne!(kit::picture_hashes_or_none(&file, &KEY.replace('3', "4")), wanted);
        }
    }
}

/// Sound, small and large pictures each under a key of their own.
#[test]
fn each_class_of_renditions_has_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = kit::source(dir.path(), 3) else { return };
    let large =
        ["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=3", "-c:v", "libx264", "-preset", "ultrafast"];
    let large = kit::make(dir.path(), "large.mp4", &[&large[..], &["-pix_fmt", "yuv420p"]].concat()).unwrap();
    let id = |digit: &str| digit.repeat(32);
    let file = dir.path().join("keys");
    let lines = ["AUDIO 1", "SD 2", "HD 3"].map(|line| {
        let (label, digit) = line.split_once(' ').unwrap();
        format!("{label} {0}:{0}", id(digit))
    });
    std::fs::write(&file, lines.join("\n")).unwrap();
    let output = dir.path().join("out");
    let package = |keys: &Path, output: &Path| {
        let mut command = kit::sv();
        command
            .args(["package", "--single-file", "--encrypt", "cbcs", "--keys"])
            .arg(keys)
            .arg("--out")
            .arg(output);
        command.arg(&small).arg(&large).output().unwrap()
    };
    let made = package(&file, &output);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (name, source, digit) in [("360p-h264", &small, "2"), ("720p-h264", &large, "3")] {
        let wanted = kit::picture_hashes(source, None);
        let made = output.join(format!("{name}.mp4"));
        kit::same(&kit::picture_hashes(&made, Some(&id(digit))), &wanted, name);
        assert_ne!(kit::picture_hashes_or_none(&made, &id("1")), wanted, "{name} with the key of sound");
        let playlist = std::fs::read_to_string(output.join(format!("{name}.m3u8"))).unwrap();
        assert!(playlist.contains(&format!("KEYID=0x{}", id(digit))), "{playlist}");
    }
    let manifest = std::fs::read_to_string(output.join("manifest.mpd")).unwrap();
    for digit in ["1", "2", "3"] {
        let uuid = id(digit);
        let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
        assert!(manifest.contains(&uuid), "{manifest}");
    }
    assert_eq!(manifest.matches("adaptation-set-switching:2016").count(), 2, "{manifest}");

    // Pictures for which there is none.
    std::fs::write(&file, lines[..2].join("\n")).unwrap();
    let refused = package(&file, &dir.path().join("refused"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("there is no key for HD"), "{said}");
    assert!(!dir.path().join("refused").exists());
    let mut command = kit::sv();
    command
        .args(["vod", "--encrypt", "cenc", "--keys"])
        .arg(&file)
        .arg("--out")
        .arg(dir.path().join("refused"));
    let refused = command.arg(&large).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("there is no key for HD") && !said.contains(" %"), "{said}");
}

#[test]
fn shaka_packager_decrypts_what_we_encrypt() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(source), Some(packager)) = (kit::source(dir.path(), 5), tool("packager-linux-x64")) else {
        return;
    };
    let wanted = kit::picture_hashes(&source, None);
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        let output = dir.path().join(scheme.as_str());
        package(&source, &output, Some(scheme), true);
        for (name, stream) in [("360p-h264", "video"), ("audio-aac-6ch", "audio")] {
            let clear = dir.path().join(format!("{name}-{}.mp4", scheme.as_str()));
            let descriptor = format!(
                "in={},stream={stream},out={}",
                output.join(format!("{name}.mp4")).display(),
                clear.display()
            );
            let keys = format!("label=:key_id={KID}:key={KEY}");
            kit::run(&packager, &[&descriptor, "--enable_raw_key_decryption", "--keys", &keys]);
            if stream == "video" {
                kit::same(&kit::picture_hashes(&clear, None), &wanted, scheme.as_str());
            }
        }
    }
}

#[test]
fn nothing_written_holds_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let output = dir.path().join("out");
    package(&source, &output, Some(Scheme::Cbcs), true);
    let key = ContentKey::from_hex(KEY).unwrap();
    for entry in std::fs::read_dir(&output).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|w| w == key.expose()), "the key in the clear");
        assert!(!bytes.windows(32).any(|w| w.eq_ignore_ascii_case(KEY.as_bytes())), "the key in hexadecimal");
    }
}

/// The first segments play without a key, and the rest with it; FFmpeg and shaka-packager agree.
#[test]
fn a_clear_lead_needs_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 7) else { return };
    let wanted = kit::picture_hashes(&source, None);
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        let output = dir.path().join(format!("lead-{}", scheme.as_str()));
        let keys = Keys::one(KeyId::from_hex(KID).unwrap(), ContentKey::from_hex(KEY).unwrap());
        let mut encryption = Encryption::new(scheme, keys);
        encryption.clear_lead = std::time::Duration::from_secs(3);
        let mut request = Request::new(vec![source.clone()], &output);
        request.segment = std::time::Duration::from_secs(2);
        request.encryption = Some(encryption);
        package_files::start(request).unwrap().1.run().unwrap();
        let playlist = std::fs::read_to_string(output.join("360p-h264.m3u8")).unwrap();
        let (lead, rest) = playlist.split_once("#EXT-X-KEY").unwrap();
        assert!(lead.contains("360p-h264/1.m4s") && rest.contains("360p-h264/2.m4s"), "{playlist}");
        let folder = output.join("360p-h264");
        let piece = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let head = dir.path().join("head.mp4");
        std::fs::write(&head, [piece("init.mp4"), piece("0.m4s"), piece("1.m4s")].concat()).unwrap();
        kit::same(&kit::picture_hashes(&head, None), &wanted[..100], scheme.as_str());
        for (n, range) in [("2.m4s", 100..150), ("3.m4s", 150..175)] {
            let tail = dir.path().join("tail.mp4");
            std::fs::write(&tail, [piece("init.mp4"), piece(n)].concat()).unwrap();
            kit::same(&kit::picture_hashes(&tail, Some(KEY)), &wanted[range], scheme.as_str());
        }
    }
}
