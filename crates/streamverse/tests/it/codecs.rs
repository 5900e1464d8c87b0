//! Codecs that are packaged as they come: the packets that ffprobe reads, the sound and pictures that FFmpeg decodes,
//! and what manifests call them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamverse::container::mp4;
use streamverse::core::{Bytes, FileAt, Item, Limits, Source as _};
use sv_testkit::{corpus, tool};

use crate::kit;

const KID: &str = "31323334353637383930313233343536";
const KEY: &str = "32333435363738393021323334353637";

/// Packages one track into a single file, and gives it with both manifests.
fn package(dir: &Path, name: &str, input: &str, scheme: Option<&str>) -> (PathBuf, String, String) {
    let output = dir.join(name);
    let mut command = kit::sv();
    command.args(["package", "--single-file", "--segment", "1s", input, "--out"]).arg(&output);
    if let Some(scheme) = scheme {
        let keys = dir.join("keys");
        std::fs::write(&keys, format!("{KID}:{KEY}")).unwrap();
        command.args(["--encrypt", scheme, "--keys"]).arg(keys);
    }
    let made = command.output().unwrap();
    assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    let files = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path());
    let whole = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "mp4") && !path.to_str().unwrap().contains("-trick")
    };
    let file = files.filter(whole).last().unwrap();
    let text = |name| std::fs::read_to_string(output.join(name)).unwrap();
    (file, text("manifest.mpd"), text("master.m3u8"))
}

/// Time and MD5 of each packet, as ffprobe reads them: of codecs too that it knows nothing of.
fn packets(path: &Path) -> Vec<String> {
    let args = ["-v", "quiet", "-show_data_hash", "md5", "-show_entries", "packet=pts_time,data_hash"];
    let file = path.to_str().unwrap();
    let text = kit::run(&tool("ffprobe").unwrap(), &[&args[..], &["-of", "csv", file]].concat());
    // Side data of a packet stands between the two.
    let times =
        text.lines().filter_map(|line| line.strip_prefix("packet,")).map(|l| l.split(',').next().unwrap());
    let hashes = text.split("MD5:").skip(1).map(|rest| &rest[..32]);
    times.zip(hashes).map(|(time, hash)| format!("{time} {hash}")).collect()
}

/// The packets of a file by our own reader. (ffprobe doesn't open ALAC whose cookie is said before its name.)
fn payloads(path: &Path) -> Vec<Bytes> {
    let file = Arc::new(FileAt::open(path).unwrap());
    let mut demuxer = mp4::Demuxer::open(file, Limits::default()).unwrap();
    let items = std::iter::from_fn(|| demuxer.next_item().unwrap());
    let packet = |item| if let Item::Packet(packet) = item { Some(packet.data) } else { None };
    items.filter_map(packet).collect()
}

/// What shaka-packager decrypts of a file.
fn decrypted(packager: &Path, file: &Path, stream: &str) -> PathBuf {
    let clear = file.with_extension("clear.mp4");
    let descriptor = format!("in={},stream={stream},out={}", file.display(), clear.display());
    let keys = format!("label=:key_id={KID}:key={KEY}");
    kit::run(packager, &[&descriptor, "--enable_raw_key_decryption", "--keys", &keys]);
    clear
}

/// MD5 of each decoded block of sound.
fn sound(path: &Path) -> Vec<String> {
    let args = ["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:a:0", "-f", "framemd5", "-"];
    kit::hashes(&kit::run(&tool("ffmpeg").unwrap(), &args))
}

