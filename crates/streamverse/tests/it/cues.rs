//! Cues: asked for and told by the source, in what is cut and in what manifests say.

use std::path::{Path, PathBuf};

use streamverse::container::scte35::{At, BreakDuration, Command, Insert, Section, Splice};
use sv_testkit::{splices, tool};

use crate::kit;

/// Twelve seconds at 25 pictures a second, a key picture every second, as a transport stream with a departure at 4.2 s of 3 s and a return. Each section comes twice, two seconds ahead.
pub(crate) fn source(dir: &Path) -> Option<PathBuf> {
    told(dir, |section| {
        let (out, back) = (section(77, Some((true, 4.2, Some(3.0)))), section(77, Some((false, 7.2, None))));
        vec![(2.2, out.clone()), (3.0, out), (5.0, back.clone()), (5.5, back)]
    })
}

/// What makes a section of an event: whether it leaves, when, and for how long; or that it is taken back.
type Sections<'a> = &'a dyn Fn(u32, Option<(bool, f64, Option<f64>)>) -> Vec<u8>;

/// The same with other sections, each so many seconds behind the beginning.
fn told(dir: &Path, sections: impl Fn(Sections<'_>) -> Vec<(f64, Vec<u8>)>) -> Option<PathBuf> {
    let plain = kit::make(
        dir,
        "plain.ts",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=25:d=12",
            "-f",
            "lavfi",
            "-i",
            "sine=f=440:r=48000:d=12",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "25",
            "-bf",
            "2",
            "-sc_threshold",
            "0",
            "-force_key_frames",
            "4.2",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-muxdelay",
            "0",
            "-muxpreload",
            "0",
            "-output_ts_offset",
            "10",
            "-f",
            "mpegts",
        ],
    )?;
    let first = first_time(&plain, &["-select_streams", "v:0"])?;
    let ticks = |at: f64| ((first + at) * 90_000.0).round() as u64;
    let section = |event: u32, splice: Option<(bool, f64, Option<f64>)>| {
        let splice = splice.map(|(out, at, length)| Splice {
            out,
            // The rest is what adjustment adds.
            at: At::Program(Some((ticks(at) + (1 << 33) - 1_000_000) % (1 << 33))),
            duration: length.map(|s| BreakDuration { auto_return: false, ticks: (s * 90_000.0) as u64 }),
            loose_ids: true,
            program: 1,
            avail: (0, 0),
        });
        let mut section = Section::new(Command::Insert(Insert { event, splice }));
        section.pts_adjustment = 1_000_000;
        section.build().unwrap().to_vec()
    };
    let null = Section::new(Command::Null).build().unwrap().to_vec();
    let mut sections: Vec<_> = sections(&section);
    sections.insert(0, (1.0, null));
    sections.iter_mut().for_each(|(at, _)| *at += first);
    let stream = splices::insert(&std::fs::read(plain).unwrap(), &sections);
    let path = dir.join("source.ts");
    std::fs::write(&path, stream).unwrap();
    Some(path)
}

/// When the first packet of the streams that are chosen is shown, on the file's own clock.
fn first_time(path: &Path, streams: &[&str]) -> Option<f64> {
    let path = path.to_str().unwrap();
    let args =
        [&["-v", "error"], streams, &["-show_entries", "packet=pts_time", "-of", "csv=p=0", path]].concat();
    let text = kit::run(&tool("ffprobe")?, &args);
    text.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok()).min_by(f64::total_cmp)
}

