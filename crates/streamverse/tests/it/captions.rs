//! Captions in pictures, as FFmpeg's decoder of CEA-608 reads them.

use std::path::Path;

use streamverse::container::webvtt;
use streamverse::core::Limits;
use sv_testkit::tool;

use crate::kit;

/// A byte with the odd parity of line 21.
fn odd(byte: u8) -> u8 {
    if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte }
}

fn text(text: &str) -> Vec<[u8; 2]> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes.chunks(2).map(|c| [c[0], c[1]]).collect()
}

/// Codes are sent twice.
fn code(a: u8, b: u8) -> Vec<[u8; 2]> {
    vec![[a, b]; 2]
}

/// Pop-on, roll-up and paint-on, and what each frame of 30 a second carries of it.
fn script() -> Vec<[u8; 2]> {
    let mut pairs = Vec::new();
    let mut until = |frame: usize, codes: &[Vec<[u8; 2]>]| {
        assert!(pairs.len() <= frame, "{} before {frame}", pairs.len());
        pairs.resize(frame, [0, 0]);
        pairs.extend(codes.concat());
    };
    // Two rows, popped on at frame 30 and erased at 60.
    until(
        2,
        &[
            code(0x14, 0x20),
            code(0x14, 0x2E),
            code(0x14, 0x40),
            text("Hello, you"),
            code(0x14, 0x60),
            text("caf"),
            code(0x12, 0x21),
        ],
    );
    until(30, &[code(0x14, 0x2F)]);
    until(60, &[code(0x14, 0x2C)]);
    // A second one at 90, with a note, which goes when a third takes its place at 120.
    until(64, &[code(0x14, 0x20), code(0x14, 0x2E), code(0x13, 0x70), code(0x11, 0x37), text(" la la")]);
    until(90, &[code(0x14, 0x2F), code(0x14, 0x20), code(0x14, 0x2E), code(0x14, 0x60), text("the third")]);
    until(120, &[code(0x14, 0x2F)]);
    until(150, &[code(0x14, 0x2C)]);
    // Two rows rolled up.
    until(160, &[code(0x14, 0x25), code(0x14, 0x2D), code(0x14, 0x60), text("first line")]);
    until(200, &[code(0x14, 0x2D), code(0x14, 0x60), text("second line")]);
    until(240, &[code(0x14, 0x2D), code(0x14, 0x60), text("last line")]);
    until(280, &[code(0x14, 0x2C)]);
    until(300, &[]);
    pairs
}

/// Puts a message before the slice of each picture of a byte stream.
fn inject(stream: &[u8], pairs: &[[u8; 2]]) -> Vec<u8> {
    use streamverse::codec::{h264, nal};
    let mut out = Vec::new();
    let mut pictures = pairs.iter();
    for unit in nal::annex_b(stream) {
        if h264::is_slice(unit.data) {
            let [a, b] = pictures.next().copied().unwrap_or([0, 0]).map(odd);
            let mut rbsp = vec![4, 0, 0xB5, 0, 0x31];
            rbsp.extend(b"GA94");
            rbsp.extend([3, 0x41, 0xFF, 0xFC, a, b, 0xFF, 0x80]);
            out.extend([0, 0, 0, 1, 6]);
            rbsp[1] = (rbsp.len() - 3) as u8;
            out.extend(nal::escape(&rbsp));
        }
        out.extend([0, 0, 0, 1]);
        out.extend(unit.data);
    }
    out
}

fn captioned(dir: &Path) -> Option<std::path::PathBuf> {
    let plain = kit::make(
        dir,
        "plain.h264",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=30:d=10",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-x264-params",
            "slices=1:sliced-threads=0:bframes=0:keyint=30",
            "-bsf:v",
            "filter_units=remove_types=6",
        ],
    )?;
    let stream = dir.join("captioned.h264");
    std::fs::write(&stream, inject(&std::fs::read(plain).unwrap(), &script())).unwrap();
    kit::make(dir, "captioned.mp4", &["-r", "30", "-i", stream.to_str().unwrap(), "-c", "copy"])
}

/// Text without FFmpeg's markup and places.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.replace("\\h", " ").chars() {
        match c {
            '<' | '{' => inside = true,
            '>' | '}' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let lines = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn captions_are_told_and_read_as_ffmpeg_reads_them() {
    let Some(ffmpeg) = tool("ffmpeg") else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = captioned(dir.path()) else { return };
    let out = dir.path().join("out");
    let made = kit::sv()
        .args(["package", "--captions", "extract", "--out"])
        .arg(&out)
        .arg(&source)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let master = std::fs::read_to_string(out.join("master.m3u8")).unwrap();
    assert!(
        master.contains("TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\"") && master.contains("INSTREAM-ID=\"CC1\""),
        "{master}"
    );
    assert!(
        master.contains(",CLOSED-CAPTIONS=\"cc\"") && !master.contains("CLOSED-CAPTIONS=NONE"),
        "{master}"
    );
    let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
    assert!(
        manifest.contains("schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"CC1=und\""),
        "{manifest}"
    );

    let graph = format!("movie={}[out+subcc]", source.display());
    let args = ["-v", "error", "-f", "lavfi", "-i", &graph, "-map", "0:s", "-f", "srt", "-"];
    let theirs = webvtt::parse_srt(kit::run(&ffmpeg, &args).as_bytes(), &Limits::default()).unwrap();
    let ours = webvtt::parse(&std::fs::read(out.join("text-cc1.vtt")).unwrap(), &Limits::default()).unwrap();
    let said =
        |document: &webvtt::Document| -> Vec<String> { document.cues().map(|cue| bare(&cue.text)).collect() };
    assert_eq!(said(&ours), said(&theirs));
    assert!(said(&ours).len() >= 6 && said(&ours)[0] == "Hello, you\ncaÉ", "{:?}", said(&ours));
    // A frame more or less: it shows what has come, and we when the picture is shown that it came with.
    for (ours, theirs) in ours.cues().zip(theirs.cues()).take(3) {
        for (a, b) in [(ours.start, theirs.start), (ours.end, theirs.end)] {
            assert!((a.ticks() - b.ticks()).abs() <= 70, "{ours:?} and {theirs:?}");
        }
    }
}
