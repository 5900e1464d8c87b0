//! Both sides of the protocol against each other, cut anywhere.

use proptest::prelude::*;
use sv_container::flv::{Body, Demuxer, Kind, Muxer};
use sv_core::{
    AudioInfo, Bytes, Codec, Duration, Item, Limits, Media, Packet, TimeBase, Timestamp, Track, TrackId,
    VideoInfo,
};
use sv_ingest::rtmp::{Client, Event, Name, Purpose, Seen, Server};

fn track(id: u32, codec: Codec) -> Track {
    let video = matches!(codec, Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Vp8 | Codec::Vp9);
    let media = if video {
        Media::Video(VideoInfo::new(320, 180))
    } else {
        Media::Audio(AudioInfo { sample_rate: 48_000, channels: 2, delay: 0, bit_depth: 16 })
    };
    Track {
        id: TrackId(id),
        codec,
        time_base: TimeBase::MPEG,
        config: Bytes::from_static(&[0x11, 0x90]),
        media,
        language: None,
        label: None,
        default: true,
        duration: None,
        bitrate: None,
        protection: None,
    }
}

/// Two ends and what lies between them.
struct Pair {
    client: Client,
    server: Server,
    /// Lengths of the pieces in which bytes arrive.
    cuts: Vec<usize>,
    turn: usize,
    events: Vec<Event>,
    seen: Vec<Seen>,
}