/// A line's date, in milliseconds behind 1970.
fn date(line: &str) -> i64 {
    let at = line.split("START-DATE=\"1970-01-01T00:00:").nth(1).unwrap();
    (at.split('Z').next().unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64
}

fn package(inputs: &[&Path], options: &[&str], output: &Path) {
    let mut command = kit::sv();
    command.arg("package").args(inputs).args(options).arg("--out").arg(output);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// When each segment of a playlist starts, in milliseconds.
fn starts(playlist: &str) -> Vec<i64> {
    let lengths = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok());
    let mut at = 0.0;
    lengths
        .map(|length| {
            let start = at;
            at += length;
            (start * 1000.0f64).round() as i64
        })
        .collect()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_source_tells_of_a_break() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    // FFmpeg sees the stream that we put in.
    let streams = kit::run(
        &tool("ffprobe").unwrap(),
        &["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", source.to_str().unwrap()],
    );
    assert!(streams.contains("scte_35"), "{streams}");
    std::fs::write(dir.path().join("words.en.vtt"), "WEBVTT\n\n00:01.000 --> 00:11.000\nHello\n").unwrap();
    let words = dir.path().join("words.en.vtt");
    let out = dir.path().join("out");
    package(&[&source, &words], &["--segment", "3s", "--text", "segments"], &out);
    let video = read(&out, "180p-h264.m3u8");
    // The grid goes on from each cue.
    assert_eq!(starts(&video), [0, 3000, 4200, 7200, 10_200]);
    let audio = starts(&read(&out, "audio-aac-1ch.m3u8"));
    assert_eq!(audio.len(), 5);
    assert!(audio.iter().zip(starts(&video)).all(|(a, v)| (a - v).abs() <= 45), "{audio:?}");
    assert_eq!(starts(&read(&out, "text-en.m3u8")).len(), 5);

    let ranges: Vec<&str> = video.lines().filter(|line| line.starts_with("#EXT-X-DATERANGE")).collect();
    assert_eq!(ranges.len(), 2, "{video}");
    // Sound begins a little before the pictures, and with it the presentation.
    let lead = first_time(&source, &["-select_streams", "v:0"]).unwrap() - first_time(&source, &[]).unwrap();
    let at = 4200 + (lead * 1000.0).round() as i64;
    assert!(ranges.iter().all(|line| (date(line) - at).abs() <= 1), "{at}: {video}");
    let id = |line: &str| line.split("ID=\"splice-").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(id(ranges[0]), id(ranges[1]), "{video}");
    assert!(ranges[0].contains(",PLANNED-DURATION=3.000,SCTE35-OUT=0xFC30"), "{video}");
    assert!(ranges[1].contains(",DURATION=3.000,SCTE35-IN=0xFC30"), "{video}");

    let manifest = read(&out, "manifest.mpd");
    let periods: Vec<&str> =
        manifest.split("<Period ").skip(1).map(|p| p.split('>').next().unwrap()).collect();
    assert_eq!(periods.len(), 3, "{manifest}");
    assert!(periods[1].contains("duration=\"PT3.000000S\""), "{periods:?}");
    assert_eq!(manifest.matches("<Event ").count(), 2);
    assert!(manifest.contains(&format!(" duration=\"270000\" id=\"{}\">", id(ranges[0]))), "{manifest}");
    kit::valid_dash(&out.join("manifest.mpd"));

    let deaf = dir.path().join("deaf");
    package(&[&source], &["--segment", "3s", "--no-cues"], &deaf);
    assert!(!read(&deaf, "180p-h264.m3u8").contains("DATERANGE"));
}

#[test]
fn what_was_asked_for_is_cut_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 12) else { return };
    for more in [&[][..], &["--single-file"]] {
        let out = dir.path().join(format!("out{}", more.len()));
        let options = [
            "--segment",
            "4s",
            "--ad-cues",
            "3.5+2,11.9",
            "--interstitial",
            "8=ad.m3u8,resume=0,snap=out;in,once",
        ];
        package(&[&source], &[&options, more].concat(), &out);
        let video = read(&out, "360p-h264.m3u8");
        // A key picture every two seconds. Behind the last one no segment begins, so the second cue is left out.
        assert_eq!(starts(&video), [0, 4000, 6000, 8000]);
        assert_eq!(video.matches("#EXT-X-PLACEMENT-OPPORTUNITY\n").count(), 1);
        assert!(video.contains("PLANNED-DURATION=2.000,SCTE35-OUT="), "{video}");
        let between = video.lines().find(|line| line.contains("interstitial-")).unwrap();
        assert_eq!(date(between), 8000);
        let said = "CLASS=\"com.apple.hls.interstitial\",X-ASSET-URI=\"ad.m3u8\",X-RESUME-OFFSET=0.000,X-SNAP=\"OUT,IN\",CUE=\"ONCE\"";
        assert!(between.ends_with(said), "{between}");
        assert_eq!(read(&out, "manifest.mpd").matches("<Period ").count(), 3);
        kit::valid_dash(&out.join("manifest.mpd"));
        // FFmpeg plays all of it. (Of DASH it plays the first period alone.)
        let wanted = kit::picture_hashes(&source, None);
        kit::same(&kit::picture_hashes(&out.join("master.m3u8"), None), &wanted, "HLS");
    }
}

