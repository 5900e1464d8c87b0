//! Broken files: cut short, with bits flipped, and those that once broke us. Nothing panics,
//! nothing takes long, and what comes before a cut is still given.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sv_container::{Error, mp4, ts};
use sv_core::{ErrorKind, FileAt, Limits};

use crate::{corpus, oracle, probe};

/// xorshift64: the same flips on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Small files of the corpus, which have everything in little space.
fn small(corpus: &Path, max: u64) -> Vec<(String, Vec<u8>)> {
    let folders = ["shaka/inputs", "exoplayer/mp4", "exoplayer/ts", "exoplayer/webvtt", "exoplayer/drm"];
    folders
        .iter()
        .flat_map(|folder| corpus::files(&corpus.join(folder)))
        .filter(|path| path.metadata().unwrap().len() < max)
        .map(|path| (corpus::name_of(&path), std::fs::read(path).unwrap()))
        .collect()
}

fn all_oracles(data: &[u8]) {
    oracle::mp4(data);
    oracle::ts(data);
    oracle::webvtt(data);
    oracle::codec_headers(data);
}

#[test]
fn files_cut_anywhere() {
    let Some(corpus) = probe::corpus() else { return };
    let mut random = Random(0x5EED);
    for (_, data) in small(&corpus, 300_000) {
        for _ in 0..8 {
            all_oracles(&data[..random.below(data.len() + 1)]);
        }
    }
}

#[test]
fn files_with_flipped_bits() {
    let Some(corpus) = probe::corpus() else { return };
    let mut random = Random(0xB17F11B);
    for (_, data) in small(&corpus, 120_000).iter().filter(|f| !f.1.is_empty()) {
        for round in 0..24 {
            let mut broken = data.clone();
            for _ in 0..=round {
                // Headers are at the start, or at the end: most flips go there.
                let reach = [data.len(), data.len().min(4096)][round % 2];
                let at = random.below(reach);
                broken[at] ^= 1 << random.below(8);
            }
            all_oracles(&broken);
        }
    }
}

#[test]
fn a_cut_file_gives_what_comes_before_the_cut_and_says_where() {
    let Some(corpus) = probe::corpus() else { return };
    let data = std::fs::read(corpus.join("shaka/inputs/bear-640x360.mp4")).unwrap();
    let whole = mp4::Demuxer::open(Arc::new(Bytes::from(data.clone())), Limits::default()).unwrap();
    let (_, whole, _) = corpus::drain(whole);
    let cut = Bytes::from(data).slice(..200_000);
    let demuxer = mp4::Demuxer::open(Arc::new(cut), Limits::default()).unwrap();
    let (_, packets, error) = corpus::drain(demuxer);
    assert!(packets.len() > 80 && whole.starts_with(&packets), "{} packets", packets.len());
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(matches!(error, Error::Truncated { size: 200_000, .. }), "{error}");
    assert!(error.to_string().contains("of track"), "{error}");
}

#[test]
fn other_kinds_of_files_are_named() {
    let Some(corpus) = probe::corpus() else { return };
    let cases = [
        ("shaka/inputs/bear-320x240.webm", "this is not an MP4 file but a Matroska or WebM file"),
        ("shaka/inputs/bear.avi", "this is not an MP4 file but an AVI file"),
        ("shaka/inputs/bear.flv", "this is not an MP4 file but a Flash video"),
        ("shaka/inputs/bear.ogv", "this is not an MP4 file but an Ogg file"),
        ("shaka/inputs/bear.mpeg", "this is not an MP4 file but an MPEG program stream"),
        ("shaka/inputs/bear-640x360.ts", "this is not an MP4 file but an MPEG transport stream"),
        ("shaka/inputs/ten_byte_file", "this is not an MP4 file but something unknown"),
        ("exoplayer/webvtt/typical", "this is not an MP4 file but a WebVTT file"),
        ("exoplayer/subrip/typical", "this is not an MP4 file but a SubRip file"),
        ("exoplayer/mp4/testvid_1022ms_014.png", "this is not an MP4 file but a picture"),
    ];
    for (name, expected) in cases {
        let file = Arc::new(FileAt::open(corpus.join(name)).unwrap());
        let error = mp4::Demuxer::open(file, Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{name}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let mp4 = Arc::new(FileAt::open(corpus.join("shaka/inputs/bear-640x360.mp4")).unwrap());
    let error = ts::Demuxer::open(mp4, Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "this is not an MPEG transport stream but an MP4 file");
}

#[test]
fn small_lies_are_found_out() {
    let open = |data: &[u8]| {
        mp4::Demuxer::open(Arc::new(Bytes::copy_from_slice(data)), Limits::default()).unwrap_err()
    };
    assert_eq!(open(b"").to_string(), "this is not an MP4 file but an empty file");
    // A kilobyte that says it has ten gigabytes of media.
    let mut lie = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat\0\0\0\x02\x54\x0B\xE4\0".to_vec();
    lie.resize(1024, 0);
    let message = open(&lie).to_string();
    assert_eq!(
        message,
        "the file is cut short: the mdat box in front of the moov box needs bytes up to 10000000016, but there are only 1024"
    );
    // A moov of four gigabytes.
    let message = open(b"\0\0\0\x10ftypisom\0\0\0\0\xFF\xFF\xFF\xFFmoov").to_string();
    assert!(message.starts_with("the file is cut short: the moov box"), "{message}");
    let message = open(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov").to_string();
    assert_eq!(message, "moov at byte 24 is broken: it has no mvhd");
    let message = open(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x04moov").to_string();
    assert_eq!(message, "a box at byte 16 is broken: it is smaller than its header");
}

#[test]
fn what_the_fuzzers_found_stays_found() {
    // Cargo runs tests in the package's folder. A path fixed at build time would be another checkout's,
    // where several share a target folder.
    for path in corpus::files(Path::new("tests/it/fuzz_regression")) {
        let data = std::fs::read(&path).unwrap();
        match path.parent().unwrap().file_name().unwrap().to_str().unwrap() {
            "mp4" => oracle::mp4(&data),
            "ts" => oracle::ts(&data),
            "webvtt" => oracle::webvtt(&data),
            "ttml" => oracle::ttml(&data),
            "codec_headers" => oracle::codec_headers(&data),
            "cea" => oracle::cea(&data),
            "mp4_roundtrip" => oracle::mp4_roundtrip(&data),
            "webm_roundtrip" => oracle::webm_roundtrip(&data),
            "protected_roundtrip" => oracle::protected_roundtrip(&data),
            other => panic!("no target is called {other}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn fragments_are_read_as_they_were_written(data in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..400)) {
        oracle::mp4_roundtrip(&data);
    }

    #[test]
    fn encrypted_fragments_are_read_as_they_were_written(data in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..400)) {
        oracle::protected_roundtrip(&data);
    }

    #[test]
    fn clusters_hold_what_was_written(data in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..2000)) {
        oracle::webm_roundtrip(&data);
    }
}