#[test]
fn packets_stay_as_they_are() {
    let Some(root) = corpus("") else { return };
    if tool("ffprobe").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (source, codec, said) in [
        ("shaka/inputs/bear-alac.mp4", "alac", &["CHANNELS=\"2\""][..]),
        ("shaka/inputs/bear-iamf-base-pcm.mp4", "iamf.001.001.ipcm", &[]),
        ("shaka/inputs/bear-iamf-simple-flac.mp4", "iamf.000.000.fLaC", &[]),
        (
            "exoplayer/mp4/sample_ac4.mp4",
            "ac-4.02.02.00",
            &[
                "schemeIdUri=\"urn:mpeg:mpegB:cicp:ChannelConfiguration\" value=\"2\"",
                "schemeIdUri=\"tag:dolby.com,2016:dash:virtualized_content:2016\" value=\"1\"",
                "CHANNELS=\"2/IMSA\"",
            ],
        ),
        (
            "shaka/inputs/bear-dtsx.mp4",
            "dtsx",
            &["schemeIdUri=\"tag:dts.com,2018:uhd:audio_channel_configuration\" value=\"0000003F\""],
        ),
        (
            "exoplayer/mp4/sample_eac3joc.mp4",
            "ec-3",
            &[
                "schemeIdUri=\"tag:dolby.com,2018:dash:EC3_ExtensionType:2018\" value=\"JOC\"",
                "schemeIdUri=\"tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018\" value=\"16\"",
                "CHANNELS=\"16/JOC\"",
            ],
        ),
    ] {
        let source = root.join(source);
        let name = source.file_stem().unwrap().to_str().unwrap();
        let (file, mpd, hls) = package(dir.path(), name, source.to_str().unwrap(), None);
        kit::same(&packets(&file), &packets(&source), name);
        assert!(mpd.contains(&format!(" codecs=\"{codec}\"")), "{mpd}");
        assert!(hls.contains(&format!("CODECS=\"{codec}\"")), "{hls}");
        for words in said {
            assert!(mpd.contains(words) || hls.contains(words), "{name}: {words} is not in {mpd}{hls}");
        }
    }
}

#[test]
fn lossless_sound_stays_lossless() {
    let Some(source) = corpus("shaka/inputs/bear-alac.mp4") else { return };
    if tool("ffmpeg").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, ..) = package(dir.path(), "clear", source.to_str().unwrap(), None);
    let wanted = sound(&source);
    assert!(!wanted.is_empty());
    kit::same(&sound(&file), &wanted, "ALAC");
}

#[test]
fn shaka_packager_decrypts_every_sound() {
    let (Some(root), Some(packager)) = (corpus(""), tool("packager-linux-x64")) else { return };
    let dir = tempfile::tempdir().unwrap();
    for source in [
        "shaka/inputs/bear-alac.mp4",
        "shaka/inputs/bear-iamf-base-opus.mp4",
        "exoplayer/mp4/sample_ac4.mp4",
        "exoplayer/mp4/sample_eac3joc.mp4",
        "shaka/inputs/bear-dtsx.mp4",
    ] {
        let source = root.join(source);
        let wanted = packets(&source);
        for scheme in ["cenc", "cbcs"] {
            let name = format!("{scheme}-{}", source.file_stem().unwrap().to_str().unwrap());
            let (file, ..) = package(dir.path(), &name, source.to_str().unwrap(), Some(scheme));
            assert!(payloads(&file).iter().zip(payloads(&source)).all(|(a, b)| *a != b), "{name} is clear");
            kit::same(&packets(&decrypted(&packager, &file, "audio")), &wanted, &name);
        }
    }
}

#[test]
fn vp8_goes_into_mp4() {
    let Some(source) = corpus("shaka/inputs/bear-640x360.webm") else { return };
    if tool("ffmpeg").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let wanted = kit::picture_hashes(&source, None);
    let input = format!("in={},stream=video", source.display());
    let (file, mpd, _) = package(dir.path(), "clear", &input, None);
    kit::same(&kit::picture_hashes(&file, None), &wanted, "clear");
    assert!(mpd.contains(" codecs=\"vp08.00.10.08"), "{mpd}");
    let (file, ..) = package(dir.path(), "cenc", &input, Some("cenc"));
    kit::same(&kit::picture_hashes(&file, Some(KEY)), &wanted, "cenc");
    // FFmpeg takes no notice of the pattern where a sample is encrypted as a whole.
    let Some(packager) = tool("packager-linux-x64") else { return };
    let (file, ..) = package(dir.path(), "cbcs", &input, Some("cbcs"));
    kit::same(&kit::picture_hashes(&decrypted(&packager, &file, "video"), None), &wanted, "cbcs");
}