/// Boxes of a type, of a file.
pub(crate) fn boxes(file: &Path, kind: &[u8; 4]) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).unwrap();
    let mut out = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if &bytes[at + 4..at + 8] == kind {
            out.push(bytes[at..at + size].to_vec());
        }
        at += size;
    }
    out
}

#[test]
fn segments_tell_of_cues_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let out = dir.path().join("out");
    package(&[&source], &["--segment", "3s", "--emsg"], &out);
    let told = |name: &str| {
        (0..5).map(|n| boxes(&out.join(format!("{name}/{n}.m4s")), b"emsg").len()).collect::<Vec<_>>()
    };
    assert_eq!(told("180p-h264"), [0, 0, 1, 1, 0]);
    assert_eq!(told("audio-aac-1ch"), [0; 5]);
    let message = boxes(&out.join("180p-h264/2.m4s"), b"emsg").remove(0);
    // Version 1: timescale, time (of 64 bits), duration, number, scheme, value, message.
    assert_eq!(message[8], 1);
    let scheme = b"urn:scte:scte35:2013:bin\0\0";
    assert_eq!(&message[32..32 + scheme.len()], scheme);
    let section = Section::parse(&message[32 + scheme.len()..]).unwrap();
    assert_eq!((section.event().unwrap().0, section.leaves()), (77, Some(true)));
    let number = |at: usize| u64::from(u32::from_be_bytes(message[at..at + 4].try_into().unwrap()));
    assert_eq!(number(24), 3 * number(12), "three seconds");
    let manifest = read(&out, "manifest.mpd");
    assert_eq!(
        manifest.matches("<InbandEventStream schemeIdUri=\"urn:scte:scte35:2013:bin\"/>").count(),
        3,
        "{manifest}"
    );
    kit::valid_dash(&out.join("manifest.mpd"));
}

#[test]
fn encoders_put_key_pictures_at_cues() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 10) else { return };
    let mut made = Vec::new();
    for (name, more) in [("one", &[][..]), ("chunks", &["--workers", "2", "--chunk", "3s"])] {
        let out = dir.path().join(name);
        let mut command = kit::sv();
        command
            .arg("vod")
            .arg(&source)
            .args(["--segment", "4s", "--ad-cues", "3.56+2", "--preset", "fastest"])
            .args(more)
            .arg("--out")
            .arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // The grid is counted from each cue: 3.56 s are 89 pictures.
        let playlists: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).collect();
        let pictures = playlists
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "m3u8"))
            .map(|p| std::fs::read_to_string(p).unwrap());
        let pictures: Vec<_> = pictures
            .filter(|text| text.contains("h264/") && !text.contains("I-FRAMES") && text.contains("EXTINF"))
            .collect();
        assert!(!pictures.is_empty());
        for playlist in &pictures {
            assert_eq!(starts(playlist), [0, 3560, 5560, 9560], "{playlist}");
            assert!(playlist.contains("PLANNED-DURATION=2.000,SCTE35-OUT="), "{playlist}");
        }
        assert_eq!(read(&out, "manifest.mpd").matches("<Period ").count(), 3);
        kit::valid_dash(&out.join("manifest.mpd"));
        let mut names: Vec<_> =
            std::fs::read_dir(out.join("360p-h264")).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        made.push(names.iter().map(|n| std::fs::read(n).unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(made[0].len(), made[1].len());
}

/// Runs `sv vod`, and gives the playlist of its pictures.
fn transcode(source: &Path, options: &[&str], output: &Path) -> String {
    let mut command = kit::sv();
    command.arg("vod").arg(source).args(["--segment", "3s", "--preset", "fastest"]).args(options);
    let made = command.arg("--out").arg(output).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    read(output, "180p-h264.m3u8")
}

#[test]
fn encoders_heed_what_a_source_tells() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    // Sound begins a little before the pictures, and with it the presentation.
    let lead = first_time(&source, &["-select_streams", "v:0"]).unwrap() - first_time(&source, &[]).unwrap();
    let lead = (lead * 1000.0).round() as i64;
    let mut playlists = Vec::new();
    for (name, more) in [("one", &[][..]), ("chunks", &["--workers", "2", "--chunk", "3s"])] {
        let out = dir.path().join(name);
        let video = transcode(&source, more, &out);
        let keys = kit::key_times(&kit::joined(&out, "180p-h264"));
        let at = |ms: i64| keys.iter().any(|key| (i64::try_from(*key).unwrap() - lead - ms).abs() <= 21);
        assert!([0, 4200, 7200].into_iter().all(at), "{lead}: {keys:?}");
        let ranges: Vec<&str> = video.lines().filter(|line| line.starts_with("#EXT-X-DATERANGE")).collect();
        assert_eq!(ranges.len(), 2, "{video}");
        assert!(ranges.iter().all(|line| (date(line) - 4200 - lead).abs() <= 1), "{lead}: {video}");
        assert!(ranges[0].contains(",PLANNED-DURATION=3.000,SCTE35-OUT=0xFC30"), "{video}");
        assert!(ranges[1].contains(",DURATION=3.000,SCTE35-IN=0xFC30"), "{video}");
        assert_eq!(read(&out, "manifest.mpd").matches("<Period ").count(), 3);
        kit::valid_dash(&out.join("manifest.mpd"));
        playlists.push(video);
    }
    assert_eq!(starts(&playlists[0]), starts(&playlists[1]));
    let deaf = transcode(&source, &["--no-cues"], &dir.path().join("deaf"));
    assert!(!deaf.contains("DATERANGE"), "{deaf}");
}

