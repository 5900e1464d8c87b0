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
pub(crate) fn script() -> Vec<[u8; 2]> {
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

/// Pairs of CEA-608 as triplets.
pub(crate) fn line_21(script: &[[u8; 2]]) -> Vec<Vec<[u8; 3]>> {
    script.iter().map(|pair| [*pair].map(|[a, b]| [0xFC, odd(a), odd(b)]).to_vec()).collect()
}

/// A message of ITU-T T.35 with these triplets.
fn message(triplets: &[[u8; 3]]) -> Vec<u8> {
    let mut out = b"\xB5\x00\x31GA94\x03".to_vec();
    out.extend([0x40 | triplets.len() as u8, 0xFF]);
    out.extend(triplets.iter().flatten());
    out.push(0xFF);
    out
}

/// Puts a message before the slice of each picture of a byte stream.
fn inject(stream: &[u8], captions: &[Vec<[u8; 3]>]) -> Vec<u8> {
    use streamverse::codec::{h264, nal};
    let mut out = Vec::new();
    let mut pictures = captions.iter();
    for unit in nal::annex_b(stream) {
        if h264::is_slice(unit.data)
            && let Some(triplets) = pictures.next().filter(|triplets| !triplets.is_empty())
        {
            let message = message(triplets);
            let rbsp = [&[4, message.len() as u8], &message[..], &[0x80]].concat();
            out.extend([0, 0, 0, 1, 6]);
            out.extend(nal::escape(&rbsp));
        }
        out.extend([0, 0, 0, 1]);
        out.extend(unit.data);
    }
    out
}

/// Pictures of 30 a second with these captions.
pub(crate) fn captioned(dir: &Path, captions: &[Vec<[u8; 3]>]) -> Option<std::path::PathBuf> {
    let seconds = captions.len().div_ceil(30);
    let plain = kit::make(
        dir,
        "plain.h264",
        &[
            "-f",
            "lavfi",
            "-i",
            &format!("testsrc2=s=320x180:r=30:d={seconds}"),
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
    std::fs::write(&stream, inject(&std::fs::read(plain).unwrap(), captions)).unwrap();
    kit::make(dir, "captioned.mp4", &["-r", "30", "-i", stream.to_str().unwrap(), "-c", "copy"])
}

/// Packets of CEA-708, by the frames that they come in; no packet has more than a picture's worth.
fn services(script: &[(usize, u8, &[u8])], frames: usize) -> Vec<Vec<[u8; 3]>> {
    let mut out = vec![Vec::new(); frames];
    for (sequence, (frame, service, codes)) in script.iter().enumerate() {
        let mut bytes = vec![0, service << 5 | codes.len() as u8];
        bytes.extend(*codes);
        if bytes.len() % 2 == 1 {
            bytes.push(0);
        }
        bytes[0] = (sequence as u8 % 4) << 6 | (bytes.len() / 2) as u8;
        for (n, pair) in bytes.chunks(2).enumerate() {
            out[*frame].push([if n == 0 { 0xFF } else { 0xFE }, pair[0], pair[1]]);
        }
    }
    out
}

/// Windows that pop on, roll up and are painted, in two services.
fn windows() -> Vec<Vec<[u8; 3]>> {
    let hidden = |window: u8| [0x98 | window, 0x18, 70, 0, 0x61, 31, 0x00];
    let shown = [0x9B, 0x38, 70, 0, 0x61, 31, 0x11];
    let with = |define: &[u8], codes: &[u8]| [define, codes].concat();
    services(
        &[
            (2, 1, &with(&hidden(0), b"Hello,\x92\x01\x00caf\xE9 & you")),
            (30, 1, &[0x89, 0x01]),
            (40, 1, &with(&hidden(1), b"\x7F the next one")),
            // Another pops on where the first goes.
            (60, 1, &[0x8A, 0x01, 0x89, 0x02]),
            (70, 2, &with(&shown, b"\xA1Hola!")),
            (90, 1, &[0x8C, 0x03]),
            (100, 1, &with(&shown, b"first line")),
            (130, 1, b"\x0Dsecond line"),
            (150, 2, &[0x8F]),
            (160, 1, b"\x0Dthird \x10\x39\x18\x26\x6B"),
            (200, 1, &[0x8B, 0x08]),
            (240, 1, &[0x8B, 0x08]),
            (270, 1, &[0x8F]),
        ],
        300,
    )
}

/// Text without FFmpeg's markup and places.
pub(crate) fn bare(text: &str) -> String {
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
    let Some(source) = captioned(dir.path(), &line_21(&script())) else { return };
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

/// Reads captions with Shaka Player's decoder; lines of when, in milliseconds, and a message in hexadecimal.
const SHAKA: &str = r#"
const nothing = new Proxy(function () {}, { get: (_, key) => key === Symbol.toPrimitive ? () => '' : nothing,
  apply: () => nothing, construct: () => nothing });
Object.defineProperty(globalThis, 'navigator', { value: { userAgent: '', platform: '', vendor: '' }, configurable: true });
Object.assign(globalThis, { window: globalThis, self: globalThis, document: nothing, addEventListener: () => {} });
Map.prototype.getOrInsertComputed ??= function (key, make) {
  if (!this.has(key)) this.set(key, make(key));
  return this.get(key);
};
console.debug = console.info = console.log = console.warn = () => {};
const shaka = require(process.argv[1]);
const decoder = new shaka.cea.CeaDecoder();
for (const line of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const [at, hex] = line.split(' ');
  decoder.extract(new Uint8Array(Buffer.from(hex, 'hex')), Number(at) / 1000);
}
const text = cue => cue.lineBreak ? '\n' : cue.payload + cue.nestedCues.map(text).join('');
const all = decoder.decode().map(({ stream, cue }) => ({ stream, start: cue.startTime, end: cue.endTime, text: text(cue) }));
process.stdout.write(JSON.stringify(all));
"#;

/// What Shaka Player reads: stream, start and end in milliseconds, text. Nothing where it isn't installed.
fn shaka(captions: &[Vec<[u8; 3]>]) -> Option<Vec<(String, i64, i64, String)>> {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let node = tool("node")?;
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/reference-service/web/node_modules");
    let player = root.join("shaka-player/dist/shaka-player.compiled.debug.js");
    if !player.exists() {
        println!("skipped: {} is not installed (make e2e does it)", player.display());
        return None;
    }
    let mut lines = String::new();
    for (frame, triplets) in captions.iter().enumerate().filter(|(_, triplets)| !triplets.is_empty()) {
        let hex: String = message(triplets).iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(lines, "{} {hex}", frame * 100 / 3).unwrap();
    }
    let mut judge = std::process::Command::new(node)
        .args(["-e", SHAKA])
        .arg(player.canonicalize().unwrap())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    judge.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success());
    let all: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ms = |value: &serde_json::Value| (value.as_f64().unwrap() * 1000.0).round() as i64;
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let cues =
        all.iter().map(|cue| (word(&cue["stream"]), ms(&cue["start"]), ms(&cue["end"]), word(&cue["text"])));
    Some(cues.collect())
}

/// What a file of ours says.
fn cues(file: &Path) -> Vec<(i64, i64, String)> {
    let document = webvtt::parse(&std::fs::read(file).unwrap(), &Limits::default()).unwrap();
    let plain = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    document.cues().map(|cue| (cue.start.ticks(), cue.end.ticks(), plain(&cue.text))).collect()
}

#[test]
fn services_are_told_and_read_as_shaka_player_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    // Both ways at once, as broadcasters have them.
    let mut captions = windows();
    captions.iter_mut().zip(line_21(&script())).for_each(|(all, more)| all.extend(more));
    let Some(source) = captioned(dir.path(), &captions) else { return };
    let out = dir.path().join("out");
    let made = kit::sv()
        .args(["package", "--captions", "extract", "--out"])
        .arg(&out)
        .arg(&source)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let master = std::fs::read_to_string(out.join("master.m3u8")).unwrap();
    for name in ["CC1", "SERVICE1", "SERVICE2"] {
        assert!(master.contains(&format!("INSTREAM-ID=\"{name}\"")), "{master}");
    }
    let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
    assert!(
        manifest.contains("schemeIdUri=\"urn:scte:dash:cc:cea-708:2015\" value=\"1=lang:und;2=lang:und\""),
        "{manifest}"
    );
    // Channel 1 says what service 1 does.
    assert!(!out.join("text-cc1.vtt").exists());
    let first = cues(&out.join("text-service1.vtt"));
    let texts: Vec<&str> = first.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Hello,\ncafé & you",
            "♪ the next one",
            "first line",
            "first line\nsecond line",
            "second line\nthird ™♫",
            "second line\nthird ™♫"
        ]
    );
    let Some(theirs) = shaka(&captions) else { return };
    for (stream, name) in [("svc1", "text-service1.vtt"), ("svc2", "text-service2.vtt")] {
        let theirs: Vec<_> = theirs.iter().filter(|cue| cue.0 == stream).collect();
        let ours = cues(&out.join(name));
        assert_eq!(ours.len(), theirs.len(), "{ours:?} and {theirs:?}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            // It passes over what stands behind EXT1: 5.2 puts the two bytes together with sixteen bits between.
            assert_eq!(bare(&ours.2.replace('™', "")), bare(&theirs.3));
            assert!(
                (ours.0 - theirs.1).abs() <= 2 && (ours.1 - theirs.2).abs() <= 2,
                "{ours:?} and {theirs:?}"
            );
        }
    }
}

