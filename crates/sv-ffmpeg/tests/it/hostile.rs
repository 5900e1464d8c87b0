//! Input that means harm, or is broken: one clear error, and nothing else is touched.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sv_core::{Bytes, ErrorKind, Limits, ReadAt, Source as _};
use sv_ffmpeg::{Demuxer, Error};

fn open(bytes: &[u8]) -> Result<Demuxer, Error> {
    Demuxer::open(Arc::new(Bytes::copy_from_slice(bytes)), "upload.mp4", Limits::default())
}

fn refused(bytes: &[u8]) -> Error {
    match open(bytes) {
        Ok(demuxer) => panic!("opened as {}", demuxer.info().container),
        Err(error) => error,
    }
}

#[test]
fn a_playlist_called_mp4_opens_no_file_and_no_socket() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let path = secret.path().display();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/x.ts");
    let inputs = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nconcat:{path}|{url}\n"),
        format!("ffconcat version 1.0\nfile '{path}'\n"),
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><Period><AdaptationSet><Representation id=\"1\">\
             <BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        format!("[Reference]\nRef1={url}\n"),
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n".into(),
    ];
    for input in inputs {
        let error = refused(input.as_bytes());
        assert!(matches!(error, Error::UnknownFormat { .. }), "{error}: {input}");
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let message = error.to_string();
        assert!(message.starts_with("upload.mp4: ") && !message.contains('\n'), "{message}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "somebody called");
}

#[test]
fn what_is_no_media_is_one_sentence() {
    let text = b"Dear diary, today I renamed a text file to mp4.\n".repeat(40);
    let mut random = vec![0u8; 100_000];
    sv_testkit::Rng::new(3).fill(&mut random);
    for input in [&b""[..], b"x", &text, &random, &[0; 5000], &b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..]] {
        let message = refused(input).to_string();
        assert!(message.starts_with("upload.mp4: ") || message.contains("upload.mp4"), "{message}");
        assert!(!message.contains('\n') && message.len() < 200, "{message}");
    }
}

#[test]
fn ten_gigabytes_in_a_kilobyte() {
    // A film's worth of samples, said to be there by a header without any.
    let mut file = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    file.extend_from_slice(&[0, 0, 0, 1]);
    file.extend_from_slice(b"mdat");
    file.extend_from_slice(&10_000_000_000u64.to_be_bytes());
    file.resize(1024, 0);
    refused(&file);
}

/// Fails in the middle, as a disk does.
struct Failing {
    bytes: Bytes,
    asked: AtomicBool,
}

impl ReadAt for Failing {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= 1000 {
            self.asked.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the disk is on fire"));
        }
        let room = usize::try_from(1000 - offset).unwrap().min(buf.len());
        self.bytes.read_at(offset, &mut buf[..room])
    }

    fn size(&self) -> u64 {
        1_000_000
    }
}

#[test]
fn a_failing_reader_is_named() {
    let file = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08free\0\x0f\0\0mdat".to_vec();
    let mut bytes = file;
    bytes.resize(2000, 0);
    let reader = Arc::new(Failing { bytes: bytes.into(), asked: AtomicBool::new(false) });
    let Err(error) = Demuxer::open(Arc::clone(&reader) as Arc<dyn ReadAt>, "upload.mp4", Limits::default())
    else {
        panic!("opened")
    };
    assert!(reader.asked.load(Ordering::Relaxed));
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn limits_hold() {
    let Some(path) = sv_testkit::corpus("clips/big_buck_bunny_720p25_5s.mp4") else { return };
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let mut limits = Limits::default();
    limits.pixels = 1000;
    let Err(error) = Demuxer::open(Arc::new(bytes.clone()), "x", limits) else { panic!("opened") };
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    limits = Limits::default();
    limits.packet_bytes = 100;
    let mut demuxer = Demuxer::open(Arc::new(bytes), "x", limits).unwrap();
    let error = loop {
        match demuxer.next_item() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("all packets are small"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
}

#[test]
fn truncated_and_damaged_files_never_do_harm() {
    let Some(path) = sv_testkit::corpus("clips/screen_1080p30_silent_audio.mp4") else { return };
    let whole = std::fs::read(path).unwrap();
    let mut random = sv_testkit::Rng::new(11);
    for round in 0..60 {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            bytes.truncate(random.below(whole.len() as u64) as usize);
        }
        for _ in 0..round {
            let at = random.below(bytes.len().max(1) as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next_u64() as u8;
            }
        }
        let Ok(mut demuxer) = open(&bytes) else { continue };
        let mut decoders: Vec<_> = demuxer
            .tracks()
            .to_vec()
            .iter()
            .filter_map(|t| Some((t.id, sv_ffmpeg::Decoder::open(t, None, Default::default()).ok()?)))
            .collect();
        while let Ok(Some(item)) = demuxer.next_item() {
            let sv_core::Item::Packet(packet) = item else { continue };
            let Some((_, decoder)) = decoders.iter_mut().find(|(id, _)| *id == packet.track) else {
                continue;
            };
            if decoder.push(&packet).is_ok() {
                while let Ok(Some(frame)) = decoder.video() {
                    assert!(frame.width <= 16_384);
                }
            }
        }
    }
}