#[test]
fn a_break_that_is_taken_back_is_none() {
    let dir = tempfile::tempdir().unwrap();
    // One is announced and taken back in time, the other when it has begun.
    let source = told(dir.path(), |section| {
        vec![
            (1.0, section(1, Some((true, 3.0, Some(1.0))))),
            (1.5, section(2, Some((true, 6.0, Some(2.0))))),
            (2.0, section(1, None)),
            (7.0, section(2, None)),
        ]
    });
    let Some(source) = source else { return };
    let out = dir.path().join("out");
    package(&[&source], &["--segment", "4s"], &out);
    for video in [read(&out, "180p-h264.m3u8"), transcode(&source, &[], &dir.path().join("vod"))] {
        let ranges: Vec<&str> = video.lines().filter(|line| line.starts_with("#EXT-X-DATERANGE")).collect();
        assert!(ranges.len() == 1 && ranges[0].contains("PLANNED-DURATION=2.000"), "{video}");
    }
}

#[test]
fn events_of_an_mp4_source_are_heeded() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = source(dir.path()) else { return };
    let first = dir.path().join("first");
    package(&[&source], &["--segment", "3s", "--emsg"], &first);
    let film = kit::joined(&first, "180p-h264");
    let wanted = read(&first, "180p-h264.m3u8");
    let marks = |playlist: &str| -> Vec<(i64, String)> {
        let ranges = playlist.lines().filter(|line| line.starts_with("#EXT-X-DATERANGE"));
        let section =
            |line: &str| line.split("SCTE35-").nth(1).unwrap().split(',').next().unwrap().to_owned();
        ranges.map(|line| (date(line), section(line))).collect()
    };
    assert_eq!(marks(&wanted).len(), 2);
    let lead = (first_time(&film, &[]).unwrap() * 1000.0).round() as i64;
    let close = |playlist: &str| {
        let (got, wanted) = (marks(playlist), marks(&wanted));
        assert_eq!(got.len(), 2, "{playlist}");
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got.0 + lead - wanted.0).abs() <= 1 && got.1 == wanted.1, "{lead}: {playlist}");
        }
    };
    let again = dir.path().join("again");
    package(&[&film], &["--segment", "3s"], &again);
    let video = read(&again, "180p-h264.m3u8");
    assert_eq!(starts(&video), starts(&wanted));
    close(&video);
    close(&transcode(&film, &[], &dir.path().join("vod")));
    let deaf = dir.path().join("deaf");
    package(&[&film], &["--segment", "3s", "--no-cues"], &deaf);
    assert!(!read(&deaf, "180p-h264.m3u8").contains("DATERANGE"));
}