fn sv(command: &str, source: &Path, options: &[&str], out: &Path) {
    let made = kit::sv().arg(command).args(options).arg("--out").arg(out).arg(source).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What FFmpeg's decoder of CEA-608 reads of a file.
fn ffmpeg(file: &Path) -> Vec<(i64, i64, String)> {
    let graph = format!("movie={}[out+subcc]", file.display());
    let args = ["-v", "error", "-f", "lavfi", "-i", &graph, "-map", "0:s", "-f", "srt", "-"];
    let text = kit::run(&tool("ffmpeg").unwrap(), &args);
    if text.trim().is_empty() {
        return Vec::new();
    }
    let document = webvtt::parse_srt(text.as_bytes(), &Limits::default()).unwrap();
    document.cues().map(|cue| (cue.start.ticks(), cue.end.ticks(), bare(&cue.text))).collect()
}

fn words(cues: &[(i64, i64, String)]) -> Vec<&str> {
    cues.iter().map(|(_, _, text)| text.as_str()).collect()
}

/// Files of a folder and below, but those that tell of the run itself.
fn files(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut out = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            out.extend(
                files(&entry)
                    .into_iter()
                    .map(|(path, data)| (Path::new(entry.file_name().unwrap()).join(path), data)),
            );
        } else if entry
            .extension()
            .is_some_and(|e| e == "m4s" || e == "mp4" || e == "m3u8" || e == "mpd" || e == "vtt")
        {
            out.insert(entry.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&entry).unwrap());
        }
    }
    out
}