impl Pair {
    fn new(purpose: Purpose, cuts: Vec<usize>) -> Self {
        let limits = Limits::default();
        let name = Name::new("secret?token=abc");
        Self {
            client: Client::new(purpose, "rtmp://127.0.0.1/live", "live", name, limits, 7),
            server: Server::new(limits, 8),
            cuts,
            turn: 0,
            events: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn pieces(&mut self, bytes: Vec<Bytes>) -> Vec<Vec<u8>> {
        let mut rest: &[u8] = &bytes.concat();
        let mut out = Vec::new();
        while !rest.is_empty() {
            self.turn += 1;
            let (piece, after) = rest.split_at(self.cuts[self.turn % self.cuts.len()].min(rest.len()));
            out.push(piece.to_vec());
            rest = after;
        }
        out
    }

    /// Until nobody has anything to say.
    fn talk(&mut self) {
        loop {
            let (to_server, to_client) = (self.client.outgoing(), self.server.outgoing());
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
            for piece in self.pieces(to_server) {
                self.server.receive(&piece).unwrap();
                while let Some(event) = self.server.event() {
                    if let Event::Publish { stream, .. } | Event::Play { stream, .. } = event {
                        self.server.accept(stream);
                    }
                    self.events.push(event);
                }
            }
            for piece in self.pieces(to_client) {
                self.client.receive(&piece).unwrap();
                self.seen.extend(std::iter::from_fn(|| self.client.event()));
            }
        }
    }
}

#[test]
fn a_name_is_told_and_not_printed() {
    let mut pair = Pair::new(Purpose::Publish, vec![usize::MAX]);
    pair.talk();
    assert!(matches!(&pair.events[0], Event::Connect { app, .. } if app == "live"));
    let Event::Publish { name, .. } = &pair.events[1] else { panic!("{:?}", pair.events) };
    assert_eq!((name.expose(), name.query("token")), ("secret", Some("abc")));
    assert!(!format!("{:?}{:?}{:?}", pair.events, pair.server, pair.client).contains("secret"));
    assert!(matches!(pair.seen[..], [Seen::Ready]));
}

#[test]
fn who_is_refused_hears_why() {
    let mut pair = Pair::new(Purpose::Publish, vec![usize::MAX]);
    let mut error = None;
    while error.is_none() {
        for piece in pair.client.outgoing() {
            pair.server.receive(&piece).unwrap();
        }
        while let Some(event) = pair.server.event() {
            if let Event::Publish { stream, .. } = event {
                pair.server.refuse(stream, "this stream key is not known");
            }
        }
        let answers = pair.server.outgoing();
        assert!(!answers.is_empty());
        error = answers.iter().find_map(|piece| pair.client.receive(piece).err());
    }
    assert!(error.unwrap().to_string().contains("this stream key is not known"));
}

#[test]
fn a_server_that_stops_asks_to_come_again() {
    let mut pair = Pair::new(Purpose::Publish, vec![100]);
    pair.talk();
    pair.server.ask_to_reconnect(Some("rtmp://elsewhere/live"));
    pair.talk();
    let Some(Seen::Reconnect { url }) = pair.seen.last() else { panic!("{:?}", pair.seen) };
    assert_eq!(url.as_deref(), Some("rtmp://elsewhere/live"));
}

#[test]
fn media_before_they_are_allowed_are_left_out_and_long_ones_refused() {
    let mut server = Server::new(Limits::default(), 1);
    let mut hello = vec![3u8; 1537];
    hello[1..9].fill(0);
    server.receive(&hello).unwrap();
    server.receive(&[0; 1536]).unwrap();
    // A message of pictures of 1 MB on a stream that nobody has created.
    let error = server.receive(&[6, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0]).unwrap_err();
    assert!(error.to_string().contains("length of a message"), "{error}");
    assert!(server.held() < 1 << 16);
}

#[test]
fn other_protocols_are_told_apart() {
    for (bytes, word) in [(&b"GET / HTTP/1.1"[..], "not RTMP"), (&[0x16, 3, 1], "TLS"), (&[6, 0], "RTMPE")] {
        let error = Server::new(Limits::default(), 1).receive(bytes).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![
        Codec::H264,
        Codec::Hevc,
        Codec::Av1,
        Codec::Vp8,
        Codec::Vp9,
        Codec::Aac,
        Codec::Opus,
        Codec::Flac,
        Codec::Ac3,
        Codec::Eac3,
        Codec::Mp3,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bodies arrive as they were sent, in their order, however the bytes are cut, and behind the end of 32 bits.
    #[test]
    fn bodies_arrive(
        cuts in prop::collection::vec(1usize..5000, 1..20),
        start in prop::sample::select(vec![0i64, 0xFF_FFF0, 0xFFFF_FF00, 0x1_FFFF_FFF0]),
        sizes in prop::collection::vec(0usize..200_000, 1..12),
        purpose in prop::sample::select(vec![Purpose::Publish, Purpose::Play]),
    ) {
        let mut pair = Pair::new(purpose, cuts);
        pair.talk();
        let muxer = {
            let mut muxer = Muxer::new();
            muxer.track(&track(1, Codec::H264), 0).unwrap();
            muxer.track(&track(2, Codec::Aac), 0).unwrap();
            muxer
        };
        let sent: Vec<Body> = sizes.iter().enumerate().map(|(n, size)| {
            let at = Timestamp::new((start + n as i64 * 40) * 90);
            let data = Bytes::from(vec![n as u8; *size]);
            let id = TrackId(1 + n as u32 % 2);
            let packet = Packet { track: id, pts: at, dts: at, duration: Duration::ZERO, key: n == 0, data, protection: None };
            muxer.packet(&packet).unwrap()
        }).collect();
        for body in &sent {
            match purpose {
                Purpose::Publish => pair.client.send(body),
                Purpose::Play => pair.server.send(1, body),
            }
            pair.talk();
        }
        let events = pair.events.iter().filter_map(|e| match e {
            Event::Media { kind, millis, body, .. } => Some((*kind, *millis, body.clone())),
            _ => None,
        });
        let seen = pair.seen.iter().filter_map(|e| match e {
            Seen::Media { kind, millis, body } => Some((*kind, *millis, body.clone())),
            _ => None,
        });
        let got: Vec<(Kind, i64, Bytes)> = events.chain(seen).filter(|(kind, ..)| *kind != Kind::Script).collect();
        let first = sent[0].millis - (sent[0].millis & 0xFFFF_FFFF);
        let expected: Vec<_> = sent.iter()
            .map(|b| (b.kind, b.millis - first, Bytes::from([&*b.head, &*b.data].concat())))
            .collect();
        prop_assert_eq!(got, expected);
    }

    /// What is written into a tag is read from it.
    #[test]
    fn packets_survive_their_tags(
        codecs in prop::collection::vec(codec(), 1..6),
        key: bool,
        dts in 0i64..10_000_000,
        later in -1000i64..1000,
        data in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let (mut muxer, mut demuxer) = (Muxer::new(), Demuxer::new(Limits::default()));
        let tracks: Vec<Track> = codecs.iter().enumerate().map(|(n, c)| track(n as u32 + 10, *c)).collect();
        for track in &tracks {
            let config = match track.codec {
                Codec::Opus => Bytes::from_static(&[0, 2, 1, 0x38, 0, 0, 0xBB, 0x80, 0, 0, 0]),
                _ => track.config.clone(),
            };
            let track = Track { config, ..track.clone() };
            if let Some(body) = muxer.track(&track, 0).unwrap() {
                let body_bytes = Bytes::from([&*body.head, &*body.data].concat());
                // The configurations here are no real ones: all that counts is that nothing is taken for another thing.
                let _ = demuxer.push(body.kind, 0, &body_bytes, |_: Item| {});
            }
        }
        let mut counts = std::collections::HashMap::new();
        for track in &tracks {
            let video = track.video().is_some();
            let number: &mut u8 = counts.entry(video).or_default();
            let dts = Timestamp::new(dts * 90);
            let composed = matches!(track.codec, Codec::H264 | Codec::Hevc);
            let pts = if composed { dts.offset(later * 90) } else { dts };
            let packet = Packet {
                track: track.id, pts, dts, duration: Duration::ZERO, key, data: data.clone().into(), protection: None,
            };
            let body = muxer.packet(&packet).unwrap();
            let bytes = Bytes::from([&*body.head, &*body.data].concat());
            let messages: Vec<_> = sv_container::flv::parse(body.kind, &bytes).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(messages.len(), 1);
            prop_assert_eq!(messages[0].track, *number);
            prop_assert_eq!(messages[0].codec, Some(track.codec));
            let sv_container::flv::Payload::Frame { key: k, composition, data: d } = &messages[0].payload else {
                panic!("{messages:?}")
            };
            prop_assert_eq!(*k, key || !video);
            prop_assert_eq!(i64::from(*composition), if composed { later } else { 0 });
            prop_assert_eq!(&d[..], &data[..]);
            *number += 1;
        }
    }

    /// Nothing that comes makes a side panic or keep more than it may.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        crate::oracle::rtmp(&bytes);
        crate::oracle::flv(&bytes);
        crate::oracle::hls(&bytes);
        crate::oracle::srt_packet(&bytes);
        crate::oracle::srt_session(&bytes);
        #[cfg(feature = "whip")]
        crate::oracle::whip(&bytes);
        #[cfg(feature = "rtsp")]
        {
            crate::oracle::rtsp(&bytes);
            crate::oracle::rtp(&bytes);
        }
    }
}

/// Who is given one URL and no key says all of it when it connects: MediaMTX and OBS do so.
#[test]
fn a_name_may_stand_in_the_application() {
    for purpose in [Purpose::Publish, Purpose::Play] {
        for (app, expected) in [("live/studio", Some("studio")), ("live", None)] {
            let url = format!("rtmp://127.0.0.1/{app}");
            let mut client = Client::new(purpose, &url, app, Name::new(""), Limits::default(), 7);
            let (mut server, mut named, mut refused) = (Server::new(Limits::default(), 8), None, None);
            loop {
                let (there, back) = (client.outgoing(), server.outgoing());
                if there.is_empty() && back.is_empty() {
                    break;
                }
                server.receive(&there.concat()).unwrap();
                while let Some(event) = server.event() {
                    if let Event::Publish { name, .. } | Event::Play { name, .. } = event {
                        named = Some(name.expose().to_owned());
                    }
                }
                refused = refused.or(client.receive(&back.concat()).err());
            }
            assert_eq!(named.as_deref(), expected);
            // Who names nothing is told so, and doesn't wait for ever.
            assert_eq!(refused.is_some(), expected.is_none(), "{refused:?}");
        }
    }
}