#[test]
fn captions_go_through_an_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let mut captions = windows();
    captions.iter_mut().zip(line_21(&script())).for_each(|(all, more)| all.extend(more));
    let Some(source) = captioned(dir.path(), &captions) else { return };
    let before = dir.path().join("before");
    sv("package", &source, &["--captions", "extract"], &before);

    let out = dir.path().join("out");
    let options = ["--preset", "fastest", "--segment", "2s", "--codec", "h264,hevc", "--captions", "extract"];
    sv("vod", &source, &options, &out);
    let master = std::fs::read_to_string(out.join("master.m3u8")).unwrap();
    for name in ["CC1", "SERVICE1", "SERVICE2"] {
        assert!(master.contains(&format!("INSTREAM-ID=\"{name}\"")), "{master}");
    }
    assert!(!master.contains("CLOSED-CAPTIONS=NONE"), "{master}");
    assert!(
        std::fs::read_to_string(out.join("manifest.mpd"))
            .unwrap()
            .contains("value=\"1=lang:und;2=lang:und\"")
    );
    let theirs = ffmpeg(&source);
    assert!(theirs.len() >= 6, "{theirs:?}");
    for rung in ["180p-h264", "180p-hevc"] {
        let film = kit::joined(&out, rung);
        // The encoder reorders pictures; captions come in the order in which they are shown.
        let ours = ffmpeg(&film);
        assert_eq!(words(&ours), words(&theirs), "{rung}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(
                (ours.0 - theirs.0).abs() <= 1 && (ours.1 - theirs.1).abs() <= 1,
                "{ours:?} and {theirs:?}"
            );
        }
        let after = dir.path().join(rung);
        sv("package", &film, &["--captions", "extract"], &after);
        for service in ["text-service1.vtt", "text-service2.vtt"] {
            assert_eq!(cues(&after.join(service)), cues(&before.join(service)), "{rung}");
        }
    }
    for service in ["text-service1.vtt", "text-service2.vtt"] {
        assert_eq!(cues(&out.join(service)), cues(&before.join(service)));
    }
    // Fast motion has none, and whoever wants none gets none.
    let none = dir.path().join("none");
    sv("vod", &source, &["--preset", "fastest", "--captions", "drop"], &none);
    assert!(std::fs::read_to_string(none.join("master.m3u8")).unwrap().contains("CLOSED-CAPTIONS=NONE"));
    assert_eq!(ffmpeg(&kit::joined(&none, "180p-h264")), []);
}

#[test]
fn captions_are_the_same_whoever_encodes_and_whoever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut captions = windows();
    captions.iter_mut().zip(line_21(&script())).for_each(|(all, more)| all.extend(more));
    let Some(source) = captioned(dir.path(), &captions) else { return };
    let mut made = Vec::new();
    for workers in ["1", "3"] {
        let out = dir.path().join(workers);
        sv("vod", &source, &["--segment", "1s", "--chunk", "2s", "--workers", workers], &out);
        made.push(files(&out));
    }
    assert_eq!(made[0], made[1]);
    let theirs = ffmpeg(&source);
    assert_eq!(words(&ffmpeg(&kit::joined(&dir.path().join("3"), "180p-h264"))), words(&theirs));

    // Killed in the middle, and gone on with.
    let out = dir.path().join("killed");
    let mut child = crate::resume::interrupted(&source, &out, 4, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    sv("vod", &source, &["--segment", "1s", "--preset", "balanced"], &out);
    let ours = ffmpeg(&kit::joined(&out, "180p-h264"));
    assert_eq!(words(&ours), words(&theirs));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours.0 - theirs.0).abs() <= 1 && (ours.1 - theirs.1).abs() <= 1, "{ours:?} and {theirs:?}");
    }
}

#[test]
fn a_transport_stream_says_which_languages_they_are_in() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = captioned(dir.path(), &windows()) else { return };
    let plain =
        kit::make(dir.path(), "plain.ts", &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "mpegts"])
            .unwrap();
    let source = dir.path().join("source.ts");
    // Two services, English and Spanish (ATSC A/65, 6.9.2).
    let services = b"\xC2eng\xC1\x7F\xFFspa\xC2\x7F\xFF";
    let descriptor = [&[0x86, services.len() as u8][..], services].concat();
    std::fs::write(&source, sv_testkit::splices::describe(&std::fs::read(plain).unwrap(), &descriptor))
        .unwrap();
    for (command, options) in [
        ("package", &["--captions", "extract"][..]),
        ("vod", &["--captions", "extract", "--preset", "fastest"]),
    ] {
        let out = dir.path().join(command);
        sv(command, &source, options, &out);
        let master = std::fs::read_to_string(out.join("master.m3u8")).unwrap();
        for (language, service) in [("en", 1), ("es", 2)] {
            let said = format!("GROUP-ID=\"cc\",LANGUAGE=\"{language}\",NAME=\"SERVICE{service}\"");
            assert!(master.contains(&said), "{master}");
            assert!(
                master.contains(&format!(
                    "NAME=\"SERVICE{service}\",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE=\"{language}\""
                )),
                "{master}"
            );
        }
        let manifest = std::fs::read_to_string(out.join("manifest.mpd")).unwrap();
        assert!(manifest.contains("value=\"1=lang:eng;2=lang:spa\""), "{manifest}");
        kit::valid_dash(&out.join("manifest.mpd"));
    }
}

#[test]
fn broadcasts_of_mpeg_2_keep_their_captions() {
    let dir = tempfile::tempdir().unwrap();
    let Some(film) = captioned(dir.path(), &line_21(&script())) else { return };
    // FFmpeg's encoder of MPEG-2 writes what its decoder of H.264 found.
    let options =
        ["-i", film.to_str().unwrap(), "-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-f", "mpegts"];
    let source = kit::make(dir.path(), "source.ts", &options).unwrap();
    let theirs = ffmpeg(&source);
    if theirs.is_empty() {
        println!("skipped: this FFmpeg writes no captions into MPEG-2");
        return;
    }
    let out = dir.path().join("out");
    sv("vod", &source, &["--preset", "fastest"], &out);
    assert_eq!(words(&ffmpeg(&kit::joined(&out, "180p-h264"))), words(&theirs));
}
